"""The documentation says what the code does: what a reader copies from it works."""

import logging
import re
import runpy
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from tests.blocks import RUN, blocks, run_page, runnable_blocks
from tests.databases import login_of_units

from faceplate import Database, Scope, Settings, User, errors
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
COOKBOOK = DOCS / "units.md"  # test_cookbook.py runs it, with a user
ELSEWHERE = {
    *[DOCS / "production.md", *(DOCS / "production").glob("*.md")],  # test_production.py, with TLS
    DOCS / "models.md",  # tests/providers/test_page.py, with a provider
    *(DOCS / "sdks").glob("*.md"),  # tests/sdks/test_sdk_pages.py, where the SDK is installed
}
RUNNABLE = [page for page in PAGES if runnable_blocks(page) and page not in {COOKBOOK, *ELSEWHERE}]
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", RUNNABLE, ids=by_name)
async def test_what_a_page_shows_runs(  # noqa: PLR0917 - fixtures
    page: Path,
    server_url: str,
    fresh_database_url: str,
    empty_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is copied from a page works: its Python in one namespace, its commands in a shell.

    A page with commands begins with nothing, and migrates the database itself.
    """
    commands = any(block.language == "console" for block in runnable_blocks(page))
    module = ModuleType(f"page_{page.stem}")  # frameworks look the module of a handler up
    monkeypatch.setitem(sys.modules, module.__name__, module)
    if not commands:
        monkeypatch.setenv("DATABASE_URL", fresh_database_url)
        await run_page(page, tmp_path, vars(module))
        return
    monkeypatch.setenv("FACEPLATE_OWNER_URL", empty_database_url)
    async with login_of_units(server_url, empty_database_url, "units_of_a_page") as url:
        monkeypatch.setenv("DATABASE_URL", url)
        await run_page(page, tmp_path, vars(module))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_no_block_escapes(page: Path) -> None:
    """Else a block that nobody runs goes stale: by another name for Python, or without a reason."""
    found = blocks(page)
    others = {"", "sh", "sql", "toml", "ini", "json", "html", "javascript", "yaml", "http"}
    assert {block.language for block in found} <= {*RUN, *others}
    assert [block.line for block in found if block.reason is not None and not block.reason] == []
    consoles = [block for block in found if block.language == "console"]
    assert [block.line for block in consoles if not block.source.startswith("$ ")] == []


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link within the repository leads to a file."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_make_target_that_is_named_is_there() -> None:
    """Else a contributor's first command, or a release at its last step, fails."""
    targets = set(re.findall(r"^([a-z][\w.%-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    workflows = (ROOT / ".github" / "workflows").glob("*.yml")
    for file in (*PAGES, *workflows, ROOT / ".ci" / "run"):
        text = file.read_text(encoding="utf-8")
        named = re.findall(r"(?:^|`|run: |step \S+ \d+ )make ([a-z][\w.-]*)", text, re.MULTILINE)
        by_pattern = {f"{name.rpartition('-')[0]}-%" for name in {*named} - targets}
        assert by_pattern <= targets, file


@pytest.mark.parametrize("page", DECISIONS, ids=by_name)
def test_decisions_end_with_the_files_they_bind(page: Path) -> None:
    """A developer who changes a file finds the decision that binds it, and the reverse."""
    text, _, bound = page.read_text(encoding="utf-8").rpartition("Binds: ")
    files = re.findall(r"`([^`]+)`", bound)
    assert text
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_every_decision_is_listed() -> None:
    """A decision that the index forgets is not found by the next one to change the code."""
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in DECISIONS if f"(decisions/{page.name})" not in index] == []


def test_picture_shows_the_models() -> None:
    """The entity-relationship picture has every column; `make erd` draws it anew."""
    draw = runpy.run_path(str(DOCS / "erd.py"))["draw"]
    assert (DOCS / "pictures" / "data-model.svg").read_text(encoding="utf-8") == draw()


def test_operations_list_every_setting() -> None:
    """An operator finds every variable, with the default that holds."""
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `FACEPLATE_(\w+)` \| `?([^|`]*?)`? \|", text, re.MULTILINE))
    assert listed == {
        name.upper(): _show(field.default) for name, field in Settings.model_fields.items()
    }


def _show(default: object) -> str:
    match default:
        case None | () | SecretStr():
            return "not set"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
    return str(default)


def test_error_tree_is_complete() -> None:
    """A developer who writes an except clause from the page misses no error."""
    tree = textwrap.dedent((errors.__doc__ or "").split("::\n\n")[1].split("\n\nNo message")[0])
    assert f"```\n{tree}\n```" in (DOCS / "architecture.md").read_text(encoding="utf-8")


async def test_append_sends_what_the_architecture_shows(
    settings: Settings, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """An append is one round trip, and this is what it sends, word for word."""
    async with Database(settings.model_copy(update={"log_sql": True})) as db:
        chat = await db.run(user.id, conversations.create)
        with caplog.at_level(logging.INFO, "faceplate.sql"):
            await db.run(user.id, messages.append, chat.id, role="user", content="hello")
    sent = [_sql_of(record.getMessage()) for record in caplog.records]
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    shown = re.findall(r"(?ms)^ *```sql\n(.*?)^ *```$", page)
    assert sent == [_sql_of(block) for block in shown]


async def test_the_query_of_the_data_model_reads_a_path(db: Database, user: User) -> None:
    """Else a report that is made with it has other messages than the chat shows."""
    page = (DOCS / "data-model.md").read_text(encoding="utf-8")
    [query] = re.findall(r"(?ms)^```sql\n(.*?)^```$", page)
    chat = await db.run(user.id, conversations.create)

    async def positions(scope: Scope) -> list[int]:
        rows = await scope.session.execute(sa.text(query), {"conversation_id": chat.id})
        return list(rows.scalars())

    turn = [NewMessage("user", "a"), NewMessage("assistant", "b")]
    for after in (None, 1, 0):
        branch = after is not None
        await db.run(user.id, messages.append_many, chat.id, turn, after=after, branch=branch)
    for leaf, path in ((6, [5, 6]), (4, [1, 3, 4]), (2, [1, 2])):
        await db.run(user.id, conversations.switch, chat.id, leaf)
        assert await db.run(user.id, positions) == path


def _sql_of(logged: str) -> str:
    """The statement on one line, without the time that it took and whose it was."""
    statement = re.sub(r"^[\d.]+ s: ", "", logged)
    statement = re.sub(r"'[0-9a-f-]{36}'", "'<user_id>'", statement)
    return re.sub(r"\s+", " ", statement).replace("( ", "(").replace(" )", ")").strip(" ;")


def test_every_known_fault_names_tests_that_there_are() -> None:
    """A reader who doubts a row of the page can run its test."""
    tests = {path.stem.removeprefix("test_"): path for path in ROOT.glob("tests/*/test_*.py")}
    rows = re.findall(r"^\|.*\| (`.+`) \|$", (DOCS / "faults.md").read_text(), re.MULTILINE)
    assert rows
    for name in re.findall(r"`([^`]+)`", " ".join(rows)):
        module, _, test = name.partition(": ")
        if name != "pyproject.toml":
            assert f"def test_{test}" in tests[module].read_text(), name
