"""The environment and ``.env``, read for variables of faceplate.

faceplate reads the variables itself, so that a misspelt name is an error.
"""

from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

from faceplate.errors import ConfigurationError

PREFIX = "faceplate_"  # the sources give all names in lower case
# TEST_ and EMBEDDED_ belong to the tests and the embedded server. Kubernetes sets SERVICE_ and
# PORT in every pod beside a service called "faceplate".
_NOT_SETTINGS = tuple(PREFIX + name for name in ("test_", "embedded_", "service_", "port"))


def read_variables(settings_cls: type[BaseSettings]) -> dict[str, str]:
    """Return the variables by the names of settings, misspelt ones too."""
    environment = _read_environment(settings_cls)
    named = {
        name.removeprefix(PREFIX): value or ""
        for name, value in environment.items()
        if name.startswith(PREFIX) and not name.startswith(_NOT_SETTINGS)
    }
    if "database_url" in environment:
        named.setdefault("database_url", environment["database_url"] or "")
    if named.get("owner_url") == "":
        del named["owner_url"]  # the environment takes back what .env says
    return named


def variable_of(settings_cls: type[BaseSettings], name: str) -> str:
    """Return the variable that sets ``name``.

    Two variables can set the URL: the one that was read is returned.
    """
    preferred = f"{PREFIX}{name}"
    if name == "database_url" and preferred not in _read_environment(settings_cls):
        return "DATABASE_URL"
    return preferred.upper()


def _read_environment(settings_cls: type[BaseSettings]) -> dict[str, str | None]:
    """Return the variables of ``.env`` and the environment, in lower case."""
    try:
        in_file = DotEnvSettingsSource(settings_cls, env_file=".env").env_vars
    except (OSError, UnicodeError):
        raise ConfigurationError(
            "The configuration cannot be used:\n  .env must be a readable file in UTF-8"
        ) from None
    return {**in_file, **EnvSettingsSource(settings_cls).env_vars}
