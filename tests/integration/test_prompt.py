"""What a reader pastes into ``python -m asyncio`` runs there, a block at a time."""

import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.blocks import python_blocks
from tests.databases import login_of_units
from tests.prompt import Prompt, bound_names, python_prompt

from faceplate import Settings, migrate

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
ERROR = re.compile(r"Traceback|^\w+(?:Error|Warning)\b", re.MULTILINE)


@pytest.fixture
async def variables(server_url: str, empty_database_url: str) -> AsyncIterator[dict[str, str]]:
    """The environment of a reader who has done what stands above the first block."""
    async with login_of_units(server_url, empty_database_url, "units_of_a_reader") as url:
        owner = {"FACEPLATE_OWNER_URL": empty_database_url}
        await migrate.upgrade(
            Settings(database_url=SecretStr(url), owner_url=SecretStr(empty_database_url))
        )
        yield os.environ | owner | {"DATABASE_URL": url}


def paste(prompt: Prompt, source: str) -> str:
    """Paste a block as a page's copy button has it; return what the prompt shows."""
    shown = prompt.paste(source.rstrip("\n"))
    assert not ERROR.search(shown), shown
    missing = bound_names(source) - prompt.names()
    assert not missing, (missing, shown)
    return shown


def blocks_of(page: str, end: str | None = None) -> list[str]:
    """The Python blocks of a page, up to the heading that begins with ``end``."""
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    last = text[: text.index(end)].count("\n") if end else text.count("\n")
    return [source for line, source in python_blocks(path) if line <= last]


@pytest.mark.parametrize(
    ("page", "end"),
    [("docs/quickstart.md", None), ("docs/tutorial.md", "\n## 7."), ("README.md", None)],
)
def test_a_page_can_be_pasted_block_by_block(
    page: str, end: str | None, variables: dict[str, str], tmp_path: Path
) -> None:
    """Else a newcomer's first block ends in an IndentationError, at its first blank line."""
    with python_prompt(variables, tmp_path) as prompt:
        shown = "".join(paste(prompt, source) for source in blocks_of(page, end))
    if page == "docs/quickstart.md":
        assert "\nuser Will it rain tomorrow?\nassistant Until noon.\n" in shown


@pytest.mark.parametrize("number", range(len(python_blocks(README))))
def test_a_block_of_the_readme_stands_alone(
    number: int, variables: dict[str, str], tmp_path: Path
) -> None:
    """Else who copies the block that they came for gets a NameError."""
    with python_prompt(variables, tmp_path) as prompt:
        paste(prompt, blocks_of("README.md")[number])


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("async with missing:\n    pass", id="NameError"),
        pytest.param(
            "for _ in range(2):\n    a = 1\n\n    b = 2",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 13), reason="this prompt takes a paste as a whole"
            ),
            id="a blank line",
        ),
    ],
)
def test_a_block_that_fails_is_noticed(source: str, tmp_path: Path) -> None:
    """Else the tests above pass whatever the pages say."""
    with (
        python_prompt(os.environ, tmp_path) as prompt,
        pytest.raises(AssertionError, match=r"Error|missing|\{'"),
    ):
        paste(prompt, source)
