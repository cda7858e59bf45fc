"""What the adapters of other programs share: their names, titles and users in faceplate's rules."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from faceplate.column_types import JsonObject
from faceplate.database import Database
from faceplate.errors import InvalidInput
from faceplate.importers.fitting import clean_text
from faceplate.importers.source import Call
from faceplate.importers.turns import can_be_stored, make_call
from faceplate.integrations._response_items import fit_text, to_json
from faceplate.services import users
from faceplate.services.messages import NewConversation, NewMessage
from faceplate.services.tool_calls import check_calls, check_results

MAX_KEY_BYTES: Final = 2_000
MAX_TITLE_CHARS: Final = 255
DERIVED_TITLE_CHARS: Final = 80
DEFAULT_TITLE: Final = NewConversation().title
MAX_KNOWN: Final = 10_000
_DIGEST: Final = "sha256:"


def key_of(name: str) -> str:
    """Return the key of another program's name: the name, or its digest where no key holds it.

    A key has at most 2,000 bytes, no NUL and no lone surrogate.
    """
    data = name.encode(errors="surrogatepass")
    is_clean = clean_text(name)[1] == 0
    if is_clean and len(data) <= MAX_KEY_BYTES and not name.startswith(_DIGEST):
        return name
    return f"{_DIGEST}{hashlib.sha256(data).hexdigest()}"


def opening(source: str, name: str, batch: Sequence[NewMessage] = ()) -> NewConversation:
    """Return the conversation that another program calls ``name``, under what the user said first.

    A name that no key holds is kept in the body.
    """
    key = key_of(name)
    said = next((message.content for message in batch if message.role == "user"), None)
    title = title_of(said, DERIVED_TITLE_CHARS) or DEFAULT_TITLE
    return NewConversation(source, key, title, body=None if key == name else to_json({"id": name}))


def message_id(namespace: UUID, name: str) -> UUID:
    """Return the id of a message that another program names, or the UUID that the name is."""
    return canonical_uuid(name) or uuid5(namespace, key_of(name))


def canonical_uuid(name: str) -> UUID | None:
    """Return the UUID whose usual text ``name`` is, or None."""
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if str(found) == name else None


def title_of(text: str | None, max_chars: int = MAX_TITLE_CHARS) -> str | None:
    """Return a title from a text, or None where it is blank."""
    line = " ".join((text or "")[: 10 * max_chars].split())
    return clean_text(line)[0][:max_chars].strip() or None


def aware(moment: datetime | None) -> datetime | None:
    """Return a time with its zone; one without is of this machine's zone."""
    return moment.astimezone() if moment is not None and moment.tzinfo is None else moment


def calls_of(calls: Iterable[Call]) -> list[JsonObject] | None:
    """Return tool calls as their column has them, or None if it would refuse them."""
    made = {call["id"]: call for call in map(make_call, calls) if can_be_stored(call)}
    return _checked(check_calls, list(made.values()))


def results_of(results: Iterable[tuple[str, str]]) -> list[JsonObject] | None:
    """Return results, each a call's id and a text, as their column has them, or None."""
    made = {
        call_id: {"tool_call_id": call_id, "content": fit_text(text)} for call_id, text in results
    }
    return _checked(check_results, list(made.values()))


def _checked(
    check: Callable[[list[JsonObject]], None], links: list[JsonObject]
) -> list[JsonObject] | None:
    try:
        check(links)
    except InvalidInput:
        return None
    return links


class Subjects:
    """The ids of users by their subjects, which an SDK passes with each call."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, UUID] = {}

    async def id_of(self, who: UUID | str) -> UUID:
        """Return the id of a user: the UUID itself, or that of a subject, who is made if new."""
        if isinstance(who, UUID):
            return who
        if who not in self._known:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[who] = (await self._db.run_system(users.ensure, who)).id
        return self._known[who]
