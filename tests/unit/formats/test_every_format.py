"""What holds for every format: nothing of a file is lost in silence, whatever was done to it."""

import contextlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from tests.campaigns import Campaign
from tests.chat_files import read_all, write
from tests.formats import examples

from faceplate.importers import FORMATS, Chat, recognise
from faceplate.importers.chats import derive_title

EXAMPLES: Final = examples()
PAGE: Final = Path(__file__).parents[3] / "docs" / "importing" / "formats.md"
WORD: Final = re.compile(r"[^\W_]{3,}")
TEXTS: Final = {"text", "content", "parts", "value", "say", "message", "body", "output"}


def words(value: object, *, is_text: bool = False) -> Iterator[str]:
    """Yield the words of a value that stand under the key of a text."""
    if isinstance(value, str) and is_text:
        for format_ in FORMATS.values():
            value = "\n".join(format_.unmark(value))
        with contextlib.suppress(ValueError):
            value = json.loads(value)
        yield from (
            words(value, is_text=True) if isinstance(value, dict) else WORD.findall(str(value))
        )
    elif isinstance(value, list):
        for item in value:
            yield from words(item, is_text=is_text)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from words(item, is_text=key in TEXTS)


def stored(value: object) -> Iterator[str]:
    """Yield the words of all that a chat has, also in the JSON in it."""
    if isinstance(value, str):
        yield from WORD.findall(value)
        if value.startswith(("{", "[")):
            with contextlib.suppress(ValueError):
                yield from stored(json.loads(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from stored(key)
            yield from stored(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from stored(item)


def missing(path: Path, value: object) -> set[str]:
    """Return the words of a file that are in no chat, if no report says what was not read."""
    chats, refusals = read_all(path)
    kept = [(chat.title, chat.metadata, chat.messages) for chat in chats]
    return set() if refusals else set(words(value)) - set(stored(kept))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_recognised_and_read_without_a_report(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "chats.json", EXAMPLES[name])
    assert recognise(path) in FORMATS
    chats, refusals = read_all(path)
    assert (chats != [], refusals) == (True, [])
    assert missing(path, EXAMPLES[name]) == set()


def test_every_format_has_an_example(tmp_path: Path) -> None:
    read = {recognise(write(tmp_path / "chats.json", value)) for value in EXAMPLES.values()}
    assert read == {*FORMATS}


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_word_is_lost_in_silence(tmp_path: Path, name: str, campaign: Campaign) -> None:
    """A format gains fields and loses others with each version of the program that writes it."""
    for seed in range(campaign.size(40, 1_000)):
        chance = random.Random(seed)
        value = changed(json.loads(json.dumps(EXAMPLES[name])), chance)
        lost = missing(write(tmp_path / "chats.json", value), value)
        assert not lost, f"seed {seed}: {sorted(lost)}"


def changed(value: Any, chance: random.Random) -> Any:
    """Return a value of which a few places were changed, as another version may have them."""
    for _ in range(chance.randint(1, 4)):
        container, key = chance.choice(list(places(value)))
        change = chance.choice((remove, repeat, empty, wrap, rename, replace, surround))
        change(container, key, chance)
    return value


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container of a value with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def remove(container: Any, key: Any, _: random.Random) -> None:
    if len(container) > 1:
        del container[key]


def repeat(container: Any, key: Any, _: random.Random) -> None:
    if isinstance(container, list):
        container.insert(key, json.loads(json.dumps(container[key])))


def empty(container: Any, key: Any, chance: random.Random) -> None:
    container[key] = chance.choice([None, "", [], {}, 0])


def wrap(container: Any, key: Any, chance: random.Random) -> None:
    container[key] = [container[key]] if chance.random() < 0.5 else {"inner": container[key]}


def rename(container: Any, key: Any, _: random.Random) -> None:
    if isinstance(container, dict):
        container[f"{key}2"] = container.pop(key)


def replace(container: Any, key: Any, chance: random.Random) -> None:
    """Put text into a place, of a word that stands nowhere else."""
    if isinstance(container[key], str):
        container[key] = f"new{chance.randint(10**6, 10**7)}"


def surround(container: Any, key: Any, chance: random.Random) -> None:
    """Add a part that nobody knows, or a field."""
    text = f"new{chance.randint(10**6, 10**7)}"
    if isinstance(container, list):
        is_of_texts = isinstance(container[key], str)
        container.insert(key, text if is_of_texts else {"type": "hologram", "text": text})
    else:
        container["novelty"] = {"text": text}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_chat_with_a_time_has_one_for_each_message(
    tmp_path: Path, name: str, campaign: Campaign
) -> None:
    """A message with the time of the import puts an old chat on top of the list."""
    for seed in range(campaign.size(15, 300)):
        value = json.loads(json.dumps(EXAMPLES[name]))
        value = changed(value, random.Random(seed)) if seed else value
        chats, _ = read_all(write(tmp_path / "chats.json", value))
        for chat in chats:
            times = [message.created_at for message in chat.messages]
            if any(times) or chat.created_at or chat.updated_at:
                assert None not in times, f"seed {seed}"


MESSAGES: Final = {"messages", "history", "requests", "input", "output", "data", "responses"}
ODD: Final = (
    {"type": "hologram", "text": "novelty"},
    {"role": None, "say": "novelty"},
    "novelty",
    None,
)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_message_that_is_none_costs_no_other(tmp_path: Path, name: str, odd: object) -> None:
    """Else a chat of years is refused for a line that a newer version has written."""
    said = shown(write(tmp_path / "chats.json", EXAMPLES[name]))
    value = json.loads(json.dumps(EXAMPLES[name]))
    for container, key in list(places(value)):
        listed = container[key]
        if key in MESSAGES and isinstance(listed, list) and are_messages(listed):
            listed.insert(len(listed) // 2, odd)
            path = write(tmp_path / "chats.json", value)
            _, refusals = read_all(path)
            assert said - shown(path) == set()
            assert refusals or odd is None or "novelty" in shown(path)
            listed.remove(odd)


def are_messages(listed: list[Any]) -> bool:
    """Return whether a list has so many objects that one is not half of them."""
    return len(listed) >= 3 and all(isinstance(each, dict) for each in listed)


def shown(path: Path) -> set[str]:
    """Return the words that a reader of the chats sees."""
    chats, _ = read_all(path)
    messages = [message for chat in chats for message in chat.messages]
    return set(stored([(message.content, message.tool_calls) for message in messages]))


FEATURES: Final = ("titles", "tools", "branches", "times", "models", "tokens", "files", "reasoning")


def features(chat: Chat) -> set[str]:
    """Return what a chat has that not every format can have."""
    messages = chat.messages
    have = {
        "titles": chat.title != derive_title(messages),
        "tools": any(message.tool_results for message in messages),
        "branches": chat.parents is not None,
        "times": len({message.created_at for message in messages}) > 1,
        "models": any(message.model for message in messages),
        "tokens": any(message.output_tokens for message in messages),
        "files": any(message.body for message in messages),
        "reasoning": "reasoning" in chat.asides,
    }
    return {name for name, is_there in have.items() if is_there}


def test_the_page_says_what_is_read_of_each_format(tmp_path: Path) -> None:
    """The examples have all that the page promises, and the page says all that they have."""
    read: dict[str, set[str]] = {key: set() for key in FORMATS}
    for value in EXAMPLES.values():
        chats, _ = read_all(write(tmp_path / "chats.json", value))
        for chat in chats:
            read[chat.source] |= features(chat)
    rows = (
        line.strip("|").split("|")
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
        and not line.startswith("| `--")
        and line.count("|") == len(FEATURES) + 2
    )
    promised = {
        key.strip(" `"): {n for n, cell in zip(FEATURES, cells, strict=True) if cell.strip()}
        for key, *cells in rows
    }
    assert promised == read
