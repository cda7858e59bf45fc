"""Virtual environments outside of the checkout."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType

Variables = Mapping[str, str]
EMPTY: Variables = MappingProxyType({})


class Environment:
    """A virtual environment, used from an empty directory."""

    def __init__(self, directory: Path, *packages: str) -> None:
        self.directory = directory / "empty"
        self.directory.mkdir()
        self.bin = directory / "venv" / "bin"
        self.variables = EMPTY
        venv = [sys.executable, "-m", "venv", "--without-pip", str(directory / "venv")]
        subprocess.run(venv, check=True, timeout=300)
        self.install(*packages)

    def install(self, *packages: str) -> None:
        python = str(self.bin / "python")
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-input"]
        done = subprocess.run(
            [*pip, *packages],
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def environment(self, variables: Variables = EMPTY) -> dict[str, str]:
        programs = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": programs} | {**self.variables} | {**variables}

    def __call__(
        self, *command: str, stdin: str = "", code: int = 0, variables: Variables = EMPTY
    ) -> str:
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.directory,
            env=self.environment(variables),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    @contextmanager
    def running(self, *command: str, variables: Variables = EMPTY) -> Iterator[None]:
        """Run a program beside the block, then stop it by SIGTERM; it has to end well."""
        with TemporaryFile("w+") as output:
            process = subprocess.Popen(
                [self.bin / command[0], *command[1:]],
                cwd=self.directory,
                env=self.environment(variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                code = process.wait(60)
                output.seek(0)
                said = output.read()
                print(said)  # noqa: T201 - pytest shows it where the block fails
            assert code in {0, -signal.SIGTERM}, said
