"""The plugin in projects of several kinds: event loops, settings, mistakes, servers."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from tests.faults.servers import own_server
from tests.plugin import projects
from tests.unusable import free_port

from faceplate import embedded

PASSWORD = "p@ss/word"
NOBODY = 65_534

USES = """
    import asyncio

    import pytest

    from faceplate.services import conversations

    {mark}

    async def test_first(faceplate_runner):
        await faceplate_runner.run(conversations.create)
        assert len((await faceplate_runner.run(conversations.page)).items) == 1

    async def test_second(faceplate_db, faceplate_runner):
        assert (await faceplate_runner.run(conversations.page)).items == []

    async def test_third(faceplate_runner, faceplate_faults):
        faceplate_faults.lose_connection()
        await faceplate_runner.run(conversations.create)
"""
ANYIO = """
    @pytest.fixture(scope="module")
    def anyio_backend():
        return "asyncio"
"""
MODES = {
    "auto": ("", ["-o", "asyncio_mode=auto"]),
    "strict": ("pytestmark = pytest.mark.asyncio", ["-o", "asyncio_mode=strict"]),
    "one loop for the module": (
        "pytestmark = pytest.mark.asyncio(loop_scope='module')",
        ["-o", "asyncio_mode=strict"],
    ),
    "one loop for all": (
        "",
        ["-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session"],
    ),
    "anyio beside pytest-asyncio": (f"pytestmark = pytest.mark.anyio\n{ANYIO}", []),
    "anyio alone": (f"pytestmark = pytest.mark.anyio\n{ANYIO}", ["-p", "no:asyncio"]),
}


@pytest.fixture
def served(server_url: str) -> dict[str, str]:
    """The environment of a run on the suite's server, which starts sooner than one of its own."""
    return {"FACEPLATE_TEST_DATABASE_URL": server_url}


@pytest.mark.parametrize(("mark", "arguments"), MODES.values(), ids=MODES)
def test_the_fixtures_work_in_the_event_loop_of_the_test(
    tmp_path: Path, served: dict[str, str], mark: str, arguments: list[str]
) -> None:
    """Else a project has to change how it runs its tests."""
    project = projects.write(tmp_path, test_it=USES.format(mark=mark))
    outcomes, output = projects.run(project, *arguments, variables=served)
    assert outcomes == {"passed": 3}, output


def test_a_project_that_does_not_use_it_pays_nothing() -> None:
    """Else each project whose environment has faceplate starts later, and has its settings."""
    program = "import sys, pytest, pytest_faceplate; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"faceplate", "sqlalchemy", "asyncpg", "httpx", "pytest_asyncio"})


def test_a_run_without_its_fixtures_starts_no_server(tmp_path: Path) -> None:
    """Else the unit tests of a project take seconds longer."""
    project = projects.write(
        tmp_path,
        test_it="""
            import sys

            def test_nothing_is_loaded():
                assert "faceplate" not in sys.modules
        """,
    )
    assert projects.run(project)[0] == {"passed": 1}


def test_no_setting_leads_to_another_database(tmp_path: Path, served: dict[str, str]) -> None:
    """Else tests read and write what a developer's .env names."""
    elsewhere = "postgresql://root:secret@127.0.0.1:1/production"
    project = projects.write(
        tmp_path,
        test_it="""
            import pytest

            from faceplate import Database, Settings
            from faceplate.services import users

            @pytest.mark.asyncio
            async def test_all_logins(faceplate_db, faceplate_settings):
                assert "faceplate_test_" in faceplate_settings.target
                assert Settings().target == faceplate_settings.target
                assert Settings().of_migrations.target == faceplate_settings.target
                assert Settings().of_owner.target == faceplate_settings.target
                assert (await faceplate_db.check()).gaps == ()
                await faceplate_db.run_system(users.create, subject_id="one")
        """,
    )
    (project / ".env").write_text(
        f"DATABASE_URL={elsewhere}\nFACEPLATE_OWNER_URL={elsewhere}\n"
        f"FACEPLATE_MIGRATION_URL={elsewhere}\nFACEPLATE_PASSWORD=other\n"
    )
    outcomes, output = projects.run(
        project, variables=served | {"FACEPLATE_DATABASE_URL": elsewhere}
    )
    assert outcomes == {"passed": 1}, output


def test_a_server_of_the_projects_own(
    tmp_path: Path, served: dict[str, str], server_url: str
) -> None:
    """Else a CI service container cannot be used, or what is on it is touched."""
    project = projects.write(
        tmp_path,
        test_it=USES.format(mark="pytestmark = pytest.mark.asyncio"),
        test_where="""
            import os

            def test_where(faceplate_server):
                assert faceplate_server.source == "url"
                assert faceplate_server.admin_url == os.environ["FACEPLATE_TEST_DATABASE_URL"]
                assert faceplate_server.owner_url != faceplate_server.admin_url
        """,
    )
    outcomes, output = projects.run(project, "-n2", variables=served)
    assert outcomes == {"passed": 4}, output
    assert databases_left(server_url) == []


def test_a_server_that_is_reached_by_a_host_and_a_password(tmp_path: Path) -> None:
    """Else faults cannot be planned where the server is a service container of a CI."""
    port = str(free_port())
    project = projects.write(tmp_path, test_it=USES.format(mark="pytestmark = pytest.mark.asyncio"))
    script = f"ALTER ROLE faceplate PASSWORD '{PASSWORD}' CREATEDB CREATEROLE"
    with own_server(script, listen_addresses="127.0.0.1", port=port, fsync="off"):
        url = f"postgresql://faceplate:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
        outcomes, output = projects.run(project, variables={"FACEPLATE_TEST_DATABASE_URL": url})
    assert outcomes == {"passed": 3}, output


def databases_left(server_url: str) -> list[str]:
    """Return the databases that runs of the plugin have left on a server."""

    async def find() -> list[str]:
        connection = await asyncpg.connect(server_url)
        try:
            found = await connection.fetch("SELECT datname FROM pg_database")
        finally:
            await connection.close()
        return [name for (name,) in found if re.match("faceplate_test_[0-9a-f]{10}_", name)]

    return asyncio.run(find())


def test_the_next_run_stops_the_server_of_one_that_was_killed() -> None:
    """Else a developer whose editor kills test runs collects servers."""
    with tempfile.TemporaryDirectory(prefix="faceplate-killed-") as folder:
        temporary = Path(folder)
        temporary.chmod(0o755)  # a server that root starts runs as a service account
        project = projects.write(
            temporary / "project",
            test_killed="""
                import os, signal

                def test_it(faceplate_server):
                    os.kill(os.getpid(), signal.SIGKILL)
            """,
            test_next="""
                def test_it(faceplate_server):
                    assert faceplate_server.source == "embedded"
            """,
        )
        variables = {"TMPDIR": folder}
        projects.run(project, "test_killed.py", variables=variables)
        (left,) = temporary.glob("faceplate-test-*")
        assert embedded.find(left / "postgres") is not None
        outcomes, output = projects.run(project, "test_next.py", variables=variables)
        assert outcomes == {"passed": 1}, output
        assert [*temporary.glob("faceplate-test-*")] == []


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """Else a wrong URL is a traceback of the driver, which does not say whose URL it is."""
    project = projects.write(tmp_path, test_it="def test_it(faceplate_database_url): ...")
    url = "postgresql://root:s3cret@127.0.0.1:1/postgres"
    outcomes, output = projects.run(
        project, "--tb=line", variables={"FACEPLATE_TEST_DATABASE_URL": url}
    )
    assert outcomes == {"error": 1}, output
    assert "127.0.0.1:1" in output
    assert "s3cret" not in output


def test_a_killed_run_on_a_server_that_is_gone_hinders_nobody(
    tmp_path: Path, served: dict[str, str]
) -> None:
    """Else no test runs until somebody removes a directory that nobody knows of."""
    gone = "postgresql://root:secret@127.0.0.1:1/postgres"
    state = {"source": "url", "admin_url": gone, "owner_url": gone, "version": "18"}
    (left := tmp_path / "faceplate-test-killed").mkdir()
    (left / "alive").touch()
    (left / "server.json").write_text(json.dumps(state))
    (theirs := tmp_path / "faceplate-test-theirs").mkdir()
    (theirs / "alive").touch()
    if is_root := os.geteuid() == 0:  # nobody else can give a directory away
        os.chown(theirs, NOBODY, NOBODY)
    project = projects.write(
        tmp_path / "project", test_it="def test_it(faceplate_database_url): ..."
    )
    outcomes, output = projects.run(project, variables=served | {"TMPDIR": str(tmp_path)})
    assert outcomes == {"passed": 1}, output
    assert not left.exists()
    assert theirs.exists() == is_root


OVERRIDES = """
    import pytest

    from faceplate import Settings, migrate

    @pytest.fixture(scope="session")
    def faceplate_migrate(faceplate_migrate):
        def with_a_table():
            faceplate_migrate()
            import asyncio
            from faceplate.testing._server import open_connection

            async def create():
                owner = await open_connection(Settings().database_url.get_secret_value())
                await owner.execute("CREATE TABLE colours AS SELECT 'red' AS name")
                await owner.close()

            asyncio.run(create())

        return with_a_table

    @pytest.fixture
    def faceplate_settings(faceplate_settings):
        return faceplate_settings.model_copy(update={"max_body_mb": 1})
"""


def test_a_project_overrides_the_migration_and_the_settings(
    tmp_path: Path, served: dict[str, str]
) -> None:
    """Else a project that migrates otherwise cannot use the plugin."""
    project = projects.write(
        tmp_path,
        conftest=OVERRIDES,
        test_it="""
            import pytest
            from sqlalchemy import text

            async def colours(scope):
                return (await scope.session.execute(text("SELECT name FROM colours"))).scalar_one()

            @pytest.mark.asyncio
            async def test_it(faceplate_db):
                assert faceplate_db.settings.max_body_mb == 1
                assert await faceplate_db.run_system(colours) == "red"
        """,
    )
    outcomes, output = projects.run(project, variables=served)
    assert outcomes == {"passed": 1}, output


MISTAKES = """
    import pytest
    from fastapi import FastAPI

    from faceplate import PoolExhausted
    from faceplate.integrations.fastapi import lifespan

    def test_synchronous(faceplate_db): ...

    def test_without_an_application(faceplate_app): ...

    def test_of_a_fault_that_does_not_strike(faceplate_faults):
        faceplate_faults.lose_connection()

    def test_of_an_error_that_no_statement_raises(faceplate_faults):
        faceplate_faults.refuse_next(PoolExhausted)

    def test_of_a_place_where_no_connection_is_lost(faceplate_faults):
        faceplate_faults.lose_connection("rollback")

    class TestAnApplication:
        @pytest.fixture
        def faceplate_app(self, faceplate_server):
            return FastAPI(lifespan=lifespan(faceplate_server.admin_url))

        @pytest.mark.asyncio
        async def test_on_another_database(self, faceplate_client): ...
"""
WORDS = {
    "a synchronous test uses faceplate_settings",
    "set `faceplate_app = app.main:app` in pytest's configuration",
    "1 planned fault(s) did not strike",
    "for a lost connection, use lose_connection() or fail_commit()",
    "a connection is lost at statement or commit, not at 'rollback'",
    "not the test's database",
}


def test_a_mistake_is_told_in_words(tmp_path: Path, served: dict[str, str]) -> None:
    """Else a newcomer reads the plugin's source."""
    outcomes, output = projects.run(projects.write(tmp_path, test_it=MISTAKES), variables=served)
    assert outcomes == {"failed": 2, "passed": 1, "errors": 4}, output
    assert {words for words in WORDS if words not in output} == set(), output


def test_revisions_that_fail_are_shown(tmp_path: Path, served: dict[str, str]) -> None:
    """Else nobody knows why no test could begin."""
    project = projects.write(tmp_path, test_it="def test_it(faceplate_settings): ...")
    (project / "alembic.ini").write_text("[alembic]\nscript_location = nowhere\n")
    outcomes, output = projects.run(project, variables=served)
    assert outcomes == {"error": 1}, output
    assert "upgrade head` failed" in output
