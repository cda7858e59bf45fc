"""Conversations with a name elsewhere, and conversations that their first message makes."""

from enum import Enum
from typing import Any

import pytest
from uuid6 import uuid7

from faceplate import Database, InvalidInput, User
from faceplate.services import conversations, messages
from faceplate.services.messages import NewConversation, NewMessage

NAMED = NewConversation(source="elsewhere", key="1")
WRONG: dict[str, tuple[Any, str]] = {
    "another id": (NAMED, "conversation_id"),
    "no key": (NewConversation(source="elsewhere"), "opens.key"),
    "no source": (NewConversation(key="1"), "opens.key"),
    "another kind": ({"source": "elsewhere", "key": "1"}, "opens"),
}


@pytest.mark.parametrize("opens", WRONG)
@pytest.mark.parametrize("there", [0, 1])
async def test_what_an_append_opens_is_the_conversation_it_names(
    db: Database, user: User, opens: str, there: int
) -> None:
    """Else a wrong id goes unnoticed, and the messages of one chat end up in another."""
    given, field = WRONG[opens]
    id_ = (await db.run(user.id, conversations.create)).id if there else uuid7()
    calls: list[tuple[Any, dict[str, Any]]] = [
        (messages.append, {"role": "user"}),
        (messages.append_many, {"messages": [NewMessage("user")]}),
    ]
    for unit, said in calls:
        with pytest.raises(InvalidInput) as refusal:
            await db.run(user.id, unit, id_, opens=given, **said)
        assert refusal.value.field == field
    listed = await db.run(user.id, conversations.page)
    assert [chat.message_count for chat in listed.items] == [0] * there


async def test_the_body_that_is_no_json_is_named(db: Database, user: User) -> None:
    """Else the program looks for the fault in its message, which is right."""
    opens = NewConversation(body="{")
    with pytest.raises(InvalidInput, match=r"conversations\.body: must be JSON"):
        await db.run(user.id, messages.append, uuid7(), body="{}", opens=opens)


@pytest.mark.parametrize("user_id", [None, "ada", 7])
def test_the_id_of_a_name_needs_a_user(user_id: Any) -> None:
    with pytest.raises(InvalidInput, match="user_id: must be a UUID"):
        conversations.id_of(user_id, source="elsewhere", key="1")


class Word(str, Enum):  # noqa: UP042 - str() of a StrEnum is its text, which hides the fault
    """Words of a program. str() of one is its name, and not the text."""

    SOURCE = "elsewhere"
    KEY = "1"
    ROLE = "user"


async def test_a_name_of_an_enumeration_is_the_text_that_it_stands_for(
    db: Database, user: User
) -> None:
    """Else the same name opens two conversations, one for each way to write it."""
    opened = await db.run(user.id, conversations.open, source=Word.SOURCE, key=Word.KEY)
    assert await db.run(user.id, conversations.open, source="elsewhere", key="1") == opened
    said = await db.run(user.id, messages.append, opened.id, role=Word.ROLE)
    assert said == await db.run(user.id, messages.get, opened.id, said.id)
