"""The statements of `faceplate.services.conversations`."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from faceplate import records
from faceplate.models import Conversation
from faceplate.services._activity import active_at, given_or, newest_after, newest_first
from faceplate.services.search_statements import has_text
from faceplate.statement import Statement

_by_id = Conversation.id == bindparam("id")
_columns = Conversation.columns()


def _create() -> Any:
    created_at: Any = bindparam("created_at", type_=Conversation.created_at.type.optional())
    moment = given_or(created_at, func.statement_timestamp())
    return (
        insert(Conversation)
        .values(
            user_id=bindparam("user_id"),
            id=bindparam("id"),
            title=bindparam("title"),
            metadata_=bindparam("metadata"),
            source=bindparam("source"),
            key=bindparam("key"),
            body=bindparam("body"),
            created_at=moment,
            **active_at(moment),
        )
        .on_conflict_do_nothing(constraint="pk_conversations")
        .returning(*_columns)
    )


def _open() -> Any:
    made = _create().cte("made")
    return sa.union_all(sa.select(*made.c), sa.select(*_columns).where(_by_id))


def _page(in_order: Callable[[Any], Any] = newest_after) -> Any:
    return in_order(sa.select(*_columns)).limit(bindparam("limit", type_=sa.Integer()))


CREATE = Statement(records.Conversation, _create())
OPEN = Statement(records.Conversation, _open())
GET = Statement(records.Conversation, sa.select(*_columns).where(_by_id))
# To compare each row with the key before a first page would cost the server a tenth.
FIRST_PAGE = Statement(records.Conversation, _page(newest_first))
FIRST_PAGE.may_share = True
PAGE = Statement(records.Conversation, _page())
PAGE_OF_SOURCE = Statement(
    records.Conversation, _page().where(Conversation.source == bindparam("source"))
)
SEARCH = Statement(records.Conversation, _page().where(has_text(Conversation.title)))
RENAME = Statement(
    records.Conversation,
    sa.update(Conversation).where(_by_id).values(title=bindparam("title")).returning(*_columns),
)
REPLACE_METADATA = Statement(
    records.Conversation,
    sa.update(Conversation)
    .where(_by_id)
    .values(metadata_=bindparam("metadata"))
    .returning(*_columns),
)
DELETE = Statement(records.Conversation, sa.delete(Conversation).where(_by_id))
LOCK = Statement(records.Conversation, sa.select(*_columns).where(_by_id).with_for_update())
REPLACE_BODY = Statement(
    records.Conversation,
    sa.update(Conversation)
    .where(_by_id)
    .values(body=bindparam("body"), updated_at=Conversation.updated_at)
    .returning(*_columns),
)
