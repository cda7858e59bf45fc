"""The variables that are read, each with its default, its rule and its explanation."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from faceplate._settings.loading import LoadedSettings
from faceplate._settings.types import (
    CaFile,
    EncryptionKeys,
    ModuleNames,
    OptionalPassword,
    PositiveSeconds,
    SealKey,
    Seconds,
    Url,
    Urls,
)
from faceplate.database_url import TlsMode


class Variables(LoadedSettings):
    """The settings as they are given. `faceplate.config.Settings` has what follows from them."""

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

    @field_validator("read_urls")
    @classmethod
    def _check_no_pooler(cls, value: tuple[object, ...], info: ValidationInfo) -> object:
        if value and info.data.get("pgbouncer"):
            raise ValueError(
                "needs connections to the servers themselves: set FACEPLATE_PGBOUNCER=false, or"
                " unset it"
            )
        return value
