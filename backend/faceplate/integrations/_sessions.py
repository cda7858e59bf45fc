"""A session of another program as a conversation: its key, its title, the ids of its messages."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from faceplate.importers.chats import derive_title
from faceplate.importers.fitting import clean_text
from faceplate.integrations._response_items import to_json
from faceplate.services.messages import NewConversation, NewMessage

DEFAULT_TITLE: Final = NewConversation().title
MAX_KEY_BYTES: Final = 2_000
"""What the key of a document holds. The key of a conversation holds as many characters."""
MAX_TITLE_CHARS: Final = 255
_DIGEST: Final = "sha256:"


def key_of(name: str, *, prefix: str = "") -> str:
    """Return the key of another program's name: the name, or its digest where no key holds it.

    A key has at most 2,000 bytes, no NUL and no lone surrogate. ``prefix`` stands before either.
    """
    data = name.encode(errors="surrogatepass")
    fits = len(prefix.encode()) + len(data) <= MAX_KEY_BYTES and clean_text(name)[1] == 0
    if fits and not name.startswith(_DIGEST):
        return prefix + name
    return f"{prefix}{_DIGEST}{hashlib.sha256(data).hexdigest()}"


def body_of(name: str) -> str | None:
    """Return the body of a conversation whose key is not the whole name, else None."""
    return None if key_of(name) == name else to_json({"id": name})


def opening(source: str, name: str, batch: Sequence[NewMessage]) -> NewConversation:
    """Return the conversation that another program calls ``name``, for its first messages to make.

    Its title is what the user says first in them; without that, it keeps the default one.
    """
    return NewConversation(source, key_of(name), derive_title(batch), body=body_of(name))


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


def title_of(text: str | None) -> str | None:
    """Return a title from a text, or None where it is blank."""
    line = " ".join((text or "")[: 10 * MAX_TITLE_CHARS].split())
    return clean_text(line)[0][:MAX_TITLE_CHARS].strip() or None


def aware(moment: datetime | None) -> datetime | None:
    """Return a time with its zone; one without is of this machine's zone."""
    return moment.astimezone() if moment is not None and moment.tzinfo is None else moment
