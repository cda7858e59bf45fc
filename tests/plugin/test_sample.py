"""The sample project's own tests: a service with tables of its own, as its developer runs them."""

import shutil
import time
from pathlib import Path

import pytest
from tests.plugin import projects

SAMPLE = Path(__file__).parent / "sample"


@pytest.mark.parametrize("arguments", [(), ("-n2",)], ids=["alone", "xdist"])
def test_the_tests_of_the_sample_pass(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Else a project's tests see what others have stored, or a fault that does not strike."""
    project = tmp_path / "project"
    shutil.copytree(SAMPLE, project)
    started_s = time.perf_counter()
    outcomes, output = projects.run(project, *arguments)
    took_s = time.perf_counter() - started_s
    print(f"{outcomes} in {took_s:.1f} s")  # noqa: T201 - a figure to read, not to assert
    assert outcomes.keys() <= {"passed"}, output
    assert outcomes["passed"] >= 200
