"""The last look at a chat finds each line of its source, also where a long content was cut."""

import pytest

from faceplate.importers import FORMATS, lost
from faceplate.importers.chats import Chat, Place
from faceplate.services.messages import NewMessage

TEXT = "".join(f"the rain of day {number}\n" for number in range(1_000))
FORMAT = FORMATS["openai"]


def cut(text: str, max_chars: int) -> Chat:
    """Return a chat of one content in pieces."""
    pieces = [text[at : at + max_chars] for at in range(0, len(text), max_chars)]
    first, *others = (NewMessage("user", piece) for piece in pieces)
    more = [each._replace(metadata={"piece": n}) for n, each in enumerate(others, start=2)]
    return Chat(Place("chat", 1), "openai", "a", "A", [first, *more], {})


@pytest.mark.parametrize("max_chars", [1, 7, 500, 30_000])
@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", " ")])
def test_a_line_that_was_cut_is_not_lost(text: str, max_chars: int) -> None:
    value = {"messages": [{"role": "user", "content": text}]}
    assert lost.count_lost(value, [cut(text, max_chars)], FORMAT) == 0


def test_a_line_that_is_nowhere_is_lost() -> None:
    value = {"messages": [{"role": "user", "content": f"{TEXT}hail"}]}
    assert lost.count_lost(value, [cut(TEXT, 500)], FORMAT) == len("hail")


def test_pieces_are_not_read_again_for_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a content of 60 MB takes a minute."""
    lines, chars = lost._lines, 0

    def count(text: str) -> object:
        nonlocal chars
        chars += len(text)
        return lines(text)

    monkeypatch.setattr(lost, "_lines", count)
    value = {"messages": [{"role": "user", "content": TEXT}]}
    assert lost.count_lost(value, [cut(TEXT, 500)], FORMAT) == 0
    assert chars < 4 * len(TEXT)  # of the source once, and at most twice of what is stored
