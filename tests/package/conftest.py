"""The wheel and the sdist, built once, and places for environments."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.package.environments import Environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def work() -> Iterator[Path]:
    """A short path that a server of another account may pass."""
    with tempfile.TemporaryDirectory(prefix="fp-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="session")
def tools(work: Path) -> Environment:
    directory = work / "tools"
    directory.mkdir()
    return Environment(directory, "build", "twine")


@pytest.fixture(scope="session")
def built(work: Path, tools: Environment) -> dict[str, Path]:
    """Both distributions; the wheel is made from the sdist, so that one is whole, too."""
    source = work / "source"  # setuptools writes beside the sources
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "node_modules")
    shutil.copytree(ROOT, source, ignore=ignored)
    tools("python", "-m", "build", "--outdir", str(work / "dist"), str(source))
    (wheel,), (sdist,) = (work / "dist").glob("*.whl"), (work / "dist").glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


@pytest.fixture
def place(work: Path) -> Iterator[Path]:
    """A directory for an environment, which is gone afterwards."""
    directory = Path(tempfile.mkdtemp(dir=work))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)
