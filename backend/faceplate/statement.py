"""`Statement`: an SQLAlchemy statement, compiled once with the owner added."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import BindParameter, ColumnClause, Dialect, Select
from sqlalchemy.orm import with_loader_criteria
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql import Executable, functions
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.sql.visitors import iterate

from faceplate._driver import session_state
from faceplate._driver.dialect import DIALECT
from faceplate._driver.session_effects import compiled_changes_session
from faceplate._orm.entities import Entities, is_model
from faceplate._orm.owner_criterion import OwnerCompiler, owner_dialect, owner_given_error
from faceplate._orm.ownership import OWNER, owner
from faceplate.errors import UsageError
from faceplate.models import Private

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

R = TypeVar("R")

PURE_FUNCTIONS = {
    *("date_trunc", "generate_series", "greatest", "int4range", "lead", "least", "nullif"),
    *("octet_length", "range_agg", "string_agg"),
}
"""PostgreSQL functions that only compute, and that SQLAlchemy has no class for."""
USER_PARAMETERS = (OWNER, "owner", "user_id")
"""The parameters that the scope fills in: the owner criterion's, and two for a statement's use."""

OWNER_DIALECT = owner_dialect(DIALECT)
_owner = owner()
OWNER_CRITERIA = with_loader_criteria(
    Private, lambda model: model.user_id == _owner, include_aliases=True
)
"""The option that adds the owner wherever a statement has a model of an owned table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """A statement's SQL, and what a transaction has to know of it."""

    sql: str
    writes: bool
    """Whether it may write. Text and unknown functions may."""
    is_dml: bool
    """Whether it has an INSERT, UPDATE or DELETE anywhere in it."""
    locks: bool
    """Whether it locks the rows that it reads until the transaction ends."""
    changes_session: bool
    """Whether it may change the state of its session: see `session_effects`."""
    needs_transaction: bool
    """Whether it must run inside the unit's transaction: it may write, or it locks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled(Effects):
    """A compiled statement, and its arguments."""

    arguments: tuple[str, ...]
    """The names of the arguments, in their order."""
    checks: Mapping[str, Callable[[Any], Any]]
    """For each argument that the caller may give: what checks it, and makes the driver's value."""
    filled: frozenset[str]
    """The names of the arguments that take the unit's user."""
    defaults: Mapping[str, Any]
    """The driver's values of the arguments that the caller may leave out."""

    def bind(self, values: Mapping[str, Any], user_id: UUID | None) -> list[Any]:
        """Return the arguments in order, each checked by the rule of its column.

        Raises UsageError for an unknown name and for a missing value.
        """
        checks = self.checks
        if not values.keys() <= checks.keys():
            unknown = sorted(values.keys() - checks.keys())
            raise UsageError(f"the statement has no parameter {', '.join(unknown)}")
        bound: dict[str, Any] = {**dict.fromkeys(self.filled, user_id), **self.defaults}
        for name, value in values.items():
            bound[name] = checks[name](value)
        if len(bound) < len(self.arguments):
            missing = next(name for name in self.arguments if name not in bound)
            raise UsageError(f"the statement needs a value for {missing}")
        return list(map(bound.__getitem__, self.arguments))


class Statement(Generic[R]):
    """A statement, and the type of its rows.

    ``into`` is a NamedTuple whose fields are the statement's columns in their order, the type of
    its only column, or the model that it selects. Values are given by the names of the statement's
    ``bindparam``s.

    ::

        OPEN = Statement(records.Task, select(*Task.columns()).where(~Task.completed))
        tasks = await scope.all(OPEN)

    For a column that may be NULL, name the type in front: ``Statement[str | None](str, ...)``.

    ``Statement(Task, select(Task))`` returns instances of the model: detached ones, with every
    column that the model does not defer. No session tracks them, so a change of one is not written.
    """

    may_share: bool = False
    """Whether the runner may send it in a shared flight, with those of other users.

    It returns at most one row, or as many as its value ``limit`` says and one more.
    """
    locks_by: str | None = None
    """The name of the value, a UUID, by which a statement that may share a flight locks a row."""

    def __init__(self, into: type[R], statement: Executable) -> None:
        self.into = into
        self.statement = statement
        self._entities = Entities(into) if is_model(into) else None
        self.make: Callable[[Any], R] = getattr(into, "_make", None) or itemgetter(0)
        if self._entities is not None:
            self.make = self._entities.make
        maker = next((base for base in into.__mro__ if "_make" in vars(base)), object)
        self._fields: tuple[str, ...] = vars(maker).get("_fields", ())

    def make_all(self, rows: Sequence[Any]) -> list[R]:
        """Return what `make` returns for each of ``rows``."""
        if not rows or len(rows[0]) != len(self._fields):
            return list(map(self.make, rows))
        # What the ``_make`` of a NamedTuple comes to. A slice of a row is a tuple already.
        new, into = tuple.__new__, cast("type[Any]", self.into)
        return [new(into, row[:]) for row in rows]

    @cached_property
    def compiled(self) -> Compiled:
        """The statement with the owner, as a `Scope` runs it."""
        statement = self._selected
        if isinstance(statement, ExecutableDDLElement):
            raise UsageError("a unit cannot change tables: use a migration")
        return _compile(statement.options(OWNER_CRITERIA), OWNER_DIALECT, filled=USER_PARAMETERS)

    @cached_property
    def compiled_across_users(self) -> Compiled:
        """The statement without the owner, as a `SystemScope` runs it."""
        return _compile(self._selected, DIALECT)

    @property
    def _selected(self) -> Executable:
        """The statement with the columns that `make` expects."""
        return self.statement if self._entities is None else self._entities.select(self.statement)


def _compile(statement: Any, dialect: Dialect, *, filled: tuple[str, ...] = ()) -> Compiled:
    compiled: SQLCompiler = statement.compile(dialect=dialect)
    session_state.refuse_transaction_control(compiled.string)
    if isinstance(compiled, OwnerCompiler):
        _refuse_other_owners(compiled)
    if compiled.insert_prefetch or compiled.update_prefetch:
        columns = ", ".join(map(str, (*compiled.insert_prefetch, *compiled.update_prefetch)))
        raise UsageError(f"give a value to {columns}: a Statement applies no Python defaults")
    if compiled.post_compile_params or compiled.literal_execute_params:
        raise UsageError("a Statement has a fixed text: write `column == any_(array)` for an IN")
    arguments = tuple(compiled.positiontup or ())
    binds = {name: compiled.binds[name] for name in arguments}
    # The runner has checked the user.
    users = frozenset(name for name, bind in binds.items() if bind.required and name in filled)
    checks = {name: _check_of(bind) for name, bind in binds.items() if name not in users}
    return Compiled(
        **_effects(_parts(statement), compiled, compiled.string),
        arguments=arguments,
        checks=checks,
        filled=users,
        defaults={
            name: check(binds[name].effective_value)
            for name, check in checks.items()
            if not binds[name].required
        },
    )


def _check_of(bind: BindParameter[Any]) -> Callable[[Any], Any]:
    return bind.type.dialect_impl(DIALECT).bind_processor(DIALECT) or _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def effects_of(compiled: "SQLCompiler | None", sql: str) -> Effects:
    """Return the effects of ``sql``, as the session sends it; ``compiled`` is None for text."""
    if compiled is None:
        return Effects(**_effects(DRIVER_SQL, None, sql))
    found = _found_effects.get(compiled)
    if found is not None and found.sql == sql:
        return found
    if (parts := _found_parts.get(compiled)) is None:
        parts = _found_parts[compiled] = _parts(compiled.statement)
    effects = _found_effects[compiled] = Effects(**_effects(parts, compiled, sql))
    return effects


class _Parts(NamedTuple):
    """What the parts of a statement tell of it."""

    may_write: bool
    is_dml: bool
    locks: bool


DRIVER_SQL = _Parts(may_write=True, is_dml=False, locks=False)
# Of the statements that SQLAlchemy keeps compiled, and only as long as it does.
_found_parts: WeakKeyDictionary["SQLCompiler", _Parts] = WeakKeyDictionary()
_found_effects: WeakKeyDictionary["SQLCompiler", Effects] = WeakKeyDictionary()
"""The effects of the SQL that was sent last, which an IN with another length changes."""


def _parts(statement: Any) -> _Parts:
    parts = list(iterate(statement))
    return _Parts(*(any(map(test, parts)) for test in (_may_write, _is_dml, _locks)))


def _effects(parts: _Parts, compiled: "SQLCompiler | None", sql: str) -> dict[str, Any]:
    changes_session = compiled_changes_session(compiled, sql)
    writes = changes_session or parts.may_write
    return {
        "sql": sql,
        "writes": writes,
        "is_dml": parts.is_dml,
        "locks": parts.locks,
        "changes_session": changes_session,
        "needs_transaction": writes or parts.locks,
    }


def _refuse_other_owners(compiled: OwnerCompiler) -> None:
    for name, field in compiled.owner_names.items():
        if name not in USER_PARAMETERS or not compiled.binds[name].required:
            raise owner_given_error(field)


def _may_write(part: Any) -> bool:
    """Return whether a part of a statement may write: text and functions may."""
    if isinstance(part, functions.FunctionElement):
        if type(part) is functions.Function:
            return part.name not in PURE_FUNCTIONS or bool(part.packagenames)
        return type(part).__module__ != functions.__name__
    if isinstance(part, ColumnClause) and part.is_literal:
        return "(" in part.name
    return _is_dml(part) or isinstance(part, TextClause)


def _is_dml(part: Any) -> bool:
    return bool(getattr(part, "is_dml", False))


def _locks(part: Any) -> bool:
    return isinstance(part, Select) and part._for_update_arg is not None  # noqa: SLF001 - SQLAlchemy has no public name for it
