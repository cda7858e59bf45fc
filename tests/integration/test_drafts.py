"""Drafts: however a streamed reply ends, what the user has seen of it is kept, and says how."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from faceplate import (
    Conflict,
    Conversation,
    Database,
    InvalidInput,
    Message,
    NotFound,
    Settings,
    UsageError,
    User,
    drafts,
)
from faceplate.drafts import Draft, _draft
from faceplate.errors import was_committed
from faceplate.services import conversations, messages, users

DEADLINE_S = 30.0
STREAM = """
import asyncio, sys, uuid
from faceplate import Database, drafts

async def main(user_id, conversation_id):
    async with Database() as db:
        async with drafts.open(db, user_id, conversation_id, save_every_s=0.01) as draft:
            await draft.write("half of")
            while not draft.message.content:
                await asyncio.sleep(0.01)
            await draft.write(" the reply")
            print("saved", flush=True)
            await asyncio.Event().wait()

asyncio.run(main(*map(uuid.UUID, sys.argv[1:])))
"""


@pytest.fixture
async def conversation(db: Database, user: User) -> Conversation:
    return await db.run(user.id, conversations.create)


class Chat:
    """A conversation in which replies are streamed."""

    def __init__(self, db: Database, user: User, conversation: Conversation) -> None:
        self.db, self.user, self.id = db, user, conversation.id
        self.half_way = asyncio.Event()

    def draft(self, **options: Any) -> Draft:
        return drafts.open(self.db, self.user.id, self.id, **options)

    async def reply(self) -> AsyncGenerator[str, None]:
        """Stream half of a reply, as a web handler does, and then never another word."""
        async with self.draft() as draft:
            for chunk in ("half ", "of"):
                await draft.write(chunk)
                yield chunk
            self.half_way.set()
            await asyncio.Event().wait()

    async def reply_for_ever(self) -> AsyncGenerator[str, None]:
        while True:
            yield "word "
            await asyncio.sleep(0)

    async def read(self) -> None:
        async for _ in self.reply():
            pass

    async def history(self) -> list[Message]:
        return await self.db.run(self.user.id, messages.history, self.id)

    async def stored(self) -> tuple[str, str]:
        """The content and the status of the only message."""
        (message,) = await self.history()
        return message.content, message.status

    def is_at_rest(self) -> bool:
        return bool(self.db.engine.pool.checkedout() == 0)  # type: ignore[attr-defined]  # QueuePool's


@pytest.fixture
def chat(db: Database, user: User, conversation: Conversation) -> Chat:
    return Chat(db, user, conversation)


@asynccontextmanager
async def outside(settings: Settings) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A connection beside the pool."""
    connection = await asyncpg.connect(settings.dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def wait_until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await holds():
            pass


async def _model(*pieces: str, then: BaseException | None = None) -> AsyncGenerator[str, None]:
    for piece in pieces:
        yield piece
    if then is not None:
        raise then


async def test_what_is_kept_is_stored_before_it_is_shown(chat: Chat) -> None:
    """Else a reload in the middle of a reply shows less than its reader has seen."""
    shown = ""
    pieces = ["Grüße", ", ", "世界 🙂", "", " and more"]
    async with chat.draft(save_every_s=0.001) as draft:
        async for text in draft.keep(_model(*pieces)):
            assert text
            shown += text
            assert await chat.stored() == (shown, "streaming")
    assert await chat.stored() == (shown, "complete")
    assert shown == "".join(pieces)


async def test_what_was_kept_before_an_error_is_shown(chat: Chat) -> None:
    """Else the end of what a model has said is stored, and nobody sees it."""
    shown: list[str] = []

    async def read() -> None:
        pieces = _model("half ", "of", then=RuntimeError("the model is gone"))
        async with chat.draft(save_every_s=10) as draft:
            async for text in draft.keep(pieces):
                shown.append(text)  # noqa: PERF401 - what was shown before the error counts

    with pytest.raises(RuntimeError, match="the model is gone"):
        await read()
    assert shown == ["half of"]
    assert await chat.stored() == ("half of", "failed")


async def test_a_kept_stream_is_closed_with_its_draft(chat: Chat) -> None:
    """Else a reader who goes away leaves the model running, and what it says is an error."""
    closed = asyncio.Event()

    async def model() -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "word "
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with chat.draft(save_every_s=0.001) as draft:
        async for _ in draft.keep(model()):
            break
    assert closed.is_set()
    content, status = await chat.stored()
    assert (content, status) == (draft.message.content, "complete")
    with pytest.raises(UsageError, match="one stream"):
        await anext(aiter(draft.keep(_model("more"))))


async def test_a_kept_reply_that_is_cancelled_has_all_that_had_arrived(chat: Chat) -> None:
    """Else a closed tab loses what the model said after the last save."""
    arrived = asyncio.Event()

    async def model() -> AsyncGenerator[str, None]:
        yield "half of"
        arrived.set()
        await asyncio.Event().wait()

    async def read() -> None:
        async with chat.draft(save_every_s=30) as draft:
            async for _ in draft.keep(model()):
                pass

    reading = asyncio.create_task(read())
    await arrived.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert reading.cancelled()
    assert await chat.stored() == ("half of", "interrupted")


async def test_a_reply_whose_message_is_removed_ends_at_once(chat: Chat) -> None:
    """Else a reply that was regenerated elsewhere goes on, and costs a model, until its end."""

    async def read() -> None:
        async with chat.draft(save_every_s=0.001) as draft:
            async for _ in draft.keep(chat.reply_for_ever()):
                await chat.db.run(chat.user.id, messages.remove_after, chat.id, 0)

    with pytest.raises(NotFound):
        await read()
    assert await chat.history() == []


async def test_a_save_is_there_when_it_returns(chat: Chat) -> None:
    """Else a caller that waits for the save shows text that is lost with the process."""
    async with chat.draft(save_every_s=30) as draft:
        await draft.write("some ")
        await draft.write("words")
        await asyncio.gather(draft.save(), draft.save())
        assert await chat.stored() == ("some words", "streaming")


async def test_of_two_replies_to_a_message_one_is_begun(chat: Chat) -> None:
    """Else a button that is clicked twice gives two answers."""
    asked = await chat.db.run(chat.user.id, messages.append, chat.id, role="user", content="?")

    async def reply() -> str:
        async with chat.draft(after=asked.position) as draft:
            await draft.write("an answer")
        return draft.message.content

    ended = await asyncio.gather(*(reply() for _ in range(5)), return_exceptions=True)
    assert [end for end in ended if not isinstance(end, Conflict)] == ["an answer"]
    assert [message.position for message in await chat.history()] == [1, 2]


async def test_another_reply_to_a_message_keeps_the_first(chat: Chat) -> None:
    """Else asking for another answer takes the first one away, or is refused."""
    asked = await chat.db.run(chat.user.id, messages.append, chat.id, role="user", content="?")
    for answer in ("first", "second"):
        async with chat.draft(after=asked.position, branch=True) as draft:
            await draft.write(answer)
    assert [message.content for message in await chat.history()] == ["?", "second"]
    found = await chat.db.run(chat.user.id, messages.branches, chat.id, draft.message.position)
    assert [(branch.position, branch.is_on_path) for branch in found] == [(2, False), (3, True)]


async def test_a_reply_says_which_model_wrote_it_and_what_it_took(chat: Chat) -> None:
    """Else nobody can sum up what a user's replies have cost."""
    async with chat.draft(model="echo-1") as draft:
        draft.input_tokens = 12
        await draft.write("a reply")
        await draft.save()
        draft.output_tokens = 3
    (stored,) = await chat.history()
    assert (stored.model, stored.input_tokens, stored.output_tokens) == ("echo-1", 12, 3)


async def test_a_reply_that_ends_is_complete(chat: Chat) -> None:
    async with chat.draft(metadata={"model": "m"}) as draft:
        assert (draft.message.content, draft.message.status) == ("", "streaming")
        for chunk in ("Grüße", ", ", "世界 🙂"):
            await draft.write(chunk)
    assert [draft.message] == await chat.history()
    assert draft.message.role == "assistant"
    assert draft.message.metadata == {"model": "m"}
    assert (draft.message.content, draft.message.status) == ("Grüße, 世界 🙂", "complete")


async def test_messages_are_complete_unless_somebody_says_otherwise(chat: Chat) -> None:
    appended = await chat.db.run(chat.user.id, messages.append, chat.id, role="user", content="a")
    assert appended.status == "complete"


async def test_nothing_is_held_while_the_model_writes(chat: Chat) -> None:
    """Else twenty slow replies use up the pool."""
    async with chat.draft() as draft:
        await draft.write("a")
        assert chat.is_at_rest()


async def test_what_has_arrived_is_saved_beside_the_stream(chat: Chat) -> None:
    """Else a killed process takes minutes of a long reply with it."""

    async def is_saved() -> bool:
        return await chat.stored() == ("so far", "streaming")

    async with chat.draft(save_every_s=0.01) as draft:
        await draft.write("so far")
        await wait_until(is_saved)
    assert await chat.stored() == ("so far", "complete")


async def test_a_silent_draft_is_no_dead_one(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a model that thinks for ten minutes loses its reply to a sweep."""
    monkeypatch.setattr(_draft, "HEARTBEAT_S", 0.01)
    async with chat.draft(save_every_s=0.01) as draft:
        appended_at = draft.message.updated_at

        async def was_saved() -> bool:
            (message,) = await chat.history()
            return message.updated_at > appended_at

        await wait_until(was_saved)


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_again_and_again(task: asyncio.Task[None]) -> None:
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled()


@pytest.mark.parametrize("end", [cancel, cancel_again_and_again])
async def test_a_cancelled_reply_keeps_what_had_arrived(
    chat: Chat, end: Callable[[asyncio.Task[None]], Awaitable[None]]
) -> None:
    """A client that goes away, once or with every part of the framework saying so."""
    task = asyncio.create_task(chat.read())
    await chat.half_way.wait()
    await end(task)
    assert await chat.stored() == ("half of", "interrupted")
    assert chat.is_at_rest()


async def test_a_reply_that_takes_too_much_time_keeps_what_had_arrived(chat: Chat) -> None:
    async def write() -> None:
        async with asyncio.timeout(None) as limit, chat.draft() as draft:
            await draft.write("half of")
            limit.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await write()
    assert await chat.stored() == ("half of", "interrupted")


async def test_a_reply_whose_task_group_fails_keeps_what_had_arrived(chat: Chat) -> None:
    async def fail() -> None:
        await chat.half_way.wait()
        raise RuntimeError("a sibling")

    async def read() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(chat.read())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as failures:
        await read()
    assert [str(failure) for failure in failures.value.exceptions] == ["a sibling"]
    assert await chat.stored() == ("half of", "interrupted")


async def test_a_closed_generator_keeps_what_had_arrived(chat: Chat) -> None:
    """So a web framework ends a stream that nobody reads any more."""
    async with aclosing(chat.reply()) as reader:
        assert [await anext(reader), await anext(reader)] == ["half ", "of"]
    assert await chat.stored() == ("half of", "interrupted")


async def test_a_model_that_fails_leaves_its_error_and_what_had_arrived(chat: Chat) -> None:
    async def write() -> None:
        async with chat.draft() as draft:
            await draft.write("half")
            raise RuntimeError("the model")

    with pytest.raises(RuntimeError, match="the model"):
        await write()
    assert await chat.stored() == ("half", "failed")


@pytest.mark.parametrize("caught", [False, True])
async def test_a_text_that_gets_too_long_is_kept_as_far_as_it_fits(
    chat: Chat,
    caught: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    """And nobody takes it for complete, not even a caller that went on."""
    too_long = pytest.raises(InvalidInput, match=r"messages\.content: at most 1,000,000 characters")

    async def write() -> None:
        async with chat.draft() as draft:
            await draft.write("a" * 999_999)
            with too_long if caught else nullcontext():
                await draft.write("bc")

    with nullcontext() if caught else too_long:
        await write()
    assert await chat.stored() == ("a" * 999_999 + "b", "interrupted")


@pytest.mark.parametrize("chunk", ["a\0b", "\ud800", b"bytes", None])
async def test_a_chunk_that_no_message_can_hold_is_refused_when_it_comes(
    chat: Chat, chunk: Any
) -> None:
    """Else one of them loses the whole reply when it is saved."""
    async with chat.draft() as draft:
        await draft.write("good")
        with pytest.raises(InvalidInput, match=r"messages\.content"):
            await draft.write(chunk)
    assert await chat.stored() == ("good", "complete")


async def test_cancelled_while_it_ends_a_reply_is_complete_and_says_so(chat: Chat) -> None:
    async def write() -> None:
        async with chat.draft() as draft:
            await draft.write("all")
            asyncio.get_running_loop().call_soon(task.cancel)

    task = asyncio.create_task(write())
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert was_committed(raised.value)
    assert await chat.stored() == ("all", "complete")


async def test_cancelled_before_it_begins_a_reply_leaves_nothing_open(chat: Chat) -> None:
    """Else a page shows a reply that is being written, ten minutes after its client has gone."""
    begun = asyncio.Event()

    async def write() -> None:
        async with chat.draft():
            begun.set()
            await asyncio.Event().wait()

    rounds = ended_before = 0
    while not begun.is_set():
        task = asyncio.create_task(write())
        for _ in range(rounds):
            await asyncio.sleep(0)
        await cancel(task)
        ended_before += not begun.is_set()
        rounds += 1
    assert ended_before > 3
    assert {message.status for message in await chat.history()} == {"interrupted"}


@pytest.mark.not_on_citus("it locks a row by its id alone")
async def test_a_save_under_way_is_no_hindrance_to_the_last_one(
    chat: Chat, settings: Settings
) -> None:
    """Else a slow database at the end of a reply costs the reply."""
    blocked = "SELECT count(*) > 0 FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"
    async with outside(settings) as connection, outside(settings) as watcher:

        async def is_saving() -> bool:
            return bool(await watcher.fetchval(blocked, connection.get_server_pid()))

        async def write() -> None:
            async with chat.draft(save_every_s=0.01) as draft, connection.transaction():
                await connection.execute(
                    "SELECT FROM faceplate.messages WHERE id = $1 FOR UPDATE", draft.message.id
                )
                await draft.write("all")
                await wait_until(is_saving)

        await write()
    assert await chat.stored() == ("all", "complete")
    assert chat.is_at_rest()


async def test_a_reply_that_was_removed_meanwhile_says_so(chat: Chat) -> None:
    """Else an answer that the user has deleted is reported as stored."""
    with pytest.raises(NotFound, match="message not found"):
        async with chat.draft():
            await chat.db.run(chat.user.id, messages.remove_after, chat.id, 0)


async def test_a_reply_that_a_sweep_has_closed_says_so(chat: Chat) -> None:
    async def write() -> None:
        async with chat.draft() as draft:
            await draft.write("too late")
            # A save that goes on beside this makes it look alive once more.
            while not await chat.db.run_system(messages.sweep_drafts, older_than=timedelta(0)):
                pass

    with pytest.raises(Conflict, match="its status is interrupted"):
        await write()


async def test_an_error_of_the_block_is_not_hidden_by_one_of_the_save(
    chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    async def write() -> None:
        async with chat.draft():
            await chat.db.run(chat.user.id, messages.remove_after, chat.id, 0)
            raise RuntimeError("the model")

    with pytest.raises(RuntimeError, match="the model"):
        await write()
    assert "was not saved as failed: messages.save_draft: message not found" in caplog.text


async def test_a_draft_is_saved_as_the_same_twice_but_not_as_something_else(chat: Chat) -> None:
    """Else a retry after a lost answer fails, or a late save undoes the last one."""
    user, db = chat.user.id, chat.db
    draft = await db.run(user, messages.append_draft, chat.id)
    end: dict[str, Any] = {"content": "end", "status": "complete"}
    saved = await db.run(user, messages.save_draft, chat.id, draft.id, **end)
    assert await db.run(user, messages.save_draft, chat.id, draft.id, **end) == saved
    with pytest.raises(Conflict):
        await db.run(user, messages.save_draft, chat.id, draft.id, content="en", status="streaming")
    assert await chat.history() == [saved]


async def test_an_unknown_status_is_refused(chat: Chat) -> None:
    draft = await chat.db.run(chat.user.id, messages.append_draft, chat.id)
    with pytest.raises(InvalidInput, match=r"messages\.status: must be one of streaming, comp"):
        await chat.db.run(
            chat.user.id, messages.save_draft, chat.id, draft.id, content="", status="done"
        )


@pytest.mark.parametrize("save_every_s", [0, -1, 31])
async def test_a_pause_that_a_sweep_would_take_for_death_is_refused(
    chat: Chat, save_every_s: float
) -> None:
    with pytest.raises(InvalidInput, match="save_every_s"):
        chat.draft(save_every_s=save_every_s)


async def test_text_outside_the_block_is_refused(chat: Chat) -> None:
    """Else it is dropped without a word."""
    draft = chat.draft()
    with pytest.raises(UsageError, match="async with"):
        await draft.write("early")
    async with draft:
        pass
    with pytest.raises(UsageError, match="async with"):
        await draft.write("late")
    with pytest.raises(UsageError, match="entered once"):
        async with draft:
            pass
    assert await chat.stored() == ("", "complete")


async def test_a_killed_process_leaves_a_draft_that_a_sweep_closes(
    fresh_database_url: str,
) -> None:
    """Else a reply is shown as being written for ever. A live draft is left alone."""
    async with Database(fresh_database_url) as db:
        user = await db.run_system(users.create, subject_id="s")
        chat = Chat(db, user, await db.run(user.id, conversations.create))
        process = subprocess.Popen(  # noqa: ASYNC220 - nothing else is going on
            [sys.executable, "-c", STREAM, str(user.id), str(chat.id)],
            env=os.environ | {"DATABASE_URL": fresh_database_url},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        with process:
            assert await asyncio.to_thread(process.stdout.readline) == "saved\n"
            process.send_signal(signal.SIGKILL)
        content, status = await chat.stored()
        assert status == "streaming"
        assert content.startswith("half of")

        def sweep(*options: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "faceplate.cli", "sweep", *options],
                env=os.environ | {"DATABASE_URL": fresh_database_url},
                capture_output=True,
                text=True,
                check=False,
            )

        assert sweep().stderr == "Closed 0 drafts as interrupted.\n"
        assert sweep("--older-than", "0s", "--json").stdout == '{"interrupted": 1}\n'
        assert await chat.stored() == (content, "interrupted")
        assert sweep("--older-than", "soon").returncode == 2


async def test_a_sweep_works_in_batches(fresh_database_url: str) -> None:
    """Else a sweep after a bad night holds its locks for minutes."""
    async with Database(fresh_database_url) as db:
        user = await db.run_system(users.create, subject_id="s")
        chat = await db.run(user.id, conversations.create)
        for _ in range(5):
            await db.run(user.id, messages.append_draft, chat.id)
        sizes = [
            await db.run_system(messages.sweep_drafts, older_than=timedelta(0), limit=2)
            for _ in range(4)
        ]
    assert sizes == [2, 2, 1, 0]
