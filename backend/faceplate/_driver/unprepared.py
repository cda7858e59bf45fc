"""Runs statements behind a pooler in one round trip, with nothing prepared on the server.

A pooler in transaction mode sends everything up to the next Sync to one connection of the server.
So the text of a statement travels with its values, behind the user and ahead of the driver's Bind.
The driver encodes and decodes by a description of the statement. The server is asked for it when
the pool runs the statement for the first time.

Each flight names the types of its values and asks for the description again. So after a migration
no value is taken for one of another type, and no row is decoded by an outdated description.
"""

from typing import Any, NamedTuple

from faceplate._driver.connection import Connection
from faceplate._driver.described_answer import DescribedAnswer
from faceplate._driver.encoding import Encoded
from faceplate._driver.error_details import server_error, sqlstate_of
from faceplate._driver.preamble import LocalSettings, Preamble, describe
from faceplate._driver.prepared import Prepared
from faceplate._driver.preparing import MAX_PREPARED
from faceplate._driver.wire import Wire
from faceplate.config import Settings
from faceplate.errors import ConnectionLost, FaceplateError, SchemaChanged

CHANGED = "a table was changed under a statement"
GONE = ("42", "XX")
"""The SQLSTATE classes of a statement that names what is not there any more."""
FLUSH = b"H\0\0\0\4"
PARSE_COMPLETE = b"1\0\0\0\4"
ENTERED = PARSE_COMPLETE + b"2\0\0\0\4C\0\0\0\rSELECT 0\0"
"""The answer to `enter_unprepared`."""


class Description(NamedTuple):
    """What the server says of a statement, and the messages that ask for it."""

    messages: bytes
    description: bytes
    likely: tuple[bytes, ...]
    """What a flight's answer begins with, with a preamble that sets the user and without one."""
    types: frozenset[int]
    """The types of the values and of the columns."""


Descriptions = dict[str, Description]
"""Descriptions by the text of their statements."""


class UnpreparedConnection(Connection):
    """A connection to a pooler. Its flights parse and describe the statements that they run."""

    __slots__ = ("_answer", "_begin_describing", "_described", "_shared")

    _wire: Wire

    def set_up(self, settings: Settings, begun_s: float, wire: Wire | None) -> None:
        """Set what the driver's own constructor has no argument for."""
        super().set_up(settings, begun_s, wire)
        self._described: Descriptions = {}
        self._answer: DescribedAnswer | None = None
        self.share({}, ())

    def share(self, descriptions: Descriptions, settings: LocalSettings) -> None:
        """Set the descriptions that all connections of the pool share.

        ``settings`` hold while a statement is described.
        """
        self._shared = descriptions
        local = [f"SET LOCAL {name} = '{value}'" for name, value in (*settings, *self.limits)]
        self._begin_describing = "; ".join(["BEGIN", *local])

    def has_prepared(self, ahead: Preamble) -> bool:  # noqa: ARG002 - the base class's signature
        """Return True: preambles have no names here."""
        return True

    def is_ready(self, ahead: Preamble, sql: str) -> bool:  # noqa: ARG002 - the base class's signature
        """Return whether ``sql`` can be run: from the second time on that the pool runs it."""
        known = self._described.get(sql)
        return known is not None and known is self._shared.get(sql)

    def encode(self, sql: str, values: list[Any]) -> Encoded | None:  # noqa: ARG002 - the base class's signature
        """Return None: a statement is parsed in the flight that runs it."""
        return None

    async def make_ready(self, ahead: Preamble, sql: str, *, undo: str = "") -> None:  # noqa: ARG002 - the base class's signature
        """Have the driver know the types of ``sql``. It executes nothing."""
        known = self._shared.get(sql)
        if known is None or not self._knows_types(known):
            await self._describe(sql)
            return
        with self._wire.answering(PARSE_COMPLETE + known.description):
            prepared = Prepared(await self._ask_to_prepare(sql))
        self.is_preparing = False  # the server has heard nothing
        self._keep(sql, known, prepared)

    def queue_preamble(self, ahead: Preamble, sql: str | None = None) -> None:
        """Send ``ahead``, and ``sql`` with what asks for its description, with the next write."""
        if sql is None:
            super().queue_preamble(ahead)
            return
        known, wire = self._described[sql], self._wire
        self._answer = answer = DescribedAnswer(
            wire.transport, wire.protocol, known.description, known.likely
        )
        if ahead.has_row:
            self._preamble_row = answer
        wire.queue(ahead.messages + known.messages, answer, parses=True)

    def end_preamble(self) -> None:
        """Set `sent_preamble`, and drop what was not sent."""
        super().end_preamble()
        self._answer = None

    def map_error(self, error: Exception, *, may_commit: bool = False) -> FaceplateError:
        """Return faceplate's error, which is `SchemaChanged` where the description was another.

        A statement that may have committed is in doubt then.
        """
        answer = self._answer
        if answer is not None and answer.is_other:
            self._shared.clear()
            if not may_commit:
                return SchemaChanged(CHANGED)
            lost = ConnectionLost(f"{self._settings.target}: {CHANGED}")
            lost.in_doubt = True
            return lost
        if answer is not None and not answer.description and self._is_refusal(error):
            self._shared.clear()
            return SchemaChanged(CHANGED, sqlstate=sqlstate_of(error))
        return super().map_error(error, may_commit=may_commit)

    def _is_refusal(self, error: Exception) -> bool:
        """Return whether PostgreSQL itself, and no pooler, has refused a statement's text."""
        server = server_error(error)
        if self.is_closed() or server is None or server.server_source_filename is None:
            return False
        return str(server.sqlstate).startswith(GONE)

    def _knows_types(self, known: Description) -> bool:
        """Return whether the driver needs to ask for none of the types.

        It asks outside of the preamble, and sets ``jit`` for its session meanwhile.
        """
        settings: Any = self.get_settings()
        return all(settings.get_data_codec(oid) is not None for oid in known.types)

    async def _describe(self, sql: str) -> None:
        """Have the server describe ``sql``, in the unit's transaction or in one of its own."""
        begins = not self.is_in_transaction()
        if begins:
            self.is_preparing = True  # if this is cancelled, BEGIN may have run
            await self.call(self.execute, self._begin_describing)
        answer = DescribedAnswer(self._wire.transport, self._wire.protocol, None)
        self._wire.queue(FLUSH, answer)
        try:
            prepared = Prepared(await self._ask_to_prepare(sql))
        finally:
            self.end_preamble()
            if begins and self.is_in_transaction():
                await self.call(self.execute, "ROLLBACK")
        parameters, columns = prepared.types
        described = PARSE_COMPLETE + answer.description
        found = Description(
            describe(sql, parameters),
            answer.description,
            (ENTERED + described, described),
            frozenset(parameters + columns),
        )
        known = self._shared.get(sql)
        self._keep(sql, known if known == found else found, prepared)

    def _keep(self, sql: str, known: Description, prepared: Prepared) -> None:
        caches: tuple[dict[str, Any], ...] = (self._prepared, self._described, self._shared)
        for kept in caches:
            if sql not in kept and len(kept) >= MAX_PREPARED:
                del kept[next(iter(kept))]
        self._prepared[sql] = prepared
        self._described[sql] = self._shared[sql] = known
