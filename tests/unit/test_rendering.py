"""What the commands print of a conversation."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faceplate.cli.output import command_name
from faceplate.cli.rendering import format_time
from faceplate.column_types import Timestamp


@pytest.fixture(params=["UTC", "America/Los_Angeles", "Pacific/Kiritimati"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the time zone of the process."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_zone")
def test_any_time_that_is_stored_is_printed() -> None:
    """Else a single chat with a wrong date hides the list of all."""
    assert format_time(Timestamp.EARLIEST)
    assert format_time(Timestamp.LATEST)


def test_a_command_is_shown_as_a_shell_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next step fails in a folder with a space in its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(tmp_path / "my chats" / "bin" / "faceplate")])
    assert command_name() == "'my chats/bin/faceplate'"
