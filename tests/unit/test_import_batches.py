"""The reading of files in a thread: in order, without blocking, and ended when it is cancelled."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from faceplate.importers import preview_file
from faceplate.importers.batches import Batch, read_batches

WORDS = "word " * 1_000


def write(path: Path, chats: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in chats), encoding="utf-8")
    return path


def chat(number: int, *contents: str) -> dict[str, Any]:
    return {
        "id": str(number),
        "messages": [{"role": "user", "content": content} for content in contents],
    }


async def read(path: Path) -> list[Batch]:
    return [batch async for batch in read_batches(path, None, None)]


async def test_refusals_come_after_the_chats_before_them(tmp_path: Path) -> None:
    """Else a report names places in an order that the file does not have."""
    path = write(tmp_path / "a.jsonl", [{}, chat(1), chat(2), {}, {}, chat(3), chat(3), {}])
    assert [
        ([each.key for each in batch.chats], [each.place.number for each in batch.refusals])
        for batch in await read(path)
    ] == [([], [1]), (["1", "2"], [4, 5]), (["3"], []), (["3"], [8])]


async def test_a_batch_has_so_much(tmp_path: Path) -> None:
    """Else the importer holds a whole file in memory."""
    path = write(tmp_path / "a.jsonl", [chat(number, WORDS * 50) for number in range(10)])
    assert [len(batch.chats) for batch in await read(path)] == [4, 4, 2]
    path = write(tmp_path / "b.jsonl", [{}] * 2_500)
    assert [len(batch.refusals) for batch in await read(path)] == [1_000, 1_000, 500]
    path = write(tmp_path / "c.jsonl", [chat(number) for number in range(1_500)])
    assert [len(batch.chats) for batch in await read(path)] == [1_000, 500]


async def test_one_long_chat_leaves_the_event_loop_to_others(tmp_path: Path) -> None:
    """Else every reply of a server waits while one user imports a file."""
    path = write(tmp_path / "a.jsonl", [chat(1, *[WORDS] * 1_000)])
    progress: list[int] = []
    reading = asyncio.create_task(preview_file(path, on_progress=progress.append))
    rounds = 0
    while not reading.done():
        await asyncio.sleep(0)
        rounds += 1
    assert reading.result().messages == 1_000
    assert progress[-1] == path.stat().st_size
    assert rounds > 20


async def test_a_cancelled_import_has_closed_its_file(tmp_path: Path) -> None:
    """Else the file of an upload that was stopped is read on, and cannot be removed everywhere."""
    path = write(tmp_path / "a.jsonl", [chat(1, *[WORDS] * 1_000)])
    batches = read_batches(path, None, None)
    reading = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    for _ in range(3):  # as often as somebody presses Ctrl-C
        reading.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await reading
    with pytest.raises(StopAsyncIteration):
        await anext(batches)


async def test_an_error_of_the_disk_is_raised(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await read(tmp_path / "missing.json")
