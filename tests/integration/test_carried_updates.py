"""An UPDATE of a flush goes ahead of the INSERT behind it, and is checked as one sent alone."""

from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm.exc import StaleDataError

from faceplate import (
    Database,
    FaceplateError,
    NotFound,
    Scope,
    Statement,
    UsageError,
    User,
    isolation_level,
)
from faceplate.models import Conversation, Message
from faceplate.services import conversations

CHATS = Statement(Conversation, sa.select(Conversation).order_by(Conversation.title))
CONTENTS = Statement(str, sa.select(Message.content).order_by(Message.content))
REMOVE = Statement(int, sa.delete(Conversation).where(Conversation.id == sa.bindparam("chat_id")))


async def two_chats(scope: Scope) -> list[UUID]:
    """Make two conversations, and run what prepares the statements of `rename_and_add`."""
    made = [await conversations.create(scope, title=title) for title in ("a", "b")]
    ids = [chat.id for chat in made]
    for number in (1, 2):
        await rename_and_add(scope, ids, f"{number}")
    return ids


async def rename_and_add(scope: Scope, ids: list[UUID], text: str) -> None:
    """Change the first conversation, and add a message to the second, in one flush."""
    renamed, appended = await load(scope, ids)
    renamed.title = f"a {text}"
    position = appended.message_count + 1
    appended.message_count = position
    scope.session.add(Message(conversation_id=ids[1], position=position, role="user", content=text))
    await scope.session.flush()


async def load(scope: Scope, ids: list[UUID]) -> list[Conversation]:
    return [
        await scope.session.get_one(Conversation, (scope.user_id, one), with_for_update=True)
        for one in ids
    ]


async def refused(db: Database, user: User, unit: Any, kind: type[FaceplateError]) -> Any:
    with pytest.raises(kind) as raised:
        await db.run(user.id, unit)
    return raised.value


async def everything(scope: Scope) -> tuple[list[tuple[str, int]], list[str]]:
    chats = await scope.all(CHATS)
    return [(one.title, one.message_count) for one in chats], await scope.all(CONTENTS)


async def test_a_flush_writes_each_value_to_its_row(db: Database, user: User) -> None:
    """Else what one row was changed to is found in another one, or is lost."""
    ids = await db.run(user.id, two_chats)
    await db.run(user.id, rename_and_add, ids, "3")
    found = await db.run(user.id, everything)
    assert found == ([("a 3", 0), ("b", 3)], ["1", "2", "3"])


async def test_an_update_that_finds_no_row_keeps_nothing_of_its_flush(
    db: Database, user: User
) -> None:
    """Else a message is stored beside a change of a chat that was deleted meanwhile."""
    ids = await db.run(user.id, two_chats)

    async def change_what_is_gone(scope: Scope) -> None:
        renamed, _ = await load(scope, ids)
        await scope.execute(REMOVE, chat_id=ids[0])
        renamed.title = "late"
        scope.session.add(Message(conversation_id=ids[1], position=9, role="user", content="late"))
        await scope.session.flush()

    async def change_and_catch(scope: Scope) -> None:
        with pytest.raises(StaleDataError):
            await change_what_is_gone(scope)

    await refused(db, user, change_what_is_gone, NotFound)
    await refused(db, user, change_and_catch, UsageError)
    assert (await db.run(user.id, everything))[1] == ["1", "2"]


async def test_a_nested_block_undoes_an_update_that_finds_no_row(db: Database, user: User) -> None:
    """Else a unit that has caught the failure goes on with half of it."""
    ids = await db.run(user.id, two_chats)

    async def remove_and_change(scope: Scope, chat: Conversation) -> None:
        async with scope.session.begin_nested():
            await scope.execute(REMOVE, chat_id=ids[0])
            chat.title = "late"
            late = Message(conversation_id=ids[1], position=9, role="user", content="late")
            scope.session.add(late)
            await scope.session.flush()

    async def use(scope: Scope) -> None:
        renamed, _ = await load(scope, ids)
        with pytest.raises(StaleDataError):
            await remove_and_change(scope, renamed)
        scope.session.add(Message(conversation_id=ids[1], position=9, role="user", content="3"))

    await db.run(user.id, use)
    assert await db.run(user.id, everything) == ([("a 2", 0), ("b", 2)], ["1", "2", "3"])


async def test_a_conflict_of_an_update_has_its_unit_retried(db: Database, user: User) -> None:
    """Else a unit that another one got ahead of fails, or its message is there twice."""
    ids = await db.run(user.id, two_chats)
    attempts = 0

    @isolation_level("repeatable read")
    async def overtaken(scope: Scope) -> None:
        nonlocal attempts
        attempts += 1
        chat = await scope.session.get_one(Conversation, (scope.user_id, ids[0]))
        if attempts == 1:
            await db.run(user.id, conversations.rename, ids[0], "ahead")
        chat.title = "a 3"
        scope.session.add(Message(conversation_id=ids[1], position=3, role="user", content="3"))

    await db.run(user.id, overtaken)
    assert attempts == 2
    assert await db.run(user.id, everything) == ([("a 3", 0), ("b", 2)], ["1", "2", "3"])


@pytest.mark.parametrize("fails", [False, True])
async def test_a_listener_sees_what_was_changed_before_it(
    db: Database, user: User, *, fails: bool
) -> None:
    """Else a program that looks at its rows inside of a flush finds them as they were."""
    ids = await db.run(user.id, two_chats)
    seen: list[Any] = []

    def look(_mapper: Any, connection: Any, chat: Conversation) -> None:
        seen.append(
            connection.scalar(sa.select(Conversation.title).where(Conversation.id == chat.id))
        )
        if fails:
            raise LookupError

    event.listen(Conversation, "after_update", look)
    try:
        if fails:
            with pytest.raises(LookupError):
                await db.run(user.id, rename_and_add, ids, "3")
        else:
            await db.run(user.id, rename_and_add, ids, "3")
    finally:
        event.remove(Conversation, "after_update", look)
    assert seen[0] in ("a 3", "b")
    assert (await db.run(user.id, everything))[1] == ["1", "2", *([] if fails else ["3"])]
