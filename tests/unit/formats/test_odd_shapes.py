"""Which format fits is asked of every value of a file: no odd one may end the import."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.campaigns import Campaign
from tests.chat_files import read_all, write
from tests.formats import examples

from faceplate.importers import FORMATS
from faceplate.importers.files.decoding import JSON

ODD: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1.5, float("nan"), "", "x", "user", "{", "[1]", "message", "\ud800"),
    *([], {}, [[]], [{}], [None], ["x"], [0], {"": {}}, {"type": {}}, {"id": []}, {"text": None}),
    *({"type": "message"}, {"role": "user"}, {"role": []}, {"parts": {}}, {"content": [None]}),
)
EXAMPLES: Final = examples()


def objects(value: object) -> Iterator[dict[str, Any]]:
    """Yield the objects in a value, and itself."""
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from objects(each)


ALL: Final = [each for value in EXAMPLES.values() for each in objects(value)]
LISTS: Final = sorted({key for each in ALL for key, field in each.items() if type(field) is list})


def copied(value: Any) -> Any:
    return JSON.decode(json.dumps(value))


def mixed(value: Any, chance: random.Random) -> Any:
    """Return an object with a list of this value and of what other formats have."""
    listed = [value, *chance.choices([*ALL, *filter(bool, ODD)], k=2)]
    chance.shuffle(listed)
    return {chance.choice(["messages", chance.choice(LISTS)]): listed}


def distort(value: Any, chance: random.Random) -> None:
    """Remove a field of an object in a value, or put something odd into its place."""
    holder = chance.choice([each for each in objects(value) if each] or [{"": None}])
    key = chance.choice([*holder])
    if chance.random() < 0.3:
        del holder[key]
    else:
        holder[key] = copied(chance.choice([*ODD, chance.choice(ALL), chance.choices(ALL, k=2)]))


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_odd_shape_is_an_error_of_a_format(name: str, campaign: Campaign) -> None:
    own = [*objects(EXAMPLES[name])]
    for seed in range(campaign.size(200, 5_000)):
        chance = random.Random(f"{name} {seed}")
        value = chance.choice(own)
        value = copied(mixed(value, chance) if chance.random() < 0.5 else value)
        for _ in range(chance.randint(0, 3)):
            distort(value, chance)
        for key, format_ in FORMATS.items():
            features, joined = format_.fits(value), format_.joins(value)
            assert isinstance(features, int), f"{key}, seed {seed}"
            assert joined is None or isinstance(joined, str), f"{key}, seed {seed}"


def test_a_line_of_another_format_costs_nobody_a_file(tmp_path: Path) -> None:
    said = {"convId": "c", "role": "user", "parent": "r", "type": "text", "content": "hi"}
    part = {"type": "text", "text": "Rain."}
    other = {"type": "message", "role": "assistant", "content": [part]}
    chats, refusals = read_all(write(tmp_path / "x.json", {"messages": [said, other]}))
    contents = [message.content for chat in chats for message in chat.messages]
    assert contents == ["hi", "Rain."] or refusals


def test_an_odd_message_far_into_a_large_chat_costs_no_other(tmp_path: Path) -> None:
    """The format of a large chat is told by its begin: only its reader comes upon the odd one."""
    said = [{"role": ("user", "assistant")[n % 2], "content": f"{n} " * 2_000} for n in range(400)]
    value = {"id": "chat-of-many-words", "messages": [*said[:300], None, "lost?", *said[300:]]}
    [chat], refusals = read_all(write(tmp_path / "chats.json", value))
    assert [message.content for message in chat.messages] == [each["content"] for each in said]
    reason = "imported, but unread_message_302 was not understood, with 5 characters of text"
    assert [refusal.reason for refusal in refusals] == [reason]


def test_messages_that_follow_an_odd_one_are_not_parted_from_those_before(tmp_path: Path) -> None:
    """Without it the rest of the thread would look like another branch: so the chat is refused."""
    chain = [
        {"id": f"m{n}", "parentId": f"m{n - 1}" if n else None, "role": "user", "content": f"{n}"}
        for n in range(5)
    ]
    del chain[2]["role"]
    chats, [refusal] = read_all(write(tmp_path / "chats.json", {"messages": chain}))
    assert chats == []
    assert refusal.reason.startswith("of no format")
