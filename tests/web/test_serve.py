"""``make serve``: from an empty database to a chat that answers."""

import signal

from tests.web.servers import DEADLINE_S, ask, messages_of, open_conversation, running


async def test_the_chat_is_served_on_an_empty_database(empty_database_url: str) -> None:
    """Else a newcomer who tries the example gets an error, and has to learn of migrations."""
    with running(["examples.chat"], empty_database_url) as server:
        async with server.client("grace") as http:
            chat = await open_conversation(http)
            await ask(http, f"/api/conversations/{chat}/replies", content="hello")
            assert len(await messages_of(http, chat)) == 2
            assert (await http.get("/readyz")).json()["ready"]
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(DEADLINE_S) in {0, -signal.SIGINT}
    assert not [line for line in server.log if "Traceback" in line]
