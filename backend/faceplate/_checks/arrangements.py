"""The arrangement of logins, and what injected SQL can reach under it."""

from typing import Any

from faceplate.config import Settings


def describe(login: dict[str, Any], owner: dict[str, Any] | None, settings: Settings) -> str:
    """Return the arrangement in a sentence.

    ``owner`` describes the second login, if there is one.
    """
    name = login["name"]
    pooler = ", by way of a pooler" if settings.pgbouncer else ""
    if not settings.row_level_security:
        return (
            f"one role for everything, {name}{pooler}: the policies are not used, so that SQL"
            " injected into a unit reaches the rows of every user"
        )
    if owner is not None:
        return (
            f"two logins{pooler}: units connect as {name} and run as faceplate_app, and SQL"
            f" injected into a unit can become {_reach(login)}, and {_naming(settings)};"
            f" run_system, sessions, migrations and the commands connect as {owner['name']}"
        )
    if login["is_owner"] or login["is_superuser"] or login["bypasses"]:
        return (
            f"one login{pooler}: {name} {_rank(login)} and steps down to faceplate_app for units,"
            " so that SQL injected into a unit can step up again (SET ROLE NONE) and reach the rows"
            " of every user; FACEPLATE_OWNER_URL prevents that"
        )
    return (
        f"units only{pooler}: {name} does not own the tables and no login of the owner is set, so"
        " that run_system, sessions and the commands that work across users are refused; SQL"
        f" injected into a unit can become {_reach(login)}, and {_naming(settings)}"
    )


def _rank(login: dict[str, Any]) -> str:
    if login["is_superuser"]:
        return "is a superuser"
    return "owns the tables" if login["is_owner"] else "has BYPASSRLS"


def _reach(login: dict[str, Any]) -> str:
    if login["is_superuser"]:
        return "every role, as a superuser can"
    if login["may_join_any_role"]:
        return "every role but a superuser's, by CREATEROLE"
    return ", ".join(login["may_become"]) or "no other role"


def _naming(settings: Settings) -> str:
    if settings.seal is None:
        return "can act as another user whose id it knows"
    return "can act as no other user, as the ids are sealed"
