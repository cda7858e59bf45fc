"""The statements about one message or a draft; `append_statements` has what makes them."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY

from faceplate import records
from faceplate.models import Message
from faceplate.statement import Statement

_columns = Message.columns()
_is_draft = Message.status == sa.literal_column("'streaming'")  # a literal, to match the index
_is_stale = Message.updated_at < func.now() - bindparam("older_than", type_=sa.Interval())
in_conversation = Message.conversation_id == bindparam("conversation_id")
REPLACEABLE = ("role", "content", "tool_calls", "tool_results", "metadata", "body")


def type_of(name: str) -> Any:
    return Message.__table__.c[name].type


GET = Statement(
    records.Message, sa.select(*_columns).where(in_conversation, Message.id == bindparam("id"))
)
REPLACE = Statement(
    records.Message,
    sa.update(Message)
    .where(in_conversation, Message.id == bindparam("id"), ~_is_draft)
    .values(
        {
            **{
                Message.__table__.c[name]: bindparam(f"new_{name}", type_=type_of(name))
                for name in REPLACEABLE
            },
            Message.updated_at: func.statement_timestamp(),
        }
    )
    .returning(*_columns),
)
SAVE_DRAFT = Statement(
    records.Message,
    sa.update(Message)
    .where(in_conversation, Message.id == bindparam("id"), _is_draft)
    .values(
        content=bindparam("content"),
        status=bindparam("new_status", type_=type_of("status")),
        input_tokens=func.coalesce(
            bindparam("new_input_tokens", None, type_=type_of("input_tokens")), Message.input_tokens
        ),
        output_tokens=func.coalesce(
            bindparam("new_output_tokens", None, type_=type_of("output_tokens")),
            Message.output_tokens,
        ),
        updated_at=func.statement_timestamp(),
    )
    .returning(*_columns),
)
# In two steps, since Citus locks no rows for a LIMIT across shards.
STALE_DRAFTS = Statement(
    UUID,
    sa.select(Message.id)
    .where(_is_draft, _is_stale)
    .order_by(Message.created_at)
    .limit(bindparam("limit", type_=sa.Integer())),
)
CLOSE_DRAFTS = Statement(
    int,
    sa.update(Message)
    .where(
        Message.id == sa.any_(bindparam("ids", type_=ARRAY(type_of("id")))), _is_draft, _is_stale
    )
    .values(status="interrupted", updated_at=func.statement_timestamp()),
)
