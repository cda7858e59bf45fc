"""What goes over the wire.

The rules of texts stand here for the reader of the OpenAPI document. The column types of
`faceplate.models` enforce them, and say in plain words what was wrong.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from faceplate.column_types import Count
from faceplate.pagination import DEFAULT_LIMIT, MAX_LIMIT

_NO_NUL = r"^[^\x00]*$"
_NOT_BLANK = r"^[^\x00]*[^\s\x00\x1c-\x1f\x85][^\x00]*$"


def _text(max_chars: int, *, blank: bool = False) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "minLength": 0 if blank else 1,
            "maxLength": max_chars,
            "pattern": _NO_NUL if blank else _NOT_BLANK,
        }
    )


Title = Annotated[str, _text(255)]
Content = Annotated[str, _text(1_000_000)]
TaskTitle = Annotated[str, _text(500)]
TaskDescription = Annotated[str, _text(5_000, blank=True)]

Position = Annotated[int, Field(ge=1, le=Count.MAXIMUM, description="A message's position.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many at most.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
DEFAULT = DEFAULT_LIMIT


class FromRecord(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class In(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PersonOut(FromRecord):
    name: str
    title: str


class ConversationOut(FromRecord):
    id: UUID
    title: str
    message_count: int
    created_at: datetime
    updated_at: datetime


class ConversationPage(FromRecord):
    items: list[ConversationOut]
    next_cursor: str | None


class ConversationIn(In):
    title: Title = "New Chat"
    id: UUID | None = Field(default=None, description="Yours, if you may send this again.")


class ConversationChange(In):
    title: Title


def _words(value: object) -> str | None:
    """Return what `replies` has stored. Metadata of an imported message may be anything."""
    return value if isinstance(value, str) else None


class MessageOut(FromRecord):
    id: UUID
    position: int
    role: Literal["user", "assistant", "system", "developer", "tool"] | None = Field(
        description="Null where the message is another program's alone."
    )
    content: str
    tool_calls: list[dict[str, Any]] | None
    tool_results: list[dict[str, Any]] | None
    status: Literal["streaming", "complete", "interrupted", "failed"]
    failure: Annotated[str | None, BeforeValidator(_words)] = Field(
        default=None,
        validation_alias=AliasPath("metadata", "failure"),
        description="What the model's provider refused, or what broke off, in words.",
    )
    created_at: datetime


class MessageList(FromRecord):
    items: list[MessageOut]
    has_earlier: bool
    alternatives: dict[int, list[int]] = Field(
        description="For the position of an item: the positions of all that stand in its place, in"
        " the order in which they were begun. An item without alternatives is left out."
    )


class Again(In):
    path_end: int | None = Field(
        default=None,
        ge=0,
        le=Count.MAXIMUM,
        description="The position of the last message that you show, 0 for none. Where the"
        " conversation does not end there any more, nothing is stored, and the answer is 409, or"
        " 404 if that message is gone.",
    )


class Question(Again):
    content: Content
    id: UUID | None = Field(default=None, description="Yours, if you may send this again.")


class Place(In):
    position: Position


class ForkIn(In):
    position: Position
    id: UUID | None = Field(default=None, description="Yours, if you may send this again.")


class ImportOptions(In):
    name: str = Field(
        default="",
        max_length=255,
        description="The file's name. Its end may say that each line is a value: .jsonl.",
    )
    preview: bool = Field(default=False, description="Whether to store nothing.")


class ImportRules(BaseModel):
    max_bytes: int
    formats: list[str] = Field(description="What can be read, in words.")


class TaskOut(FromRecord):
    id: UUID
    title: str
    description: str
    completed: bool
    created_at: datetime


class TaskPage(FromRecord):
    items: list[TaskOut]
    next_cursor: str | None


class TaskIn(In):
    title: TaskTitle
    description: TaskDescription = ""


class TaskChange(In):
    title: TaskTitle | None = None
    description: TaskDescription | None = None
    completed: bool | None = None
