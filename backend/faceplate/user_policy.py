"""The expression of every policy: a row is for the user of the transaction."""

# Bare current_setting: the only form that Citus accepts, and as fast as a sub-select. Without
# `true` an unset user would be an error, and without nullif one that was reset would be.
USER = "nullif(current_setting('faceplate.user_id', true), '')::uuid"
_STORED = "(NULLIF(current_setting('faceplate.user_id'::text, true), ''::text))::uuid"


def stored_expression(column: str) -> str:
    """Return how PostgreSQL prints ``column = USER``, without quotes: what policies must say."""
    return f"({column} = {_STORED})"
