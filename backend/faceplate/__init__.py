"""The persistence layer for AI chat backends."""

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
from faceplate.scope import Scope, SystemScope, isolation_level, one_statement, replayable
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
    "replayable",
    "was_committed",
]
