"""A bot whose events change the state, until its process is killed."""

from collections.abc import Callable, Iterator
from itertools import count

from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions

from faceplate import Database
from faceplate.integrations.google_adk import FaceplateSessionService

PLACE = {"app_name": "app", "session_id": "s"}


def units(label: str) -> Iterator[list[str]]:
    """Return the names of events: each is stored by itself, with its state."""
    return ([f"{label}: {number}"] for number in count())


async def write(db: Database, owner: str, label: str, acknowledge: Callable[[], None]) -> None:
    service = FaceplateSessionService(db)
    for [name] in units(label):
        event = Event(
            author="bot",
            id=name,
            actions=EventActions(state_delta={name: 1, f"user:{name}": 1}),
        )
        while True:
            session = await service.get_session(user_id=owner, **PLACE)
            assert session is not None
            try:
                await service.append_event(session, event)
            except ValueError:
                continue  # another process was faster
            break
        acknowledge()
