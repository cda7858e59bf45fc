"""A shelf is a list whose items are in a file, and a tree keeps what its source says."""

import tempfile
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from faceplate.importers import shelf
from faceplate.importers.shelf import Shelf, ShelfFile
from faceplate.importers.trees import Tree


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "_FIRST_CHUNK_ITEMS", 3)
    monkeypatch.setattr(shelf, "_CHUNK_BYTES", 400)
    monkeypatch.setattr(shelf, "_CHUNKS_HELD", 2)


@pytest.mark.usefixtures("small_chunks")
def test_a_shelf_returns_its_items_in_every_way() -> None:
    """Else a message of a large chat would be lost, or stored twice."""
    items = [(number, "x" * (number % 50), ["\ud800"]) for number in range(500)]
    kept = Shelf(items)
    assert len(kept) == len(items)
    assert [*kept] == items == kept
    assert [kept[number] for number in range(500)] == items
    assert [*reversed(kept)] == items[::-1]
    assert kept[-1] == items[-1]
    assert kept[-500] == items[0]
    assert kept[100:300:7] == items[100:300:7]
    assert kept[400:] == items[400:]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("count", [0, 1, 20])
def test_no_item_is_before_the_first_one_or_behind_the_last_one(count: int) -> None:
    kept = Shelf(range(count))
    for index in (count, -count - 1):
        with pytest.raises(IndexError):
            kept[index]


@pytest.mark.usefixtures("small_chunks")
def test_a_shelf_can_be_read_while_it_grows() -> None:
    kept = Shelf(range(10))
    assert kept[2] == 2
    for number in range(10, 30):
        kept.append(number)
    assert [*kept] == [*range(30)]


def test_many_shelves_have_one_file_and_hold_few_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a file of some thousand sessions needs as many open files, or all of the memory."""
    file = ShelfFile()
    file.write(b"opens it")
    monkeypatch.delattr(tempfile, "TemporaryFile")
    shelves = [Shelf[Counted](file=file) for _ in range(300)]
    Counted.most = 0
    for number in range(10_000):
        file.put(shelves[number % len(shelves)], Counted(number))
    assert Counted.most < 1_000
    for start, kept in enumerate(shelves):
        assert [item.number for item in kept] == [*range(start, 10_000, len(shelves))]
        assert kept[-1].number == kept[len(kept) - 1].number


class Counted:
    """An item that counts how many of its kind are in memory."""

    alive: ClassVar = 0
    most: ClassVar = 0

    def __init__(self, number: int) -> None:
        self.number = number
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self) -> None:
        Counted.alive -= 1

    def __reduce__(self) -> tuple[Any, ...]:
        return Counted, (self.number,)


def tree(*nodes: tuple[str, str | None, bool, list[str]]) -> Tree:
    made = Tree()
    for name, parent, is_shown, children in nodes:
        made.add(name, parent, [is_shown], children)
    return made


def test_a_chain_ends_where_something_is_shown() -> None:
    arranged = tree(
        ("a", None, False, ["b"]), ("b", "a", True, ["c"]), ("c", "b", False, [])
    ).arrange("c")
    assert [*arranged.nodes] == [0, 1]
    assert [*arranged.parents] == [-1, 0]
    assert [*arranged.removed] == [2]
    assert arranged.visible == 1


def test_siblings_are_in_the_order_of_their_parent_and_its_only_child_comes_first() -> None:
    listed = tree(
        ("a", None, True, ["c", "b"]), ("b", "a", True, []), ("c", "a", True, [])
    ).arrange(None)
    assert [*listed.nodes] == [0, 2, 1]
    only = tree(("a", None, True, ["c"]), ("b", "a", True, []), ("c", "a", True, [])).arrange("b")
    assert [*only.nodes] == [0, 2, 1]
    assert only.visible == 2


def test_a_message_follows_a_parent_that_comes_later_and_the_last_part_of_it() -> None:
    made = Tree()
    made.add("b", "a", [True])
    made.add("a", None, [True, False, True], ["b"])
    arranged = made.arrange("a")
    assert [*arranged.nodes] == [1, 2, 3, 0]
    assert arranged.visible == 2


def test_broken_trees_have_each_node_once() -> None:
    """Else a damaged export would lose messages, or never end."""
    arranged = tree(
        ("a", "c", True, ["b"]),
        ("b", "a", True, ["c"]),
        ("c", "b", True, ["a"]),
        ("d", "nobody", True, []),
        ("e", None, True, ["d"]),
        ("f", "f", True, []),
    ).arrange("nobody")
    assert [*arranged.nodes] == [4, 3, 0, 1, 2, 5]
    assert [*arranged.parents] == [-1, 0, -1, 2, 3, -1]


def test_a_list_of_children_is_not_read_again_for_each_of_them() -> None:
    """Else a message with some ten thousand answers takes minutes."""
    reads = 0

    class Names(list[str]):
        def __iter__(self) -> Iterator[str]:
            nonlocal reads
            reads += 1
            return super().__iter__()

    names = Names(f"n{number}" for number in range(100))
    made = tree(("root", None, True, names), *[(name, "root", True, []) for name in names])
    assert len(made.arrange(None).nodes) == 101
    assert reads < 10
