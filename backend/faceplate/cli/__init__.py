"""The ``faceplate`` command. Its modules need the ``cli`` extra: typer and rich."""

import sys


def main() -> None:
    """Run the command line and exit with the command's exit code."""
    try:
        from faceplate.cli.app import run  # noqa: PLC0415 - the extra may be missing

        code = run()
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "rich"}:
            raise
        sys.exit("the faceplate command is not installed: pip install 'faceplate[cli]'")
    except KeyboardInterrupt:  # outside of a command
        sys.exit(130)
    sys.exit(code)
