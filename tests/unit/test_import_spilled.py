"""Large values in a temporary file: to a reader they are the values that they stand for."""

import copy
import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.chat_files import read_all

from faceplate.importers import Chat, read_chats, recognition
from faceplate.importers.files import Value, parser, read_values, text
from faceplate.importers.files.spilled import Place, Spill, SpilledDict, SpilledList

PLAIN: dict[str, Any] = {
    "title": "Pears",
    "nodes": {f"n{number}": {"said": "x" * number, "half": "\ud800"} for number in range(300)},
    "list": [*range(2_000), {"deep": [1] * 500}, *[["y" * 200]] * 300],
    "none": None,
}


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same value, read from a file, where 1,000 characters are large."""
    monkeypatch.setattr(text, "BLOCK_BYTES", 100)
    monkeypatch.setattr(parser, "LARGE_CHARS", 1_000)
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([PLAIN]))
    [item] = read_values(path)
    assert isinstance(item, Value)
    return item.value


def test_large_values_are_what_is_in_the_file(large: Any) -> None:
    assert isinstance(large, SpilledDict)
    assert isinstance(large["nodes"], SpilledDict)
    assert isinstance(large["list"], SpilledList)
    assert large == PLAIN
    assert large == PLAIN
    assert large != {**PLAIN, "none": 0}
    assert json.loads(json.dumps(large)) == PLAIN
    for same in (pickle.loads(pickle.dumps(large)), copy.deepcopy(large)):
        assert type(same) is dict
        assert same == PLAIN


def test_a_dictionary_gives_its_members_in_every_way(large: Any) -> None:
    """Else a reader would store places in a file in the place of messages."""
    nodes, plain = large["nodes"], PLAIN["nodes"]
    for same in (dict(nodes), {**nodes}, nodes.copy(), nodes | {}, {} | nodes, dict(nodes.items())):
        assert type(same) is dict
        assert same == plain
    assert [*nodes] == [*nodes.keys()] == [*plain]
    assert [*nodes.values()] == [*plain.values()]
    assert nodes.get("n7") == nodes["n7"] == plain["n7"]
    assert nodes.get("nobody", 1) == nodes.pop("nobody", 1) == 1
    assert nodes.pop("n8") == plain["n8"]
    assert "n8" not in nodes
    with pytest.raises(KeyError):
        nodes.pop("n8")
    nodes["n8"] = "new"
    assert len(nodes) == 300
    assert nodes["n8"] == "new"


def test_a_list_gives_its_elements_in_every_way(large: Any) -> None:
    elements, plain = large["list"], PLAIN["list"]
    assert list(elements) == [*elements] == elements.copy() == elements[:] == plain
    assert elements + [1] == [*plain, 1]  # noqa: RUF005 - it is what is tested
    assert [elements[index] for index in range(-len(plain), len(plain))] == plain * 2
    assert elements[5:-5:7] == plain[5:-5:7]
    assert [*reversed(elements)] == plain[::-1]
    assert len(elements) == len(plain)
    assert bool(elements)
    assert elements.index(7) == 7
    assert elements.count(7) == 1
    assert (7 in elements, "7" in elements) == (True, False)
    assert [*enumerate(elements)] == [*enumerate(plain)]
    with pytest.raises(IndexError):
        elements[len(plain)]
    for change in (elements.sort, elements.pop, elements.clear):
        with pytest.raises(TypeError):
            change()


@pytest.mark.parametrize("name", ["chats.json", "chats.jsonl", "one.json"])
@pytest.mark.parametrize("form", ["tree", "list"])
def test_memory_holds_a_message_and_not_the_chat(tmp_path: Path, name: str, form: str) -> None:
    """Else one chat of a year in a file takes the memory of the process."""
    said = {"role": "user", "content": "x" * 1_000}
    messages = [said] * 10_000
    chat = {
        "id": "a",
        "messages": messages if form == "list" else {str(n): said for n in range(10_000)},
    }
    path = tmp_path / name
    path.write_text(json.dumps([chat] if name == "chats.json" else chat))
    size = path.stat().st_size
    del messages
    tracemalloc.start()
    try:
        [item] = read_values(path)
        assert isinstance(item, Value)
        found = item.value["messages"]
        count = sum(len(each) for each in (found if form == "list" else found.values()))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak_bytes < 8 * parser.LARGE_CHARS < size


def test_memory_holds_few_messages_of_chats_that_are_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a table of some thousand chats, oldest row first, takes the memory of the process."""
    monkeypatch.setattr(recognition, "_MAX_WAITING_CHARS", 40_000)
    path = tmp_path / "rows.jsonl"
    said = {"role": "user", "content": "x" * 500}
    with path.open("w") as file:
        for number in range(6_000):
            file.write(json.dumps({**said, "conversation_id": f"c-{number % 200}"}) + "\n")
    tracemalloc.start()
    try:
        count = sum(1 for item in read_chats(path) if isinstance(item, Chat))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 200
    assert peak_bytes < path.stat().st_size / 2


def test_code_that_would_read_places_fails(large: Any) -> None:
    """Else an empty list would be stored in silence."""
    for value in (large, large["list"]):
        with pytest.raises(TypeError):
            orjson.dumps(value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_large_field_may_have_a_number_that_json_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    """Python writes such numbers; what is left out of the metadata says so, and the chat stays."""
    monkeypatch.setattr(parser, "LARGE_CHARS", 1_000)
    monkeypatch.setattr(text, "BLOCK_BYTES", 100)
    path = tmp_path / "chat.json"
    scores = f"[{', '.join([number, *['0.5'] * 1_000])}]"
    messages = json.dumps([{"role": "user", "content": "Hi"}])
    path.write_text(f'{{"messages": {messages}, "scores": {scores}}}')
    [chat], [refusal] = read_all(path)
    assert [message.content for message in chat.messages] == ["Hi"]
    [left_out] = chat.metadata["left_out"]
    assert left_out["at"] == "source.scores"
    assert "characters of metadata left out" in refusal.reason


def test_an_object_of_many_chats_is_not_read_again_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a file of some thousand chats, which have names and no list, takes minutes."""
    monkeypatch.setattr(parser, "LARGE_CHARS", 1_000)
    monkeypatch.setattr(text, "BLOCK_BYTES", 100)
    read, reads = Spill.read, 0

    def count(spill: Spill, place: Place) -> Any:
        nonlocal reads
        reads += 1
        return read(spill, place)

    monkeypatch.setattr(Spill, "read", count)
    counts = []
    for number in (20, 40):
        said = [{"role": "user", "content": "x" * 500}, {"role": "assistant", "content": "y"}]
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps({f"chat {n}": said for n in range(number)}))
        reads = 0
        chats, refusals = read_all(path)
        assert ([chat.title for chat in chats], refusals) == (
            [f"chat {n}" for n in range(number)],
            [],
        )
        counts.append(reads)
    assert 0 < counts[1] <= 2 * counts[0]
