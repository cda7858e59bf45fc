"""Settings: what people paste is understood, what is wrong is explained, no password is shown."""

import asyncio
import copy
import pickle
import ssl
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from asyncpg import connect_utils
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.frames import shown

from faceplate import Database
from faceplate._alembic import scaffold
from faceplate._driver import passwords
from faceplate.config import Settings
from faceplate.errors import ConfigurationError, UsageError
from faceplate.integrations.web import lifespan

ENV_EXAMPLE = Path(__file__).parents[2] / ".env.example"
CANARY = "hunter2secret"
URL = "postgresql://ada:pw@db.example.com/app"
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBkDCCATWgAwIBAgIUBcjoI3yLhkUxM2CR5shG5qY3zgMwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRZXhhbXBsZSBhdXRob3JpdHkwIBcNMjYxMTIyMjI0OTUyWhgP
MjEyNjEwMjkyMjQ5NTJaMBwxGjAYBgNVBAMMEWV4YW1wbGUgYXV0aG9yaXR5MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjxfKgm5uRUuJHl/43x2zHzMxzX3MAxY9
200xyH+NePJBElJOUFt9QT6AV2tgjVK/gy3eHF6unQ/nKuJ2YOhzV6NTMFEwHQYD
VR0OBBYEFG41USv9nhEoiEQr4u9VB6zoYjvTMB8GA1UdIwQYMBaAFG41USv9nhEo
iEQr4u9VB6zoYjvTMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIh
AN7nDqOmWtln47bv6CEygRe8Bf+7b2GNvC3pLgeT5/h+AiEA73KqcZ56tXmSQyXH
9LysiXblz30DubdgbVV3BkAmGwc=
-----END CERTIFICATE-----
"""


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # where asyncpg looks for certificates


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text(CERTIFICATE)
    return path


def read(dsn: str) -> dict[str, Any]:
    """What asyncpg makes of ``dsn``: its own reading counts, and it has no public name."""
    arguments = (
        *("host", "port", "user", "password", "passfile", "database", "ssl", "service"),
        *("servicefile", "direct_tls", "server_settings", "target_session_attrs"),
        *("krbsrvname", "gsslib"),
    )
    parse = vars(connect_utils)["_parse_connect_dsn_and_args"]
    addresses, parameters = parse(dsn=dsn, **dict.fromkeys(arguments))
    return {"addresses": addresses, **parameters._asdict()}


def refusal(**arguments: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Settings(**arguments)
    return str(caught.value)


# What stands around the credentials, as it is pasted; the addresses that asyncpg must try.
PLACES = [
    ("postgres://ada:pw@db.example.com:5432/app", [("db.example.com", 5432)]),
    ("postgresql://ada:pw@db.example.com/app", [("db.example.com", 5432)]),
    ("POSTGRES://ada:pw@db.example.com/app", [("db.example.com", 5432)]),
    ("postgresql+asyncpg://ada:pw@db.example.com/app", [("db.example.com", 5432)]),
    ("postgresql+psycopg2://ada:pw@db.example.com/app", [("db.example.com", 5432)]),
    (" 'postgresql://ada:pw@db.example.com/app'\n", [("db.example.com", 5432)]),
    ('"postgresql://ada:pw@db.example.com/app"', [("db.example.com", 5432)]),
    ("postgresql://db.example.com/app?user=ada&password=pw", [("db.example.com", 5432)]),
    ("postgresql://ada:pw@db.example.com?dbname=app", [("db.example.com", 5432)]),
    ("postgresql://ada:pw@db.example.com/?database=app&", [("db.example.com", 5432)]),
    ("postgresql://ada:pw@db.example.com/app?port=5433", [("db.example.com", 5433)]),
    ("postgresql://ada:pw@[::1]:5433/app", [("::1", 5433)]),
    ("postgresql://ada:pw@[fe80::1%25eth0]/app", [("fe80::1%eth0", 5432)]),
    ("postgresql://ada:pw@a:1,b,[::1]:3/app", [("a", 1), ("b", 5432), ("::1", 3)]),
    ("postgresql+asyncpg://ada:pw@/app?host=a:1&host=b:2", [("a", 1), ("b", 2)]),
    ("postgresql+asyncpg://ada:pw@/app?host=a&host=b&port=1&port=2", [("a", 1), ("b", 2)]),
    ("postgresql://ada:pw@/app?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
    ("postgresql://ada:pw@a,b/app?port=1", [("a", 1), ("b", 1)]),
    ("postgresql://ada:pw@/app?host=/run/pg&port=5433", ["/run/pg/.s.PGSQL.5433"]),
    ("postgresql://ada:pw@%2Frun%2Fpg:5433/app", ["/run/pg/.s.PGSQL.5433"]),
    ("postgresql://ada:pw@/app?host=/cloudsql/p:r:i", ["/cloudsql/p:r:i/.s.PGSQL.5432"]),
]


@pytest.mark.parametrize(("url", "addresses"), PLACES, ids=[url.strip() for url, _ in PLACES])
def test_pasted_url_leads_to_its_database(url: str, addresses: list[Any]) -> None:
    """Otherwise the URL that a provider shows would have to be rewritten by hand."""
    seen = read(Settings(database_url=url).dsn)
    assert seen["addresses"] == addresses
    assert (seen["user"], seen["password"], seen["database"]) == ("ada", "pw", "app")
    assert seen["server_settings"] is None  # what asyncpg does not know would be sent to the server


@pytest.mark.parametrize(
    ("credentials", "user", "password"),
    [
        ("ada:p%40%2F%3a%25%E2%82%AC", "ada", "p@/:%€"),
        ("ada:p@w:#+%&=", "ada", "p@w:#+%&="),
        ("ada:p/w", "ada", "p/w"),
        ("ada:p w", "ada", "p w"),
        ("ada@tenant:pw", "ada@tenant", "pw"),
        ("ada", "ada", None),
    ],
)
def test_credentials_arrive_as_they_are_meant(
    credentials: str, user: str, password: str | None
) -> None:
    """Otherwise the right password would be refused as a wrong one."""
    seen = read(Settings(database_url=f"postgresql://{credentials}@db.example.com/app").dsn)
    assert (seen["user"], seen["password"], seen["addresses"], seen["database"]) == (
        *(user, password),
        *([("db.example.com", 5432)], "app"),
    )


@given(password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_encoded_password_arrives_and_never_shows(password: str) -> None:
    """Otherwise some generated password would not work, or would end up in a log."""
    encoded = quote(CANARY + password, safe="")
    settings = Settings(database_url=f"postgresql://ada:{encoded}@db.example.com/app")
    assert read(settings.dsn)["password"] == CANARY + password
    assert CANARY not in repr(settings) + str(settings) + settings.target


@given(junk=st.text(), tail=st.text(st.sampled_from("@:/?#[]%,=&h1"), max_size=8))
def test_no_raw_password_shows_whatever_is_wrong_around_it(junk: str, tail: str) -> None:
    """Otherwise a typo in the URL would put the password into the log."""
    url = f"postgresql://ada:{junk.replace('@', '')}{CANARY}@db.example.com{tail}"
    try:
        settings = Settings(database_url=url)
    except ConfigurationError as error:
        shown = str(error)
    else:
        shown = repr(settings) + settings.target
    assert CANARY not in shown


def test_parameters_of_neon_and_heroku_keep_their_protection() -> None:
    """Otherwise a pasted URL would fail, or somebody in the middle could read everything."""
    heroku = read(Settings(database_url=f"{URL}?sslmode=require").dsn)
    neon = read(
        Settings(
            database_url=f"{URL}?sslmode=require&channel_binding=require&options=endpoint%3Dep-x"
        ).dsn
    )
    assert heroku["sslmode"].name == "require"
    assert neon["sslmode"].name == "verify_full"
    assert neon["ssl"].check_hostname
    assert neon["server_settings"] == {"options": "endpoint=ep-x"}


def test_parameters_with_a_setting_of_ours_are_left_out() -> None:
    """Otherwise the server would refuse them as unknown settings."""
    dsn = Settings(
        database_url=f"{URL}?connect_timeout=10&application_name=x&keepalives=1&sslcert="
        "&gssencmode=prefer&pgbouncer=false&channel_binding=prefer&target_session_attrs=primary"
    ).dsn
    assert read(dsn)["server_settings"] is None
    assert read(dsn)["target_session_attrs"].value == "primary"


@pytest.mark.parametrize(
    ("query", "tls_mode", "expected"),
    [
        ("", None, "prefer"),
        ("?ssl=require", None, "require"),
        ("?sslmode=require", "disable", "disable"),
        ("?sslmode=disable", "require", "require"),
        ("?channel_binding=require", "require", "require"),
    ],
)
def test_tls_is_what_was_asked_for(query: str, tls_mode: Any, expected: str) -> None:
    """Otherwise what a user sends would be in the clear, or a server without TLS of no use."""
    settings = Settings(database_url=URL + query, tls_mode=tls_mode)
    assert read(settings.dsn)["sslmode"].name == expected


@pytest.mark.parametrize(
    ("query", "tls_mode", "expected"),
    [
        ("", None, "verify_full"),
        ("", "verify-ca", "verify_ca"),
        ("?sslmode=require", None, "require"),
        ("?sslmode=require&channel_binding=require", None, "verify_full"),
        ("?sslrootcert=/overridden.pem", "verify-full", "verify_full"),
    ],
)
def test_authority_is_the_only_one_that_vouches(
    query: str, tls_mode: Any, expected: str, ca_file: Path
) -> None:
    """Otherwise somebody in the middle could pose as the server."""
    settings = Settings(database_url=URL + query, tls_mode=tls_mode, tls_ca_file=ca_file)
    seen = read(settings.dsn)
    assert seen["sslmode"].name == expected
    assert seen["ssl"].verify_mode is ssl.CERT_REQUIRED
    authorities = [certificate["subject"] for certificate in seen["ssl"].get_ca_certs()]
    assert authorities == [((("commonName", "example authority"),),)]


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_authority_that_would_be_ignored_is_refused(mode: str, ca_file: Path) -> None:
    """Otherwise a user would believe that the server is verified."""
    for arguments in (
        {"database_url": URL, "tls_mode": mode, "tls_ca_file": ca_file},
        {"database_url": f"{URL}?sslmode={mode}", "tls_ca_file": ca_file},
        {"database_url": f"{URL}?sslmode={mode}&sslrootcert={ca_file}"},
    ):
        assert f"{mode} would not verify the server" in refusal(**arguments)


def test_system_authorities_are_for_verify_full_only(
    ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise any site with a public certificate could pose as the server."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    seen = read(Settings(database_url=f"{URL}?sslmode=verify-full&sslrootcert=system").dsn)
    assert len(seen["ssl"].get_ca_certs()) == 1
    assert "verify-full" in refusal(database_url=f"{URL}?sslmode=require&sslrootcert=system")


@pytest.mark.parametrize("name", ["sslrootcert", "sslcrl", "sslcert", "sslkey", "passfile"])
def test_missing_file_of_the_url_is_named(name: str) -> None:
    """Otherwise the first connection would fail with a bare FileNotFoundError."""
    message = refusal(database_url=f"{URL}?sslmode=require&{name}=/nowhere.pem")
    assert "/nowhere.pem" in message


def test_authority_file_is_read_before_it_is_needed(tmp_path: Path) -> None:
    """Otherwise a file that is missing or no certificate would show at the first connection."""
    (tmp_path / "not.pem").write_text("no certificate")
    for path in ("nowhere.pem", "not.pem", "."):
        message = refusal(database_url=URL, tls_ca_file=path)
        assert "FACEPLATE_TLS_CA_FILE: " in message
        assert f"'{path}'" in message


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("mysql://ada:{pw}@h/app", "must begin with postgresql://"),
        ("sqlite:///chats.db", "must begin with postgresql://"),
        ("http://ada:{pw}@h/app", "must begin with postgresql://"),
        ("jdbc:postgresql://h/app?password={pw}", "must begin with postgresql://"),
        ("ada:{pw}@h/app", "must begin with postgresql://"),
        ("postgresql:/ada:{pw}@h/app", "must begin with postgresql://"),
        ("postgresql://ada:{pw}", "must have ports from 1 to 65535"),
        ("postgresql://ada:{pw}@h:0/app", "must have ports from 1 to 65535"),
        ("postgresql://ada:{pw}@h:65536/app", "must have ports from 1 to 65535"),
        ("postgresql://ada:{pw}@h,/app", "no empty host"),
        ("postgresql://ada:{pw}@a,b/app?port=1,2,3", "as many ports as hosts"),
        ("postgresql://ada:{pw}@a:1/app?port=2", "gives ports twice"),
        ("postgresql://ada:{pw}@::1/app", "must have hosts like"),
        ("postgresql://ada:{pw}@[h]/app", "must have hosts like"),
        ("postgresql://ada:{pw}@[10.0.0.1]/app", "must have hosts like"),
        ("postgresql://ada:{pw}@a b/app", "must have hosts like"),
        ("postgresql://ada:{pw}@a%2Cb/app", "must have hosts like"),
        ("postgresql://ada:{pw}@h/app?host=i", "gives hosts twice"),
        ("postgresql://ada:{pw}@h/app?user=eve", "gives user twice"),
        ("postgresql://ada:{pw}@h/app?password=other", "gives password twice"),
        ("postgresql://ada:{pw}@h/app?sslmode=require&sslmode=disable", "gives sslmode twice"),
        ("postgresql://ada:{pw}@h/app?sslmode=require&ssl=disable", "gives sslmode twice"),
        ("postgresql://ada:{pw}@h/app?sslmode=on", "must have sslmode one of disable, allow"),
        ("postgresql://ada:{pw}@h/app?channel_binding=x", "must have channel_binding one of"),
        ("postgresql://ada:{pw}@h/app?target_session_attrs=x", "one of any, primary"),
        ("postgresql://ada:{pw}@h/app?pgbouncer=true", "'pgbouncer', which faceplate cannot"),
        ("postgresql://ada:{pw}@h/app?gssencmode=require", "'gssencmode', which faceplate cannot"),
        ("postgresql://ada:{pw}@h/app?hostaddr=10.0.0.1", "'hostaddr', which faceplate cannot"),
        ("postgresql://ada:{pw}@h/app?service=x", "'service', which faceplate cannot"),
        ("postgresql://ada:{pw}@h/app?{pw}", "must have parameters like name=value"),
        ("postgresql://ada:a?{pw}=@h/app", "can be read in more than one way"),
        ("postgresql://ada:12/{pw}@h/app", "can be read in more than one way"),
        ("postgresql://ada:a@b/{pw}@h/app", "can be read in more than one way"),
        ("postgresql://h/app?password={pw}@more", "can be read in more than one way"),
        ("postgresql://h/app?password=more@{pw}", "can be read in more than one way"),
        ("postgresql://h/app?password={pw}%ff", "must have parameters like name=value"),
        ("postgresql://ada:{pw}@h/app#part", "can be read in more than one way"),
        ("postgresql://ada:{pw}@h/a/b", "can be read in more than one way"),
        ("postgresql://ada:{pw}%ff@h/app", "must be UTF-8 when percent-decoded"),
        ("postgresql://ada:{pw}%00@h/app", "must not contain NUL"),
        ("postgresql://ada:{pw}\n@h/app", "must be one line of printable characters"),
        ("postgresql://ada:{pw}\udc80@h/app", "must be one line of printable characters"),
        ("", "a PostgreSQL URL is needed"),
        ('""', "a PostgreSQL URL is needed"),
    ],
)
def test_url_that_cannot_work_is_explained_without_its_password(
    url: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a user would connect elsewhere, guess, or find the password in a log."""
    url = url.format(pw=CANARY)
    messages = [refusal(database_url=url)]
    if url.isprintable() and not url.startswith('"'):  # what an environment can hold as it is
        monkeypatch.setenv("DATABASE_URL", url)
        messages.append(refusal())
    for message in messages:
        assert "\n  DATABASE_URL: " in message
        assert rule in message
        example = "DATABASE_URL=postgresql://user:password@localhost:5432/app"
        assert f"a valid example: {example}" in message
        assert CANARY not in message


def test_message_shows_where_the_url_leads() -> None:
    """Otherwise a user with several databases would not know which URL is meant."""
    message = refusal(database_url=f"mysql://ada:{CANARY}@db.example.com:3306/app?x={CANARY}")
    assert "read 'mysql://***@db.example.com:3306/app'" in message


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("pool_size", "many", "must be a valid integer"),
        ("pool_size", "", "must be a valid integer"),
        ("pool_size", "0", "must be greater than or equal to 1"),
        ("pool_size", "1001", "must be less than or equal to 1000"),
        ("max_overflow", "-1", "must be greater than or equal to 0"),
        ("pool_timeout_s", "30s", "must be a valid number"),
        ("pool_timeout_s", "nan", "must be a finite number"),
        ("lock_timeout_s", "inf", "must be a finite number"),
        ("statement_timeout_s", "1e9", "must be less than or equal to 2147483"),
        ("idle_in_transaction_timeout_s", "-1", "must be greater than or equal to 0"),
        ("connect_timeout_s", "0", "must be greater than 0"),
        ("startup_timeout_s", "0", "must be greater than 0"),
        ("command_timeout_s", "30", "must be more than FACEPLATE_STATEMENT_TIMEOUT_S (30)"),
        ("tls_mode", "on", "must be 'disable', 'allow', 'prefer', 'require', 'verify-ca'"),
        ("tls_mode", "", "must be 'disable'"),
        ("application_name", "näme", "must match"),
        ("application_name", "x" * 64, "must match"),
        ("log_sql", "perhaps", "must be a valid boolean"),
        ("slow_statement_s", "-1", "must be greater than or equal to 0"),
    ],
)
def test_malformed_value_is_explained(
    name: str, value: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise an operator would have to read the source to mend a deployment."""
    variable = f"FACEPLATE_{name.upper()}"
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv(variable, value)
    message = refusal()
    assert f"\n  {variable}: {rule}" in message
    assert f"read '{value}'" in message
    assert f"a valid example: {variable}=" in message
    assert message.count("\n") == 1


def test_every_problem_is_listed_at_once() -> None:
    """Otherwise a user would mend and restart once for each."""
    message = refusal(database_url="mysql://h", pool_size=0, tls_mode="on", log_sql="x", colour=1)
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == [
        *("DATABASE_URL", "FACEPLATE_POOL_SIZE", "FACEPLATE_TLS_MODE", "FACEPLATE_LOG_SQL"),
        "FACEPLATE_COLOUR",
    ]


def test_timeouts_of_server_and_driver_fit_each_other() -> None:
    """Otherwise the driver would drop a connection that the server was about to free."""
    assert "FACEPLATE_COMMAND_TIMEOUT_S" in refusal(database_url=URL, statement_timeout_s=60)
    Settings(database_url=URL, statement_timeout_s=0, command_timeout_s=1)
    Settings(database_url=URL, statement_timeout_s=60, command_timeout_s=0)


@pytest.mark.parametrize("place", ["environment", ".env", "arguments"])
def test_misspelt_setting_is_refused_with_the_right_name(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a limit that somebody set would silently not hold."""
    arguments: dict[str, Any] = {"database_url": URL}
    match place:
        case "environment":
            monkeypatch.setenv("FACEPLATE_POOLSIZE", CANARY)
        case ".env":
            (tmp_path / ".env").write_text(f"FACEPLATE_POOLSIZE={CANARY}\n")
        case _:
            arguments["poolsize"] = CANARY
    message = refusal(**arguments)
    assert "FACEPLATE_POOLSIZE: there is no such setting; did you mean FACEPLATE_POOL_SIZE?" in (
        message
    )
    assert CANARY not in message


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise faceplate would not start beside its own tests, or in Kubernetes."""
    for name in ("TEST_DATABASE_URL", "EMBEDDED_DIR", "SERVICE_HOST", "PORT", "PORT_80_TCP"):
        monkeypatch.setenv(f"FACEPLATE_{name}", "x")
    Settings(database_url=URL)


def test_arguments_win_over_environment_over_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a test or a command line could not point elsewhere than the deployment."""
    (tmp_path / ".env").write_text(
        "FACEPLATE_POOL_SIZE=1\nFACEPLATE_MAX_OVERFLOW=1\nFACEPLATE_TLS_MODE=allow\nOTHERS_KEY=1\n"
        "export DATABASE_URL='postgresql://file/app'\n"
    )
    monkeypatch.setenv("FACEPLATE_POOL_SIZE", "2")
    monkeypatch.setenv("faceplate_max_overflow", "2")
    settings = Settings(pool_size=3)
    assert (settings.pool_size, settings.max_overflow, settings.tls_mode) == (3, 2, "allow")
    assert settings.target == "file:5432/app"
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/app")
    assert Settings().target == "environment:5432/app"
    monkeypatch.setenv("FACEPLATE_DATABASE_URL", "postgresql://ours/app")
    assert Settings().target == "ours:5432/app"
    assert Settings(database_url=URL).target == "db.example.com:5432/app"


def test_an_empty_owner_url_takes_back_that_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise tests would run units as the owner wherever .env names two logins."""
    (tmp_path / ".env").write_text(f"DATABASE_URL={URL}\nFACEPLATE_OWNER_URL={URL}\n")
    assert Settings().owner_url is not None
    monkeypatch.setenv("FACEPLATE_OWNER_URL", "")
    assert Settings().owner_url is None


def test_message_names_the_variable_that_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a user would mend the URL that is not used."""
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("FACEPLATE_DATABASE_URL", "")
    assert "\n  FACEPLATE_DATABASE_URL: a PostgreSQL URL is needed; read ''" in refusal()


def test_url_is_found_wherever_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a command would start a local server beside the configured database."""
    assert not Settings.has_database_url()
    assert "DATABASE_URL: a PostgreSQL URL is needed; it is not set" in refusal()
    (tmp_path / ".env").write_text("DATABASE_URL=\n")
    assert Settings.has_database_url()  # empty is a mistake, which Settings() reports
    (tmp_path / ".env").unlink()
    for name in ("DATABASE_URL", "FACEPLATE_DATABASE_URL"):
        monkeypatch.setenv(name, URL)
        assert Settings.has_database_url()
        monkeypatch.delenv(name)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    """Otherwise a user would see a codec's error without a file's name."""
    (tmp_path / ".env").write_bytes(b"DATABASE_URL=postgresql://ada:\xff@h/app\n")
    assert ".env must be a readable file in UTF-8" in refusal()


def test_password_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would be in a log, a dump or a crash report."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ada:{CANARY}@h/app?sslpassword={CANARY}")
    settings = Settings()
    shown = [repr(settings), str(settings), f"{settings}", settings.target, *settings.hosts]
    shown += [str(settings.model_dump()), settings.model_dump_json(), str(dict(settings))]
    shown += [str(vars(settings)), repr(copy.deepcopy(settings)), str(settings.server_settings)]
    assert not any(CANARY in text for text in shown)
    with pytest.raises(UsageError, match="cannot be pickled"):
        pickle.dumps(settings)
    with pytest.raises(UsageError, match="immutable: give database_url") as caught:
        settings.database_url = CANARY
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "rule"),
    [("ENCRYPTION_KEYS", "key 1 is not 32 bytes"), ("SEAL_KEY", "is not 32 bytes")],
)
def test_malformed_key_does_not_show(
    monkeypatch: pytest.MonkeyPatch, variable: str, rule: str
) -> None:
    """Otherwise a key with a missing character would be in the log, all but that one."""
    monkeypatch.setenv(f"FACEPLATE_{variable}", CANARY)
    message = refusal(database_url=URL)
    assert f"FACEPLATE_{variable}: {rule}" in message
    assert CANARY not in message


def test_password_stays_out_of_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a deployment that does not start would print it, chained errors included."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ada:{CANARY}@h:x/app")
    monkeypatch.setenv("FACEPLATE_POOL_SIZE", f"postgresql://ada:{CANARY}@h/app")
    with pytest.raises(ConfigurationError) as caught:
        Settings()
    assert caught.value.__context__ is None
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def in_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    Settings()


def in_a_file(url: str, _monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f"DATABASE_URL='{url}'\n")
    Settings()


def as_an_argument(url: str, _monkeypatch: pytest.MonkeyPatch) -> None:
    Settings(database_url=url)


def beside_another_mistake(url: str, _monkeypatch: pytest.MonkeyPatch) -> None:
    Settings(database_url=URL, owner_url=url, pool_size=0, password=CANARY)


def of_a_database(url: str, _monkeypatch: pytest.MonkeyPatch) -> None:
    Database(url)


def of_an_application(url: str, _monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(lifespan(url)(None).__aenter__())


@pytest.mark.parametrize(
    "give",
    [
        *(in_environment, in_a_file, as_an_argument, beside_another_mistake),
        *(of_a_database, of_an_application),
    ],
)
@pytest.mark.parametrize("url", ["postgresql://ada:{}@h:x/app", "mysql://ada:{}@h", "ada:{}%zz@h"])
def test_no_frame_of_a_refusal_holds_the_password(
    give: Callable[[str, pytest.MonkeyPatch], None], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise an error tracker, which collects the locals of frames, is sent the password."""
    with pytest.raises(ConfigurationError) as caught:
        give(url.format(CANARY), monkeypatch)
    assert CANARY not in shown(caught.value)


def _token(_of_vault: str = "") -> str:
    return ""


@pytest.mark.parametrize("password", [CANARY, SecretStr(CANARY), _token, partial(_token, CANARY)])
@pytest.mark.parametrize("name", ["password", "owner_password"])
def test_a_password_apart_from_the_url_stays_inside(name: str, password: Any) -> None:
    """Otherwise what a function is bound to, such as a token of a vault, is in a log."""
    settings = Settings.model_validate({"database_url": URL, name: password})
    copied = copy.deepcopy(settings)
    texts = [f"{settings!r} {settings}", str(settings.model_dump()), str(vars(settings))]
    texts += [repr(settings.model_copy()), repr(copied), str(dict(settings)), settings.dsn]
    assert not any(CANARY in text for text in texts)
    assert CANARY not in settings.model_dump_json()
    with pytest.raises(UsageError, match="cannot be pickled"):
        pickle.dumps(settings)


@pytest.mark.parametrize(
    ("password", "rule"),
    [("", "must not be empty"), (7, "must be text, or a function"), (b"x", "must be text, or a")],
)
def test_a_password_that_is_none_is_refused(password: Any, rule: str) -> None:
    """Otherwise it is found out by a server that refuses the login."""
    assert f"FACEPLATE_PASSWORD: {rule}" in refusal(database_url=URL, password=password)


async def password_of(settings: Settings) -> str | None:
    return await passwords.resolve(settings.password)


async def test_a_password_goes_with_its_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a login is tried with the password of another."""
    other = "postgresql://owner@db.example.com/app"
    monkeypatch.setenv("FACEPLATE_PASSWORD", "of units")
    alone = Settings(database_url=URL, migration_url=other)
    assert await password_of(alone) == await password_of(alone.of_owner) == "of units"
    assert await password_of(alone.of_migrations) == "of units"
    monkeypatch.setenv("FACEPLATE_OWNER_PASSWORD", "of owner")
    both = Settings(database_url=URL, owner_url=other)
    assert await password_of(both) == "of units"
    assert await password_of(both.of_owner) == await password_of(both.of_migrations) == "of owner"
    assert both.of_migrations.target == both.of_owner.target
    direct = Settings(database_url=URL, owner_url=other, migration_url=f"{URL}?port=1")
    assert await password_of(direct.of_migrations) is None  # the URL has its own
    assert direct.of_migrations.target == "db.example.com:1/app"


@pytest.mark.parametrize(
    ("url", "target", "hosts"),
    [
        (URL, "db.example.com:5432/app", ["db.example.com"]),
        ("postgresql://ada@a:1,[::1]:2/app", "a:1,[::1]:2/app", ["a", "::1"]),
        ("postgresql:///app?host=/run/pg", "/run/pg:5432/app", []),
        ("postgresql://db.example.com", "db.example.com:5432", ["db.example.com"]),
        ("postgresql:///app", "(default host)/app", []),
        ("postgresql://:5433/app", "(default host):5433/app", []),
    ],
)
def test_target_says_where(url: str, target: str, hosts: list[str]) -> None:
    """Otherwise "connection refused" would not say by whom."""
    settings = Settings(database_url=url)
    assert (settings.target, settings.hosts) == (target, hosts)


def test_server_is_told_every_limit() -> None:
    """Otherwise a statement, a lock or an idle transaction could last for ever."""
    settings = Settings(database_url=URL, lock_timeout_s=0.0001, idle_in_transaction_timeout_s=0)
    assert settings.server_settings == {
        "application_name": "faceplate",
        "timezone": "UTC",
        "statement_timeout": "30000",
        "lock_timeout": "1",  # not 0, which would switch it off
        "idle_in_transaction_session_timeout": "0",
    }


def test_limits_go_with_each_transaction_where_a_pooler_would_refuse_them() -> None:
    """Otherwise PgBouncer refuses every connection, or nothing behind it has a limit."""
    direct, pooled = (Settings(database_url=URL, pgbouncer=pooled) for pooled in (False, True))
    assert direct.transaction_settings == {}
    assert pooled.server_settings == {"application_name": "faceplate"}
    assert pooled.server_settings | pooled.transaction_settings == direct.server_settings


@pytest.mark.parametrize("name", ["owner_url", "migration_url"])
def test_a_second_url_is_held_to_the_same_rules(name: str) -> None:
    """Otherwise it is found to be wrong in the middle of a deploy, with its password shown."""
    for url in ("", "mysql://ada:secret@h/app", f"{URL}?sslmode=verify-full&sslcert=/nowhere"):
        with pytest.raises(ConfigurationError, match=f"FACEPLATE_{name.upper()}: ") as refusal:
            Settings.model_validate({"database_url": URL, name: url})
        assert "secret" not in str(refusal.value)
    two = Settings.model_validate({"database_url": URL, name: "postgresql://a:secret@h"})
    assert "secret" not in repr(two)


def test_env_example_explains_every_setting() -> None:
    """Otherwise the file that people copy would tell them of defaults that no longer hold."""
    assert ENV_EXAMPLE.read_text() == scaffold.env_example()
    assert all(field.description for field in Settings.model_fields.values())


def test_replicas_are_separated_by_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL with several hosts has commas."""
    urls = "postgresql://ada@one:1,two:2/app  postgresql://ada:own@three/app"
    monkeypatch.setenv("FACEPLATE_READ_URLS", urls)
    settings = Settings(database_url=URL, password="of all")
    first, second = settings.of_replicas
    assert (first.target, second.target) == ("one:1,two:2/app", "three:5432/app")
    assert asyncio.run(passwords.resolve(first.password)) == "of all"
    assert second.password is None
    assert first.read_urls == second.read_urls == ()
    monkeypatch.setenv("FACEPLATE_READ_URLS", "")
    assert Settings(database_url=URL).of_replicas == []


def test_a_wrong_url_of_a_replica_is_named_without_its_password() -> None:
    right = f"postgresql://ada:{CANARY}@one/app"
    for urls in ([right, f"mysql://ada:{CANARY}@two/app"], (right, SecretStr("nonsense"))):
        with pytest.raises(ConfigurationError, match="FACEPLATE_READ_URLS: URL 2: ") as refused:
            Database(URL, read_urls=urls)
        assert CANARY not in shown(refused.value)


def test_replicas_are_not_read_through_a_pooler() -> None:
    with pytest.raises(ConfigurationError, match="needs connections to the servers themselves"):
        Settings(database_url=URL, read_urls=(URL,), pgbouncer=True)


def test_replicas_are_given_beside_a_url_alone() -> None:
    with pytest.raises(UsageError, match="give read_urls to Settings"):
        Database(Settings(database_url=URL), read_urls=[URL])
    assert len(Database(URL, read_urls=[URL, URL]).settings.of_replicas) == 2
