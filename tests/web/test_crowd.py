"""Fifty users at once, on two worker processes that share twenty connections."""

import asyncio

from tests.web.applications import CROWD
from tests.web.servers import Server, ask, messages_of, open_conversation, serving, text_of

TURNS = 2


async def _spend_a_day(server: Server, name: str, places: dict[str, str]) -> None:
    """Chat, edit, regenerate and keep a list; find everything, and nothing else."""
    async with server.client(name) as http:
        chat = places[name] = await open_conversation(http, f"of {name}")
        path = f"/api/conversations/{chat}"
        shown = []
        for number in range(TURNS):
            events = await ask(http, f"{path}/replies", content=f"question {number} of {name}")
            shown.append(text_of(events))
        items = await messages_of(http, chat)
        assert [item["content"] for item in items if item["role"] == "assistant"] == shown
        assert [item["position"] for item in items] == list(range(1, 2 * TURNS + 1))
        assert all(f"of {name}" in item["content"] for item in items)

        await ask(http, f"{path}/messages/{items[2]['id']}/edit", content=f"again of {name}")
        items = await messages_of(http, chat)
        events = await ask(http, f"{path}/messages/{items[-1]['id']}/regenerate")
        items = await messages_of(http, chat)
        assert [item["content"] for item in items[2:]] == [f"again of {name}", text_of(events)]

        task = (await http.post("/api/tasks", json={"title": f"of {name}"})).json()
        await http.patch(f"/api/tasks/{task['id']}", json={"completed": True})
        tasks = (await http.get("/api/tasks")).json()["items"]
        assert [(item["title"], item["completed"]) for item in tasks] == [(f"of {name}", True)]
        listed = (await http.get("/api/conversations")).json()["items"]
        assert [(item["id"], item["title"]) for item in listed] == [(chat, f"of {name}")]


async def _look_around(server: Server, name: str, places: dict[str, str]) -> None:
    """Try what is somebody else's."""
    async with server.client(name) as http:
        others = [chat for owner, chat in places.items() if owner != name][:5]
        for chat in others:
            for method, path in (
                ("GET", f"/api/conversations/{chat}"),
                ("GET", f"/api/conversations/{chat}/messages"),
                ("POST", f"/api/conversations/{chat}/fork"),
                ("DELETE", f"/api/conversations/{chat}"),
            ):
                refused = await http.request(method, path, json={"position": 1})
                assert refused.status_code == 404, refused.text


async def test_fifty_users_at_once(fresh_database_url: str) -> None:
    """Else the application that works for one fails, or mixes its users up, with fifty."""
    places: dict[str, str] = {}
    with serving(
        fresh_database_url,
        "tests.web.applications:crowd",
        workers=2,
        FACEPLATE_POOL_SIZE="10",
        FACEPLATE_MAX_OVERFLOW="0",
        CHAT_TOKEN_DELAY_S="0.001",
    ) as server:
        await asyncio.gather(*(_spend_a_day(server, name, places) for name in CROWD))
        assert len(set(places.values())) == len(CROWD) == 50
        await asyncio.gather(*(_look_around(server, name, places) for name in CROWD))
        async with server.client("user0") as http:
            assert (await http.get("/readyz")).json()["ready"]
    assert not [line for line in server.log if "ERROR" in line or "Traceback" in line]
