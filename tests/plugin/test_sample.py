"""The sample project's own tests: a service with tables of its own, as its developer runs them."""

import shutil
import time
from pathlib import Path

import pytest
from tests.blocks import blocks
from tests.plugin import projects

SAMPLE = Path(__file__).parent / "sample"
PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def write_what_the_page_shows(tests: Path) -> None:
    """Write the page's tests and its conftest.py in a folder of their own."""
    shown = [block.source for block in blocks(PAGE) if block.language == "python"]
    is_test = {source: "async def test_" in source for source in shown}
    assert {*is_test.values()} == {True, False}
    tests.mkdir()
    (tests / "__init__.py").touch()
    (tests / "test_page.py").write_text("\n".join(s for s in shown if is_test[s]))
    (tests / "conftest.py").write_text("\n".join(s for s in shown if not is_test[s]))


@pytest.mark.parametrize("arguments", [(), ("-n2",)], ids=["alone", "xdist"])
def test_the_tests_of_the_sample_pass(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Else a project's tests see what others have stored, or a fault that does not strike."""
    project = tmp_path / "project"
    shutil.copytree(SAMPLE, project)
    write_what_the_page_shows(project / "tests" / "page")
    started_s = time.perf_counter()
    outcomes, output = projects.run(project, *arguments)
    took_s = time.perf_counter() - started_s
    print(f"{outcomes} in {took_s:.1f} s")  # noqa: T201 - a figure to read, not to assert
    assert outcomes.keys() <= {"passed"}, output
    assert outcomes["passed"] >= 200
