"""The pytest plugin of faceplate: its options and its fixtures.

pytest loads it in every project whose environment has faceplate, so importing it imports nothing
but pytest: the fixtures import what they need. docs/testing.md describes them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    import httpx

    from faceplate import Database, Settings, User
    from faceplate.integrations.web import UserRunner
    from faceplate.testing import Clock, Faults, Server
    from faceplate.testing._application import Application
    from faceplate.testing._background import Background
    from faceplate.testing._databases import WorkerDatabase
    from faceplate.testing._proxy import Proxy


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of pytest's configuration file."""
    parser.addini(
        "faceplate_app",
        "the application of faceplate_client, as module:attribute; an attribute that is a function"
        " is called",
        default="",
    )
    parser.addini(
        "faceplate_alembic_ini",
        "the alembic.ini of the project's own revisions, or `none` (default: that beside pytest's"
        " configuration, if there is one)",
        default="",
    )
    parser.addini(
        "faceplate_postgres_image",
        "run PostgreSQL in a container of this image, with testcontainers (default: run the"
        " embedded PostgreSQL)",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Take part in pytest-asyncio where it is there."""
    if config.pluginmanager.hasplugin("asyncio"):
        from pytest_faceplate import _asyncio_loops

        config.pluginmanager.register(_asyncio_loops, "faceplate_asyncio_loops")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a worker of pytest-xdist the directory that the workers of this run share."""
    from pytest_faceplate import _directory

    node.workerinput[_directory.WORKER_INPUT] = str(_directory.of_run(node.config))


@pytest.fixture(scope="session")
def _faceplate_background() -> Iterator[Background]:
    from faceplate.testing._background import Background

    background = Background()
    yield background
    background.close()


@pytest.fixture(scope="session")
def faceplate_server(pytestconfig: pytest.Config, _faceplate_background: Background) -> Server:
    """The PostgreSQL server of the run, which all workers share."""
    from faceplate.testing import _server
    from pytest_faceplate import _directory

    image = pytestconfig.getini("faceplate_postgres_image")
    return _server.start(_directory.of_run(pytestconfig), image, _faceplate_background)


@pytest.fixture(scope="session")
def faceplate_migrate(
    pytestconfig: pytest.Config, _faceplate_background: Background
) -> Callable[[], None]:
    """Migrates the template of all databases: a function that runs once, to be overridden.

    It runs with DATABASE_URL set to an empty database. By default it does what a deployment does:
    `faceplate migrate`, then `alembic upgrade head` where the project has an alembic.ini.
    """
    from faceplate.testing import _project

    given = pytestconfig.getini("faceplate_alembic_ini")

    def migrate() -> None:
        found = _project.find_alembic_ini(pytestconfig.rootpath, given)
        _project.upgrade(found, _faceplate_background)

    return migrate


@pytest.fixture(scope="session")
def _faceplate_database(
    pytestconfig: pytest.Config,
    faceplate_server: Server,
    faceplate_migrate: Callable[[], None],
    _faceplate_background: Background,
) -> Iterator[WorkerDatabase]:
    from faceplate.testing import _databases, _project, _server
    from pytest_faceplate import _directory

    directory = _directory.of_run(pytestconfig)
    token, run = _server.token_of(directory), _faceplate_background.run
    template = f"{token}_template"
    with _server.locked(directory):
        migrated = directory / "migrated"
        if not migrated.exists():
            run(_databases.clone(faceplate_server, "template0", template))
            url = faceplate_server.url_of(template)
            with _environment(_project.environment_of(url)):
                faceplate_migrate()
            migrated.touch()
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    database = _databases.WorkerDatabase(faceplate_server, template, f"{token}_{worker}")
    run(database.create())
    yield database
    run(database.close())


@pytest.fixture(scope="session")
def faceplate_database_url(_faceplate_database: WorkerDatabase) -> str:
    """The URL of this worker's database, migrated. Only the fixtures of a test clean it."""
    return _faceplate_database.url


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Let the environment have these variables as well, during the block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def _faceplate_proxy(
    _faceplate_database: WorkerDatabase, _faceplate_background: Background
) -> Iterator[tuple[Proxy, str]]:
    from faceplate.testing._proxy import Proxy

    proxy = Proxy(_faceplate_database.url)
    listening = proxy.listening()
    url = _faceplate_background.run(listening.__aenter__())
    yield proxy, url
    _faceplate_background.run(listening.__aexit__(None, None, None))


@pytest.fixture
def _faceplate_environment(
    request: pytest.FixtureRequest,
    _faceplate_database: WorkerDatabase,
    _faceplate_background: Background,
) -> Iterator[None]:
    """A clean database, to which DATABASE_URL leads during the test."""
    from faceplate.testing import _project

    _faceplate_background.run(_faceplate_database.clean())
    variables = _project.environment_of(_faceplate_database.url)
    if "faceplate_faults" in request.fixturenames:
        _, url = request.getfixturevalue("_faceplate_proxy")
        variables = _project.environment_of(url) | _project.environment_of_faults()
    with _environment(variables):
        yield


@pytest.fixture
def faceplate_settings(_faceplate_environment: None) -> Settings:
    """The settings of this test: those of the environment, over a clean database."""
    from faceplate import Settings

    return Settings()


@pytest.fixture
def _faceplate_loop(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoop:
    """The event loop of the test, which does not run while fixtures are set up."""
    loop: asyncio.AbstractEventLoop
    if marker := request.node.get_closest_marker("asyncio"):
        scope = marker.kwargs.get("loop_scope") or request.config.getini(
            "asyncio_default_test_loop_scope"
        )
        loop = request.getfixturevalue(f"_faceplate_asyncio_loop_{scope}")
    elif "anyio_backend" in request.fixturenames:
        loop = request.getfixturevalue("_faceplate_anyio_loop")
    else:
        pytest.fail(
            "faceplate_db, faceplate_runner and faceplate_client need an async test, run by"
            " pytest-asyncio or anyio; a synchronous test uses faceplate_settings",
            pytrace=False,
        )
    return loop


@pytest.fixture
def faceplate_db(
    _faceplate_loop: asyncio.AbstractEventLoop, faceplate_settings: Settings
) -> Iterator[Database]:
    """An open `Database` over a clean database."""
    from faceplate import Database

    database = Database(faceplate_settings)
    _faceplate_loop.run_until_complete(database.__aenter__())
    yield database
    _faceplate_loop.run_until_complete(database.dispose())


@pytest.fixture
def faceplate_user(
    _faceplate_environment: None,
    _faceplate_database: WorkerDatabase,
    _faceplate_background: Background,
) -> User:
    """A user of the clean database."""
    return _faceplate_background.run(_faceplate_database.make_user())


@pytest.fixture
def faceplate_runner(faceplate_db: Database, faceplate_user: User) -> UserRunner:
    """``run``, ``begin`` and ``draft`` for `faceplate_user`."""
    from faceplate.integrations.web import UserRunner

    return UserRunner(faceplate_db, faceplate_user.id)


@pytest.fixture
def faceplate_faults(
    _faceplate_environment: None, _faceplate_proxy: tuple[Proxy, str]
) -> Iterator[Faults]:
    """Faults between this test's connections and PostgreSQL; each has to strike."""
    from faceplate.testing import Faults

    faults = Faults(_faceplate_proxy[0])
    yield faults
    if faults.planned:
        pytest.fail(f"{faults.planned} planned fault(s) did not strike", pytrace=False)


@pytest.fixture
def faceplate_clock(
    _faceplate_environment: None,
    _faceplate_database: WorkerDatabase,
    _faceplate_background: Background,
) -> Iterator[Clock]:
    """A clock for new ids, and a way to make stored rows older."""
    from faceplate.testing import Clock

    clock = Clock(_faceplate_database, _faceplate_background)
    with clock.running():
        yield clock


@pytest.fixture(scope="session")
def faceplate_app(pytestconfig: pytest.Config, faceplate_database_url: str) -> Application:
    """The application of `faceplate_client`: that of the option, or overridden."""
    from faceplate.testing import _application, _project

    with _environment(_project.environment_of(faceplate_database_url)):
        return _application.load(pytestconfig.getini("faceplate_app"))


@pytest.fixture
def faceplate_identity(faceplate_user: User) -> object:
    """What the application's own dependency says of the user: the id, or overridden."""
    return faceplate_user.id


@pytest.fixture
def faceplate_client(
    _faceplate_loop: asyncio.AbstractEventLoop,
    faceplate_settings: Settings,
    faceplate_app: Application,
    faceplate_identity: object,
) -> Iterator[httpx.AsyncClient]:
    """An HTTP client of the started application, signed in as `faceplate_user`."""
    import httpx

    from faceplate.testing import _application

    run = _faceplate_loop.run_until_complete
    starting = _application.started(faceplate_app, faceplate_settings)
    with _application.signed_in(faceplate_app, faceplate_identity):
        transport = httpx.ASGITransport(run(starting.__aenter__()))
        client = httpx.AsyncClient(transport=transport, base_url="http://testserver")
        yield client
        run(client.aclose())
        run(starting.__aexit__(None, None, None))


@pytest.fixture
async def _faceplate_anyio_loop() -> Any:
    import asyncio

    yield asyncio.get_running_loop()  # noqa: PT022 - anyio keeps the loop as long as it is open
