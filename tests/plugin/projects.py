"""Projects that use the plugin, and their test runs, each in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType

# pytest-asyncio warns where its option is not set, and pytest where a plugin does not know one.
CONFIGURATION = """[pytest]
filterwarnings =
    error
    ignore::pytest.PytestDeprecationWarning
"""
# Plugins that are installed for this suite alone.
LEFT_OUT = [
    f"-pno:{name}"
    for name in ("cacheprovider", "pytest_alembic", "schemathesis", "faker", "pytest_cov")
]
EMPTY: Mapping[str, str] = MappingProxyType({})


def write(directory: Path, **files: str) -> Path:
    """Write files, ``conftest`` for conftest.py, and an empty configuration of pytest."""
    directory.mkdir(exist_ok=True)
    (directory / "pytest.ini").write_text(CONFIGURATION)
    for name, text in files.items():
        path = directory / (name if "." in name else f"{name}.py")
        path.write_text(dedent(text))
    return directory


def run(
    directory: Path, *arguments: str, variables: Mapping[str, str] = EMPTY
) -> tuple[dict[str, int], str]:
    """Return how many tests had which outcome, and the output."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *LEFT_OUT, *arguments],
        cwd=directory,
        env=os.environ | {**variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    *_, last = ["", *done.stdout.rstrip().splitlines()]
    return {kind: int(count) for count, kind in re.findall(r"(\d+) ([a-z]+)", last)}, done.stdout
