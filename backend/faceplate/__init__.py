"""The persistence layer for AI chat backends.

A name is imported from its module at its first use, so that `faceplate --help` does not load
SQLAlchemy.
"""

from importlib import import_module

TYPE_CHECKING = False  # typing's, which takes 10 ms to import: an interrupt shows a traceback then
if TYPE_CHECKING:
    from faceplate.config import Settings
    from faceplate.database import Database
    from faceplate.errors import (
        CancelledAfterCommit,
        CannotConnect,
        CommitOutcomeUnknown,
        ConfigurationError,
        Conflict,
        ConnectionLost,
        Contention,
        DatabaseError,
        FaceplateError,
        InvalidInput,
        NotErased,
        NotFound,
        Overloaded,
        PoolExhausted,
        ShuttingDown,
        TimedOut,
        Unauthorized,
        Unavailable,
        UsageError,
        was_committed,
    )
    from faceplate.health import Health
    from faceplate.records import Conversation, Document, McpConfig, Message, Task, User
    from faceplate.scope import (
        Scope,
        SystemScope,
        isolation_level,
        one_statement,
        read_only,
        replayable,
    )
    from faceplate.statement import Statement

__all__ = [
    "CancelledAfterCommit",
    "CannotConnect",
    "CommitOutcomeUnknown",
    "ConfigurationError",
    "Conflict",
    "ConnectionLost",
    "Contention",
    "Conversation",
    "Database",
    "DatabaseError",
    "Document",
    "FaceplateError",
    "Health",
    "InvalidInput",
    "McpConfig",
    "Message",
    "NotErased",
    "NotFound",
    "Overloaded",
    "PoolExhausted",
    "SchemaChanged",
    "Scope",
    "Settings",
    "ShuttingDown",
    "Statement",
    "SystemScope",
    "Task",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
    "UsageError",
    "User",
    "isolation_level",
    "one_statement",
    "read_only",
    "replayable",
    "was_committed",
]

_MODULE_OF = {
    "Conversation": "records",
    "Database": "database",
    "Document": "records",
    "Health": "health",
    "McpConfig": "records",
    "Message": "records",
    "Scope": "scope",
    "Settings": "config",
    "Statement": "statement",
    "SystemScope": "scope",
    "Task": "records",
    "User": "records",
    "isolation_level": "scope",
    "one_statement": "scope",
    "read_only": "scope",
    "replayable": "scope",
}  # and "errors" of every other name
_MODULES = {
    "column_types",
    "config",
    "database",
    "database_url",
    "errors",
    "events",
    "health",
    "models",
    "records",
    "scope",
    "statement",
}

if not TYPE_CHECKING:  # behind a __getattr__, a type checker would accept a misspelt name

    def __getattr__(name: str) -> object:
        """Return a name of ``__all__``, or one of the modules that these come from."""
        if name in _MODULES:
            return import_module(f"faceplate.{name}")
        if name not in __all__:
            raise AttributeError(f"module 'faceplate' has no attribute {name!r}")
        value = getattr(import_module(f"faceplate.{_MODULE_OF.get(name, 'errors')}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_MODULES})
