"""The owner criterion: the SQL compiler that limits each statement to its owner.

`with_loader_criteria` adds the owner to models that are selected, updated or deleted. It does not
cover a `Table`, the second table of an UPDATE, or the user_id of a new row. So this compiler
examines each SELECT, INSERT, UPDATE and DELETE that it renders, at any depth. It limits owned
tables that are read to the owner, gives rows that are written the owner, and raises UsageError
where it can do neither.
"""

import copy
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, Dialect, and_, null
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg
from sqlalchemy.sql.elements import ClauseElement, ColumnClause, Grouping, Label
from sqlalchemy.sql.selectable import CompoundSelect, Select, SelectStatementGrouping

from faceplate._orm.ownership import (
    OwnedTable,
    Owner,
    equalities,
    is_owner_column,
    limit_to_owner,
    limited_tables,
    owned_table,
    owner,
)
from faceplate.column_types import Id
from faceplate.errors import UsageError


def owner_dialect(dialect: Dialect) -> Dialect:
    """Return a copy of ``dialect`` that compiles with the owner criterion."""
    made: Dialect | None = vars(dialect).get("owner_dialect")
    if made is None:
        made = copy.copy(dialect)
        made.statement_compiler = OwnerCompiler
        vars(dialect)["owner_dialect"] = made
    return made


class _Resolved:
    """A statement whose models are resolved, so that no criterion is added twice."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def _compile_state_factory(self, *_: Any, **__: Any) -> Any:
        return self._state


class OwnerCompiler(PGCompiler_asyncpg):
    """Limits each SELECT, INSERT, UPDATE and DELETE to the owner, or refuses it."""

    given: Mapping[str, str] = {}
    """The fields whose values must be the owner, by the keys of their parameters."""

    @cached_property
    def owner_names(self) -> dict[str, str]:
        """Those fields, by the parameters' names in the compiled statement."""
        binds = self.binds
        return {self.bind_names[binds[key]]: self.given[key] for key in self.given if key in binds}

    def _compose_select_body(
        self, text: Any, select: Any, state: Any, columns: Any, froms: Any, *rest: Any
    ) -> Any:
        # At this point SQLAlchemy has computed the FROM clause of any kind of SELECT.
        froms, criteria = limit_to_owner(froms, limited_tables(select._where_criteria))
        if criteria:
            select = select.where(*criteria)
        return super()._compose_select_body(text, select, state, columns, froms, *rest)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def visit_update(self, update_stmt: Any, visiting_cte: Any = None, **kw: Any) -> str:
        state = update_stmt._compile_state_factory(update_stmt, self, **kw)
        if (table := owned_table(state.statement.table)) is not None:
            self._check_values(table, state)
        self._limit(table, state)
        return super().visit_update(_Resolved(state), visiting_cte, **kw)  # type: ignore[arg-type]  # it asks for the state alone

    def visit_delete(self, delete_stmt: Any, visiting_cte: Any = None, **kw: Any) -> Any:
        state = delete_stmt._compile_state_factory(delete_stmt, self, **kw)
        self._limit(owned_table(state.statement.table), state)
        return super().visit_delete(_Resolved(state), visiting_cte, **kw)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def visit_insert(
        self, insert_stmt: Any, visited_bindparam: Any = None, visiting_cte: Any = None, **kw: Any
    ) -> Any:
        state = insert_stmt._compile_state_factory(insert_stmt, self, **kw)
        if (table := owned_table(state.statement.table)) is not None:
            if table.key not in table.source.c:
                raise UsageError(f"{table.field} is not among the columns: use the model class")
            if state.statement._select_names:
                self._fill_select(table, state)
            elif state._has_multi_parameters:
                self._fill_rows(table, state)
            elif not self._check_values(table, state):
                state._dict_parameters = {**(state._dict_parameters or {}), table.key: owner()}
                state._no_parameters = False
        return super().visit_insert(_Resolved(state), visited_bindparam, visiting_cte, **kw)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def visit_on_conflict_do_update(self, on_conflict: Any, **kw: Any) -> Any:
        insert: Any = self.stack[-1]["selectable"]
        if (table := owned_table(insert.table)) is not None:
            for key, value in dict(on_conflict.update_values_to_set).items():
                if _key(key) == table.key:
                    self._check_written(table, value)
            if table.key not in _conflict_keys(table, on_conflict):
                on_conflict, where = copy.copy(on_conflict), on_conflict.update_whereclause
                own = table.criterion
                on_conflict.update_whereclause = own if where is None else and_(where, own)
        return super().visit_on_conflict_do_update(on_conflict, **kw)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def visit_textclause(self, textclause: Any, *args: Any, **kw: Any) -> Any:
        if self.compile_state is not None and not self.stack:  # the whole of a from_statement()
            raise UsageError("text cannot be limited to the owner: select the model itself")
        return super().visit_textclause(textclause, *args, **kw)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def visit_textual_select(self, taf: Any, *args: Any, **kw: Any) -> Any:
        if any(map(is_owned, taf.column_args)):
            raise UsageError("text cannot be limited to the owner: select the model itself")
        return super().visit_textual_select(taf, *args, **kw)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def _limit(self, table: OwnedTable | None, state: Any) -> None:
        """Limit the tables of an UPDATE or DELETE to the owner.

        A flush finds its row by the primary key. There the user in the key must be the owner, or
        another user's row would be taken for one that was deleted meanwhile. A statement of a model
        that compares the user with a value has that condition beside the owner.
        """
        statement = state.statement
        known = limited_tables(statement._where_criteria)
        is_of_model = "compile_state_plugin" in statement._propagate_attrs
        if table is not None and hash(table.source) not in known:
            for column, bind in equalities(statement._where_criteria):
                if table.has(column) and (bind.required or not is_of_model):
                    self._give(table, bind)
                    known.add(hash(table.source))
        (_, *state._extra_froms), criteria = limit_to_owner(
            [statement.table, *state._extra_froms], known
        )
        if criteria:
            state.statement = statement.where(*criteria)

    def _check_values(self, table: OwnedTable, state: Any) -> bool:
        """Check the value of the owner's column. Return whether there is one."""
        for key, value in (state._dict_parameters or {}).items():
            if _key(key) == table.key:
                self._check_written(table, value)
                return True
        keys = self.column_keys
        is_given: bool = state._no_parameters if keys is None else table.key in keys
        if is_given:
            self.given = {**self.given, table.key: table.field}
        return is_given

    def _fill_rows(self, table: OwnedTable, state: Any) -> None:
        for number, row in enumerate(state._multi_parameters):
            values = {_key(key): value for key, value in row.items()}
            value = values.get(table.key, owner())
            if not isinstance(value, ClauseElement):
                value = BindParameter(None, value, type_=Id(), unique=True)
            self._check_written(table, value)
            state._multi_parameters[number] = {**values, table.key: value}
        state._dict_parameters = state._multi_parameters[0]

    def _fill_select(self, table: OwnedTable, state: Any) -> None:
        statement = state.statement
        names, source = [_key(name) for name in statement._select_names], statement.select
        if table.key in names:
            place = names.index(table.key)
            for select in _selects(source):
                columns: Any = getattr(select, "_all_selected_columns", ())
                self._check_written(table, columns[place] if place < len(columns) else None)
            return
        if not isinstance(source, Select):
            source = Select(*source.subquery().c)
        state.statement = statement._generate()
        state.statement.select = source.add_columns(owner())
        state.statement._select_names = (*names, table.key)
        state._dict_parameters = dict.fromkeys(state.statement._select_names, null())

    def _check_written(self, table: OwnedTable, value: Any) -> None:
        """Accept a parameter, or an owner's column of a table; refuse any other value."""
        while isinstance(value, (Label, Grouping)):
            value = value.element
        if isinstance(value, BindParameter):
            self._give(table, value)
        elif not (isinstance(value, ColumnClause) and is_owner_column(value)):
            raise owner_given_error(table.field)

    def _give(self, table: OwnedTable, bind: BindParameter[Any]) -> None:
        if bind.literal_execute:  # rendered into the SQL, so that no value is left to compare
            raise owner_given_error(table.field)
        if not isinstance(bind, Owner):
            self.given = {**self.given, bind.key: table.field}


def owner_given_error(field: str) -> UsageError:
    """Return the error for a statement that gives the owner's column another value."""
    return UsageError(f"{field} is the scope's user, which is filled in: leave it out")


def is_owned(column: Any) -> bool:
    """Return whether ``column`` belongs to an owned table."""
    return isinstance(column, ColumnClause) and owned_table(column.table) is not None


def _key(column: Any) -> str:
    return str(getattr(column, "key", column))


def _conflict_keys(table: OwnedTable, clause: Any) -> list[str]:
    """Return the columns in which the existing row is equal to the new one."""
    if clause.constraint_target is None:
        return [_key(column) for column in clause.inferred_target_elements]
    return [
        _key(column)
        for constraint in getattr(table.source, "constraints", ())
        if constraint.name == clause.constraint_target
        for column in getattr(constraint, "columns", ())
    ]


def _selects(source: Any) -> Iterator[Any]:
    """Yield the SELECTs of a UNION and other set operations, or ``source`` itself."""
    if isinstance(source, SelectStatementGrouping):
        yield from _selects(source.element)
    elif isinstance(source, CompoundSelect):
        for select in source.selects:
            yield from _selects(select)
    else:
        yield source
