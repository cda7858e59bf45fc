"""What an error of the driver means, told by SQLSTATE and constraint."""

import socket
import ssl
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy import exc as sa_exc
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped
from sqlalchemy.orm.exc import StaleDataError

from faceplate import (
    CannotConnect,
    Conflict,
    ConnectionLost,
    Contention,
    DatabaseError,
    FaceplateError,
    InvalidInput,
    NotFound,
    PoolExhausted,
    TimedOut,
    Unauthorized,
    Unavailable,
    UsageError,
)
from faceplate._driver.error_details import is_connection_lost
from faceplate._driver.error_mapping import (
    FOREIGN_ERRORS,
    describe_loss,
    is_from_pooler,
    map_connect_error,
    map_error,
)
from faceplate.errors import SchemaChanged
from faceplate.models import Base, Conversation, Owned

TARGET = "db.example.com:5432/app"


def server(
    sqlstate: str, message: str = "words", *, query: str | None = None, **fields: str
) -> asyncpg.PostgresError:
    """An error as the driver makes it of the server's."""
    wire = {"S": "ERROR", "C": sqlstate, "M": message, **fields}
    error: asyncpg.PostgresError = asyncpg.PostgresError.new(wire, query=query)
    return error


def wrapped(cause: BaseException, *, orig: BaseException | None = None) -> Exception:
    """What SQLAlchemy makes of it."""
    error = sa_exc.DBAPIError("SELECT 1", {}, orig or cause)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("wrap", [lambda error: error, wrapped], ids=["bare", "wrapped"])
@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("23505", Conflict),
        ("23503", Conflict),
        ("23001", Conflict),
        ("23P01", Conflict),
        ("23502", InvalidInput),
        ("23514", InvalidInput),
        ("22P02", InvalidInput),
        ("22021", InvalidInput),
        ("42501", Unauthorized),
        ("57014", TimedOut),
        ("55P03", TimedOut),
        ("25P03", TimedOut),
        ("25P04", TimedOut),
        ("40001", Contention),
        ("40P01", Contention),
        ("53100", DatabaseError),
        ("42P01", DatabaseError),
        ("XX000", DatabaseError),
        ("08003", ConnectionLost),
        ("08006", ConnectionLost),
        ("57P01", ConnectionLost),
        ("57P02", ConnectionLost),
        ("57P03", ConnectionLost),
        ("25006", ConnectionLost),
    ],
)
def test_each_sqlstate_has_its_class(sqlstate: str, kind: type[FaceplateError], wrap: Any) -> None:
    """Else a handler answers 500 where it should say 409, or a unit is retried that must not."""
    mapped = map_error(wrap(server(sqlstate)), target=TARGET)
    assert type(mapped) is kind
    assert mapped.sqlstate == sqlstate


def ended(sqlstate: str, severity: str, *, cause: Exception | None = None) -> Exception:
    """What the driver makes of the server's last word, when the stream has ended after it."""
    around = asyncpg.ConnectionDoesNotExistError("connection was closed: words")
    around.__cause__ = server(sqlstate, V=severity)
    around.__cause__.__cause__ = cause
    return around


ENDING = (
    *("57P01", "57P02", "57P03", "57P04", "57P05", "XX000", "XX001", "58000", "58030", "08P01"),
    *("53300", "53400", "40001", "57014", "0A000", "22021", "23505", "42501", "P0001"),
)


@pytest.mark.parametrize("severity", ["FATAL", "PANIC"])
@pytest.mark.parametrize("sqlstate", ENDING)
def test_what_ends_the_connection_is_a_lost_connection_whatever_its_code(
    sqlstate: str, severity: str
) -> None:
    """Else a COMMIT that took effect is reported as refused, because a pooler has its own codes."""
    reset = ConnectionResetError(104, "reset")
    for error, closed in (
        (server(sqlstate, V=severity), False),  # the end of the stream is still to come
        (server(sqlstate, S=severity), False),  # an old pooler sends no field V
        (wrapped(server(sqlstate, V=severity)), True),
        (ended(sqlstate, severity), True),
        (wrapped(ended(sqlstate, severity, cause=reset)), True),
    ):
        assert is_connection_lost(error, closed=closed)
        assert type(map_error(error, target=TARGET, closed=closed)) is ConnectionLost


def test_a_last_word_without_a_code_is_a_lost_connection() -> None:
    """Else a pooler that leaves the SQLSTATE out has the caller told of an unexpected error."""
    fatal: asyncpg.PostgresError = asyncpg.PostgresError.new({"S": "FATAL", "M": "words"})
    assert is_connection_lost(fatal, closed=False)
    assert map_error(fatal, target=TARGET).message == f"{TARGET}: words"


@pytest.mark.parametrize("sqlstate", ["25P03", "25P04"])
def test_a_time_limit_that_ends_the_connection_is_no_lost_connection(sqlstate: str) -> None:
    """Else a transaction that ran too long is run once more, and takes as long again."""
    for error in (server(sqlstate, V="FATAL"), ended(sqlstate, "FATAL")):
        assert not is_connection_lost(error, closed=True)
        assert type(map_error(error, target=TARGET, closed=True)) is TimedOut


@pytest.mark.parametrize("sqlstate", ["XX000", "58000", "53400", "P0001"])
def test_an_error_that_the_connection_survives_is_none_of_its_end(sqlstate: str) -> None:
    """Else a bug in a function is run twice, and its connection thrown away."""
    error = map_error(server(sqlstate, V="ERROR"), target=TARGET)
    assert type(error) is DatabaseError


def test_a_server_that_takes_no_writes_is_named_as_one() -> None:
    """Else an operator whose disk is full, and whose host went read-only, looks at the network."""
    error = map_error(server("25006", "cannot execute INSERT"), target=TARGET)
    assert type(error) is ConnectionLost
    assert "the server is read-only" in error.message
    assert "default_transaction_read_only" in error.message


def test_what_the_server_said_counts_and_not_what_is_around_it() -> None:
    """Else a transaction that ran too long is taken for a lost connection, and run again."""
    around = asyncpg.ConnectionDoesNotExistError("connection was closed")
    around.__cause__ = server("25P04")
    assert type(map_error(wrapped(around), target=TARGET, closed=True)) is TimedOut


def test_a_changed_table_is_told_from_bad_sql() -> None:
    """Else each connection fails once after a migration."""
    stale = asyncpg.InvalidCachedStatementError("cached statement plan is invalid")
    assert type(map_error(wrapped(stale), target=TARGET)) is SchemaChanged


def of_table(table: Table, state: str, constraint: object) -> asyncpg.PostgresError:
    """What the server says of a constraint of a table."""
    return server(state, n=str(constraint), t=table.name, s=table.schema or "public")


OURS = list(Base.metadata.tables.values())


def test_every_constraint_that_can_refuse_has_its_words() -> None:
    """Else the caller reads a constraint's name in place of what is there already, or missing."""
    for table in OURS:
        unique = [
            c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)
        ]
        for named in (*unique, *(index for index in table.indexes if index.unique)):
            conflict = map_error(of_table(table, "23505", named.name), target=TARGET)
            assert isinstance(conflict, Conflict)
            assert "the same values" not in conflict.message
            assert conflict.message.endswith(" exists already")
            assert conflict.constraint == named.name
        for key in table.foreign_key_constraints:
            if key.referred_table is table:  # what follows a message may keep it
                continue
            assert key.ondelete == "CASCADE"  # so that a DELETE cannot break it
            missing = map_error(of_table(table, "23503", key.name), target=TARGET)
            assert isinstance(missing, NotFound)
            assert missing.record is not None
            assert missing.record.__name__.lower() + "s" == key.referred_table.name
            assert missing.message == f"the {missing.record.__name__.lower()} does not exist"
            assert missing.constraint == key.name


@pytest.mark.parametrize(
    ("table", "constraint", "words"),
    [
        ("users", "pk_users", "a user with this id exists already"),
        ("users", "uq_users_subject_id", "a user with this subject_id exists already"),
        ("users", "uq_users_email", "a user with this email exists already"),
        ("conversations", "pk_conversations", "a conversation with this id exists already"),
        ("messages", "pk_messages", "a message with this id exists already"),
        (
            "messages",
            "uq_messages_user_id_conversation_id_position",
            "a message with this position exists already",
        ),
        ("tasks", "pk_tasks", "a task with this id exists already"),
        ("mcp_configs", "pk_mcp_configs", "an MCP configuration with this id exists already"),
        (
            "mcp_configs",
            "uq_mcp_configs_user_id_name",
            "an MCP configuration with this name exists already",
        ),
    ],
)
def test_words_of_ours(table: str, constraint: str, words: str) -> None:
    """Else a user reads an id where a name is taken, or the other way round."""
    told = map_error(
        of_table(Base.metadata.tables[f"faceplate.{table}"], "23505", constraint), target=TARGET
    )
    assert told.message == words


class ProjectBase(Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Album(Owned, ProjectBase):
    """As a project writes one, with words for what its columns do not tell."""

    __tablename__ = "albums"
    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "conversation_id"],
            [Conversation.user_id, Conversation.id],
            ondelete="CASCADE",
        ),
        UniqueConstraint("user_id", "year", "title"),
        UniqueConstraint("user_id", "conversation_id"),
        Index("uq_albums_cover", text("lower(cover)"), unique=True),
        CheckConstraint("year > 1900", "after_1900"),
        ExcludeConstraint((text("int4range(year, year)"), "&&"), name="ex_albums"),
    )
    constraint_words: ClassVar = {
        "ck_albums_after_1900": "albums begin in 1901",
        "ex_albums": "two albums of a year",
    }

    conversation_id: Mapped[UUID]
    year: Mapped[int]
    title: Mapped[str]
    cover: Mapped[str]


class Track(Owned, ProjectBase):
    __tablename__ = "tracks"
    __table_args__ = (
        ForeignKeyConstraint(["user_id", "album_id"], [Album.user_id, Album.id]),
        ForeignKeyConstraint(["user_id"], ["faceplate.users.id"], ondelete="CASCADE"),
    )
    noun = "a piece"

    album_id: Mapped[UUID]


ALBUMS: Any = Album.__table__
TRACKS: Any = Track.__table__


@pytest.mark.parametrize(
    ("table", "state", "constraint", "kind", "words"),
    [
        (ALBUMS, "23505", "pk_albums", Conflict, "an album with this id exists already"),
        (TRACKS, "23505", "pk_tracks", Conflict, "a piece with this id exists already"),
        (
            ALBUMS,
            "23505",
            "uq_albums_user_id_year_title",
            Conflict,
            "an album with this year and title exists already",
        ),
        (
            ALBUMS,
            "23505",
            "uq_albums_user_id_conversation_id",
            Conflict,
            "an album with this conversation_id exists already",
        ),
        (
            ALBUMS,
            "23505",
            "uq_albums_cover",
            Conflict,
            "an album with the same values exists already",
        ),
        (ALBUMS, "23P01", "ex_albums", Conflict, "two albums of a year"),
        (ALBUMS, "23514", "ck_albums_after_1900", InvalidInput, "albums: albums begin in 1901"),
        (
            ALBUMS,
            "23503",
            "fk_albums_conversations",
            NotFound,
            "the conversation does not exist",
        ),
        (TRACKS, "23503", "fk_tracks_users", NotFound, "the user does not exist"),
    ],
)
def test_a_projects_table_has_words_without_a_declaration(
    table: Table, state: str, constraint: str, kind: type[FaceplateError], words: str
) -> None:
    """Else a project writes its errors itself, or shows its users the name of a constraint."""
    told = map_error(of_table(table, state, constraint), target=TARGET)
    assert type(told) is kind
    assert told.message == words


def test_a_reference_that_does_not_cascade_may_be_broken_from_both_sides() -> None:
    """Else a user who deletes an album with tracks is told that there is none."""
    by = {"n": "fk_tracks_albums", "t": "tracks", "s": "public"}
    missing = map_error(server("23503", query="INSERT INTO tracks", **by), target=TARGET)
    assert isinstance(missing, NotFound)
    assert (missing.message, missing.record) == ("the album does not exist", None)
    for query in ("DELETE FROM albums", "UPDATE albums"):
        assert type(map_error(server("23503", query=query, **by), target=TARGET)) is Conflict


def test_a_table_of_the_same_name_elsewhere_has_no_words_of_ours() -> None:
    """Else a table that the package never heard of is told of as a task."""
    told = map_error(server("23505", n="pk_tasks", t="tasks", s="shop"), target=TARGET)
    assert "(constraint pk_tasks of table shop.tasks)" in told.message


def test_words_for_no_constraint_are_refused() -> None:
    """Else a mistyped name is noticed only when a user reads the wrong words."""
    with pytest.raises(UsageError, match="has no constraint uq_typed_wrong"):

        class Wrong(Owned, ProjectBase):
            __tablename__ = "wrong"
            constraint_words: ClassVar = {"uq_typed_wrong": "words"}


PLACE = "(constraint fk_ratings_places of table ratings)"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (
            server("23505", n="uq_ratings", t="ratings"),
            Conflict,
            "a row with the same values exists already (constraint uq_ratings of table ratings)",
        ),
        (
            server("23P01", n="ex_ratings", t="ratings"),
            Conflict,
            "a row that excludes this one exists already (constraint ex_ratings of table ratings)",
        ),
        (
            server("23503", n="fk_ratings_places", t="ratings", query="  insert into ratings"),
            NotFound,
            f"the row that this one refers to does not exist {PLACE}",
        ),
        (
            server("23503", n="fk_ratings_places", t="ratings", query="DELETE FROM places"),
            Conflict,
            f"another row still refers to this one {PLACE}",
        ),
        (
            server("23001", n="fk_ratings_places", t="ratings", query="WITH a AS (SELECT 1)"),
            Conflict,
            f"another row still refers to this one {PLACE}",
        ),
        *(
            (
                server("23503", n="fk_ratings_places", t="ratings", **more),
                Conflict,
                f"a row refers to one that does not exist, or is still referred to {PLACE}",
            )
            for more in (
                {},
                {"query": "UPDATE places SET id = 1"},
                {"query": "COMMIT"},
                {"query": "DELETE FROM places", "W": "SQL statement of a trigger"},
            )
        ),
        (server("23505"), Conflict, "a row with the same values exists already"),
    ],
)
def test_a_constraint_of_the_applications_own_says_what_is_wrong(
    error: Exception, kind: type[FaceplateError], words: str
) -> None:
    """Else a programmer learns that something is in the way, and not which row of which table."""
    mapped = map_error(wrapped(error), target=TARGET)
    assert type(mapped) is kind
    assert mapped.message == words


def test_a_rule_names_table_column_and_constraint() -> None:
    """Else the caller knows that something was wrong, and not what."""
    blank = map_error(server("23502", t="tasks", c="title"), target=TARGET)
    assert str(blank) == "tasks.title: is required [SQLSTATE 23502]"
    broken = map_error(server("23514", t="tasks", n="ck_tasks_title"), target=TARGET)
    assert isinstance(broken, InvalidInput)
    assert broken.field == "tasks.ck_tasks_title"


def test_an_error_of_ours_comes_through_what_sqlalchemy_puts_around_it() -> None:
    """Else a rule that is broken in a bind is reported as an error of the database."""
    ours = InvalidInput("tasks.title", "must not be blank")
    assert map_error(sa_exc.StatementError("words", "SELECT", {}, ours), target=TARGET) is ours


def test_a_closed_connection_is_lost_only_to_the_driver() -> None:
    """Else a mistake of the caller's, made on a connection that died later, is run again."""
    gone = asyncpg.InterfaceError("connection is closed")
    assert is_connection_lost(gone, closed=True)
    assert not is_connection_lost(gone, closed=False)
    assert not is_connection_lost(TimeoutError(), closed=True)
    assert not is_connection_lost(InvalidInput("a", "b"), closed=True)
    assert not is_connection_lost(server("23505"), closed=True)
    assert not is_connection_lost(sa_exc.InvalidRequestError("words"), closed=True)


def test_a_misuse_of_the_session_says_what_sqlalchemy_says_of_it() -> None:
    """Else a programmer looks for the reason in the database."""
    error = map_error(sa_exc.InvalidRequestError("This session is closed"), target=TARGET)
    assert isinstance(error, UsageError)
    assert "This session is closed" in str(error)


def test_a_flush_whose_error_was_caught_says_how_to_catch_one() -> None:
    """Else a programmer is told that a statement had failed, and not what to write instead."""
    error = map_error(sa_exc.PendingRollbackError("words, and those of the first"), target=TARGET)
    assert isinstance(error, UsageError)
    assert "begin_nested" in str(error)
    assert "words" not in str(error)


def test_what_nobody_expected_is_named_without_its_words() -> None:
    """They may hold a value."""
    error = map_error(asyncpg.InterfaceError("bad value: 'secret'"), target=TARGET)
    assert type(error) is DatabaseError
    assert str(error) == "unexpected InterfaceError from the driver"


def test_errors_of_a_units_own_are_not_ours() -> None:
    """Else an application's FileNotFoundError comes out as one of the database."""
    for theirs in (FileNotFoundError(), TimeoutError(), ConnectionResetError(), ValueError()):
        assert not isinstance(theirs, FOREIGN_ERRORS)
    for ours in (server("23505"), asyncpg.InterfaceError("words"), sa_exc.InvalidRequestError()):
        assert isinstance(ours, FOREIGN_ERRORS)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), Unavailable, "Connection refused"),
        (FileNotFoundError(2, "words"), Unavailable, "No such file or directory"),
        (TimeoutError(), Unavailable, "no answer within 3 s"),
        (ConnectionError("unexpected call"), Unavailable, "the server closed the connection"),
        (ConnectionError("rejected SSL upgrade"), CannotConnect, "rejected SSL upgrade"),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), Unavailable, "try again"),
        (socket.gaierror(socket.EAI_NONAME, "not known"), CannotConnect, "not known"),
        (ssl.SSLCertVerificationError(1, "self-signed"), CannotConnect, "self-signed"),
        (server("57P03", "starting up"), Unavailable, "starting up"),
        (server("53300", "too many clients"), Unavailable, "too many clients"),
        (server("53400", "too many attempts"), Unavailable, "too many attempts"),
        (server("57P05", "idle"), Unavailable, "idle"),
        (server("57014", "authentication timeout"), Unavailable, "authentication timeout"),
        (server("58000", "no backend"), Unavailable, "no backend"),
        (server("XX000", "pool timeout"), Unavailable, "pool timeout"),
        (server("08P01", "no more connections"), Unavailable, "no more connections"),
        (ConnectionError("error during SSL exchange"), Unavailable, "error during SSL exchange"),
        (server("22023", 'role "a" does not exist'), CannotConnect, 'role "a" does not exist'),
        (server("28P01", "password failed"), CannotConnect, "password failed"),
        (server("3D000", "no such database"), CannotConnect, "no such database"),
        (server("42501", "denied", D="a detail"), CannotConnect, "denied"),
    ],
)
def test_a_connection_that_cannot_be_made_says_where_why_and_if_it_may_pass(
    error: Exception, kind: type[FaceplateError], words: str
) -> None:
    """Else a program waits for what will not change, or gives up what would have."""
    mapped = map_connect_error(error, target=TARGET, limit_s=3)
    assert type(mapped) is kind
    assert mapped.message == f"{TARGET}: {words}"


def test_an_exhausted_pool_names_its_setting() -> None:
    """Else it reads like a server that is down."""
    error = map_connect_error(sa_exc.TimeoutError("QueuePool limit"), target=TARGET, limit_s=3)
    assert type(error) is PoolExhausted
    assert "pool_timeout_s" in error.message


def test_a_reason_is_one_line_without_detail() -> None:
    """A DETAIL may quote a row."""
    assert (
        describe_loss(wrapped(server("57P01", "going away", D="Key (title)=(secret)")))
        == "going away"
    )
    assert describe_loss(EOFError()) == "EOFError"


@pytest.mark.parametrize("cause", [None, ConnectionResetError(104, "reset")], ids=repr)
@pytest.mark.parametrize("severity", ["ERROR", "FATAL"])
def test_an_error_that_the_connection_did_not_survive(
    severity: str, cause: Exception | None
) -> None:
    """Else a unit that rides out its own error is not retried, or its words quote a row."""
    lost = asyncpg.ConnectionDoesNotExistError('closed: of "secret"')
    lost.__cause__ = server("22P02", 'of "secret"', V=severity)
    lost.__cause__.__cause__ = cause
    error = map_error(wrapped(lost), target=TARGET, closed=True)
    assert type(error) is ConnectionLost
    assert "secret" not in error.message


def test_causes_that_go_in_a_circle_come_to_an_end() -> None:
    """Else one odd error hangs a worker."""
    one, two = RuntimeError("one"), RuntimeError("two")
    one.__cause__, two.__cause__ = two, one
    assert type(map_error(one, target=TARGET)) is DatabaseError


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ("57P01", "exec_stmt_raise"),
        ("53300", "exec_stmt_raise"),
        ("25006", "exec_stmt_raise"),
        ("08006", "exec_stmt_raise"),
        ("08001", "connect_pg_server"),
    ],
)
def test_what_a_statement_raises_is_no_lost_connection(state: str, place: str) -> None:
    """Else the unit is run again for it, and what a function says of a row is in the log."""
    error = server(state, "canary", F="x.c", R=place)
    assert not is_connection_lost(error, closed=False)
    assert is_connection_lost(error, closed=True)
    mapped = map_error(error, target=TARGET)
    assert type(mapped) is DatabaseError
    assert "canary" not in str(mapped)


@pytest.mark.parametrize("state", ["XX000", "58000", "53400"])
def test_a_poolers_error_is_told_from_one_of_postgresql(state: str) -> None:
    """Else a COMMIT that it answers so is told as a failure, and may have taken effect."""
    assert is_from_pooler(wrapped(server(state)))
    assert not is_from_pooler(wrapped(server(state, F="heapam.c", R="heap_update")))


@pytest.mark.parametrize("state", ["57014", "53100", "23505"])
def test_what_has_a_meaning_of_its_own_is_no_poolers(state: str) -> None:
    assert not is_from_pooler(server(state))


def test_a_parallel_worker_that_was_ended_is_a_lost_connection() -> None:
    """Its leader says so as an ERROR, and is mostly ended in the next moment."""
    assert is_connection_lost(server("57P01", F="postgres.c", R="ProcessInterrupts"), closed=False)


@pytest.mark.parametrize(
    ("cause", "kind", "words"),
    [
        (sa_exc.InvalidRequestError("A value is required for 'x'"), UsageError, "is required for"),
        (sa_exc.ArgumentError("got 'canary'"), UsageError, "refused the call: ArgumentError"),
        (StaleDataError("1 row(s) expected"), NotFound, "no longer exists"),
    ],
)
def test_what_sqlalchemy_refuses_is_not_told_of_the_driver(
    cause: sa_exc.SQLAlchemyError, kind: type[FaceplateError], words: str
) -> None:
    """Nobody finds a mistake in his own call where the database is said to be at fault."""
    for error in (cause, sa_exc.StatementError(str(cause), "SELECT 1", {}, cause)):
        mapped = map_error(error, target=TARGET)
        assert type(mapped) is kind
        assert words in str(mapped)
        assert "canary" not in str(mapped)
