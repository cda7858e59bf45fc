"""The text of a reply that is being written."""

from typing import TYPE_CHECKING, cast

from faceplate.column_types.json_values import text_problem
from faceplate.errors import InvalidInput
from faceplate.models import Message

if TYPE_CHECKING:
    from faceplate.column_types import Text

_CONTENT = cast("Text", Message.__table__.c.content.type)


class GrowingText:
    """Text that arrives in chunks and keeps the rule of a message's content."""

    def __init__(self) -> None:
        self._chunks: list[str] = []
        self.chars = 0
        self.is_too_long = False

    def add(self, chunk: str) -> None:
        """Add ``chunk``.

        Raises InvalidInput for a chunk that no message can hold, which is left out, and for one
        that makes the text too long, of which the part that fits is added.
        """
        if not isinstance(chunk, str):
            raise InvalidInput(_CONTENT.field, f"must be text, not {type(chunk).__name__}")
        if (problem := text_problem(chunk)) is not None:
            raise InvalidInput(_CONTENT.field, problem)
        fitting = chunk[: _CONTENT.max_chars - self.chars]
        self._chunks.append(fitting)
        self.chars += len(fitting)
        if len(fitting) < len(chunk):
            self.is_too_long = True
            raise InvalidInput(_CONTENT.field, f"at most {_CONTENT.max_chars:,} characters")

    def joined(self) -> str:
        """Return the text so far."""
        text = "".join(self._chunks)
        self._chunks = [text]
        return text
