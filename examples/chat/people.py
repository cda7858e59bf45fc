"""Who is asking. THIS IS WHERE AUTHENTICATION WOULD BE.

The demo believes the header ``X-Demo-User``, so anybody may be anybody. An application verifies a
session or a token here, and returns the user's id, or the token's ``sub`` for `runner_for` to look
up. Nothing else in this example would change.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, HTTPException, Security
from fastapi.requests import HTTPConnection
from fastapi.security import APIKeyHeader

from faceplate import Database
from faceplate.cli import demo
from faceplate.cli.session import find_or_create_user
from faceplate.integrations.fastapi import UserRunner, runner_for
from faceplate.services import conversations, users


class Person(NamedTuple):
    name: str
    title: str
    user_id: UUID


DEMO_PEOPLE: Mapping[str, str] = {"ada": "Ada", "grace": "Grace"}
"""Their titles by their names."""
IMPORTER = "demo"
"""The user that ``make demo`` imports chats for."""

_header = APIKeyHeader(
    name="X-Demo-User", auto_error=False, description="Who you say you are: ada, grace or demo."
)


async def settle(db: Database, titles: Mapping[str, str]) -> dict[str, Person]:
    """Make the users where they are not there yet; return them by name."""
    imports = await db.run_system(find_or_create_user, demo.EMAIL)
    people = {IMPORTER: Person(IMPORTER, "Demo", imports.id)}
    for name, title in titles.items():
        user = await db.run_system(users.ensure, f"demo|{name}")
        people[name] = Person(name, title, user.id)
    return people


async def choosable(db: Database, people: Mapping[str, Person]) -> list[Person]:
    """Return the users, the one with the imported chats first, or not at all without any."""
    imported = await db.run(people[IMPORTER].user_id, conversations.page, limit=1)
    return [each for each in people.values() if each.name != IMPORTER or imported.items]


def current_user(
    connection: HTTPConnection, name: Annotated[str | None, Security(_header)]
) -> UUID:
    """Return the id of the user that the request names. Answers 401 where it names none."""
    people: dict[str, Person] = connection.state.people
    if name not in people:
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED,
            "say who you are in the header X-Demo-User",
            {"WWW-Authenticate": "X-Demo-User"},
        )
    return people[name].user_id


Chat = Annotated[UserRunner, Depends(runner_for(current_user))]
"""The parameter of a handler that works for the current user."""
