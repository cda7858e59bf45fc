"""The import of an SDK's own PostgreSQL tables.

::

    report = await import_tables(db, "postgresql://...", "google-adk")

The adapter of the SDK finds each session under its own id afterwards. Nothing is written to the
tables. An import may be run again: it adds the sessions and messages that are new.
"""

import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from faceplate import records
from faceplate._driver.engine import create_migration_engine
from faceplate.config import Settings
from faceplate.database import Database
from faceplate.errors import Conflict, InvalidInput
from faceplate.importers import import_file, preview_file
from faceplate.importers.chats import Refusal, derive_title
from faceplate.integrations import _sdk_rows as rows
from faceplate.integrations._sdk_rows import GOOGLE_ADK, LANGCHAIN, OPENAI_AGENTS, Session
from faceplate.integrations._tool_links import append_linked, linked
from faceplate.scope import Scope
from faceplate.services import chats, conversations, users
from faceplate.services._chat_rows import PLACES
from faceplate.services.chats import NewChat

__all__ = ["SDKS", "Imported", "import_tables"]

SDKS: Final = (OPENAI_AGENTS, GOOGLE_ADK, LANGCHAIN)
"""The SDKs whose tables can be imported. Those of Google ADK need its extra."""
_TABLES: Final = {
    OPENAI_AGENTS: "agent_sessions",
    GOOGLE_ADK: "sessions",
    LANGCHAIN: "message_store",
}


class Imported(NamedTuple):
    """What an import has stored, or would store."""

    sessions: int = 0
    """New sessions."""
    continued: int = 0
    """Sessions that were there, and had new messages."""
    skipped: int = 0
    """Sessions that were there, and had nothing new."""
    messages: int = 0
    """New messages."""
    refused: int = 0
    """Sessions, and states of Google ADK, that break a rule; nothing new of them was stored."""

    def plus(self, *, is_new: bool, messages: int) -> "Imported":
        """Return the sum with one more session."""
        return Imported(
            self.sessions + is_new,
            self.continued + (not is_new and messages > 0),
            self.skipped + (not is_new and not messages),
            self.messages + messages,
            self.refused,
        )


async def import_tables(
    db: Database,
    source: Settings,
    sdk: str,
    *,
    subject: str | None = None,
    is_dry_run: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    on_refusal: Callable[[str, str], None] | None = None,
) -> Imported:
    """Import the sessions of an SDK from the database of ``source``; return what was stored.

    ``sdk`` is one of `SDKS`. ``subject`` is the user who gets the sessions, and is made if there is
    none. Google ADK's tables have users: each becomes the user with its id as the subject, and with
    a ``subject`` only that one is imported. ``on_progress`` gets the number of sessions so far, and
    of all. A dry run stores nothing and counts all sessions as new.

    A session with a part that breaks a rule, such as an item of more than ``max_body_mb``, is
    refused: nothing new of it is stored, and the import goes on. ``on_refusal`` gets its name and
    the reason, which quotes no content.

    Raises InvalidInput for an unknown SDK, a missing subject, and one that Google ADK's tables do
    not have; and the errors of `Database.run`.
    What was stored before an error stays, and a second import goes on from there.
    """
    if sdk not in SDKS:
        raise InvalidInput("sdk", f"must be one of {', '.join(SDKS)}")
    if subject is None and sdk != GOOGLE_ADK:
        raise InvalidInput("subject", f"is required: the tables of {sdk} have no users")
    async with _snapshot(source) as connection:
        if sdk == LANGCHAIN:
            owner = subject or ""
            tell = on_refusal or _ignore
            return await _import_langchain(db, connection, owner, tell, is_dry_run=is_dry_run)
        importing = _Importing(db, subject, is_dry_run, on_progress, on_refusal or _ignore)
        importing.total = await rows.count(connection, _TABLES[sdk])
        reading = rows.adk_sessions if sdk == GOOGLE_ADK else rows.agents_sessions
        async for session in reading(connection):
            await importing.take(session)
        if sdk == GOOGLE_ADK:
            states = await rows.adk_states(connection)
            if subject is not None and subject not in importing.seen | {of for _, of, _ in states}:
                raise InvalidInput("subject", "the tables have nothing of this user")
            for state in () if is_dry_run else states:
                await importing.take_state(*state)
        return importing.report


@asynccontextmanager
async def _snapshot(source: Settings) -> AsyncIterator[AsyncConnection]:
    """Yield a connection that sees one moment of the database, and cannot write."""
    engine = create_migration_engine(source)
    try:
        async with engine.connect() as connection:
            level = await connection.execution_options(isolation_level="REPEATABLE READ")
            async with level.begin():
                await level.execute(sa.text("SET TRANSACTION READ ONLY"))
                yield level
    finally:
        await engine.dispose()


class _Importing:
    """An import under way."""

    def __init__(
        self,
        db: Database,
        subject: str | None,
        is_dry_run: bool,  # noqa: FBT001 - what the caller has said
        on_progress: Callable[[int, int], None] | None,
        on_refusal: Callable[[str, str], None],
    ) -> None:
        self.report = Imported()
        self.total = self.done = 0
        self.seen: set[str] = set()
        """The subjects of the sessions that were taken."""
        self._db = db
        self._subject = subject
        self._is_dry_run = is_dry_run
        self._on_progress = on_progress
        self._on_refusal = on_refusal
        self._users: dict[str, UUID] = {}

    async def take(self, session: Session) -> None:
        """Store a session or refuse it, unless it is another user's than the chosen one."""
        subject = self._subject or "" if session.user is None else session.user
        if self._subject in {None, subject}:
            self.seen.add(subject)
            try:
                is_new, count = await self._store(session, subject)
            except (InvalidInput, Conflict) as error:
                self._refuse(session.name, error)
            else:
                self.report = self.report.plus(is_new=is_new, messages=count)
        self.done += 1
        if self._on_progress is not None:
            self._on_progress(self.done, self.total)

    async def _store(self, session: Session, subject: str) -> tuple[bool, int]:
        if session.user is not None:
            _check_adk_user(session.user)
        if self._is_dry_run:
            return True, len(session.messages(UUID(int=0)))
        return await self._db.run(await self._user(subject), store, session)

    def _refuse(self, name: str, error: InvalidInput | Conflict) -> None:
        self.report = self.report._replace(refused=self.report.refused + 1)
        self._on_refusal(name, error.message)

    async def take_state(self, app: str, user: str | None, state: dict[str, object]) -> None:
        """Store the state of an app or a user of Google ADK where no key of it is stored yet."""
        if user is not None and self._subject not in {None, user}:
            return
        try:
            await self._merge(app, user, state)
        except (InvalidInput, Conflict) as error:
            self._refuse(app if user is None else f"{app}/{user}", error)

    async def _merge(self, app: str, user: str | None, state: dict[str, object]) -> None:
        from faceplate.integrations.google_adk import _states as states  # noqa: PLC0415 - an extra
        from faceplate.integrations.google_adk._units import APP_SUBJECT  # noqa: PLC0415 - an extra

        if user is None:
            owner = await self._user(APP_SUBJECT + app)
            await self._db.run(owner, states.merge_app, app, state, wins=False)
        else:
            _check_adk_user(user)
            await self._db.run(await self._user(user), states.merge, app, state, wins=False)

    async def _user(self, subject: str) -> UUID:
        if subject not in self._users:
            self._users[subject] = (await self._db.run_system(users.ensure, subject)).id
        return self._users[subject]


def _check_adk_user(user: str) -> None:
    """Raise InvalidInput for a user of Google ADK whose name is that of an app's own user."""
    from faceplate.integrations.google_adk._units import subject_of  # noqa: PLC0415 - an extra

    subject_of(user)


async def store(scope: Scope, session: Session) -> tuple[bool, int]:
    """Store a session, or the messages that it has had since; return whether it is new, how many.

    New messages follow the path of the conversation as it is now. With them comes the state of a
    session of Google ADK: where another message was appended here, a key that is there stays.
    """
    id_ = session.id_for(scope.user_id)
    given = session.messages(id_)
    title = derive_title(given)
    chat = NewChat(
        id_,
        title,
        linked(given, set()),
        source=session.source,
        key=session.key,
        body=session.body,
        created_at=session.created_at,
    )
    if await chats.store(scope, [chat]):
        return True, len(given)
    stored = await conversations.lock(scope, id_)
    places = await scope.all(PLACES, conversation_id=id_)  # in all branches
    known = {place.id for place in places}
    fresh = [message for message in given if message.id not in known]
    if fresh:
        await append_linked(scope, id_, fresh)
        if session.source == GOOGLE_ADK:
            is_as_imported = known <= {message.id for message in given}
            await _merge_state(scope, stored, session.body, wins=is_as_imported)
    return False, len(fresh)


async def _merge_state(
    scope: Scope, stored: records.Conversation, theirs: str | None, *, wins: bool
) -> None:
    from faceplate.integrations.google_adk import _states as states  # noqa: PLC0415 - an extra
    from faceplate.integrations.google_adk._events import dump_json  # noqa: PLC0415 - an extra

    state = states.merged(states.state_of(stored.body), states.state_of(theirs), wins=wins)
    body = states.read_json(stored.body) | {"state": state}
    await conversations.replace_body(scope, stored.id, dump_json(body))


async def _import_langchain(
    db: Database,
    connection: AsyncConnection,
    subject: str,
    on_refusal: Callable[[str, str], None],
    *,
    is_dry_run: bool,
) -> Imported:
    """Import LangChain's messages by the importer's format, over a file of their values."""
    names: list[str] = []

    def refuse(refusal: Refusal) -> None:
        place, reason = refusal
        is_session = place.unit in {"line", "chat"} and place.number <= len(names)
        on_refusal(names[place.number - 1] if is_session else str(place), reason)

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "message_store.jsonl"
        with path.open("w", encoding="utf-8") as file:
            async for value in rows.langchain_values(connection):
                names.append(value["id"])
                file.write(json.dumps(value) + "\n")
        if is_dry_run:
            seen = await preview_file(path, format=LANGCHAIN, on_refusal=refuse)
            new = sum(seen.chats.values())
            return Imported(sessions=new, messages=seen.messages, refused=seen.refused)
        user = await db.run_system(users.ensure, subject)
        report = await import_file(db, user.id, path, format=LANGCHAIN, on_refusal=refuse)
    stored = (report.imported, report.continued, report.skipped)
    return Imported(*stored, report.messages, report.refused)


def _ignore(_name: str, _reason: str) -> None:
    """Take a refusal that nobody asked for; the report counts it."""
