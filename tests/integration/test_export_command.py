"""``faceplate export --format``, as a person or a script meets it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from tests.commands import Run, lines, write

from faceplate import User
from faceplate.exporters import FORMATS

PAGES = [key for key, form in FORMATS.items() if form.is_page]
FILES = [key for key in FORMATS if key not in PAGES]


def ids_of(faceplate: Run, user: User) -> list[str]:
    listed = lines(faceplate("conversations", "--user", user.email, "--json").stdout)
    return [line["conversation"]["id"] for line in listed]


@pytest.fixture
def trip_id(faceplate: Run, user: User, trip: Path) -> str:
    """The id of a conversation of four messages."""
    assert faceplate("import", trip, "--user", user.email).returncode == 0
    [id_] = ids_of(faceplate, user)
    return id_


@pytest.mark.parametrize("key", FILES)
def test_a_file_is_reported_and_comes_back(  # noqa: PLR0917 - fixtures
    faceplate: Run, user: User, other_user: User, trip_id: str, tmp_path: Path, key: str
) -> None:
    path = tmp_path / {"openai": "mine.jsonl", "chatgpt": "mine.json"}[key]
    result = faceplate("export", "--user", user.email, "--format", key, "--output", path)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == f"1 conversation with 4 messages written to {path}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert faceplate("import", path, "--user", other_user.email).returncode == 0
    [other_id] = ids_of(faceplate, other_user)
    shown = [
        re.sub("20[0-9-]+ [0-9:]+", "", faceplate("show", id_, "--user", who.email).stdout)
        for who, id_ in ((user, trip_id), (other_user, other_id))
    ]
    assert shown[0].splitlines()[3:] == shown[1].splitlines()[3:]


@pytest.mark.parametrize("key", FORMATS)
def test_stdout_gets_the_format_and_nothing_else(
    faceplate: Run, user: User, trip_id: str, key: str
) -> None:
    result = faceplate(
        "export", "--user", user.id, "--format", key, "--conversation", trip_id, "--json"
    )
    assert (result.returncode, result.stderr) == (0, "")
    begin, end = {
        "openai": ('{"id":', "}\n"),
        "chatgpt": ("[\n{", "\n]\n"),
        "markdown": ("# To Vienna\n", "\\<b>daily\\</b>\n"),
        "html": ("<!doctype html>", "</html>\n"),
    }[key]
    assert result.stdout.startswith(begin)
    assert result.stdout.endswith(end)


def test_one_conversation_is_written_and_the_others_are_not(
    faceplate: Run, user: User, trip_id: str, tmp_path: Path
) -> None:
    other = {"id": "o", "title": "Other", "messages": [{"role": "user", "content": "Hi"}]}
    faceplate("import", write(tmp_path / "o.jsonl", other), "--user", user.email)
    arguments = ("export", "--user", user.email, "--format", "openai")
    every = lines(faceplate(*arguments).stdout)
    assert sorted(chat["title"] for chat in every) == ["Other", "To Vienna"]
    [one] = lines(faceplate(*arguments, "--conversation", trip_id).stdout)
    assert one["title"] == "To Vienna"


def test_a_script_gets_numbers(faceplate: Run, user: User, trip_id: str, tmp_path: Path) -> None:
    path = tmp_path / "trip.html"
    result = faceplate(
        *("export", "--user", user.email, "--format", "html", "--conversation", trip_id),
        *("--output", path, "--json"),
    )
    assert (result.returncode, result.stderr) == (0, "")
    [line] = lines(result.stdout)
    assert line == {"exported": {"conversations": 1, "messages": 4, "incomplete": 0}}


def test_what_the_format_has_no_place_for_is_said(
    faceplate: Run, user: User, tmp_path: Path
) -> None:
    """Else who keeps that file alone believes that it has everything."""
    said = {
        "mapping": {"a": {"message": {"author": {"role": "user"}, "content": {"parts": ["Hi"]}}}}
    }
    faceplate("import", write(tmp_path / "c.json", said), "--user", user.email)
    archive = faceplate("export", "--user", user.email).stdout
    changed = archive.replace('"body":null,"status"', '"body":"[1]","status"')
    path = tmp_path / "archive.jsonl"
    path.write_text(changed.replace(ids_of(faceplate, user)[0], str(uuid4())), encoding="utf-8")
    assert faceplate("import", path, "--user", user.email).returncode == 0
    result = faceplate("export", "--user", user.email, "--format", "openai")
    assert result.returncode == 0
    assert result.stderr.startswith("1 message had more than the format has a place for")


@pytest.mark.parametrize("key", FORMATS)
def test_another_users_conversation_is_not_found(  # noqa: PLR0917 - fixtures
    faceplate: Run, user: User, other_user: User, trip_id: str, tmp_path: Path, key: str
) -> None:
    path = tmp_path / "theirs"
    for who, id_ in ((other_user, trip_id), (user, str(uuid4()))):
        arguments = ("export", "--user", who.email, "--format", key, "--conversation", id_)
        assert faceplate(*arguments) == (1, "", "error: conversation not found\n")
        assert faceplate(*arguments, "--output", path)[:2] == (1, "")
        assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "docx"], "--format must be one of openai, chatgpt, markdown, html"),
        (["--format", "html"], "--format html needs --conversation ID"),
        (["--format", "markdown"], "--format markdown needs --conversation ID"),
        (["--conversation", str(uuid4())], "--conversation needs --format"),
        (["--format", "html", "--conversation", "x"], "Invalid value for '--conversation'"),
    ],
)
def test_wrong_options_are_named_and_nothing_is_written(
    faceplate: Run, user: User, tmp_path: Path, arguments: list[str], says: str
) -> None:
    path = tmp_path / "new"
    result = faceplate("export", "--user", user.email, "--output", path, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert says in result.stderr
    assert not path.exists()


def test_a_file_is_replaced_as_an_archive_is(
    faceplate: Run, on_terminal: Callable[..., str], user: User, trip_id: str, tmp_path: Path
) -> None:
    """Else a page takes the place of something else, or a script cannot renew it."""
    path = tmp_path / "trip.md"
    path.write_text("mine", encoding="utf-8")
    arguments = (
        *("export", "--user", user.email, "--format", "markdown", "--conversation", trip_id),
        *("--output", path),
    )
    refused = faceplate(*arguments)
    assert (refused.returncode, path.read_text(encoding="utf-8")) == (2, "mine")
    assert "--force" in refused.stderr
    assert "Nothing was changed." in on_terminal(*arguments, typed="\n")
    assert path.read_text(encoding="utf-8") == "mine"
    assert faceplate(*arguments, "--force").returncode == 0
    assert path.read_text(encoding="utf-8").startswith("# To Vienna\n")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["trip.jsonl", "trip.md"]


def test_chats_of_every_format_go_on_to_the_others(
    faceplate: Run, user: User, other_user: User, trip_id: str, tmp_path: Path
) -> None:
    """Else a chat that has come from one program cannot go to the next one."""
    first, second = tmp_path / "a.json", tmp_path / "b.jsonl"
    faceplate("export", "--user", user.email, "--format", "chatgpt", "--output", first)
    faceplate("import", first, "--user", other_user.email)
    faceplate("export", "--user", other_user.email, "--format", "openai", "--output", second)
    [chat] = [json.loads(line) for line in second.read_text(encoding="utf-8").splitlines()]
    assert chat["id"] != trip_id
    assert [each["role"] for each in chat["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert chat["messages"][2]["tool_call_id"] == chat["messages"][1]["tool_calls"][0]["id"]
