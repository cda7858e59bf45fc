"""Makes instances of a model from rows, without a session that tracks them.

An instance is detached, as one whose session was closed: it has its key and its columns. SQLAlchemy
neither flushes it nor loads anything for it.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from sqlalchemy import Float, Select, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.orm.interfaces import LoaderOption

from faceplate._driver.dialect import DIALECT
from faceplate.errors import UsageError

SELECT_IT = "to return {0}s, select the model itself: Statement({0}, select({0}).where(...))"
NO_OPTIONS = "a Statement loads every column of {0} and nothing else: use scope.session for options"
NOT_EAGER = "{0}.{1} is loaded eagerly, which a Statement cannot do: use scope.session"
NOT_POLYMORPHIC = "a row of {0} may be of another class: use scope.session"
EAGER = {"joined", "selectin", "subquery", "immediate", False}
# The server's types of numbers, by which SQLAlchemy chooses how to read one.
_FLOAT8, _NUMERIC = 701, 1700


class Entities:
    """What makes instances of one model: `select` first, then `make` for each row."""

    _keys: tuple[str, ...]
    _processed: list[tuple[str, Callable[[Any], Any]]]
    _key_of: Callable[[Any], Any]

    def __init__(self, model: type[Any]) -> None:
        self._model = model

    def select(self, statement: Any) -> Any:
        """Return ``statement`` with the model's columns by name, in the order that `make` expects.

        Columns that the model defers are left out. Raises UsageError for anything but a SELECT of
        the model alone.
        """
        mapper: Mapper[Any] = inspect(self._model)
        entity = self._selected(statement)
        self._check(mapper, statement)
        loaded = [each for each in mapper.column_attrs if not each.deferred]
        self._keys = tuple(each.key for each in loaded)
        kinds: list[Any] = [(each.key, each.columns[0].type) for each in loaded]
        found = [(key, _processor(kind)) for key, kind in kinds]
        self._processed = [(key, process) for key, process in found if process is not None]
        attributes = [mapper.get_property_by_column(each).key for each in mapper.primary_key]
        self._key_of = _tuple_getter([self._keys.index(key) for key in attributes])
        self._identity_class = mapper.identity_key_from_primary_key(())[0]
        self._new_instance = mapper.class_manager.new_instance
        self._has_listeners = bool(mapper.class_manager.dispatch.load)
        return statement.with_only_columns(
            *(getattr(entity, key) for key in self._keys), maintain_column_froms=True
        )

    def make(self, row: Any) -> Any:
        """Return a detached instance; None where an outer join has found no row."""
        primary_key = self._key_of(row)
        if primary_key[0] is None:
            return None
        instance = self._new_instance()
        values = instance.__dict__
        values.update(zip(self._keys, row, strict=True))
        for key, process in self._processed:
            if values[key] is not None:
                values[key] = process(values[key])
        state = instance_state(instance)
        state.key = (self._identity_class, primary_key, None)
        if self._has_listeners:
            state.manager.dispatch.load(state, None)
        return instance

    def _selected(self, statement: Any) -> Any:
        """Return the model, or the alias of it, that ``statement`` selects."""
        if isinstance(statement, Select):
            found = [each["expr"] for each in statement.column_descriptions]
            if len(found) == 1 and getattr(inspect(found[0]), "mapper", None) is inspect(
                self._model
            ):
                return found[0]
        raise UsageError(SELECT_IT.format(self._model.__name__))

    def _check(self, mapper: Mapper[Any], statement: Any) -> None:
        name = self._model.__name__
        if mapper.polymorphic_on is not None or mapper.inherits is not None:
            raise UsageError(NOT_POLYMORPHIC.format(name))
        if any(isinstance(each, LoaderOption) for each in statement._with_options):  # noqa: SLF001 - SQLAlchemy has no public name for it
            raise UsageError(NO_OPTIONS.format(name))
        for each in mapper.relationships:
            if each.lazy in EAGER:
                raise UsageError(NOT_EAGER.format(name, each.key))


def is_model(into: Any) -> bool:
    """Return whether ``into`` is a mapped class."""
    return isinstance(inspect(into, raiseerr=False), Mapper)


def _processor(kind: Any) -> Callable[[Any], Any] | None:
    """Return what SQLAlchemy makes of the driver's values of a type; None for nothing."""
    number = _FLOAT8 if isinstance(getattr(kind, "impl_instance", kind), Float) else _NUMERIC
    impl: Any = kind.dialect_impl(DIALECT)
    process: Callable[[Any], Any] | None = impl.result_processor(DIALECT, number)
    return process


def _tuple_getter(places: list[int]) -> Callable[[Any], tuple[Any, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    (place,) = places
    return lambda row: (row[place],)
