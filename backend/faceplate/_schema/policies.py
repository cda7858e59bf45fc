"""The expression of every policy: a row is for the user of the transaction."""

# Bare current_setting: the only form that Citus accepts, and as fast as a sub-select. Without
# `true` an unset user would be an error, and without nullif one that was reset would be.
USER = "nullif(current_setting('faceplate.user_id', true), '')::uuid"
SEALED_USER = "faceplate_seal.user_id()"
_STORED = "(NULLIF(current_setting('faceplate.user_id'::text, true), ''::text))::uuid"
_SEALED = f"( SELECT {SEALED_USER} AS user_id)"


def stored_expression(column: str, *, sealed: bool = False) -> str:
    """Return how PostgreSQL prints ``column = USER``, without quotes: what policies must say.

    ``sealed`` asks for what they say once `faceplate._schema.seal` has changed them.
    """
    return f"({column} = {_SEALED if sealed else _STORED})"
