"""The image, the compose file, the workflow and the README of a service name what is there.

No container is started: an engine and a registry of images are not everywhere.
"""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from sqlalchemy import make_url
from tests.blocks import blocks
from tests.init.service import Service, write, yaml

ROOT = Path(__file__).parents[2]
INSTALLED = {path.name for path in Path(sys.executable).parent.iterdir()}
OF_THE_RUNNER = {"pip", "docker", "curl"}
OF_THE_READER = {"curl", "sed"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return write(tmp_path_factory.mktemp("written") / "chats")


def instructions(service: Service, name: str) -> list[str]:
    """What follows an instruction of the Dockerfile, wherever it stands."""
    return re.findall(rf"^{name} (.*)$", service.text("Dockerfile"), re.MULTILINE)


def compose(service: Service) -> dict[str, Any]:
    services: dict[str, Any] = service.yaml("compose.yaml")["services"]
    return services


def ours(service: Service) -> dict[str, Any]:
    """The services of the compose file that run the image."""
    return {name: one for name, one in compose(service).items() if one.get("build") == "."}


def simple_commands(words: list[str]) -> list[list[str]]:
    """Return the commands that a command runs: those of a shell's text one by one."""
    if words[:2] == ["sh", "-c"]:
        return [shlex.split(each) for each in words[2].split("&&")]
    return [words]


def check_command(service: Service, words: list[str]) -> None:
    program, *arguments = words
    assert program in INSTALLED
    for argument in arguments:
        if match := re.fullmatch(r"(app\.\w+)(?::(\w+))?", argument):
            source = service.text(f"{match[1].replace('.', '/')}.py")
            assert f"def {match[2]}(" in source if match[2] else "__main__" in source


def test_the_readme_names_what_is_there(service: Service) -> None:
    """Else a newcomer types a command that is not found, or looks for a file."""
    readme = service.directory / "README.md"
    lines = "\n".join(block.source for block in blocks(readme) if block.language == "sh")
    commands = [shlex.split(one, comments=True) for one in re.split(r"\n|&&|\|", lines) if one]
    assert len(commands) >= 10
    for words in commands:
        if words[0] not in OF_THE_READER:
            check_command(service, words)
    named = re.findall(r"`(app/[\w.]+|\w+\.yaml)`", readme.read_text(encoding="utf-8"))
    assert [name for name in named if not (service.directory / name).exists()] == []


def test_the_image_runs_what_is_installed(service: Service) -> None:
    """Else a container ends as soon as it starts."""
    (command,) = instructions(service, "CMD")
    commands = [
        json.loads(command),
        *(o["command"] for o in ours(service).values() if "command" in o),
    ]
    assert len(commands) == 3
    for one in commands:
        for words in simple_commands(one):
            check_command(service, words)


def test_the_image_has_what_its_commands_read(service: Service) -> None:
    """Else the build stops, or the container has no migrations."""
    copied = {line.split()[0] for line in instructions(service, "COPY")}
    assert copied == {"pyproject.toml", "app", "alembic.ini", "migrations"}
    _, *allowed = service.text(".dockerignore").splitlines()
    assert {f"!{name}" for name in copied} == {name for name in allowed if name.startswith("!")}
    assert all((service.directory / name).exists() for name in copied)


def test_the_ports_are_one(service: Service) -> None:
    """Else nothing answers where the README, the workflow and the compose file say."""
    (exposed,) = instructions(service, "EXPOSE")
    command = json.loads(*instructions(service, "CMD"))
    assert command[command.index("--port") + 1] == exposed
    (published,) = (port for one in ours(service).values() for port in one.get("ports", []))
    host, outside, inside = published.split(":")
    assert inside == exposed
    assert host == "127.0.0.1"  # the passwords of the compose file are known to all
    told = service.text("README.md") + service.text(".github/workflows/ci.yml")
    assert {*re.findall(r"http://([\d.]+:\d+)", told)} == {f"{host}:{outside}"}


def test_the_services_reach_the_database(service: Service) -> None:
    """Else `docker compose up` waits for ever, or nobody can log in."""
    services = compose(service)
    server = services["postgres"]
    given = server["environment"]
    for one in ours(service).values():
        url = make_url(one["environment"]["DATABASE_URL"])
        assert (url.host, url.port) == ("postgres", 5432)
        assert given == {
            "POSTGRES_USER": url.username,
            "POSTGRES_PASSWORD": url.password,
            "POSTGRES_DB": url.database,
        }
    for one in services.values():
        for name, on in one.get("depends_on", {}).items():
            needs = {"service_healthy": "healthcheck", "service_completed_successfully": "command"}
            assert needs[on["condition"]] in services[name]
    (volume,) = server["volumes"]
    assert volume.partition(":")[0] in service.yaml("compose.yaml")["volumes"]


def test_the_containers_ask_for_variables_that_are_explained(service: Service) -> None:
    """Else compose stops and nobody knows what to set."""
    asked = {*re.findall(r"\$\{(\w+)", service.text("compose.yaml"))}
    explained = {*re.findall(r"^#?(\w+)=", service.text(".env.example"), re.MULTILINE)}
    assert asked == {"JWT_KEY"}
    assert asked <= explained


def test_the_workflow_runs_what_is_installed(service: Service) -> None:
    """Else its first run is red."""
    project = service.pyproject["project"]
    tools = {Requirement(one).name for one in project["optional-dependencies"]["dev"]}
    jobs = service.yaml(".github/workflows/ci.yml")["jobs"]
    programs = {
        shlex.split(step["run"], comments=True)[0]
        for job in jobs.values()
        for step in job["steps"]
        if "run" in step
    }
    assert programs - OF_THE_RUNNER == {"ruff", "mypy", "pytest"}
    assert programs - OF_THE_RUNNER <= tools
    assert len(jobs["image"]["env"]["JWT_KEY"]) >= 32


def test_the_workflow_and_the_image_have_one_python(service: Service) -> None:
    """Else the tests say nothing of what is deployed."""
    steps = service.yaml(".github/workflows/ci.yml")["jobs"]["test"]["steps"]
    (tested,) = (step["with"]["python-version"] for step in steps if "with" in step)
    (image,) = instructions(service, "FROM")
    assert image == f"python:{tested}-slim"
    assert SpecifierSet(service.pyproject["project"]["requires-python"]).contains(tested)


def test_the_workflow_uses_the_actions_of_this_repository(service: Service) -> None:
    """Else they grow old where nobody looks: an update of ours reminds of these."""
    theirs = actions(service.text(".github/workflows/ci.yml"))
    assert theirs
    assert theirs <= actions((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))


def actions(workflow: str) -> set[str]:
    return {
        step["uses"]
        for job in yaml.safe_load(workflow)["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    }
