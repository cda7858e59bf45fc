"""Maps the refusal of a row by a constraint to faceplate's error.

- A unique or exclusion constraint: Conflict, because the row exists already.
- A foreign key whose referenced row does not exist, or is another user's: NotFound.
- A foreign key to a row that is being deleted: Conflict.
- A foreign key where the server's fields do not tell these two apart, as for an UPDATE, or for a
  deferred constraint at COMMIT: Conflict, with a message that is right for both.
- A check for which the model has words: InvalidInput.

The table's model gives the words of the message, if there is a model.
"""

from typing import Any

from faceplate._models import constraint_words
from faceplate._models.base import SCHEMA
from faceplate._models.constraint_words import Words
from faceplate.errors import Conflict, FaceplateError, InvalidInput, NotFound


def refusal(state: str, server: Any) -> FaceplateError | None:
    """Return the error for ``server``, the driver's; None if no constraint raised it."""
    name: str | None = getattr(server, "constraint_name", None)
    table: str | None = getattr(server, "table_name", None)
    words = constraint_words.find(getattr(server, "schema_name", None), table, name)
    match state:
        case "23505":
            message = f"a row with the same values exists already{_place(server)}"
        case "23P01":
            message = f"a row that excludes this one exists already{_place(server)}"
        case "23001":  # ON DELETE RESTRICT, from PostgreSQL 18 on
            return _still_referred_to(server, state)
        case "23503":
            return _broken_reference(words, server)
        case "23514" if words is not None:
            return InvalidInput(str(table), words.message, sqlstate=state)
        case _:
            return None
    return Conflict(words.message if words else message, constraint=name, sqlstate=state)


def _broken_reference(words: Words | None, server: Any) -> FaceplateError:
    """Tell a row that refers to nothing from one that is still referred to.

    PostgreSQL names the referring table and the constraint in both cases. Only its message differs,
    and that depends on the server's language. So the verb of the statement tells them apart. Where
    the foreign key cascades, only the first is possible.
    """
    name: str | None = getattr(server, "constraint_name", None)
    verb = _verb(server)
    if verb == "DELETE":
        return _still_referred_to(server, "23503")
    if words is not None and (words.cascades or verb == "INSERT"):
        return NotFound(words.record, words.message, constraint=name, sqlstate="23503")
    if verb == "INSERT":
        message = f"the row that this one refers to does not exist{_place(server)}"
        return NotFound(None, message, constraint=name, sqlstate="23503")
    message = f"a row refers to one that does not exist, or is still referred to{_place(server)}"
    return Conflict(message, constraint=name, sqlstate="23503")


def _still_referred_to(server: Any, state: str) -> Conflict:
    name: str | None = getattr(server, "constraint_name", None)
    message = f"another row still refers to this one{_place(server)}"
    return Conflict(message, constraint=name, sqlstate=state)


def _verb(server: Any) -> str:
    """Return the first word of the statement that the error is about, or nothing.

    The error is about another statement where it has a context: one of a trigger or a function.
    """
    if getattr(server, "context", None):
        return ""
    words = (getattr(server, "query", None) or "").split(None, 1)
    return words[0].upper() if words else ""


def _place(server: Any) -> str:
    """Name the constraint and its table as the end of a message, with the schema unless ours."""
    constraint = getattr(server, "constraint_name", None)
    schema, table = (getattr(server, name, None) for name in ("schema_name", "table_name"))
    if table and schema not in {None, SCHEMA}:
        table = f"{schema}.{table}"
    named = (constraint and f"constraint {constraint}", table and f"table {table}")
    place = " of ".join(filter(None, named))
    return f" ({place})" if place else ""
