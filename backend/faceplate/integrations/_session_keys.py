"""The key of an SDK's session: its id, or a digest of an id that the column cannot hold."""

from hashlib import sha256
from typing import Final, cast

from faceplate.column_types import Text  # noqa: TC001 - of the cast
from faceplate.column_types.json_values import text_problem
from faceplate.models import Conversation

_DIGEST: Final = "sha256:"
_MAX_CHARS: Final = cast("Text", Conversation.__table__.c.key.type).max_chars


def key_of(session_id: str, *, prefix: str = "") -> tuple[str, bool]:
    """Return the key of a session, and whether it holds the whole id."""
    fits = len(prefix) + len(session_id) <= _MAX_CHARS and text_problem(session_id) is None
    if fits and not session_id.startswith(_DIGEST):
        return prefix + session_id, True
    digest = sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{prefix}{_DIGEST}{digest}", False
