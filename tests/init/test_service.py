"""The service that ``faceplate init --service`` writes, as it comes out."""

import json
import re
import subprocess
import sys
from importlib.metadata import metadata, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tests.init.service import Service, write
from tests.plugin import projects

from faceplate._alembic import scaffold
from faceplate.errors import UsageError


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return write(tmp_path / "My Chats")


def test_it_passes_its_own_tests(service: Service, server_url: str) -> None:
    """Else the first command that a newcomer runs fails."""
    variables = {"FACEPLATE_TEST_DATABASE_URL": server_url}
    outcomes, output = projects.run(service.directory, variables=variables)
    assert outcomes.keys() == {"passed"}, output


@pytest.mark.parametrize(
    "arguments",
    [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)],
    ids=["ruff check", "ruff format", "mypy"],
)
def test_it_passes_its_own_checks(service: Service, arguments: tuple[str, ...]) -> None:
    """Else its continuous integration is red before a line was changed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=service.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_revision_has_what_its_models_say(service: Service, fresh_database_url: str) -> None:
    """Else its first own revision holds a change that nobody has made."""
    project = service.project(fresh_database_url)
    assert "No new upgrade operations" in project.alembic_in_turn("upgrade head", "check")
    assert project.faceplate("check")
    project.alembic_in_turn("downgrade base", "upgrade head")


def test_it_is_called_as_its_folder(service: Service) -> None:
    """Else two services on one machine have one name."""
    assert service.pyproject["project"]["name"] == "my-chats"
    assert service.text("README.md").startswith("# my-chats\n")
    left = [path for path in service.files if scaffold.NAME in path.read_text(encoding="utf-8")]
    assert left == []


@pytest.mark.parametrize("folder", ["...", "日本"])
def test_a_folder_whose_name_no_package_has(tmp_path: Path, folder: str) -> None:
    """Else pip refuses the service."""
    assert write(tmp_path / folder).pyproject["project"]["name"] == scaffold.NAME


@pytest.mark.parametrize("folder", ["faceplate", "FastAPI", "ruff"])
def test_a_folder_that_is_called_like_a_package_that_it_needs(tmp_path: Path, folder: str) -> None:
    """Else pip installs the service in place of the package, or refuses both."""
    name = write(tmp_path / folder).pyproject["project"]["name"]
    assert name == f"{folder.lower()}-service"


def test_each_service_has_a_key_of_its_own(tmp_path: Path) -> None:
    """Else the key of one written service signs tokens for all others."""
    keys = {write(tmp_path / name).environment["JWT_KEY"] for name in ("one", "two")}
    assert len(keys) == 2
    assert min(map(len, keys)) >= 32


def test_the_key_stays_out_of_git_and_of_the_image(service: Service) -> None:
    """Else it is published with the sources, or read by another user of the machine."""
    assert (service.directory / ".env").stat().st_mode & 0o077 == 0
    assert ".env" in service.text(".gitignore").splitlines()
    first, *rest = service.text(".dockerignore").splitlines()
    assert first == "*"
    assert "!.env" not in rest
    (key,) = re.findall(r"^JWT_KEY=.*$", service.text(".env.example"), re.MULTILINE)
    assert key == "JWT_KEY="


def test_without_a_key_it_does_not_start(service: Service, fresh_database_url: str) -> None:
    """Else everybody can sign tokens; or the refusal shows the key that was too short."""
    (service.directory / ".env").write_text("JWT_KEY=tooshort\n")
    said = service.project(fresh_database_url).run(
        "-c", "from app.main import create_app; create_app()", fails=True
    )
    assert "jwt_key\n" in said
    assert "at least 32" in said
    assert "tooshort" not in said


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Else a project that has a README loses it."""
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"already has: README\.md"):
        scaffold.write_service(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_lists_what_it_has_written(tmp_path: Path, *, as_json: bool) -> None:
    """Else a newcomer looks for what to open, and does not learn what to run."""
    done = subprocess.run(
        [sys.executable, "-m", "faceplate.cli", "init", "--service", "my chats"]
        + ["--json"] * as_json,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = json.loads(done.stdout)["written"] if as_json else done.stdout.splitlines()
    assert {tmp_path / path for path in listed} == {
        path for path in (tmp_path / "my chats").rglob("*") if path.is_file()
    }
    assert as_json or "cd 'my chats'\n" in done.stderr


def test_it_asks_for_this_faceplate_and_these_pythons(service: Service) -> None:
    """Else pip installs another faceplate than the one that wrote the service, or none."""
    project = service.pyproject["project"]
    (ours,) = (one for one in map(Requirement, project["dependencies"]) if one.name == "faceplate")
    assert ours.specifier.contains(version("faceplate"), prereleases=True)
    assert project["requires-python"] == metadata("faceplate")["Requires-Python"]
