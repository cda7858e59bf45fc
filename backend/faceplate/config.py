"""Settings from arguments, the environment, or ``.env`` in the current directory.

Importing this module reads nothing; ``Settings()`` reads everything, once. ``DATABASE_URL`` may
have the form that a provider or another library shows; ``Settings.dsn`` always has one form.
"""

from typing import Self
from urllib.parse import urlencode

from pydantic import ModelWrapValidatorHandler, SecretStr, ValidationError, model_validator

from faceplate._settings.environment import read_variables
from faceplate._settings.problems import describe_problems
from faceplate._settings.secrets import bytes_of, cursor_key_of, reveal
from faceplate._settings.tls_files import check_files
from faceplate._settings.types import Password, PasswordFunction
from faceplate._settings.variables import Variables
from faceplate.database_url import parse_url, resolve_tls
from faceplate.errors import ConfigurationError

__all__ = ["Password", "PasswordFunction", "Settings"]

REPLICA_WAIT_S = 1.5
"""How long a unit waits for a lock on a replica, or for a connection to one."""


class Settings(Variables):
    """The settings of a `Database`. Immutable; no representation shows a password.

    Raises ConfigurationError, which lists every problem: the variable, the rule, what was read
    and a valid example.
    """

    @classmethod
    def has_database_url(cls) -> bool:
        """Return whether the environment or ``.env`` sets a URL.

        An empty URL counts, so that ``Settings()`` reports it as a mistake.
        """
        return "database_url" in read_variables(cls)

    @property
    def dsn(self) -> str:
        """The URL for ``asyncpg.connect(dsn=...)``, with password and TLS."""
        # Parameters only: hosts, IPv6 addresses and sockets then need no separate rules. There is
        # no path, because asyncpg reads an empty one as a database named "".
        return "postgresql://?" + urlencode(self._connection_parameters())

    @property
    def of_owner(self) -> Self:
        """The same settings, with the owner's login as ``database_url`` if there is one."""
        if self.owner_url is None:
            return self
        login = {"database_url": self.owner_url, "password": self.owner_password}
        return self.model_copy(update=login | {"owner_url": None, "owner_password": None})

    @property
    def of_replicas(self) -> list[Self]:
        """The same settings for each replica, with its URL.

        The waits are short, because the primary serves what a replica does not.
        """
        waits = {
            "connect_timeout_s": min(self.connect_timeout_s, REPLICA_WAIT_S),
            "lock_timeout_s": min(self.lock_timeout_s or REPLICA_WAIT_S, REPLICA_WAIT_S),
            "pool_timeout_s": min(self.pool_timeout_s, REPLICA_WAIT_S),
            "read_urls": (),
        }
        return [self.model_copy(update=self._login_of(url) | waits) for url in self.read_urls]

    @property
    def of_migrations(self) -> Self:
        """The same settings, with the login and the URL of migrations."""
        owner = self.of_owner
        if self.migration_url is None:
            return owner
        login = owner._login_of(self.migration_url)  # noqa: SLF001 - of the same class
        return owner.model_copy(update=login | {"migration_url": None})

    def _login_of(self, url: SecretStr | str) -> dict[str, object]:
        """Return what to change for another URL, which may have a password of its own."""
        has_password = "password" in parse_url(reveal(url))
        return {"database_url": url, "password": None if has_password else self.password}

    @property
    def seal(self) -> bytes | None:
        """The key that seals user ids, or None without one."""
        if self.seal_key is None or not self.row_level_security:
            return None
        return bytes_of(self.seal_key)

    @property
    def login(self) -> str | None:
        """The role that ``database_url`` logs in as, or None if it names none."""
        return self._connection_parameters().get("user")

    @property
    def hosts(self) -> list[str]:
        """The names and addresses of the TCP hosts, in order; empty for Unix sockets."""
        hosts = self._connection_parameters().get("host", "").split(",")
        return [host.strip("[]") for host in hosts if host and not host.startswith("/")]

    @property
    def cursor_key(self) -> bytes:
        """The key that seals cursors; every process with these settings has the same."""
        return cursor_key_of(*self.encryption_keys or (self.database_url,))

    @property
    def target(self) -> str:
        """Hosts, ports and database, for messages: ``db.example.com:5432/app``."""
        parameters = self._connection_parameters()
        hosts = parameters.get("host", "(default host)").split(",")
        ports = parameters.get("port", "").split(",")
        where = ",".join(
            f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=True)
        )
        return f"{where}/{parameters['dbname']}" if "dbname" in parameters else where

    @property
    def server_settings(self) -> dict[str, str]:
        """The settings of the server that each connection makes, as asyncpg takes them."""
        name = {"application_name": self.application_name}
        return name if self.pgbouncer else name | self._limits

    @property
    def transaction_settings(self) -> dict[str, str]:
        """The settings that each transaction makes, where a connection cannot make them."""
        return self._limits if self.pgbouncer else {}

    @property
    def _limits(self) -> dict[str, str]:
        return {
            "timezone": "UTC",
            "statement_timeout": _milliseconds(self.statement_timeout_s),
            "lock_timeout": _milliseconds(self.lock_timeout_s),
            "idle_in_transaction_session_timeout": _milliseconds(
                self.idle_in_transaction_timeout_s
            ),
        }

    def _connection_parameters(self, url: SecretStr | str | None = None) -> dict[str, str]:
        parameters = parse_url(reveal(url or self.database_url))
        return resolve_tls(parameters, self.tls_mode, self.tls_ca_file)

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        check_files("DATABASE_URL", self._connection_parameters())
        for name, url in (("OWNER_URL", self.owner_url), ("MIGRATION_URL", self.migration_url)):
            if url is not None:
                check_files(f"FACEPLATE_{name}", self._connection_parameters(url))
        for url in self.read_urls:
            check_files("FACEPLATE_READ_URLS", self._connection_parameters(url))
        return self

    # Here, after the other validators, to translate their errors as well.
    @model_validator(mode="wrap")
    @classmethod
    def _translate_errors(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            problems = describe_problems(cls, error, data)
        # Raised outside the handler, so that no traceback leads to the input in pydantic's error.
        raise ConfigurationError(problems)


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)) if seconds else 0)
