"""The login of units, which needs the role of units."""

from faceplate._driver.connection import DriverConnection
from faceplate._driver.preamble import ROLE

LACKING = f"""
SELECT quote_ident(rolname) FROM pg_roles
WHERE rolname = $1 AND rolname <> session_user
    AND NOT pg_has_role(oid, to_regrole('{ROLE}')::oid, 'MEMBER')
"""  # noqa: S608 - our own name


async def grant_role(owner: DriverConnection, login: str) -> None:
    """Grant the role of units to ``login``, if it lacks it.

    Raises the driver's errors. If ``owner`` may not grant the role, the server's message names the
    option that is needed.
    """
    if (name := await owner.fetchval(LACKING, login)) is not None:
        await owner.execute(f"GRANT {ROLE} TO {name}")
