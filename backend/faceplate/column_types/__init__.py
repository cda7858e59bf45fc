"""Column types that carry their own rules.

A column's type declares its rule. The rule is checked when an attribute of a model is set, when a
value is bound (ORM and Core alike), and by a CHECK constraint where SQL can express it. A value
that breaks the rule raises `InvalidInput`, which names ``table.column``, the rule and the value's
length, and never contains the value.

None breaks the rule of a column that is NOT NULL. A parameter of such a type that may be None is
declared with ``type_=Task.title.type.optional()``.
"""

from faceplate.column_types._arrays import ArrayOf
from faceplate.column_types._json import Json, JsonObject, JsonText
from faceplate.column_types._ruled import Ruled
from faceplate.column_types._values import (
    Count,
    Email,
    Flag,
    Id,
    Key,
    OneOf,
    Secret,
    Text,
    Timestamp,
)

__all__ = [
    "ArrayOf",
    "Count",
    "Email",
    "Flag",
    "Id",
    "Json",
    "JsonObject",
    "JsonText",
    "Key",
    "OneOf",
    "Ruled",
    "Secret",
    "Text",
    "Timestamp",
]
