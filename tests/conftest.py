"""The server that the tests run against, and the databases on it.

``--database`` says which server: ``embedded`` starts one from the wheel, ``container`` starts one
with testcontainers, ``url`` takes the one in FACEPLATE_TEST_DATABASE_URL (and is the default where
that is set). ``--programs`` names the folder of another PostgreSQL than the wheel's, for every
server that the tests start. The version stands below the number of collected tests. A server that
cannot be reached ends the run at once; a run in which no test needs one starts none.

Every database comes from ``alembic upgrade head`` and belongs to a role that is no superuser.
"""

import asyncio
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path

import hypothesis
import pytest
import uvloop
from pydantic import SecretStr
from sqlalchemy import URL

from faceplate import Database, Settings, User, distribution, embedded
from faceplate.services import users
from tests.campaigns import Campaign
from tests.databases import settings_of
from tests.on_citus import OnCitus
from tests.postgres import ROLE, TEST_URL, Server, dsn, execute, prepare, start, use_programs

ROOT = Path(__file__).parent.parent
SDKS = ROOT / "tests" / "sdks"
CLEANUP = pytest.StashKey[ExitStack]()
EMBEDDED_DIRECTORY = pytest.StashKey[Path]()
SERVER = pytest.StashKey[Server]()

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faceplate")
    group.addoption(
        "--database",
        choices=("embedded", "container", "url", "citus"),
        default="url" if os.environ.get(TEST_URL) else "embedded",
        help=f"where PostgreSQL comes from; url reads {TEST_URL} (default: %(default)s)",
    )
    group.addoption(
        "--postgres-image",
        default="postgres:18",
        metavar="IMAGE",
        help="image for --database=container (default: %(default)s)",
    )
    group.addoption(
        "--programs",
        type=Path,
        metavar="DIR",
        help="folder with initdb, pg_ctl and psql, in place of the wheel's for every server",
    )
    group.addoption(
        "--pgbouncer",
        type=Path,
        metavar="PROGRAM",
        help="PgBouncer, in place of the one on PATH; 1.21 and later can track what is prepared",
    )
    group.addoption(
        "--event-loop",
        choices=("asyncio", "uvloop"),
        default="asyncio",
        help="the event loop that the tests run in (default: %(default)s)",
    )
    group.addoption(
        "--sdk",
        metavar="NAME",
        help="the folder of tests/sdks whose SDK is installed; no other is collected",
    )
    group.addoption(
        "--no-pipelining",
        action="store_true",
        help="let every Database send its statements by the driver's public methods alone",
    )
    group.addoption(
        "--share-flights",
        action="store_true",
        help="let units share flights however few there are",
    )
    group.addoption(
        "--faults",
        choices=("short", "long"),
        default="short",
        help="how much of the campaigns to run, see tests/campaigns.py (default: %(default)s)",
    )
    group.addoption(
        "--seed",
        type=int,
        default=secrets.randbelow(1_000_000),
        help="what the campaigns cast their dice from (default: another each time)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Forget the developer's own database, settings and taste, wherever the tests may look."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs in its background so, and commands under test would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    stack = ExitStack()
    config.add_cleanup(stack.close)
    config.stash[CLEANUP] = stack
    environment = stack.enter_context(pytest.MonkeyPatch.context())
    for name in os.environ:
        ours = name.startswith("FACEPLATE_") and not name.startswith("FACEPLATE_TEST_")
        others = name.startswith(("PG", "CHAT_", "OPENAI_", "ANTHROPIC_"))  # the example's model
        if ours or others or name in {"DATABASE_URL", "NO_COLOR", "FORCE_COLOR"}:
            environment.delenv(name)
    if config.option.event_loop == "uvloop":
        config.pluginmanager.register(OnUvloop())
    if config.option.database == "citus":
        config.pluginmanager.register(OnCitus())
    if config.option.pgbouncer is not None:
        environment.setenv("FACEPLATE_TEST_PGBOUNCER", str(config.option.pgbouncer.resolve()))
    if config.option.no_pipelining:
        environment.setenv("FACEPLATE_PIPELINING", "false")
    if config.option.share_flights:
        environment.setattr("faceplate._runner.opened.FEWEST_CALLERS", 1)
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faceplate-")))
    directory.chmod(0o755)  # a server that root starts runs as somebody else
    environment.setenv("FACEPLATE_EMBEDDED_DIR", str(directory / "default"))
    stack.callback(embedded.wipe, directory / "default")
    config.stash[EMBEDDED_DIRECTORY] = directory / "suite"
    if config.option.programs is not None:
        use_programs(config.option.programs.resolve(), environment)


class OnUvloop:
    """Makes pytest-asyncio run each test in an event loop of uvloop's."""

    def pytest_asyncio_loop_factories(self) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {"uvloop": uvloop.new_event_loop}


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their size: an archive holds the time at which it was made.

    The workers of a run have to collect the same names.
    """
    return f"{argname} of {len(val)} bytes" if isinstance(val, bytes) else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the tests of the SDKs that are not installed: make test-sdk-NAME runs them."""
    if SDKS not in collection_path.parents:
        return None
    place = collection_path.relative_to(SDKS).parts[0]
    about_each = place.endswith(".py")
    return None if config.option.sdk and (about_each or place == config.option.sdk) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, with --no-pipelining, what is about pipelining alone."""
    if config.option.no_pipelining:
        left_out = [item for item in items if item.get_closest_marker("pipelined")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_report_header() -> str:
    return f"sqlalchemy {version('sqlalchemy')}, asyncpg {version('asyncpg')}"


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str | None:
    needs_server = any("server" in getattr(item, "fixturenames", ()) for item in items)
    if config.option.collectonly or not needs_server:
        return None
    return f"PostgreSQL {_server(config).version} ({config.option.database})"


def _server(config: pytest.Config) -> Server:
    if SERVER not in config.stash:
        source = config.option.database
        try:
            running = start(config, config.stash[EMBEDDED_DIRECTORY])
            config.stash[SERVER] = prepare(config, config.stash[CLEANUP].enter_context(running))
        except Exception as error:  # noqa: BLE001 - whatever it is, no test can run
            reason = str(error) or type(error).__name__
            pytest.exit(f"no PostgreSQL from --database={source}: {reason}", returncode=3)
    return config.stash[SERVER]


@contextmanager
def _database(server: Server, template: str) -> Iterator[URL]:
    name = f"{ROLE}_{secrets.token_hex(6)}"
    url = server.create(name, template)
    if template != "template0":  # a copy gets no rights of its own: this one the migrations take
        execute(server.admin, f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    try:
        yield url
    finally:
        server.drop(name)


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty directory, out of sight of the developer's .env."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Server:
    """The server of this run."""
    return _server(pytestconfig)


@pytest.fixture(scope="session")
def server_url(server: Server) -> str:
    """A URL whose role may create databases and roles, on a database that is not for tests."""
    return dsn(server.admin)


@pytest.fixture(scope="session")
def template_database(server: Server) -> Iterator[str]:
    """The name of a database that was migrated from empty to head; nobody connects to it."""
    with _database(server, "template0") as url, tempfile.TemporaryDirectory() as directory:
        migration = subprocess.run(
            [sys.executable, "-m", "alembic", "-c", ROOT / "alembic.ini", "upgrade", "head"],
            cwd=directory,
            env=os.environ | {"DATABASE_URL": dsn(url)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if migration.returncode:
            pytest.exit(f"alembic upgrade head failed:\n{migration.stderr}", returncode=3)
        if server.cluster is not None:
            with closing(asyncio.new_event_loop()) as loop:
                loop.run_until_complete(distribution.distribute(settings_of(dsn(url))))
        assert url.database
        yield url.database


@pytest.fixture(scope="session")
def database_url(server: Server, template_database: str) -> Iterator[str]:
    """A migrated database that all tests share, each with a user of its own."""
    with _database(server, template_database) as url:
        yield dsn(url)


@pytest.fixture(scope="module")
def module_database_url(server: Server, template_database: str) -> Iterator[str]:
    """A migrated database that is the module's alone."""
    with _database(server, template_database) as url:
        yield dsn(url)


@pytest.fixture
def make_database(server: Server, template_database: str) -> Iterator[Callable[[], str]]:
    """Make migrated databases that are the test's alone."""
    with ExitStack() as stack:
        yield lambda: dsn(stack.enter_context(_database(server, template_database)))


@pytest.fixture
def fresh_database_url(make_database: Callable[[], str]) -> str:
    """A migrated database that is the test's alone."""
    return make_database()


@pytest.fixture
def empty_database_url(server: Server) -> Iterator[str]:
    """A database without anything in it that is the test's alone."""
    with _database(server, "template0") as url:
        yield dsn(url)


@pytest.fixture
def settings(database_url: str) -> Settings:
    """The defaults, over the shared database."""
    return Settings(database_url=SecretStr(database_url))


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:
    """An open Database over the shared database."""
    async with Database(settings) as database:
        yield database


async def _create_user(db: Database) -> User:
    name = secrets.token_hex(8)
    return await db.run_system(users.create, subject_id=name, email=f"{name}@example.com")


@pytest.fixture
async def user(db: Database) -> User:
    """A user of this test's own."""
    return await _create_user(db)


@pytest.fixture
async def other_user(db: Database) -> User:
    """Somebody who must not see what is the user's."""
    return await _create_user(db)


@pytest.fixture
def campaign(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Campaign:
    """The campaign of this test; it prints its seed, which a failure shows."""
    seed, length = pytestconfig.option.seed, pytestconfig.option.faults
    print(f"{request.node.name}: --faults={length} --seed={seed}")  # noqa: T201 - for whom it fails
    return Campaign(seed, length == "long", random.Random(f"{seed} {request.node.name}"))
