"""The example's HTTP interface: what the page, or any other client, can rely on."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx
import pytest
from examples.chat.app import MAX_BODY_BYTES, create_app
from examples.chat.model import ToolCall
from tests.web.conftest import Calling
from tests.web.servers import Event, ask, messages_of, open_conversation, text_of
from uuid6 import uuid7

from faceplate import Message, Settings

GRACE = {"X-Demo-User": "grace"}


def names_of(events: list[Event]) -> list[str]:
    """The names in their order, a run of deltas as one."""
    names: list[str] = []
    for event in events:
        if event.name != "delta" or names[-1:] != ["delta"]:
            names.append(event.name)
    return names


def roles_of(items: list[dict[str, Any]]) -> list[str]:
    return [item["role"] for item in items]


async def test_users_need_no_header_and_everything_else_does(http: httpx.AsyncClient) -> None:
    """Else nobody can choose who to be, or a forgotten header shows somebody's chats."""
    del http.headers["X-Demo-User"]
    assert (await http.get("/api/users")).json() == [
        {"name": "ada", "title": "Ada"},
        {"name": "grace", "title": "Grace"},
    ]
    for headers in ({}, {"X-Demo-User": "mallory"}):
        refused = await http.get("/api/conversations", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"


async def test_the_user_of_the_demo_comes_first_once_it_has_chats(http: httpx.AsyncClient) -> None:
    """Else somebody who has imported chats cannot find them, or everybody chooses an empty user."""
    names = [person["name"] for person in (await http.get("/api/users")).json()]
    assert names == ["ada", "grace"]
    demo = {"X-Demo-User": "demo"}
    chat = await http.post("/api/conversations", json={"title": "Imported"}, headers=demo)
    names = [person["name"] for person in (await http.get("/api/users")).json()]
    assert names == ["demo", "ada", "grace"]
    other = await http.get(f"/api/conversations/{chat.json()['id']}")
    assert other.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/static/app.js", 200),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/docs", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/livez", 200),
        ("GET", "/api/users", 200),
        ("GET", "/api/conversations", 200),
        ("GET", "/api/conversations/7", 422),
        ("GET", "/api/conversations/01890a5d-ac96-774b-bcce-b302099a8057", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/api/conversations", 405),
        ("POST", "/api/conversations", 413),
    ],
)
async def test_every_answer_carries_its_security_headers(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    """Else another site frames the page and has its buttons pressed, or a proxy keeps a chat."""
    body = b" " * (MAX_BODY_BYTES + 1) if status == 413 else None
    answer = await http.request(method, path, content=body)
    assert answer.status_code == status
    check_security_headers(answer, path)


async def test_a_mistake_of_the_server_carries_them_too(
    settings: Settings, calling: Calling
) -> None:
    """Else the answer that says most is the one that may be framed and kept."""
    app = create_app(settings)

    @app.get("/mistake")
    async def mistake() -> None:
        raise RuntimeError

    async with calling(app) as http:
        answer = await http.get("/mistake")
    assert answer.status_code == 500
    check_security_headers(answer, "/mistake")


async def test_a_streamed_reply_carries_them_too(http: httpx.AsyncClient) -> None:
    """Else a proxy keeps what a model has said."""
    chat = await open_conversation(http, "Hello")
    path = f"/api/conversations/{chat}/replies"
    answer = await http.post(path, json={"content": "hi", "id": str(uuid7())})
    assert answer.headers["content-type"].startswith("text/event-stream")
    check_security_headers(answer, path)


def check_security_headers(answer: httpx.Response, path: str) -> None:
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert path == "/docs" or "default-src 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    is_static = path.startswith("/static/")
    assert (answer.headers.get("cache-control") == "no-store") is not is_static


async def test_the_page_loads_nothing_that_its_policy_refuses(http: httpx.AsyncClient) -> None:
    """Else the page is blank, or unstyled, in a browser that obeys."""
    page = await http.get("/")
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", page.text)
    loaded = re.findall(r'(?:src|href)="([^"#]+)', page.text)
    assert loaded
    for path in loaded:
        assert path.startswith("/static/")
        assert (await http.get(path)).status_code == 200


async def test_conversations_live_from_creation_to_deletion(http: httpx.AsyncClient) -> None:
    """Else the side bar shows what is not there, or does not show what is."""
    first, second = await open_conversation(http, "First"), await open_conversation(http, "Second")
    listed = (await http.get("/api/conversations", params={"limit": 1})).json()
    assert [item["id"] for item in listed["items"]] == [second]
    older = await http.get("/api/conversations", params={"cursor": listed["next_cursor"]})
    assert older.json()["items"][0]["id"] == first

    renamed = await http.patch(f"/api/conversations/{first}", json={"title": "Renamed"})
    assert renamed.json()["title"] == "Renamed"
    assert (await http.get(f"/api/conversations/{first}")).json() == renamed.json()
    assert (await http.delete(f"/api/conversations/{first}")).status_code == 204
    gone = await http.get(f"/api/conversations/{first}")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


async def test_a_conversation_sent_twice_is_there_once(http: httpx.AsyncClient) -> None:
    """Else a client that repeats a request fills the side bar."""
    body = {"title": "Once", "id": str(uuid7())}
    first = await http.post("/api/conversations", json=body)
    again = await http.post("/api/conversations", json=body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = await http.post("/api/conversations", json=body | {"title": "Another"})
    assert other.status_code == 409


async def test_a_reply_is_streamed_and_stored(http: httpx.AsyncClient) -> None:
    """Else what was shown is not what a reload shows."""
    chat = await open_conversation(http)
    events = await ask(http, f"/api/conversations/{chat}/replies", content="Hello, echo")
    assert names_of(events) == ["message", "draft", "delta", "done"]
    question, reply = await messages_of(http, chat)
    assert events[0].data == question
    assert events[1].data == reply | {"content": "", "status": "streaming"}
    assert events[-1].data == reply
    assert text_of(events) == reply["content"]
    assert "Hello, echo" in reply["content"]
    assert (reply["role"], reply["status"]) == ("assistant", "complete")


async def test_tool_calls_are_stored_and_shown(http: httpx.AsyncClient) -> None:
    """Else nobody sees what the model did on their behalf."""
    chat = await open_conversation(http)
    events = await ask(http, f"/api/conversations/{chat}/replies", content="weather in Oslo?")
    assert names_of(events) == ["message", "message", "message", "draft", "delta", "done"]
    items = await messages_of(http, chat)
    assert roles_of(items) == ["user", "assistant", "tool", "assistant"]
    (call,) = items[1]["tool_calls"]
    (result,) = items[2]["tool_results"]
    assert call["function"] == {"name": "weather", "arguments": '{"place": "Oslo"}'}
    assert result["tool_call_id"] == call["id"]
    assert result["content"] in items[3]["content"]


@pytest.mark.parametrize(
    ("question", "heard"),
    [
        ("# Plan\n\n1. one\n   - in it\n\n| a | b |\n|---|---|", None),
        ("```py\nx = 1", "```py\nx = 1\n```"),
        ("```py\n" + "word " * 300 + "\n```", "```py\n" + "word " * 198 + "word ...\n```"),
        ("Markdown, please", "| serializable |"),
        ("Please count to 4!", "1, 2, 3, 4."),
    ],
    ids=["lines", "an open block", "a long block", "a sample", "numbers"],
)
async def test_the_echo_keeps_lines(
    http: httpx.AsyncClient, question: str, heard: str | None
) -> None:
    """Else a reply shows nothing of the Markdown that went in, or a block of code never ends."""
    chat = await open_conversation(http)
    await ask(http, f"/api/conversations/{chat}/replies", content=question)
    _, reply = await messages_of(http, chat)
    assert (heard or question) in reply["content"]


async def test_the_echo_says_once_what_it_is(http: httpx.AsyncClient) -> None:
    """Else every reply is mostly the same words."""
    chat = await open_conversation(http)
    for text in ("one", "two"):
        await ask(http, f"/api/conversations/{chat}/replies", content=text)
    _, first, _, second = await messages_of(http, chat)
    assert first["content"].startswith("You said:\n\none\n\n---\n\nI am an echo")
    assert second["content"] == "You said:\n\ntwo"


@pytest.mark.parametrize(
    ("pieces", "names"),
    [
        ([ToolCall("call_1", "nothing", {})], ["message", "message", "message", "draft"]),
        ([ToolCall("call_1", "weather", {"place": "Oslo"}), "and more"], ["message"]),
        ([RuntimeError("the model is gone")], ["message"]),
    ],
    ids=["unknown tool", "words after a call", "an error"],
)
async def test_a_model_that_goes_wrong_is_told_of(
    settings: Settings,
    calling: Calling,
    pieces: list[str | ToolCall | Exception],
    names: list[str],
) -> None:
    """Else a developer who plugs in a model waits for a reply that never ends."""

    async def model(history: Sequence[Message]) -> AsyncGenerator[str | ToolCall, None]:
        for piece in pieces if history[-1].role == "user" else ["so be it"]:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    app = create_app(settings, model=model)
    async with calling(app, headers={"X-Demo-User": "ada"}) as http:
        chat = await open_conversation(http)
        events = await ask(http, f"/api/conversations/{chat}/replies", content="hello")
        items = await messages_of(http, chat)
    assert names_of(events)[: len(names)] == names
    if names[-1] == "draft":
        assert items[2]["tool_results"][0]["content"] == "there is no tool nothing"
        assert events[-1].data == items[3]
    else:
        assert (events[-1].name, events[-1].data["code"]) == ("error", "internal_error")
        assert text_of(events) == "".join(item["content"] for item in items[1:])
        assert {item["status"] for item in items[1:]} <= {"failed"}


async def test_a_tool_can_make_a_task(http: httpx.AsyncClient) -> None:
    """Else the list beside the chat has nothing to do with it."""
    chat = await open_conversation(http)
    await ask(http, f"/api/conversations/{chat}/replies", content="Remind me to call Grace!")
    newest = (await http.get("/api/tasks", params={"limit": 1})).json()["items"][0]
    assert (newest["title"], newest["completed"]) == ("call Grace", False)


async def test_a_question_sent_twice_is_answered_once(http: httpx.AsyncClient) -> None:
    """Else a client that lost the connection and asks again doubles its question."""
    chat = await open_conversation(http)
    body = {"content": "weather?", "id": str(uuid7())}
    first = await ask(http, f"/api/conversations/{chat}/replies", **body)
    stored = await messages_of(http, chat)
    again = await ask(http, f"/api/conversations/{chat}/replies", **body)
    assert names_of(again) == ["message", "message", "message", "done"]
    assert again[-1] == first[-1]
    assert await messages_of(http, chat) == stored

    await ask(http, f"/api/conversations/{chat}/replies", content="and now?")
    late = await ask(http, f"/api/conversations/{chat}/replies", **body)
    assert late == again
    assert len(await messages_of(http, chat)) == len(stored) + 2
    other = await http.post(
        f"/api/conversations/{chat}/replies", json=body | {"content": "something else"}
    )
    assert other.status_code == 409


async def test_a_question_sent_at_once_is_answered_once(http: httpx.AsyncClient) -> None:
    """Else an impatient click leaves two answers, or a question without any."""
    chat = await open_conversation(http)
    body = {"content": "hello", "id": str(uuid7())}
    path = f"/api/conversations/{chat}/replies"
    replies = await asyncio.gather(*(ask(http, path, **body) for _ in range(5)))
    question, reply = await messages_of(http, chat)
    assert (question["id"], reply["status"]) == (body["id"], "complete")
    ended = [events[-1] for events in replies]
    assert Event("done", reply) in ended
    given_up = [event.data for event in ended if event != Event("done", reply)]
    assert {told["code"] for told in given_up if "code" in told} <= {"conflict", "not_found"}


async def test_messages_are_read_backwards_in_pages(http: httpx.AsyncClient) -> None:
    """Else a long conversation cannot be scrolled up."""
    chat = await open_conversation(http)
    for text in ("one", "two"):
        await ask(http, f"/api/conversations/{chat}/replies", content=text)
    path = f"/api/conversations/{chat}/messages"
    last = (await http.get(path, params={"limit": 3})).json()
    before = last["items"][0]["position"]
    rest = (await http.get(path, params={"before": before, "limit": 1})).json()
    assert [item["position"] for item in rest["items"] + last["items"]] == [1, 2, 3, 4]
    assert (last["has_earlier"], rest["has_earlier"]) == (True, False)


async def test_tasks_live_from_creation_to_deletion(http: httpx.AsyncClient) -> None:
    """Else the list beside the chat forgets, or cannot be ticked off."""
    created = await http.post("/api/tasks", json={"title": "Buy milk"})
    assert created.status_code == 201
    task = created.json()
    assert (task["description"], task["completed"]) == ("", False)
    path = f"/api/tasks/{task['id']}"
    for change in ({"completed": True}, {"title": "Buy oat milk"}, {"completed": False}, {}):
        changed = await http.patch(path, json=change)
        task |= change
        assert changed.json() == task
    assert (await http.delete(path)).status_code == 204
    assert (await http.delete(path)).status_code == 404


async def test_nobody_reaches_what_is_somebody_elses(http: httpx.AsyncClient) -> None:
    """Else one user of the demo reads or changes the other's."""
    chat = await open_conversation(http)
    await ask(http, f"/api/conversations/{chat}/replies", content="a secret")
    (question, _) = stored = await messages_of(http, chat)
    task = (await http.post("/api/tasks", json={"title": "Mine"})).json()
    body = {"content": "hello"}
    attempts: list[tuple[str, str, Any]] = [
        ("GET", f"/api/conversations/{chat}", None),
        ("PATCH", f"/api/conversations/{chat}", {"title": "Taken"}),
        ("DELETE", f"/api/conversations/{chat}", None),
        ("GET", f"/api/conversations/{chat}/messages", None),
        ("POST", f"/api/conversations/{chat}/replies", body),
        ("POST", f"/api/conversations/{chat}/replies", body | {"id": question["id"]}),
        ("POST", f"/api/conversations/{chat}/messages/{question['id']}/regenerate", {}),
        ("POST", f"/api/conversations/{chat}/messages/{question['id']}/edit", body),
        ("PUT", f"/api/conversations/{chat}/path", {"position": 1}),
        ("POST", f"/api/conversations/{chat}/fork", {"position": 1}),
        ("PATCH", f"/api/tasks/{task['id']}", {"completed": True}),
        ("DELETE", f"/api/tasks/{task['id']}", None),
    ]
    for method, path, json in attempts:
        refused = await http.request(method, path, json=json, headers=GRACE)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found"), path
        assert "secret" not in refused.text
    assert await messages_of(http, chat) == stored


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content": " \n"}, "messages.content"),
        ({"content": "NUL \x00"}, "messages.content"),
        ({"content": "x" * 1_000_001}, "messages.content"),
        ({}, "body.content"),
        ({"content": 5}, "body.content"),
        ({"content": "x", "id": "1"}, "body.id"),
        ({"content": "x", "more": True}, "body.more"),
    ],
)
async def test_bad_input_names_its_field(
    http: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    """Else a client is told that something was wrong, and not what."""
    chat = await open_conversation(http)
    refused = await http.post(f"/api/conversations/{chat}/replies", json=body)
    told = refused.json()
    assert (refused.status_code, told["code"], told["field"]) == (422, "invalid_input", field)
    assert told["rule"]
    assert await messages_of(http, chat) == []


async def test_a_body_without_end_is_refused(http: httpx.AsyncClient) -> None:
    """Else one request takes all the memory there is."""
    body = b'{"title": "' + b"x" * (MAX_BODY_BYTES + 1)
    refused = await http.post("/api/tasks", content=body)
    assert refused.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/api/users", 405)]
)
async def test_what_the_framework_refuses_is_a_problem_too(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    """Else a client needs two ways of reading errors."""
    refused = await http.request(method, path)
    assert (refused.status_code, refused.json()["status"]) == (status, status)
    assert refused.headers["content-type"] == "application/problem+json"


async def test_the_page_and_its_files_are_served(http: httpx.AsyncClient) -> None:
    """Else there is nothing to see in the browser."""
    page = await http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.text == (await http.get("/static/index.html")).text
