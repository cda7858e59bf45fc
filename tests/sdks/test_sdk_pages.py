"""The page and the example of the SDK that is installed."""

import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.blocks import run_page, runnable_blocks

ROOT = Path(__file__).parents[2]


@pytest.fixture
def name(pytestconfig: pytest.Config) -> str:
    """The SDK's name, as its page and its example have it."""
    return str(pytestconfig.option.sdk)


async def test_what_the_page_of_the_sdk_shows_runs(
    name: str,
    fresh_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is copied from the page works, its Python in one namespace."""
    page = ROOT / "docs" / "sdks" / f"{name.replace('_', '-')}.md"
    assert runnable_blocks(page)
    module = ModuleType(f"page_{name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    await run_page(page, tmp_path, vars(module))


def test_the_example_of_the_sdk_runs(
    name: str,
    fresh_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The example runs as a program, with a scripted model, and shows what was said."""
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    runpy.run_path(str(ROOT / "examples" / "sdks" / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out
