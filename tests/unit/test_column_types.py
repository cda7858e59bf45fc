"""Rules: what must not reach the database is refused where it is written, and never repeated."""

import datetime as dt
import traceback
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from faceplate import InvalidInput, models, records
from faceplate._driver.dialect import DIALECT
from faceplate.column_types import Count, Email, Flag, Id, Json, OneOf, Secret, Text, Timestamp
from faceplate.models import Base, Conversation, McpConfig, Message, Task, User
from faceplate.services.messages import NewMessage

ID = UUID(int=1)
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

WHOLE: dict[type[Base], dict[str, Any]] = {
    User: {"subject_id": "a"},
    Conversation: {"user_id": ID, "title": "a"},
    Message: {"user_id": ID, "conversation_id": ID, "position": 1, "role": "user"},
    Task: {"user_id": ID, "title": "a"},
    McpConfig: {"user_id": ID, "name": "a", "config": {}},
}

BROKEN = [
    (User, "subject_id", "", "must not be blank; 0 characters were given"),
    (User, "subject_id", "a" * 256, "at most 255 characters; 256 were given"),
    (User, "email", "nobody", "must be an e-mail address such as name@example.com"),
    (User, "email", "a b@example.com", "must be an e-mail address such as name@example.com"),
    (User, "email", "a" * 321, "at most 320 characters; 321 were given"),
    (Conversation, "title", " \t\n", "must not be blank; 3 characters were given"),
    (Conversation, "title", 7, "must be text, not int"),
    (Conversation, "message_count", -1, "must be between 0 and 2,147,483,647"),
    (Conversation, "metadata_", [], "must be a JSON object, not list"),
    (Conversation, "metadata_", {1: 2}, "keys must be plain text"),
    (Message, "user_id", str(ID), "must be a UUID, not str"),
    (Message, "position", 0, "must be between 1 and 2,147,483,647"),
    (Message, "position", 2**31, "must be between 1 and 2,147,483,647"),
    (Message, "position", True, "must be a whole number, not bool"),
    (Message, "position", 1.0, "must be a whole number, not float"),
    (Message, "role", "narrator", "must be one of user, assistant, system, developer, tool"),
    (Message, "role", ["user"], "must be one of user, assistant, system, developer, tool"),
    (Message, "content", "a\x00b", "must not contain the NUL character"),
    (Message, "content", "a\ud800b", "must not contain a lone surrogate"),
    (Message, "content", "a" * 1_000_001, "at most 1,000,000 characters; 1,000,001 were given"),
    (Message, "content", b"a", "must be text, not bytes"),
    (Message, "tool_calls", {}, "must be a list of JSON objects, not dict"),
    (Message, "tool_calls", ["a"], "must be a list of JSON objects"),
    (
        Message,
        "tool_results",
        [{"a": float("inf")}],
        "numbers must be finite; NaN and infinity are not JSON",
    ),
    (Message, "metadata_", {"a": 2**64}, "integers must fit 64 bits; write larger ones as text"),
    (
        Message,
        "metadata_",
        {"a": 51686608561058030.0},
        "floats beyond 2**53 come back as other integers; write them as integers",
    ),
    (Message, "metadata_", {"a\x00": 1}, "must not contain the NUL character"),
    (Message, "metadata_", {"a": ["\udfff"]}, "must not contain a lone surrogate"),
    (Message, "metadata_", {"a": b"a"}, "bytes is not a JSON value"),
    (Message, "metadata_", {"a": (1,)}, "tuple is not a JSON value"),
    (Message, "metadata_", {"a": [0] * 20_000}, "at most 20,000 values"),
    (Message, "metadata_", {"a": "b" * 262_145}, "at most 262,144 characters of text"),
    (Message, "metadata_", {"a" * 262_145: 0}, "at most 262,144 characters of text"),
    (Task, "title", "a" * 501, "at most 500 characters; 501 were given"),
    (Task, "description", "a" * 5_001, "at most 5,000 characters; 5,001 were given"),
    (Task, "completed", 1, "must be True or False, not int"),
    (
        Task,
        "created_at",
        NOW.replace(tzinfo=None),
        "must carry a time zone; a naive datetime was given",
    ),
    (Task, "created_at", "2026-01-01", "must be a datetime, not str"),
    (
        Task,
        "created_at",
        dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1))),
        "must lie between the years 1 and 9999 in UTC",
    ),
    (McpConfig, "secrets", "plain text", "must be encrypted bytes, not str"),
    (McpConfig, "secrets", {"token": "a"}, "must be encrypted bytes, not dict"),
]


def column_of(model: type[Base], attribute: str) -> sa.Column[Any]:
    (column,) = model.__mapper__.attrs[attribute].columns
    assert isinstance(column, sa.Column)
    return column


@pytest.mark.parametrize(("model", "attribute", "value", "rule"), BROKEN)
def test_a_broken_rule_is_refused_at_construction_on_set_and_on_bind(
    model: type[Base], attribute: str, value: Any, rule: str
) -> None:
    """Wherever a value comes in, it meets the same rule in the same words."""
    column = column_of(model, attribute)
    whole = model(**WHOLE[model])
    bind = column.type.dialect_impl(DIALECT).bind_processor(DIALECT)
    assert bind is not None
    refusals = []
    for write in (
        lambda: model(**WHOLE[model] | {attribute: value}),
        lambda: setattr(whole, attribute, value),
        lambda: bind(value),
    ):
        with pytest.raises(InvalidInput) as refusal:
            write()
        refusals.append((refusal.value.field, refusal.value.rule))
    assert refusals == [(f"{column.table.name}.{column.name}", rule)] * 3


@pytest.mark.parametrize(
    ("model", "attribute"),
    [
        (model, key)
        for model, whole in WHOLE.items()
        for key in whole
        if key != "user_id" and (model, key) != (Message, "role")  # none where there is a body
    ],
)
def test_what_is_missing_is_refused_at_construction(model: type[Base], attribute: str) -> None:
    if attribute == "title" and model is Conversation:
        assert model(user_id=ID).__dict__.get("title") is None  # the server has a default
        return
    without = {name: value for name, value in WHOLE[model].items() if name != attribute}
    for given in (without, without | {attribute: None}):
        with pytest.raises(InvalidInput, match="is required") as refusal:
            model(**given)
        assert refusal.value.field == f"{model.__tablename__}.{attribute}"


@pytest.mark.parametrize("model", [model for model in WHOLE if "user_id" in WHOLE[model]])
def test_the_owner_may_be_left_to_the_session(model: type[Base]) -> None:
    """Else a unit has to repeat in each row which user it runs for."""
    without = {name: value for name, value in WHOLE[model].items() if name != "user_id"}
    assert model(**without).__dict__.get("user_id") is None
    with pytest.raises(InvalidInput, match="is required"):
        model(**without, user_id=None)


def test_a_name_that_is_no_attribute_is_refused() -> None:
    with pytest.raises(TypeError, match="Task has no attribute 'titel'"):
        Task(user_id=ID, titel="a")


def test_what_is_required_cannot_be_taken_away() -> None:
    task = Task(user_id=ID, title="a")
    with pytest.raises(InvalidInput, match=r"tasks\.title: is required"):
        task.title = None  # type: ignore[assignment]  # the call must refuse it
    assert task.title == "a"


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (Id(), ID),
        (Flag(), False),
        (Count(), 0),
        (Count(minimum=1), 2**31 - 1),
        (Text(3), "🙂é\n"),
        (Text(3, blank=True), ""),
        (Email(), '"odd@name"@Example.com'),
        (OneOf(("a", "b")), "b"),
        (Secret(), b"\x00"),
        (Timestamp(), NOW),
        (Json(dict, max_chars=3), {"a": [None, True, 1, -1.5, "bc", {}]}),
        (Json(list, max_chars=0), []),
        (Json(dict, max_chars=9), {"a": -(2**63), "b": 2**64 - 1, "c": 1e300, "d": 1e18}),
    ],
)
def test_what_keeps_the_rule_is_left_as_it_is(rule: Any, value: Any) -> None:
    assert rule.validate(value) == value
    assert rule.process_bind_param(None, DIALECT) is None


def test_times_are_stored_in_utc() -> None:
    oslo = dt.timezone(dt.timedelta(hours=2))
    stored = Timestamp().validate(dt.datetime(2026, 1, 1, 2, tzinfo=oslo))
    assert (stored, stored.tzinfo) == (NOW, dt.UTC)


def test_json_has_a_deepest_level() -> None:
    """Deeper JSON would be a RecursionError for each reader of the row."""
    value: dict[str, Any] = {}
    for _ in range(Json.MAX_DEPTH):
        value = {"a": value}
    assert Json(dict, max_chars=1_000).validate(value) == value
    with pytest.raises(InvalidInput, match="at most 32 levels deep"):
        Json(dict, max_chars=1_000).validate({"a": value})


def test_json_that_contains_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["a"] = value
    with pytest.raises(InvalidInput):
        Json(dict, max_chars=1_000).validate(value)


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=str)
def test_a_rule_that_sql_can_say_is_a_check_as_well(table: sa.Table) -> None:
    """A write through psql is held to it too."""
    checked = {str(c.name) for c in table.constraints if isinstance(c, sa.CheckConstraint)}
    for column in table.columns:
        rule: Any = column.type
        if (check := rule.check_sql(column.name)) is not None:
            assert f"ck_{table.name}_{column.name}" in checked
            sa.text(check).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (Text(3), "canary"),
        (Text(99), "canary\x00"),
        (Text(99), "canary\ud800"),
        (Email(), "canary"),
        (OneOf(("a",)), "canary"),
        (Count(), "canary"),
        (Id(), "canary"),
        (Flag(), "canary"),
        (Timestamp(), "canary"),
        (Secret(), "canary"),
        (Json(dict, max_chars=99), "canary"),
        (Json(dict, max_chars=3), {"canary": 1}),
        (Json(dict, max_chars=99), {"canary": {"canary\x00"}}),
        (Json(dict, max_chars=99), {"a": "canary\ud800"}),
        (Json(list, max_chars=99), ["canary"]),
    ],
)
def test_a_refusal_does_not_repeat_the_value(rule: Any, value: Any) -> None:
    """A secret in an error is a secret in everybody's logs."""
    with pytest.raises(InvalidInput) as refusal:
        rule.validate(value)
    error = refusal.value
    trace = "".join(traceback.format_exception(error))
    assert "canary" not in f"{error} {error!r} {error.args} {vars(error)} {trace}"


@pytest.mark.parametrize(
    "shown",
    [
        User(id=ID, subject_id="canary", email="canary@example.com"),
        Conversation(user_id=ID, id=ID, title="canary", metadata_={"canary": "canary"}),
        Message(
            user_id=ID,
            conversation_id=ID,
            id=ID,
            position=1,
            role="tool",
            content="canary",
            tool_results=[{"canary": "canary"}],
        ),
        Task(user_id=ID, id=ID, title="canary", description="canary"),
        McpConfig(user_id=ID, id=ID, name="a", config={"canary": 1}, secrets=b"canary"),
        NewMessage("user", "canary", metadata={"canary": 1}),
        records.User(ID, "canary", "canary@example.com", NOW, NOW),
        records.Conversation(
            id=ID,
            title="canary",
            message_count=0,
            head=None,
            metadata={"canary": 1},
            source="canary",
            key="canary",
            body='"canary"',
            created_at=NOW,
            updated_at=NOW,
        ),
        records.Task(ID, "canary", "canary", completed=False, created_at=NOW, updated_at=NOW),
        records.McpConfig(
            ID,
            "a",
            {"canary": 1},
            has_secrets=True,
            enabled=True,
            created_at=NOW,
            updated_at=NOW,
        ),
    ],
    ids=lambda shown: f"{type(shown).__module__}.{type(shown).__name__}",
)
def test_no_repr_shows_content(shown: Any) -> None:
    assert "canary" not in f"{shown!r} {shown}"


def test_a_repr_works_on_an_object_that_has_lost_its_session() -> None:
    """Else the line that logs a failure fails itself."""
    id_ = uuid4()
    task = Task(user_id=ID, id=id_, title="a")
    sa.orm.make_transient_to_detached(task)
    assert repr(task) == f"Task(id={id_})"
    assert repr(models.Task.__new__(models.Task)) == "Task(id=None)"
