"""What it means that a constraint refuses a row, told by the constraint's name and the SQLSTATE.

- A unique or exclusion constraint: Conflict, such a row is there already.
- A foreign key whose referenced row is not there: NotFound. Another user's row is the same.
- A foreign key that still refers to a row which is deleted: Conflict.
- A foreign key where the server's fields do not tell the two apart, as for an UPDATE, or at COMMIT
  for a deferred constraint: Conflict, in words that are right for both.
"""

from typing import Any

from faceplate import records
from faceplate.errors import Conflict, FaceplateError, NotFound

CONFLICTS = {
    "pk_users": "a user with this id exists already",
    "uq_users_subject_id": "a user with this subject_id exists already",
    "uq_users_email": "a user with this email exists already",
    "pk_conversations": "a conversation with this id exists already",
    "pk_messages": "a message with this id exists already",
    "uq_messages_user_id_conversation_id_position": "another message has this position",
    "pk_tasks": "a task with this id exists already",
    "pk_mcp_configs": "an MCP configuration with this id exists already",
    "uq_mcp_configs_user_id_name": "an MCP configuration with this name exists already",
}
MISSING: dict[str, tuple[type, str]] = {
    "fk_conversations_users": (records.User, "the user does not exist"),
    "fk_messages_conversations": (records.Conversation, "the conversation does not exist"),
    "fk_tasks_users": (records.User, "the user does not exist"),
    "fk_mcp_configs_users": (records.User, "the user does not exist"),
}
"""What a row of ours refers to. A DELETE breaks none of these: they cascade."""


def refusal(state: str, server: Any) -> FaceplateError | None:
    """Return what ``server``, the driver's error, means; None where no such constraint refused."""
    name: str | None = getattr(server, "constraint_name", None)
    match state:
        case "23505":
            message = CONFLICTS.get(name or "")
            message = message or f"a row with the same values exists already{_place(server)}"
        case "23P01":
            message = f"a row that excludes this one exists already{_place(server)}"
        case "23001":  # ON DELETE RESTRICT, from PostgreSQL 18 on
            message = f"another row still refers to this one{_place(server)}"
        case "23503":
            return _broken_reference(name, server)
        case _:
            return None
    return Conflict(message, constraint=name, sqlstate=state)


def _broken_reference(name: str | None, server: Any) -> FaceplateError:
    """Tell a row that refers to nothing from one that is still referred to.

    PostgreSQL names the referring table and the constraint in both cases, and differs in nothing
    but words, which it translates. The verb of the statement tells them apart.
    """
    verb = _verb(server)
    if verb == "DELETE":
        message = f"another row still refers to this one{_place(server)}"
    elif (missing := MISSING.get(name or "")) is not None:
        record, message = missing
        return NotFound(record, message, constraint=name, sqlstate="23503")
    elif verb == "INSERT":
        message = f"the row that this one refers to does not exist{_place(server)}"
        return NotFound(None, message, constraint=name, sqlstate="23503")
    else:
        message = (
            f"a row refers to one that does not exist, or is still referred to{_place(server)}"
        )
    return Conflict(message, constraint=name, sqlstate="23503")


def _verb(server: Any) -> str:
    """Return the first word of the statement that the error is about, or nothing.

    The error is about another statement where it has a context: one of a trigger or a function.
    """
    if getattr(server, "context", None):
        return ""
    words = (getattr(server, "query", None) or "").split(None, 1)
    return words[0].upper() if words else ""


def _place(server: Any) -> str:
    """Name the constraint and its table, as the end of a message."""
    constraint = getattr(server, "constraint_name", None)
    table = getattr(server, "table_name", None)
    named = (constraint and f"constraint {constraint}", table and f"table {table}")
    place = " of ".join(filter(None, named))
    return f" ({place})" if place else ""
