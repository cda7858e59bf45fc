"""Each row of docs/private-parts.md names its contract tests, and each contract test has a row."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
PAGE = (DOCS / "private-parts.md").read_text()
COLUMN = "contract test"


def rows() -> dict[str, list[str]]:
    """Return the tests that each row names."""
    found: dict[str, list[str]] = {}
    place = 0
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.split("|")][1:-1]
        if COLUMN in cells:
            place = cells.index(COLUMN)
        elif cells and re.fullmatch(r"[A-Z]\d+", cells[0]):
            found[cells[0]] = re.findall(r"`(test_\w+)`", cells[place])
    return found


def contract_tests() -> set[str]:
    """Return the names of all tests of this folder but those of this file."""
    nodes = [
        node
        for path in HERE.glob("test_*.py")
        if path != Path(__file__)
        for node in ast.parse(path.read_text()).body
    ]
    functions = [one for one in nodes if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {one.name for one in functions if one.name.startswith("test_")}


def test_every_private_part_names_contract_tests_that_are_there() -> None:
    """Else a dependency changes, and nothing fails by the name of what it broke."""
    listed = rows()
    assert {"A1", "L1", "S1", "M1", "U1"} <= listed.keys()
    assert [part for part, tests in listed.items() if not tests] == []
    assert {name for tests in listed.values() for name in tests} - contract_tests() == set()


def test_every_contract_test_is_in_the_list() -> None:
    """Else a failure names no part, and nobody finds what takes its place."""
    assert contract_tests() - {name for tests in rows().values() for name in tests} == set()


def test_every_file_that_uses_a_part_is_there() -> None:
    """Else a change in a dependency leads to a module that was moved."""
    package = HERE.parents[1] / "backend" / "faceplate"
    named = {name for line in PAGE.splitlines() for name in re.findall(r"`([\w/]+\.py)`", line)}
    assert len(named) > 5
    assert [name for name in sorted(named) if not (package / name).exists()] == []


def test_every_part_that_a_page_names_is_in_the_list() -> None:
    """Else a decision argues with a part that was removed."""
    pages = DOCS.rglob("*.md")
    named = {part for page in pages for part in re.findall(r"\b[ALSMU]\d{1,2}\b", page.read_text())}
    assert named - rows().keys() == set()
