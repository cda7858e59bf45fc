"""The expression of every policy: a row belongs to the user of the transaction."""

# A bare current_setting is the only form that Citus accepts, and as fast as a sub-select. `true`
# makes an unset user NULL and not an error; nullif does the same for a user that was reset.
USER = "nullif(current_setting('faceplate.user_id', true), '')::uuid"
SEALED_USER = "faceplate_seal.user_id()"
_STORED = "(NULLIF(current_setting('faceplate.user_id'::text, true), ''::text))::uuid"
_SEALED = f"( SELECT {SEALED_USER} AS user_id)"


def stored_expression(column: str, *, sealed: bool = False) -> str:
    """Return ``column = USER`` as PostgreSQL prints it, without quotes.

    With ``sealed`` it is the expression that `faceplate._schema.seal` puts in its place.
    """
    return f"({column} = {_SEALED if sealed else _STORED})"
