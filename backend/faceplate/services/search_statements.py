"""The statements that search what messages say, and how a text is found in another."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, func

from faceplate import records
from faceplate.column_types import Text
from faceplate.models import Conversation, Message
from faceplate.services._activity import newest_after
from faceplate.statement import Statement

_EXCERPT_CHARS = 300
_BEFORE_CHARS = 100
"""How many characters of an excerpt are before the text, at most."""

_rule = Text(255).required()
_rule.field = "text"
_text: Any = bindparam("text", type_=_rule)
_limit: Any = bindparam("limit", type_=sa.Integer())


def has_text(column: Any) -> Any:
    """Return the condition that a column has the value ``text`` in it, in any case."""
    return func.strpos(_in_one_case(column), _in_one_case(_text)) > _number(0)


def _in_one_case(text: Any) -> Any:
    """Return a text in lower case, without the sigma that some servers put at a word's end."""
    final, other = "\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"
    return func.replace(func.lower(text), _word(final), _word(other))


def excerpt_of(content: Any) -> Any:
    """Return the text with what is around it; in lower case, where that has another length."""
    lower = _in_one_case(content)
    is_as_long = func.char_length(lower) == func.char_length(content)
    left = (_number(_EXCERPT_CHARS) - func.char_length(_text)) // _number(2)
    begin = func.strpos(lower, _in_one_case(_text)) - func.least(left, _number(_BEFORE_CHARS))
    shown = sa.case((is_as_long, content), else_=lower)
    return func.substr(shown, func.greatest(begin, _number(1)), _number(_EXCERPT_CHARS))


def _number(number: int) -> Any:
    return sa.literal_column(f"{number}", sa.Integer())


def _word(word: str) -> Any:
    return sa.literal_column(f"'{word}'", sa.Text())


def _hits(*where: Any) -> Any:
    """Return the messages with the text, the newest first, as many as are asked for."""
    excerpt = excerpt_of(Message.content).label("excerpt")
    return (
        sa.select(Message.id, Message.position, Message.role, excerpt, Message.created_at)
        .where(*where, has_text(Message.content))
        .order_by(Message.position.desc())
        .limit(_limit)
    )


def _search() -> Any:
    """Return a SELECT of the messages with the text in the conversations after a key.

    It reads one conversation after the other until it has found enough. To sort its rows by the
    position, too, the server would read on to the next conversation with a message to return.
    """
    columns = (Conversation.user_id, Conversation.id, Conversation.title, Conversation.updated_at)
    listed = newest_after(sa.select(*columns, Conversation.active_hour)).subquery("listed")
    is_there = (Message.user_id == listed.c.user_id, Message.conversation_id == listed.c.id)
    found = _hits(*is_there).correlate(listed).lateral("found")
    return (
        sa.select(listed.c.id, listed.c.title, listed.c.updated_at, *found.c)
        .select_from(listed.join(found, sa.true()))
        .order_by(listed.c.active_hour.desc(), listed.c.updated_at.desc(), listed.c.id.desc())
        .limit(_limit)
    )


def _search_rest() -> Any:
    """Return a SELECT of the messages with the text before a position in one conversation."""
    in_it = Message.conversation_id == bindparam("conversation_id")
    is_earlier = Message.position < bindparam("position", type_=Message.position.type)
    found = _hits(in_it, is_earlier).subquery("found")
    return (
        sa.select(Conversation.id, Conversation.title, Conversation.updated_at, *found.c)
        .select_from(sa.join(Conversation, found, sa.true()))
        .where(Conversation.id == bindparam("conversation_id"))
        .order_by(found.c.position.desc())
    )


SEARCH = Statement(records.FoundMessage, _search())
# What a page has left of its last conversation, which may have moved in the list since.
SEARCH_REST = Statement(records.FoundMessage, _search_rest())
