"""Settings: from arguments, else the environment, else ``.env`` in the current directory.

Importing reads nothing; ``Settings()`` reads everything, once. ``DATABASE_URL`` is taken as it is
pasted from a provider or another library and turned into one form, ``Settings.dsn``.
"""

import base64
import binascii
import difflib
import hashlib
import os
import re
import ssl
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self
from urllib.parse import urlencode

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    Secret,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from faceplate._tracebacks import remove_library_frames
from faceplate.database_url import WRAPPING, TlsMode, parse_url, resolve_tls
from faceplate.errors import ConfigurationError, UsageError

__all__ = ["Settings"]

_PREFIX = "faceplate_"  # names of variables are compared without regard to case
# TEST_ and EMBEDDED_ belong to the tests and the embedded server; SERVICE_ and PORT are what
# Kubernetes puts into every pod beside a service that is called "faceplate".
_NOT_SETTINGS = tuple(_PREFIX + name for name in ("test_", "embedded_", "service_", "port"))

# The server counts its timeouts in milliseconds, in a signed 32-bit integer.
PasswordFunction = Callable[[], str | Awaitable[str]]
Password = Secret[PasswordFunction] | SecretStr | PasswordFunction | str
"""Text, or a function that is asked before each connection."""

Seconds = Annotated[float, Field(ge=0, le=2_147_483, allow_inf_nan=False)]
PositiveSeconds = Annotated[Seconds, Field(gt=0)]


class Settings(BaseSettings):
    """What faceplate needs to know to use a database. Immutable; shows no password.

    Raises ConfigurationError, which lists every problem: the variable, what was read, the rule
    and an example.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # A str is taken and kept as a SecretStr; the type says so to whoever passes one.
    database_url: SecretStr | str = Field(
        default=SecretStr(""),
        validate_default=True,
        union_mode="left_to_right",
        examples=["postgresql://user:password@localhost:5432/app"],
        description="The database, as a PostgreSQL URL. FACEPLATE_DATABASE_URL wins over"
        " DATABASE_URL. postgres:// and postgresql+driver:// are understood, as are sslmode and"
        " channel_binding, several hosts (host1:5432,host2:5432), Unix sockets (?host=/directory)"
        " and the other parameters of libpq. channel_binding=require is kept as"
        " sslmode=verify-full, which protects as well, since the driver cannot bind channels;"
        " FACEPLATE_TLS_MODE overrides it. connect_timeout and application_name in the URL give"
        " way to the settings below. Percent-encode special characters of the password.",
    )
    password: Password | None = Field(
        default=None,
        examples=["password"],
        description="The password in place of the one in the URL, for one that changes: in code, a"
        " function that returns it, plain or async, which is asked before each connection"
        " (Settings(password=get_token)). In the environment, text. ?passfile=/path in the URL"
        " names a file in libpq's form, which is read before each connection. A password in"
        " FACEPLATE_MIGRATION_URL stays as it is.",
    )
    pool_size: int = Field(
        default=5, ge=1, le=1000, description="Connections that the pool keeps open."
    )
    max_overflow: int = Field(
        default=15,
        ge=0,
        le=1000,
        description="Connections that the pool opens beyond FACEPLATE_POOL_SIZE when it is busy,"
        " and closes again.",
    )
    pool_timeout_s: Seconds = Field(
        default=30.0,
        description="Seconds that a unit waits for a free connection before it fails.",
    )
    max_waiting: int = Field(
        default=500,
        ge=0,
        le=100_000,
        description="Units that may wait for a free connection at the same time. One more fails at"
        " once, so that an overloaded program answers instead of piling up work.",
    )
    pgbouncer: bool = Field(
        default=False,
        description="Whether the URL leads to PgBouncer, or another pooler that hands one"
        " connection to several clients in turn. Then nothing is prepared or set beyond a"
        " transaction, which costs each statement a round trip more.",
    )
    pipelining: bool = Field(
        default=True,
        description="Whether a unit's BEGIN and user travel with its statements, in one round trip."
        " Switched off, each is sent by itself by the driver's public methods, which takes a unit"
        " two round trips more.",
    )
    owner_url: SecretStr | str | None = Field(
        default=None,
        union_mode="left_to_right",
        examples=["postgresql://owner:password@localhost:5432/app"],
        description="A URL that logs in as the owner of the schema, where FACEPLATE_DATABASE_URL"
        " logs in as a role that owns nothing, so that SQL injected into a unit can become no role"
        " that does. run_system, sessions, migrations and the commands that work across users"
        " connect with it, in a pool of its own. Without it they use the one login there is.",
    )
    owner_password: Password | None = Field(
        default=None,
        examples=["password"],
        description="The same as FACEPLATE_PASSWORD, for the login of FACEPLATE_OWNER_URL.",
    )
    migration_url: SecretStr | str | None = Field(
        default=None,
        union_mode="left_to_right",
        examples=["postgresql://user:password@localhost:5432/app"],
        description="A URL for migrations that leads to PostgreSQL itself, where the other one"
        " leads to PgBouncer.",
    )
    connect_timeout_s: PositiveSeconds = Field(
        default=3.0,
        description="Seconds that one attempt to connect may take, name resolution and TLS"
        " included.",
    )
    startup_timeout_s: PositiveSeconds = Field(
        default=3.0,
        description="Seconds that the first, verified connection may take with all its attempts.",
    )
    statement_timeout_s: Seconds = Field(
        default=30.0,
        description="Seconds after which the server cancels a statement. 0 switches it off.",
    )
    command_timeout_s: Seconds = Field(
        default=40.0,
        validate_default=True,
        description="Seconds after which the driver gives up on any one command, for a server that"
        " no longer answers. More than FACEPLATE_STATEMENT_TIMEOUT_S, so that the server speaks"
        " first. 0 switches it off.",
    )
    lock_timeout_s: Seconds = Field(
        default=10.0,
        description="Seconds that a statement waits for a lock before the server cancels it."
        " 0 switches it off.",
    )
    idle_in_transaction_timeout_s: Seconds = Field(
        default=60.0,
        description="Seconds after which the server ends a connection that holds a transaction"
        " open without using it. 0 switches it off.",
    )
    retry_delay_s: Seconds = Field(
        default=1.0,
        description="Seconds to wait after a lost connection before a unit is retried.",
    )
    reconnect_timeout_s: Seconds = Field(
        default=15.0,
        description="Seconds that a retried unit may spend on getting a connection again.",
    )
    shutdown_timeout_s: Seconds = Field(
        default=10.0,
        description="Seconds that what is under way may take to end when the database is closed:"
        " units, blocks and drafts. Then it is cut off. 0 cuts it off at once.",
    )
    tls_mode: TlsMode | None = Field(
        default=None,
        examples=["verify-full"],
        description="disable, allow, prefer, require, verify-ca or verify-full, as libpq's sslmode;"
        " overrides the URL. Only verify-full makes sure that the server is the one in the URL."
        " Without any: verify-full if a CA file is given, else prefer.",
    )
    tls_ca_file: Path | None = Field(
        default=None,
        examples=["/etc/ssl/certs/ca-certificates.crt"],
        description="PEM file of the authorities that may vouch for the server; overrides"
        " sslrootcert in the URL. With require it works as verify-ca; with a weaker mode, which"
        " would ignore it, it is refused.",
    )
    row_level_security: bool = Field(
        default=True,
        description="Whether units run as the role faceplate_app, under the policies that the"
        " migrations make. Only for a server where that role cannot be had: without it, a unit's"
        " raw SQL reaches every user's rows.",
    )
    seal_key: SecretStr | None = Field(
        default=None,
        examples=["the output of `faceplate generate-key`"],
        description="A key of 32 bytes in URL-safe base64, by which the policies tell a user's id"
        " that the application says from one that SQL injected into a unit says. Set it for every"
        " process, then run `faceplate migrate`; it takes FACEPLATE_OWNER_URL, since an owner is"
        " under no policy.",
    )
    encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        examples=["the output of `faceplate generate-key`"],
        description="Fernet keys for the secrets of MCP configurations, separated by commas: the"
        " first one encrypts, all of them decrypt. Put a new one in front and run"
        " `faceplate rotate-keys`; then the old one may go.",
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        examples=["app.models"],
        description="Modules that declare models of your own, separated by commas, as Python"
        " imports them. `faceplate check`, `doctor`, `erase`, `export` and `stats` import them,"
        " from the current directory too, so that they know your tables. A program imports its"
        " models itself.",
    )
    application_name: str = Field(
        default="faceplate",
        pattern=r"^[ -~]{1,63}$",
        description="The name in pg_stat_activity and the server's log: 1 to 63 printable ASCII"
        " characters.",
    )
    log_sql: bool = Field(
        default=False, description="Whether to log each statement, without its values."
    )
    slow_statement_s: Seconds = Field(
        default=1.0,
        description="Seconds from which on a statement is logged as slow. 0 switches it off.",
    )

    if not TYPE_CHECKING:  # type checkers read the arguments off the fields

        def __init__(self, **values: Any) -> None:
            failure = None
            try:
                super().__init__(**values)
            except Exception as error:  # noqa: BLE001 - raised below, whatever it is
                failure = error
            if failure is not None:
                # Out here, without pydantic's frames: they hold what was given and read.
                values.clear()
                remove_library_frames(failure)
                raise failure

    @classmethod
    def has_database_url(cls) -> bool:
        """Returns whether a URL is configured in the environment or ``.env``.

        An empty one counts: it is a mistake that ``Settings()`` reports, not a choice.
        """
        return "database_url" in _read_variables(cls)

    @property
    def dsn(self) -> str:
        """The URL for ``asyncpg.connect(dsn=...)``, with the password and the TLS settings."""
        # Parameters only: hosts, IPv6 addresses and sockets then need no rules of their own, and
        # the path stays away because asyncpg would read an empty one as a database named "".
        return "postgresql://?" + urlencode(self._connection_parameters())

    @property
    def of_owner(self) -> Self:
        """The same settings with the owner's login as ``database_url``, where there is one."""
        if self.owner_url is None:
            return self
        login = {"database_url": self.owner_url, "password": self.owner_password}
        return self.model_copy(update=login | {"owner_url": None, "owner_password": None})

    @property
    def of_migrations(self) -> Self:
        """The same settings with the login that migrates, past a pooler."""
        owner = self.of_owner
        if self.migration_url is None:
            return owner
        has_password = "password" in parse_url(_reveal(self.migration_url))
        login = {
            "database_url": self.migration_url,
            "password": None if has_password else owner.password,
        }
        return owner.model_copy(update=login | {"migration_url": None})

    @property
    def seal(self) -> bytes | None:
        """The key that seals the ids of users, where there is one."""
        if self.seal_key is None or not self.row_level_security:
            return None
        return _bytes_of(self.seal_key)

    @property
    def login(self) -> str | None:
        """The role that ``database_url`` logs in as, where it names one."""
        return self._connection_parameters().get("user")

    @property
    def hosts(self) -> list[str]:
        """The names and addresses of the TCP hosts, in order; empty where sockets are used."""
        hosts = self._connection_parameters().get("host", "").split(",")
        return [host.strip("[]") for host in hosts if host and not host.startswith("/")]

    @property
    def cursor_key(self) -> bytes:
        """What cursors are sealed with: the same for every process with these settings."""
        secrets = self.encryption_keys or (self.database_url,)
        text = "".join(map(_reveal, secrets))
        return hashlib.sha256(f"faceplate cursor {text}".encode()).digest()

    @property
    def target(self) -> str:
        """Hosts, ports and database for messages, such as ``db.example.com:5432/app``."""
        parameters = self._connection_parameters()
        hosts = parameters.get("host", "(default host)").split(",")
        ports = parameters.get("port", "").split(",")
        where = ",".join(
            f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=True)
        )
        return f"{where}/{parameters['dbname']}" if "dbname" in parameters else where

    @property
    def server_settings(self) -> dict[str, str]:
        """What each connection asks of the server, for asyncpg's ``server_settings``."""
        name = {"application_name": self.application_name}
        return name if self.pgbouncer else name | self._limits

    @property
    def transaction_settings(self) -> dict[str, str]:
        """What each transaction asks of the server, where a connection cannot."""
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

    def __setattr__(self, name: str, value: object) -> NoReturn:
        # pydantic's own refusal would show the value.
        raise UsageError(f"Settings are immutable: give {name} when you make them")

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "Settings hold the database password and cannot be pickled;"
            " build them in the process that needs them"
        )

    def _connection_parameters(self, url: SecretStr | str | None = None) -> dict[str, str]:
        parameters = parse_url(_reveal(url or self.database_url))
        return resolve_tls(parameters, self.tls_mode, self.tls_ca_file)

    @field_validator("encryption_keys", "models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("models")
    @classmethod
    def _check_models(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not all(part.isidentifier() for part in name.split(".")):
                raise ValueError(f"{name!r} is not the name of a module")
        return value

    @field_validator("encryption_keys")
    @classmethod
    def _check_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, key in enumerate(value, start=1):
            if not _is_key(key):
                raise ValueError(f"key {number} is not 32 bytes in URL-safe base64")
        return value

    @field_validator("password", "owner_password", mode="plain")
    @classmethod
    def _check_password(cls, value: object) -> Password | None:
        """Hide text and functions alike: a function may be bound to a token of its own."""
        match value:
            case None | SecretStr() | Secret():
                password: Password | None = value
            case str():
                password = SecretStr(value)
            case _ if callable(value):
                password = Secret(value)
            case _:
                raise ValueError("must be text, or a function that returns it")
        if isinstance(password, SecretStr) and not password.get_secret_value():
            raise ValueError("must not be empty")
        return password

    @field_validator("seal_key")
    @classmethod
    def _check_seal_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_key(value):
            raise ValueError("is not 32 bytes in URL-safe base64")
        return value

    @field_validator("database_url", "owner_url", "migration_url")
    @classmethod
    def _check_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_url(value.get_secret_value())
        return value

    @field_validator("command_timeout_s")
    @classmethod
    def _check_server_speaks_first(cls, value: float, info: ValidationInfo) -> float:
        statement_timeout_s = info.data.get("statement_timeout_s", 0)
        if value and value <= statement_timeout_s:
            raise ValueError(
                f"must be more than FACEPLATE_STATEMENT_TIMEOUT_S ({statement_timeout_s:g}),"
                " so that the server speaks first, or 0"
            )
        return value

    @field_validator("tls_ca_file")
    @classmethod
    def _check_ca_file(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        _check_certificates(str(value.expanduser()))
        return value.expanduser()

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        _check_files("DATABASE_URL", self._connection_parameters())
        for name, url in (("OWNER_URL", self.owner_url), ("MIGRATION_URL", self.migration_url)):
            if url is not None:
                _check_files(f"FACEPLATE_{name}", self._connection_parameters(url))
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _translate_errors(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            given = data if isinstance(data, dict) else {}
            problems = dict.fromkeys(
                _describe_problem(cls, str(problem["loc"][0]), problem["msg"], given)
                if problem["loc"]
                else problem["msg"].removeprefix("Value error, ")
                for problem in error.errors()
            )
        # Raised out here, so that no traceback leads to pydantic's error, which holds the input.
        raise ConfigurationError(
            "The configuration cannot be used:" + "".join(f"\n  {line}" for line in problems)
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then variables, read by us so that a misspelt name is noticed."""
        variables = _read_variables(settings_cls)
        return init_settings, InitSettingsSource(settings_cls, init_kwargs=variables)


def _read_environment(settings_cls: type[BaseSettings]) -> dict[str, str | None]:
    """Returns the variables of ``.env`` and, before them, the environment; names in lower case."""
    try:
        in_file = DotEnvSettingsSource(settings_cls, env_file=".env").env_vars
    except (OSError, UnicodeError):
        raise ConfigurationError(
            "The configuration cannot be used:\n  .env must be a readable file in UTF-8"
        ) from None
    return {**in_file, **EnvSettingsSource(settings_cls).env_vars}


def _read_variables(settings_cls: type[BaseSettings]) -> dict[str, str]:
    """Returns our variables by the names of the settings, misspelt ones as they are."""
    environment = _read_environment(settings_cls)
    named = {
        name.removeprefix(_PREFIX): value or ""
        for name, value in environment.items()
        if name.startswith(_PREFIX) and not name.startswith(_NOT_SETTINGS)
    }
    if "database_url" in environment:
        named.setdefault("database_url", environment["database_url"] or "")
    return named


def _variable(settings_cls: type[BaseSettings], name: str) -> str:
    """Returns the variable that sets ``name``: of the two for the URL the one that was read."""
    preferred = f"{_PREFIX}{name}"
    if name == "database_url" and preferred not in _read_environment(settings_cls):
        return "DATABASE_URL"
    return preferred.upper()


def _describe_problem(
    settings_cls: type[BaseSettings], name: str, rule: str, given: dict[str, object]
) -> str:
    variable = _variable(settings_cls, name)
    if name not in settings_cls.model_fields:
        close = difflib.get_close_matches(name, settings_cls.model_fields, n=1)
        hint = f"; did you mean {_variable(settings_cls, close[0])}?" if close else ""
        return f"{variable}: there is no such setting{hint}"
    field = settings_cls.model_fields[name]
    secret = "SecretStr" in str(field.annotation)
    read = f"read {_show(given[name], secret=secret)}" if name in given else "it is not set"
    example = field.examples[0] if field.examples else field.default
    rule = rule.removeprefix("Value error, ")
    rule = re.sub("^(Input|String) should", "must", rule)
    return f"{variable}: {rule}; {read}; a right one: {variable}={example}"


def _show(value: object, *, secret: bool) -> str:
    """Returns ``value`` for a message, without what may be a secret."""
    text = _reveal(value)
    if not text or not (secret or "@" in text):
        return repr(text[:100])
    # Between the last "@" and the next "?" stands no password, unless that "@" is itself part of
    # the parameters.
    scheme, _, rest = text.strip(WRAPPING).partition("://")
    userinfo, at, location = rest.rpartition("@")
    if not re.fullmatch(r"[a-zA-Z0-9+.]+", scheme) or not rest:
        return "'***'"
    if not at or re.search("[?#]", userinfo):
        return f"'{scheme}://***'"
    return f"'{scheme}://***@{re.split('[?#]', location)[0]}'"


def _is_key(key: SecretStr) -> bool:
    try:
        return len(base64.urlsafe_b64decode(key.get_secret_value())) == 32
    except (binascii.Error, ValueError):
        return False


@lru_cache(maxsize=8)
def _bytes_of(key: SecretStr) -> bytes:
    return base64.urlsafe_b64decode(key.get_secret_value())


def _reveal(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)) if seconds else 0)


def _check_files(variable: str, parameters: dict[str, str]) -> None:
    for name in ("sslcert", "sslkey", "passfile"):
        if name in parameters and not os.access(parameters[name], os.R_OK):
            raise ValueError(f"{variable}: {name} cannot be read: {parameters[name]!r}")
    for name in ("sslrootcert", "sslcrl"):
        if name in parameters:
            _check_certificates(parameters[name])


def _check_certificates(path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError as error:
        raise ValueError(
            f"TLS needs a readable file of certificates in PEM form, which {path!r} is not"
            f" ({error.strerror})"
        ) from None
