"""Checks of the role of units and of its memberships."""

from collections.abc import Iterator
from typing import Any

from faceplate._checks.findings import Flaw, warning

# Citus connects to the workers as the current role, which therefore may log in.
QUERY = """
SELECT json_agg(json_build_object(
    'name', quote_ident(r.rolname),
    'is_unit', r.oid IN (SELECT oid FROM unit),
    'is_app', r.rolname = 'faceplate_app', 'is_login', r.rolname = session_user,
    'may_log_in', r.rolcanlogin AND NOT EXISTS (
        SELECT FROM pg_extension WHERE extname = 'citus'),
    'is_predefined', r.oid < 16384,
    'members', ARRAY(
        SELECT quote_ident(pg_get_userbyid(m.member)) FROM pg_auth_members m
        WHERE m.roleid = r.oid AND m.member IN (SELECT oid FROM held) ORDER BY 1
    ),
    'is_direct', EXISTS (
        SELECT FROM pg_auth_members m
        WHERE m.roleid = r.oid AND m.member IN (SELECT oid FROM unit)
    ),
    'powers', array_remove(ARRAY[
        CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
        CASE WHEN r.rolreplication THEN 'REPLICATION' END,
        CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN r.rolcreatedb THEN 'CREATEDB' END
    ], NULL),
    'owns', ARRAY(
        SELECT 'the table ' || quote_ident(nspname) || '.' || quote_ident(relname)
        FROM guarded WHERE relowner = r.oid
        UNION ALL SELECT 'the schema ' || quote_ident(nspname) FROM pg_namespace
        WHERE nspowner = r.oid AND (nspname = 'faceplate' OR nspname IN
            (SELECT nspname FROM guarded)) AND nspname <> 'public'
        UNION ALL SELECT 'the database ' || quote_ident(datname) FROM pg_database
        WHERE datdba = r.oid AND datname = current_database()
        ORDER BY 1
    )
) ORDER BY r.rolname)
FROM pg_roles r WHERE r.oid IN (SELECT oid FROM held)
"""


def flaws(roles: list[dict[str, Any]]) -> Iterator[Flaw]:
    """Yield the attributes and memberships that give a unit too many rows."""
    units = [role for role in roles if role["is_unit"]]
    if not any(role["is_app"] for role in units):
        yield Flaw("the role faceplate_app is missing: run `faceplate migrate`")
    for role in units:
        yield from _of_unit(role)
    for role in roles:
        if not role["is_unit"]:
            yield from _membership(role)


def is_superuser(roles: list[dict[str, Any]]) -> bool:
    """Return whether a role of units is a superuser; no other check matters then."""
    return any(role["is_unit"] and "SUPERUSER" in role["powers"] for role in roles)


def _of_unit(role: dict[str, Any]) -> Iterator[Flaw]:
    name, powers, owns = role["name"], role["powers"], role["owns"]
    if powers:
        undo = " ".join(f"NO{power}" for power in powers)
        yield Flaw(
            f"the role {name}, which units run as, has {', '.join(powers)}:"
            f" ALTER ROLE {name} {undo}"
        )
    if owns:
        yield Flaw(
            f"the role {name}, which units run as, owns {', '.join(owns)}, and no policy applies to"
            " an owner: ALTER ... OWNER TO the role that migrates"
        )
    if role["may_log_in"] and not role["is_login"]:
        yield warning(
            f"the role {name} may log in, and no setting here uses that login, while its password"
            f" opens the rows of every user: ALTER ROLE {name} NOLOGIN, or set"
            " FACEPLATE_DATABASE_URL to that login and FACEPLATE_OWNER_URL to the owner's"
        )


def _membership(role: dict[str, Any]) -> Iterator[Flaw]:
    """Yield the flaws of a role that units can become: they may do what it may do."""
    name, members = role["name"], ", ".join(role["members"])
    what = f"{members} is a member of {name}"
    cure = f"REVOKE {name} FROM {members}"
    if not role["is_direct"]:
        what = f"faceplate_app is a member of {name}, by way of {members}"
    if role["owns"]:
        yield Flaw(f"{what}, which owns {', '.join(role['owns'])}: {cure}")
    elif role["powers"]:
        yield Flaw(f"{what}, which has {', '.join(role['powers'])}: {cure}")
    elif role["is_direct"] and role["is_predefined"]:
        yield Flaw(f"{what}, which reaches beyond one user's rows: {cure}")
    elif role["is_direct"]:
        yield warning(f"{what}: every unit has what that role is granted: {cure}")
