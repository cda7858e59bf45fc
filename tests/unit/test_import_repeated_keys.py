"""Objects with one key twice: the last value counts, and the others are not lost in silence."""

from pathlib import Path

import pytest
from tests.chat_files import read_all

from faceplate.importers.files import parser


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"messages": [{"role": "user", "content": "Lost.", "content": "Hi"}]}', "content"),
        ('{"messages": [{"role": "user", "content": "Hi"}], "role": "Lost.", "role": ""}', "role"),
        (
            '{"messages": [{"value": "Lost."}], "messages": [{"role": "user", "content": "Hi"}]}',
            "messages",
        ),
    ],
)
def test_a_value_whose_key_comes_again_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, field: str, *, is_large: bool
) -> None:
    """A parser keeps the last value of a key and drops the others, whatever they say."""
    if is_large:
        monkeypatch.setattr(parser, "LARGE_CHARS", 20)
    path = tmp_path / "chats.json"
    path.write_text(text, encoding="utf-8")
    [chat], [refusal] = read_all(path)
    assert [message.content for message in chat.messages] == ["Hi"]
    assert field in refusal.reason
    assert "was not understood" in refusal.reason
    kept = [chat.metadata, *(message.metadata for message in chat.messages)]
    assert "Lost." in str(kept)


@pytest.mark.parametrize("is_large", [False, True])
def test_the_same_value_twice_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_large: bool
) -> None:
    if is_large:
        monkeypatch.setattr(parser, "LARGE_CHARS", 20)
    path = tmp_path / "chats.json"
    path.write_text(
        '{"id": "", "id": "c", "messages": [{"role": "user", "content": "Hi", "content": "Hi"}]}',
        encoding="utf-8",
    )
    [chat], refusals = read_all(path)
    assert (chat.key, refusals) == ("c", [])
