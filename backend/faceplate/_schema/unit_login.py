"""The login of units, where the owner has one of its own: it must be able to become their role."""

from faceplate._driver.connection import DriverConnection
from faceplate._driver.preamble import ROLE

LACKING = f"""
SELECT quote_ident(rolname) FROM pg_roles
WHERE rolname = $1 AND rolname <> session_user
    AND NOT pg_has_role(oid, to_regrole('{ROLE}')::oid, 'MEMBER')
"""  # noqa: S608 - our own name


async def admit(owner: DriverConnection, login: str) -> None:
    """Grant the role of units to ``login``, if it is a role of this server that lacks it.

    Raises the driver's errors: the server's says which option is needed where ``owner`` may not.
    """
    if (name := await owner.fetchval(LACKING, login)) is not None:
        await owner.execute(f"GRANT {ROLE} TO {name}")
