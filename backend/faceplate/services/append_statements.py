"""The statements that append messages, find the stored ones, and return the end of the path."""

from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import aliased

from faceplate import records
from faceplate.column_types import ArrayOf
from faceplate.models import Conversation, Message
from faceplate.services import _path_statements
from faceplate.services._activity import activity, given_or
from faceplate.services._unnest import unnest
from faceplate.services.message_statements import REPLACEABLE, in_conversation, type_of
from faceplate.statement import Statement

R = TypeVar("R")

_columns = Message.columns()
_conversation = Conversation.id == bindparam("conversation_id", type_=Message.conversation_id.type)
_ONE: Any = sa.literal_column("1")
_SPOKEN = ("id", "role", "content", "metadata")
_WRITING = ("model", "input_tokens", "output_tokens")
_GIVEN = ("id", *REPLACEABLE, *_WRITING)


class _Aliased(sa.Insert):
    """An INSERT into a table that has an alias."""

    inherit_cache = True


@compiles(_Aliased)
def _give_alias(insert: _Aliased, compiler: Any, **options: Any) -> str:
    # Without it Citus writes RETURNING with the table's name, where a shard is inserted into.
    sql: str = compiler.visit_insert(insert, **options)
    name = compiler.preparer.format_table(insert.table)
    aliased = sql.replace(f"INSERT INTO {name} (", f"INSERT INTO {name} AS added (", 1)
    return aliased.replace(f"{name}.", "added.")


class Stamp(NamedTuple):
    """The columns of a message that the server fills in."""

    position: int
    parent_position: int | None
    status: str
    created_at: datetime
    updated_at: datetime


_stamps = [getattr(Message, name) for name in Stamp._fields]


class _Appending(NamedTuple):
    """An append: the columns of one new message or many, and when it is done."""

    columns: dict[str, Any]
    where: tuple[Any, ...]
    count: Any = _ONE
    parent: Any = None
    number: Any = None
    new: Any = None
    """Many messages, each with its ``number`` from 1."""
    moment: Any = None
    """When they were written; None is now."""

    def insert(self) -> sa.Insert:
        """Return an INSERT at the new end of the conversation, which it counts up.

        Concurrent appends to one conversation wait for its row.
        """
        counted = self._counting().cte("counted")
        values = self._values(counted.c.user_id, counted.c.id, counted.c.end)
        rows = sa.select(*values.values()).select_from(
            counted if self.new is None else sa.join(counted, self.new, sa.true())
        )
        return sa.insert(Message).from_select([*values], rows)

    def steps(self) -> "tuple[Statement[int], Statement[Stamp]]":
        """Return the same in two statements: one counts up, the other takes the new ``end``."""
        end = bindparam("end", type_=sa.Integer())
        add = self._add_one(end) if self.new is None else self._add_many(end)
        return Statement(int, self._counting()), Statement(Stamp, add.returning(*_stamps))

    def _add_one(self, end: Any) -> sa.Insert:
        user_id = bindparam("user_id", type_=type_of("user_id"))
        conversation_id = bindparam("conversation_id", type_=type_of("conversation_id"))
        values = self._values(user_id, conversation_id, end)
        columns = Message.__table__.c  # by name, the model's metadata would be another thing
        return sa.insert(Message).values({columns[name]: value for name, value in values.items()})

    def _add_many(self, end: Any) -> sa.Insert:
        # Without a table to select from, the rows would go through the coordinator, which takes
        # two commands more, and a two-phase commit.
        values = self._values(Conversation.user_id, Conversation.id, end)
        rows = sa.select(*values.values()).select_from(sa.join(Conversation, self.new, sa.true()))
        return _Aliased(Message).from_select([*values], rows.where(_conversation))

    def _counting(self) -> Any:
        now = func.statement_timestamp()
        return (
            sa.update(Conversation)
            .where(_conversation, *self.where)
            .values(
                message_count=Conversation.message_count + self.count,
                head=sa.null(),
                **activity(now if self.moment is None else given_or(self.moment, now)),
            )
            .returning(
                (Conversation.message_count + Conversation.removed_count).label("end"),
                Conversation.user_id,
                Conversation.id,
            )
        )

    def _values(self, user_id: Any, conversation_id: Any, end: Any) -> dict[str, Any]:
        position = end if self.new is None else end - self.count + self.number
        columns = self.columns
        if (parent := self.parent) is not None:
            # A first message has its own position there. What follows the given one follows the
            # first.
            own = sa.case((parent == sa.literal_column("0"), position), else_=parent)
            columns = {**columns, "parent_position": sa.case((self.number == _ONE, own))}
        return {
            "user_id": user_id,
            "conversation_id": conversation_id,
            "position": position,
            "status": bindparam("status", "complete", type_=type_of("status")),
            **columns,
        }


def _shared(statement: Statement[R]) -> Statement[R]:
    """Return the statement, which may share a flight with those on other conversations."""
    statement.may_share, statement.locks_by = True, "conversation_id"
    return statement


def _stamped(appending: _Appending) -> Statement[Stamp]:
    """Return the statement that appends, and returns the stamps."""
    statement = Statement(Stamp, appending.insert().returning(*_stamps))
    STEPS[statement] = appending.steps()
    return statement


def _is_new(condition: Any) -> Any:
    """Return the condition that no message fulfils ``condition``.

    If two transactions append the same message, the second has looked before the first committed,
    and violates the primary key.
    """
    return ~sa.exists(Message.id).where(in_conversation, condition)


def _ends_at_newest() -> Any:
    """Return the condition that the path ends at the newest message."""
    return Conversation.head.is_(None)


def _ends_at_after() -> Any:
    """Return the condition that the path ends at the newest message, and that it is ``after``."""
    after: Any = bindparam("after", type_=sa.Integer())
    end = Conversation.message_count + Conversation.removed_count
    # A statement that waited for the row still sees the messages as they were before its wait.
    seen = aliased(Conversation)
    is_there = sa.exists(Message.id).where(
        in_conversation,
        Message.position == after,
        seen.id == Conversation.id,
        seen.removed_count == Conversation.removed_count,
    )
    return sa.and_(_ends_at_newest(), end == after, is_there)


def _ends_at_given() -> Any:
    """Return the condition that the path ends at the newest message, and at ``after`` if given.

    It needs `_sees_all` beside it.
    """
    after: Any = bindparam("after", None, type_=sa.Integer())
    end = Conversation.message_count + Conversation.removed_count
    is_there = sa.exists(Message.id).where(in_conversation, Message.position == after)
    ends_there = sa.and_(end == after, sa.or_(after == sa.literal_column("0"), is_there))
    return sa.and_(_ends_at_newest(), sa.or_(after.is_(None), ends_there))


def _sees_all() -> Any:
    """Return the condition that the statement sees the conversation as it is.

    A statement that waited for the row still sees the messages as they were before its wait.
    """
    seen = aliased(Conversation)
    return sa.exists(seen.id).where(
        seen.id == Conversation.id,
        seen.message_count == Conversation.message_count,
        seen.removed_count == Conversation.removed_count,
        seen.head.is_(None),
    )


def _is_linear() -> Any:
    """Return the condition that no message of the conversation has a parent_position."""
    message = aliased(Message)
    return ~sa.exists(message.id).where(
        message.conversation_id == bindparam("conversation_id"),
        message.parent_position.is_not(None),
    )


def _append_spoken(*where: Any, alone: bool = False) -> _Appending:
    values = {name: bindparam(name, type_=type_of(name)) for name in _SPOKEN}
    is_new = () if alone else (_is_new(Message.id == values["id"]),)
    return _Appending(values, (*is_new, *where))


def _append(*where: Any) -> _Appending:
    names = (*_SPOKEN, "body", *_WRITING)  # one with tools needs the path, and is placed
    values: dict[str, Any] = {name: bindparam(name, type_=type_of(name)) for name in names}
    moment = bindparam("active_at", None, type_=Message.created_at.type.optional())
    values["created_at"] = given_or(moment, func.now())
    return _Appending(values, (_is_new(Message.id == values["id"]), *where), moment=moment)


def _append_many(*, is_placed: bool) -> _Appending:
    names = (*_GIVEN, "created_at")
    new, items = unnest(Message.__table__, names, optional=("created_at",))
    values = dict(zip(names, items, strict=True))
    values["created_at"] = given_or(values["created_at"], func.now())
    ids = bindparam("ids", type_=ArrayOf(type_of("id")))
    where = () if is_placed else (_is_new(Message.id == sa.any_(ids)), _ends_at_newest())
    return _Appending(
        values,
        where,
        count=func.cardinality(ids),
        parent=bindparam("parent", type_=sa.Integer()) if is_placed else None,
        number=sa.cast(new.c.number, sa.Integer),
        new=new,
        moment=bindparam("active_at", None, type_=Message.created_at.type.optional()),
    )


def _ask(appending: _Appending, earlier: Any) -> Statement[records.Message]:
    """Return a statement that appends a message, and returns it with ``earlier`` messages.

    It returns nothing if it appends nothing. An order would cost the server a twentieth.
    """
    appended = appending.insert().returning(*_columns).cte("appended")
    earlier = earlier.where(sa.exists(sa.select(appended.c.id)))
    # In this order WITH RECURSIVE begins with the path, so that no name in it is taken for a call.
    return _shared(Statement(records.Message, sa.union_all(earlier, sa.select(*appended.c))))


STEPS: dict[Statement[Stamp], tuple[Statement[int], Statement[Stamp]]] = {}
"""What appends the same in two statements, for Citus: there one with a CTE that writes takes six
commands to a worker, and a two-phase commit. The two take four, and a commit of one phase."""
# Each of these four does nothing if a message is stored, or if the path does not end at the newest
# message, or not at ``after``. The first is for what most chats have: with the columns of the
# second it takes a tenth longer, with the condition of the third a fifth.
APPEND = _stamped(_append_spoken(_ends_at_newest()))
# The same for a transaction of its own, which violates the primary key if the message is stored:
# the server does not look for a message that is hardly ever there.
APPEND_ALONE = _shared(_stamped(_append_spoken(_ends_at_newest(), alone=True)))
APPEND_WHOLE = _shared(_stamped(_append(_ends_at_newest())))
APPEND_AFTER = _shared(_stamped(_append(_ends_at_after())))
APPEND_MANY = _stamped(_append_many(is_placed=False))
# For a locked conversation: the first message follows ``parent``, which may be 0 for none; None is
# the newest message.
APPEND_PLACED = _stamped(_append_many(is_placed=True))
# Each of these appends, and returns the end of the path in no order. It does nothing if another
# append or a removal came between. The first two are for a conversation without branches, where the
# third takes a tenth longer; the first is for what most chats have.
_ends = (_ends_at_newest(), _sees_all(), _is_linear())
ASK = _ask(_append_spoken(*_ends), _path_statements.NEWEST.statement)
ASK_ALONE = _ask(_append_spoken(*_ends, alone=True), _path_statements.NEWEST.statement)
ASK_WHOLE = _ask(
    _append(_ends_at_given(), _sees_all(), _is_linear()), _path_statements.NEWEST.statement
)
ASK_ON_PATH = _ask(_append(_ends_at_given(), _sees_all()), _path_statements.PATH_PAGE.statement)
STORED = Statement(
    records.Message,
    sa.select(*_columns).where(
        in_conversation, Message.id == sa.any_(bindparam("ids", type_=ARRAY(type_of("id"))))
    ),
)
