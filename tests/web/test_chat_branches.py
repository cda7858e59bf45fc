"""The example keeps what is edited and regenerated, and lets no tab bury what another one wrote."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
from examples.chat.app import create_app
from examples.chat.model import ToolCall
from tests.web.conftest import Calling
from tests.web.servers import ask, messages_of, open_conversation
from uuid6 import uuid7

from faceplate import Database, Message, Settings
from faceplate.services import messages, users


class Chat:
    """A conversation of Ada's, as a client uses it."""

    def __init__(self, http: httpx.AsyncClient, id_: str) -> None:
        self.http = http
        self.id = id_
        self.path = f"/api/conversations/{id_}"

    async def say(self, content: str, **body: Any) -> list[dict[str, Any]]:
        await ask(self.http, f"{self.path}/replies", content=content, **body)
        return await self.items()

    async def edit(self, message: dict[str, Any], content: str, **body: Any) -> list[Any]:
        path = f"{self.path}/messages/{message['id']}/edit"
        return await ask(self.http, path, content=content, **body)

    async def regenerate(self, message: dict[str, Any], **body: Any) -> list[Any]:
        return await ask(self.http, f"{self.path}/messages/{message['id']}/regenerate", **body)

    async def follow(self, position: int) -> dict[str, Any]:
        answer = await self.http.put(f"{self.path}/path", json={"position": position})
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    async def page(self) -> dict[str, Any]:
        page: dict[str, Any] = (await self.http.get(f"{self.path}/messages")).json()
        return page

    async def items(self) -> list[dict[str, Any]]:
        return await messages_of(self.http, self.id)

    async def refused(self, path: str, **body: Any) -> tuple[int, str]:
        answer = await self.http.post(f"{self.path}/{path}", json=body)
        return answer.status_code, answer.json()["code"]


@pytest.fixture
async def chat(http: httpx.AsyncClient) -> Chat:
    return Chat(http, await open_conversation(http))


def positions_of(items: list[dict[str, Any]]) -> list[int]:
    return [item["position"] for item in items]


async def test_regenerating_keeps_the_earlier_answer(chat: Chat) -> None:
    """Else asking for another answer loses the better one."""
    await chat.say("first")
    before = await chat.say("weather?")
    for at in (-1, -2):  # the last message of the answer, and one before it
        events = await chat.regenerate(before[at])
        page = await chat.page()
        assert events[0].data == before[2]
        assert events[-1].data == page["items"][-1]
        assert page["items"][:3] == before[:3]
        assert [item["role"] for item in page["items"]] == [item["role"] for item in before]
    assert page["alternatives"] == {"10": [4, 7, 10]}
    assert await chat.follow(4) == page | {"items": before, "alternatives": {"4": [4, 7, 10]}}
    assert await chat.items() == before


async def test_regenerating_needs_a_question(chat: Chat, db: Database) -> None:
    """Else the button runs the model on nothing."""
    status = await chat.refused(f"messages/{uuid7()}/regenerate")
    assert status == (404, "not_found")
    ada = await db.run_system(users.ensure, "demo|ada")
    stored = await db.run(
        ada.id, messages.append, UUID(chat.id), role="system", content="Be brief."
    )
    assert await chat.refused(f"messages/{stored.id}/regenerate") == (409, "conflict")


async def test_an_edited_question_begins_a_branch(chat: Chat) -> None:
    """Else the earlier text and its answers are lost, or the new one goes unanswered."""
    await chat.say("first")
    before = await chat.say("second")
    edited, id_ = "first, edited", str(uuid7())
    events = await chat.edit(before[0], edited, id=id_, path_end=4)
    page = await chat.page()
    question, reply = page["items"]
    assert (question["content"], question["id"]) == (edited, id_)
    assert edited in reply["content"]
    assert page["alternatives"] == {"5": [1, 5]}
    assert not page["has_earlier"]

    again = await chat.edit(before[0], edited, id=id_, path_end=4)  # its answer was lost on the way
    assert [again[0], again[-1]] == [events[0], events[-1]]
    assert await chat.page() == page
    assert (await chat.follow(1))["items"] == before


async def test_only_the_users_own_words_are_edited(chat: Chat) -> None:
    """Else somebody puts words into the assistant's mouth."""
    _, reply = before = await chat.say("hello")
    refused = await chat.http.post(
        f"{chat.path}/messages/{reply['id']}/edit", json={"content": "not mine to write"}
    )
    assert (refused.status_code, refused.json()["field"]) == (422, "message_id")
    assert await chat.items() == before


async def test_a_branch_is_followed_to_its_newest_message(chat: Chat) -> None:
    """Else a reader who goes back to a branch finds it cut short, or another one's end."""
    first = await chat.say("one")
    await chat.say("two")
    await chat.edit(first[0], "eins")
    await chat.say("zwei")
    assert positions_of(await chat.items()) == [5, 6, 7, 8]
    assert positions_of((await chat.follow(1))["items"]) == [1, 2, 3, 4]
    assert positions_of(await chat.items()) == [1, 2, 3, 4]  # for every client, and from now on
    assert positions_of(await chat.say("three", path_end=4)) == [1, 2, 3, 4, 9, 10]
    assert positions_of((await chat.follow(5))["items"]) == [5, 6, 7, 8]
    missing = await chat.http.put(f"{chat.path}/path", json={"position": 99})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("how", ["say", "edit", "regenerate"])
async def test_what_a_stale_tab_sends_is_refused(chat: Chat, how: str) -> None:
    """Else a tab that has been open for long buries what was written in another one."""
    question, reply = await chat.say("from one tab")
    later = await chat.say("from another tab")
    path, body = {
        "say": ("replies", {"content": "late"}),
        "edit": (f"messages/{question['id']}/edit", {"content": "late"}),
        "regenerate": (f"messages/{reply['id']}/regenerate", {}),
    }[how]
    for path_end in (0, reply["position"]):
        refused = await chat.refused(path, path_end=path_end, **body)
        assert refused == (409, "conflict")
    assert await chat.items() == later
    await ask(chat.http, f"{chat.path}/{path}", path_end=4, **body)
    assert positions_of(await chat.items())[-1] == (5 if how == "regenerate" else 6)


async def test_of_two_tabs_one_is_answered(chat: Chat) -> None:
    """Else two tabs that send at once each see a conversation that the other one does not."""
    await chat.say("hello")
    sent = [
        chat.http.post(f"{chat.path}/replies", json={"content": str(tab), "path_end": 2})
        for tab in range(5)
    ]
    statuses = sorted([answer.status_code for answer in await asyncio.gather(*sent)])
    assert statuses == [200, 409, 409, 409, 409]
    assert positions_of(await chat.items()) == [1, 2, 3, 4]


async def test_an_answer_that_broke_off_is_kept_when_the_question_is_sent_again(
    settings: Settings, calling: Calling
) -> None:
    """Else a retry takes words away that somebody has read."""
    attempts: list[int] = []

    async def model(_history: Sequence[Message]) -> AsyncGenerator[str | ToolCall, None]:
        yield "an answer"
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("the model is gone")

    app = create_app(settings, model=model)
    async with calling(app, headers={"X-Demo-User": "ada"}) as http:
        chat = Chat(http, await open_conversation(http))
        body = {"id": str(uuid7()), "path_end": 0}
        question, broken = await chat.say("hello", **body)
        again = await chat.say("hello", **body)
        kept = (await chat.follow(broken["position"]))["items"]
    assert (again[0], again[1]["status"]) == (question, "complete")
    assert kept == [question, broken]
    assert broken["status"] == "failed"


async def test_a_question_in_another_branch_is_not_answered_with_this_ones_words(
    chat: Chat,
) -> None:
    """Else a question that is sent again gets the answer to another one."""
    body = {"content": "one", "id": str(uuid7())}
    first = await chat.say(**body)
    await chat.edit(first[0], "eins")
    events = await ask(chat.http, f"{chat.path}/replies", **body)
    assert [events[0].data, events[-1].data] == first


async def test_a_fork_is_a_conversation_of_its_own(chat: Chat, http: httpx.AsyncClient) -> None:
    """Else going on from an earlier place changes the conversation that it is from."""
    before = await chat.say("one")
    await chat.edit(before[0], "eins")
    await chat.say("two")
    body = {"position": 4, "id": str(uuid7())}
    forked, again = [await http.post(f"{chat.path}/fork", json=body) for _ in range(2)]
    assert (forked.status_code, forked.json()["id"]) == (201, body["id"])
    assert again.json() == forked.json()
    items = await messages_of(http, forked.json()["id"])
    assert [(item["position"], item["id"]) for item in items] == [
        (at, item["id"]) for at, item in enumerate((await chat.items())[:2], 1)
    ]
    assert (await http.delete(chat.path)).status_code == 204
    assert await messages_of(http, forked.json()["id"]) == items


async def test_what_another_program_keeps_is_shown_as_it_can_be(chat: Chat, db: Database) -> None:
    """Else a conversation with a message that has a body alone cannot be opened or answered."""
    ada = await db.run_system(users.ensure, "demo|ada")
    await db.run(ada.id, messages.append, UUID(chat.id), role="developer", content="Be brief.")
    removed = await db.run(ada.id, messages.append, UUID(chat.id), body='{"kind": "old"}')
    await db.run(ada.id, messages.remove, UUID(chat.id), removed.id)
    await db.run(ada.id, messages.append, UUID(chat.id), body='{"kind": "image"}')
    items = await chat.say("What is this?", path_end=3)
    assert [(item["position"], item["role"]) for item in items] == [
        (1, "developer"),
        (3, None),
        (4, "user"),
        (5, "assistant"),
    ]
    assert items[-1]["status"] == "complete"
