"""What it means that a constraint refuses a row, told by the constraint and the SQLSTATE.

- A unique or exclusion constraint: Conflict, such a row is there already.
- A foreign key whose referenced row is not there: NotFound. Another user's row is the same.
- A foreign key that still refers to a row which is deleted: Conflict.
- A foreign key where the server's fields do not tell the two apart, as for an UPDATE, or at COMMIT
  for a deferred constraint: Conflict, in words that are right for both.
- A check whose model has words for it: InvalidInput.

The words are those of the table's model, where there is one.
"""

from typing import Any

from faceplate._models import constraint_words
from faceplate._models.constraint_words import Words
from faceplate.errors import Conflict, FaceplateError, InvalidInput, NotFound


def refusal(state: str, server: Any) -> FaceplateError | None:
    """Return what ``server``, the driver's error, means; None where no such constraint refused."""
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

    PostgreSQL names the referring table and the constraint in both cases, and differs in nothing
    but words, which it translates. The verb of the statement tells them apart; where the foreign
    key cascades, only the first can be.
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
    """Name the constraint and its table, as the end of a message."""
    constraint = getattr(server, "constraint_name", None)
    table = getattr(server, "table_name", None)
    named = (constraint and f"constraint {constraint}", table and f"table {table}")
    place = " of ".join(filter(None, named))
    return f" ({place})" if place else ""
