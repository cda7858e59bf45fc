"""The databases of the local server: one for each project, and whose each is."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.commands import Run, lines

from faceplate import embedded
from faceplate.cli import session
from faceplate.embedded import _databases
from faceplate.errors import ConfigurationError, UsageError


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="faceplate-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
        embedded.wipe(Path(name) / "pg")


@pytest.fixture
def local(
    place: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A default server that is this module's alone, and no URL."""
    monkeypatch.delitem(environment, "DATABASE_URL")
    environment["FACEPLATE_EMBEDDED_DIR"] = str(place / "pg")
    monkeypatch.setenv("FACEPLATE_EMBEDDED_DIR", str(place / "pg"))
    yield
    for name in embedded.databases():
        embedded.drop(name)


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make a folder, and go there."""

    def enter(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(folder)
        return folder

    return enter


@pytest.mark.usefixtures("local")
class TestProjects:
    def test_the_database_is_named_after_the_project_s_folder(
        self, enter: Callable[[str], Path]
    ) -> None:
        """Else a second tutorial meets the revisions of the first one."""
        shop = enter("My Shop")
        (shop / "pyproject.toml").touch()
        assert embedded.start().database == "my_shop"
        enter("My Shop/src/deep")
        server = embedded.find()
        assert server is not None
        assert server.database == "my_shop"
        assert server.url.startswith("postgresql://faceplate@/my_shop?")
        assert embedded.databases() == {"my_shop": shop}

    @pytest.mark.parametrize("mark", [".env", "pyproject.toml", "alembic.ini"])
    def test_each_file_of_a_project_marks_its_folder(
        self, enter: Callable[[str], Path], mark: str
    ) -> None:
        folder = enter("marked")
        (folder / mark).touch()
        enter("marked/within")
        assert embedded.start().database == "marked"

    def test_two_folders_of_one_name_have_a_database_each(
        self, enter: Callable[[str], Path]
    ) -> None:
        """Else one of the projects writes into the other's tables."""
        enter("one/app")
        first = embedded.start()
        enter("two/app")
        assert embedded.find() is None
        assert embedded.is_running()
        second = embedded.start()
        assert first.database == "app"
        assert second.database.startswith("app_")
        enter("one/app")
        assert embedded.start() == first
        assert len(embedded.databases()) == 2

    @pytest.mark.parametrize(
        ("folder", "name"),
        [("Проект", "project"), ("postgres", "postgres_"), ("a'b\"; c", "a_b_c"), ("9", "9")],
    )
    def test_any_folder_s_name_becomes_that_of_a_database(
        self, enter: Callable[[str], Path], folder: str, name: str
    ) -> None:
        enter(folder)
        server = embedded.start()
        assert server.database.startswith(name)
        assert query(server.url, "SELECT current_database()") == server.database
        assert query(server.unit_url, "SELECT session_user::text") == "faceplate_unit"

    def test_a_long_name_is_cut(self, enter: Callable[[str], Path]) -> None:
        enter("x" * 200)
        assert len(embedded.start().database) <= 63
        enter("y/" + "x" * 200)
        assert len(embedded.start().database) <= 63

    def test_the_setting_names_another(
        self, enter: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else two folders of one program cannot share their data."""
        (enter("one") / ".env").write_text("FACEPLATE_EMBEDDED_DATABASE=ours\n")
        assert embedded.start().database == "ours"
        enter("two")
        monkeypatch.setenv("FACEPLATE_EMBEDDED_DATABASE", "ours")
        assert embedded.start().database == "ours"
        monkeypatch.setenv("FACEPLATE_EMBEDDED_DATABASE", 'x"; DROP')
        with pytest.raises(ConfigurationError, match="must be 1 to 63 of a-z"):
            embedded.start()

    async def test_a_table_of_psql_is_not_in_faceplate_s_schema(
        self, enter: Callable[[str], Path]
    ) -> None:
        """Else a project's Alembic takes faceplate's version table for its own."""
        enter("shop")
        server = await asyncio.to_thread(embedded.start)
        connection = await asyncpg.connect(server.url)
        try:
            await connection.execute("CREATE SCHEMA faceplate")
            assert await connection.fetchval("SELECT current_schema()") == "public"
        finally:
            await connection.close()

    def test_a_server_of_an_earlier_version_keeps_its_database(
        self, place: Path, enter: Callable[[str], Path]
    ) -> None:
        """Else an upgrade seems to have emptied every project."""
        enter("before")
        embedded.start(database="faceplate")
        (place / "pg" / _databases.FILE).unlink()
        for folder in ("before", "after"):
            enter(folder)
            server = embedded.find()
            assert server is not None
            assert server.database == "faceplate"
        assert embedded.databases() == {"faceplate": None}

    def test_a_damaged_record_is_named(self, place: Path, enter: Callable[[str], Path]) -> None:
        """Else every command ends in a traceback until somebody finds the file."""
        enter("before")
        embedded.start()
        record = place / "pg" / _databases.FILE
        kept = record.read_text()
        record.write_text("{")
        with pytest.raises(ConfigurationError, match="is not JSON: remove it"):
            embedded.find()
        record.write_text(kept)

    def test_a_database_that_psql_has_dropped_is_made_again(
        self, enter: Callable[[str], Path]
    ) -> None:
        enter("dropped")
        server = embedded.start()
        query(server.admin_url, f"DROP DATABASE {server.database}")
        assert query(embedded.start().url, "SELECT current_database()") == "dropped"

    def test_a_server_in_a_folder_of_the_caller_s_own_has_one_database(
        self, place: Path, enter: Callable[[str], Path]
    ) -> None:
        """Else a test suite that changes its folder loses what it has stored."""
        enter("suite")
        assert embedded.start(place / "pg").database == "faceplate"
        enter("elsewhere")
        assert embedded.start(place / "pg").database == "faceplate"


@pytest.mark.usefixtures("local")
class TestCommands:
    def test_a_command_that_starts_the_server_migrates_its_database(
        self, faceplate: Run, enter: Callable[[str], Path], trip: Path
    ) -> None:
        """Else a newcomer's first command ends with an order to run another one."""
        embedded.stop()
        enter("fresh")
        result = faceplate("import", trip, "--user", "me@example.com")
        assert result.returncode == 0, result.stderr
        assert "starting the local PostgreSQL" in result.stderr
        assert "Bringing the schema up to date" in result.stderr
        assert "Its data lies in" in result.stderr
        again = faceplate("conversations", "--user", "me@example.com")
        assert (again.returncode, again.stderr) == (0, "")
        enter("another")
        other = faceplate("users")
        assert other.returncode == 0
        assert "A new database for this project: another." in other.stderr
        assert other.stderr.endswith("no users\n")

    def test_a_renamed_folder_is_told_where_its_data_is(
        self, faceplate: Run, enter: Callable[[str], Path]
    ) -> None:
        """Else all chats seem lost after a folder was renamed."""
        before = enter("before")
        assert faceplate("seed", "--users", "1", "--conversations", "1").returncode == 0
        after = before.rename(before.with_name("after"))
        enter("after")
        first = faceplate("users")
        assert f"If this project was {before}, its data is in the database before" in first.stderr
        (after / ".env").write_text("FACEPLATE_EMBEDDED_DATABASE=before\n")
        again = faceplate("users")
        assert "example.com" in again.stdout
        assert again.stderr == ""

    def test_root_is_told_why_its_data_is_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else root looks for the data in its own home."""
        assert "root" not in session._place()
        monkeypatch.delenv("FACEPLATE_EMBEDDED_DIR")
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        said = session._place()
        assert said.startswith("Its data lies in /var/lib/faceplate/postgres-18: ")
        assert "cannot enter root's home" in said

    def test_check_tells_the_state_of_the_schema_and_changes_nothing(
        self, faceplate: Run, enter: Callable[[str], Path]
    ) -> None:
        enter("untouched")
        result = faceplate("check")
        assert result.returncode == 1
        assert "run `faceplate migrate`" in result.stdout

    def test_status_lists_whose_the_databases_are_and_drop_removes_one(
        self, faceplate: Run, enter: Callable[[str], Path]
    ) -> None:
        """Else nobody dares to wipe the server, and it grows for ever."""
        gone, kept = enter("gone"), enter("kept")
        for folder in ("gone", "kept"):
            enter(folder)
            embedded.start()
        gone.rmdir()
        result = faceplate("server", "status")
        assert f"database             kept ({kept})\n" in result.stdout
        assert result.stderr == f"database gone: {gone}, which is no longer there\n"
        [status] = lines(faceplate("server", "status", "--json").stdout)
        assert status["databases"] == {"gone": str(gone), "kept": str(kept)}

        assert faceplate("server", "drop", "gone").returncode == 2
        assert faceplate("server", "drop", "gone", "--yes").stderr == "deleted gone\n"
        again = faceplate("server", "drop", "gone", "--yes")
        assert again.returncode == 2
        assert "there is no local database gone" in again.stderr
        with pytest.raises(UsageError, match="no database 'gone'"):
            embedded.drop("gone")
        assert list(embedded.databases()) == ["kept"]

    def test_a_stopped_server_tells_what_a_wipe_would_delete(
        self, faceplate: Run, on_terminal: Callable[..., str], enter: Callable[[str], Path]
    ) -> None:
        kept = enter("kept")
        embedded.start()
        embedded.stop()
        assert f"database kept: {kept}" in faceplate("server", "status").stderr
        sent = on_terminal("server", "wipe", typed="n\n")
        assert f"database kept: {kept}" in sent
        assert "Nothing was changed." in sent
        embedded.drop("kept")
        assert not embedded.is_running()
        assert embedded.databases() == {}


def query(url: str, statement: str) -> str:
    """Return the first value that the statement returns."""

    async def ask() -> str:
        connection = await asyncpg.connect(url)
        try:
            return str(await connection.fetchval(statement))
        finally:
            await connection.close()

    return asyncio.run(ask())
