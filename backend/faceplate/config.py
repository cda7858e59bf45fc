"""Settings from arguments, the environment, or ``.env`` in the current directory.

Importing this module reads nothing; ``Settings()`` reads everything, once. ``DATABASE_URL`` may
have the form that a provider or another library shows; ``Settings.dsn`` always has one form.
"""

from typing import Self
from urllib.parse import urlencode

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from faceplate._settings.environment import read_variables
from faceplate._settings.loading import LoadedSettings
from faceplate._settings.problems import describe_problems
from faceplate._settings.secrets import bytes_of, cursor_key_of, reveal
from faceplate._settings.tls_files import check_files
from faceplate._settings.types import (
    CaFile,
    EncryptionKeys,
    ModuleNames,
    OptionalPassword,
    Password,
    PasswordFunction,
    PositiveSeconds,
    SealKey,
    Seconds,
    Url,
    Urls,
)
from faceplate.database_url import TlsMode, parse_url, resolve_tls
from faceplate.errors import ConfigurationError

__all__ = ["Password", "PasswordFunction", "Settings"]

REPLICA_WAIT_S = 1.5
"""How long a unit waits for a lock on a replica, or for a connection to one."""


class Settings(LoadedSettings):
    """The settings of a `Database`. Immutable; no representation shows a password.

    Raises ConfigurationError, which lists every problem: the variable, the rule, what was read
    and a valid example.
    """

    database_url: Url = Field(
        default=SecretStr(""),
        validate_default=True,
        examples=["postgresql://user:password@localhost:5432/app"],
        description="The URL of the PostgreSQL database. FACEPLATE_DATABASE_URL overrides"
        " DATABASE_URL. The scheme may be postgres:// or postgresql+driver://. The URL may name"
        " several hosts (host1:5432,host2:5432), a Unix socket (?host=/directory) and the"
        " parameters of libpq, such as sslmode. connect_timeout and application_name in the URL"
        " are ignored in favour of the settings below. The driver cannot bind channels, so"
        " channel_binding=require is read as sslmode=verify-full, which protects as well;"
        " FACEPLATE_TLS_MODE overrides both. Percent-encode special characters of the password.",
    )
    password: OptionalPassword = Field(
        default=None,
        examples=["password"],
        description="The password, in place of the one in FACEPLATE_DATABASE_URL. In code it may be"
        " a function, plain or async, which faceplate calls before each connection"
        " (Settings(password=get_token)), for a password that changes. In the environment it is"
        " text. ?passfile=/path in the URL names a password file of libpq, which is read before"
        " each connection. A password in FACEPLATE_MIGRATION_URL is not replaced.",
    )
    pool_size: int = Field(
        default=5, ge=1, le=1000, description="Number of connections that the pool keeps open."
    )
    max_overflow: int = Field(
        default=15,
        ge=0,
        le=1000,
        description="Number of connections that the pool opens beyond FACEPLATE_POOL_SIZE when it"
        " is busy, and closes afterwards.",
    )
    pool_timeout_s: Seconds = Field(
        default=30.0,
        description="Seconds that a unit waits for a free connection before it raises"
        " PoolExhausted.",
    )
    max_waiting: int = Field(
        default=500,
        ge=0,
        le=100_000,
        description="Number of units that may wait for a free connection at the same time. One more"
        " raises Overloaded at once, so that an overloaded program answers instead of piling up"
        " work.",
    )
    pgbouncer: bool = Field(
        default=False,
        description="Whether the URL leads to PgBouncer, or to another pooler that gives one"
        " connection to several clients in turn. If so, faceplate prepares no statement and sets"
        " nothing beyond a transaction; PostgreSQL then parses and plans each statement each time.",
    )
    pipelining: bool = Field(
        default=True,
        description="Whether the BEGIN and the user of a unit travel with its statements, in one"
        " round trip. Without it, the driver's public methods send each by itself, which costs two"
        " more round trips per unit.",
    )
    share_flights: bool = Field(
        default=True,
        description="Whether the appends, questions and lists of conversations of many callers at"
        " the same time are sent and committed together, each still for its own user. It takes"
        " effect where ten or more units are in flight and statements are pipelined, and neither"
        " behind PgBouncer nor where messages or conversations have a trigger of your own, nor with"
        " a statement_timeout_s below 0.1 or a lock_timeout_s below 0.005. Messages that are"
        " committed together have the same created_at.",
    )
    owner_url: Url | None = Field(
        default=None,
        examples=["postgresql://owner:password@localhost:5432/app"],
        description="The URL that logs in as the owner of the schema. With it,"
        " FACEPLATE_DATABASE_URL logs in as a role that owns nothing, and SQL injected into a unit"
        " cannot become the owner. run_system, sessions, migrations and the commands that work"
        " across users use this URL, in a pool of its own. Without it, or where it is empty, they"
        " use FACEPLATE_DATABASE_URL.",
    )
    owner_password: OptionalPassword = Field(
        default=None,
        examples=["password"],
        description="The same as FACEPLATE_PASSWORD, for the login of FACEPLATE_OWNER_URL.",
    )
    migration_url: Url | None = Field(
        default=None,
        examples=["postgresql://user:password@localhost:5432/app"],
        description="The URL for migrations. It leads to PostgreSQL itself, where"
        " FACEPLATE_DATABASE_URL leads to PgBouncer.",
    )
    read_urls: Urls = Field(
        default=(),
        examples=[
            "postgresql://user:password@replica1:5432/app postgresql://...@replica2:5432/app"
        ],
        description="The URLs of streaming replicas, separated by spaces, each of one server. Units"
        " that are marked `read_only` run on a replica that has everything their user has written"
        " and seen, else on the primary. A password that a URL lacks is FACEPLATE_PASSWORD. It"
        " cannot be combined with FACEPLATE_PGBOUNCER.",
    )
    max_replica_lag_s: PositiveSeconds = Field(
        default=30.0,
        description="Seconds that a replica may be behind the primary. One that is further behind"
        " is not read from.",
    )
    connect_timeout_s: PositiveSeconds = Field(
        default=3.0,
        description="Seconds that one attempt to connect may take, including name resolution and"
        " TLS.",
    )
    startup_timeout_s: PositiveSeconds = Field(
        default=3.0,
        description="Seconds that the first connection may take, including its retries.",
    )
    statement_timeout_s: Seconds = Field(
        default=30.0,
        description="Seconds after which the server cancels a statement. 0 switches it off.",
    )
    command_timeout_s: Seconds = Field(
        default=40.0,
        validate_default=True,
        description="Seconds after which the driver gives up on a command of a server that no"
        " longer answers. It must be more than FACEPLATE_STATEMENT_TIMEOUT_S, so that the server's"
        " own limit takes effect first. 0 switches it off.",
    )
    lock_timeout_s: Seconds = Field(
        default=10.0,
        description="Seconds that a statement may wait for a lock before the server cancels it."
        " 0 switches it off.",
    )
    idle_in_transaction_timeout_s: Seconds = Field(
        default=60.0,
        description="Seconds after which the server closes a connection that is idle in a"
        " transaction. 0 switches it off.",
    )
    retry_delay_s: Seconds = Field(
        default=1.0,
        description="Seconds to wait after a lost connection before the retry of a unit.",
    )
    reconnect_timeout_s: Seconds = Field(
        default=15.0,
        description="Seconds that a retry may spend on getting a new connection.",
    )
    shutdown_timeout_s: Seconds = Field(
        default=10.0,
        description="Seconds that units, blocks and drafts in flight may take to end when the"
        " Database is closed. After that they are cut off. 0 cuts them off at once.",
    )
    tls_mode: TlsMode | None = Field(
        default=None,
        examples=["verify-full"],
        description="The TLS mode, as sslmode of libpq: disable, allow, prefer, require, verify-ca"
        " or verify-full. It overrides the URL. Only verify-full makes sure that the server is the"
        " one in the URL. If neither sets a mode, it is verify-full with a CA file, else prefer.",
    )
    tls_ca_file: CaFile | None = Field(
        default=None,
        examples=["/etc/ssl/certs/ca-certificates.crt"],
        description="The PEM file of the certificate authorities that may have signed the server's"
        " certificate. It overrides sslrootcert in the URL. With require it works as verify-ca. A"
        " weaker mode would ignore it and is refused.",
    )
    row_level_security: bool = Field(
        default=True,
        description="Whether units run as the role faceplate_app, under the policies that the"
        " migrations create. Switch it off only on a server where that role cannot be created:"
        " without it, the raw SQL of a unit reaches the rows of every user.",
    )
    seal_key: SealKey | None = Field(
        default=None,
        examples=["the output of `faceplate generate-key`"],
        description="A key of 32 bytes in URL-safe base64. With it, the policies accept the user id"
        " that the application sets, and none that SQL injected into a unit sets. Set it for every"
        " process, then run `faceplate migrate`. It needs FACEPLATE_OWNER_URL, since no policy"
        " applies to an owner.",
    )
    encryption_keys: EncryptionKeys = Field(
        default=(),
        examples=["the output of `faceplate generate-key`"],
        description="Fernet keys for the secrets of MCP configurations, separated by commas. The"
        " first key encrypts, all of them decrypt. To change the key, put the new one first, run"
        " `faceplate rotate-keys`, then remove the old one.",
    )
    models: ModuleNames = Field(
        default=(),
        examples=["app.models"],
        description="Modules that declare models of your own, as Python imports them, separated by"
        " commas. `faceplate check`, `doctor`, `erase`, `export` and `stats` import them, also from"
        " the current directory, to know your tables. A program imports its models itself.",
    )
    max_body_mb: int = Field(
        default=16,
        ge=1,
        le=256,
        description="Megabytes (of 1,048,576 bytes) that the body of a message, a conversation or a"
        " document may have in UTF-8. A longer one raises InvalidInput.",
    )
    application_name: str = Field(
        default="faceplate",
        pattern=r"^[ -~]{1,63}$",
        description="The name of the program in pg_stat_activity and the server's log: 1 to 63"
        " printable ASCII characters.",
    )
    log_sql: bool = Field(
        default=False, description="Whether to log each statement, without its values."
    )
    slow_statement_s: Seconds = Field(
        default=1.0,
        description="Seconds after which a statement is logged as slow. 0 switches it off.",
    )

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

    @field_validator("command_timeout_s")
    @classmethod
    def _check_server_limit_is_shorter(cls, value: float, info: ValidationInfo) -> float:
        statement_timeout_s = info.data.get("statement_timeout_s", 0)
        if value and value <= statement_timeout_s:
            raise ValueError(
                f"must be more than FACEPLATE_STATEMENT_TIMEOUT_S ({statement_timeout_s:g}),"
                " so that the server's limit takes effect first, or 0"
            )
        return value

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        check_files("DATABASE_URL", self._connection_parameters())
        for name, url in (("OWNER_URL", self.owner_url), ("MIGRATION_URL", self.migration_url)):
            if url is not None:
                check_files(f"FACEPLATE_{name}", self._connection_parameters(url))
        for url in self.read_urls:
            check_files("FACEPLATE_READ_URLS", self._connection_parameters(url))
        return self

    @field_validator("read_urls")
    @classmethod
    def _check_no_pooler(cls, value: tuple[object, ...], info: ValidationInfo) -> object:
        if value and info.data.get("pgbouncer"):
            raise ValueError(
                "needs connections to the servers themselves: set FACEPLATE_PGBOUNCER=false, or"
                " unset it"
            )
        return value

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
