"""The expression of every policy: a row belongs to the user of the transaction."""

POLICY = "of_user"
"""The name of the policy of a project's private table."""
SEAL_SCHEMA = "faceplate_seal"
"""The schema of what checks sealed user ids."""

# A bare current_setting is the only form that Citus accepts, and as fast as a sub-select. `true`
# makes an unset user NULL and not an error; nullif does the same for a user that was reset.
USER = "nullif(current_setting('faceplate.user_id', true), '')::uuid"
SEALED_USER = f"{SEAL_SCHEMA}.user_id()"
NAMES_USER = """'faceplate(_seal)?[.]"?user_id'"""
"""A regular expression, as SQL, that finds the user in a stored expression, sealed or not."""
_STORED = "(NULLIF(current_setting('faceplate.user_id'::text, true), ''::text))::uuid"
_SEALED = f"( SELECT {SEALED_USER} AS user_id)"


def stored_expression(column: str, *, sealed: bool = False) -> str:
    """Return ``column = USER`` as PostgreSQL prints it, without quotes.

    With ``sealed`` it is the expression that `faceplate._schema.seal` puts in its place.
    """
    return f"({column} = {_SEALED if sealed else _STORED})"
