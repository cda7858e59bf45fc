"""The distribution of the tables of users over a Citus cluster.

The database is on the cluster's coordinator, and its tables may hold rows and be in use. Afterwards
all rows of a user are on one worker, and the users are on each node. Statements, units and
migrations stay as they are.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.schema import AddConstraint

from faceplate._alembic.error_mapping import errors_mapped
from faceplate._alembic.locking import for_migrations, run_locked
from faceplate._driver import citus
from faceplate._driver.engine import create_migration_engine
from faceplate._driver.preamble import ROLE
from faceplate._schema import cluster
from faceplate._schema import distribution as schema
from faceplate._schema.cluster import Node
from faceplate._schema.policies import SEAL_SCHEMA
from faceplate._schema.revisions import head
from faceplate.config import Settings
from faceplate.database import Database
from faceplate.errors import DatabaseError, UsageError
from faceplate.models import SCHEMA, Base, private_tables

__all__ = ["Plan", "Table", "distribute", "plan"]

NO_CITUS = (
    "the database has no Citus: run CREATE EXTENSION citus as a superuser in this database on"
    " each node, and add the workers with citus_add_node"
)
SEALED = (
    "user ids are sealed, and the workers have neither the seal's function nor its key: run"
    " faceplate.migrate.unseal_user_ids, and unset FACEPLATE_SEAL_KEY"
)
UNITS = text(f"""
SELECT rolcanlogin AS may_log_in, EXISTS (SELECT FROM pg_db_role_setting s
    WHERE s.setrole = r.oid AND (s.setdatabase = 0 OR s.setdatabase = d.oid)
        AND :lock_timeout = ANY (s.setconfig)) AS has_limit,
    pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')
        AND (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user)
        AS may_change,
    quote_ident(d.datname) AS database
FROM pg_roles r, pg_database d
WHERE r.rolname = '{ROLE}' AND d.datname = current_database()
""")  # noqa: S608 - our own name
REACH_WORKERS = text("""
SELECT nodename || ':' || nodeport FROM pg_dist_node
WHERE noderole = 'primary' AND groupid <> 0
    AND NOT citus_check_connection_to_node(nodename, nodeport)
""")
# The sessions of programs. Citus itself has sessions of a superuser, and an administrator may have
# some. So a superuser's session counts only under the application_name of the settings.
SESSIONS = text("""
SELECT a.pid, quote_ident(a.usename) AS role,
    pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE') AS may_end
FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
    AND (NOT r.rolsuper OR a.application_name = :program)
    AND a.application_name !~ '^citus_(internal|rebalancer|run_command) gpid='
""")
END = text("SELECT pg_terminate_backend(CAST(:pid AS integer), 10000)")

T = TypeVar("T")


class Table(NamedTuple):
    """A table that `distribute` copies to the workers."""

    name: str
    is_reference: bool
    """Whether each node gets all of its rows; else those of some users are on each worker."""
    rows: int
    """An estimate."""
    bytes: int


class Plan(NamedTuple):
    """What `distribute` is going to do."""

    tables: tuple[Table, ...]
    kept: tuple[str, ...]
    """Tables of users that stay on the coordinator: a unique key of theirs is across users."""
    statements: tuple[str, ...]
    """The statements of the one transaction; empty where everything is distributed."""
    role_statements: tuple[str, ...]
    """What is changed of the role of units before it."""
    workers: tuple[str, ...]
    shards: int
    """Into how many shards a table is divided."""

    @property
    def is_done(self) -> bool:
        return not self.statements and not self.role_statements


async def plan(database: Database | Settings) -> Plan:
    """Return what `distribute` would do, and change nothing.

    Raises DatabaseError if the schema is not at this version's head; UsageError where the tables
    cannot be distributed, or users would not be kept apart afterwards; Unavailable if the server
    cannot be used.
    """
    settings = _settings_of(database)
    return await _run(settings, partial(_plan, settings))


async def distribute(database: Database | Settings) -> Plan:
    """Distribute the tables of users, and return what was done.

    Everything happens in one transaction of the owner, after the other sessions on the database
    were ended. It holds the locks of all tables while it copies their rows: units wait meanwhile,
    up to their ``lock_timeout_s``. Safe to run again. Errors are those of `plan` and of
    `migrate.upgrade`.
    """
    settings = _settings_of(database)
    found = await plan(settings)
    if found.is_done:
        return found
    if settings.row_level_security:
        await _run(settings, partial(_change_role, found))
    if found.statements:
        await _run(settings, partial(_end_sessions, settings))
        await run_locked(settings, partial(_distribute, settings))
        await _run(settings, partial(_analyze, found))  # the shards have no statistics yet
    return found


async def _run(settings: Settings, work: Callable[[Connection], T]) -> T:
    engine = create_migration_engine(for_migrations(settings))
    with errors_mapped(settings.of_owner):
        async with engine.connect() as connection:
            return await connection.run_sync(work)


def _plan(settings: Settings, connection: Connection) -> Plan:
    if settings.pgbouncer:
        raise UsageError(citus.NO_POOLER)
    _refuse_schema(connection, settings)
    nodes = _nodes(connection)
    tables, kept, keys = _tables(connection)
    if refused := list(schema.refusals(tables, keys)):
        raise UsageError("; ".join(refused))
    statements = tuple(schema.statements(tables, keys, _missing_keys(connection, keys)))
    if statements:
        _sessions(settings, connection)
    return Plan(
        tuple(Table(t.name, t.is_reference, t.rows, t.bytes) for t in tables if not t.is_done),
        tuple(table.name for table in kept),
        statements,
        tuple(_role_statements(connection, settings)),
        tuple(node.name for node in nodes if node.has_shards),
        int(connection.execute(text("SHOW citus.shard_count")).scalar_one()),
    )


def _nodes(connection: Connection) -> list[Node]:
    """Return the nodes. Raises UsageError where they cannot take the tables."""
    if not connection.execute(text(cluster.IS_CLUSTER)).scalar_one():
        raise UsageError(NO_CITUS)
    if not connection.execute(text(cluster.IS_COORDINATOR)).scalar_one():
        raise UsageError(cluster.NOT_COORDINATOR)
    nodes = [Node(*row) for row in connection.execute(text(cluster.NODES))]
    if problems := list(cluster.problems(nodes)):
        raise UsageError("; ".join(problems))
    _reach_workers(connection)
    return nodes


def _refuse_schema(connection: Connection, settings: Settings) -> None:
    version = f"{SCHEMA}.alembic_version"
    revision = None
    if connection.execute(text(f"SELECT to_regclass('{version}')")).scalar_one() is not None:
        query = text(f"SELECT max(version_num) FROM {version}")  # noqa: S608 - our own name
        revision = connection.execute(query).scalar_one()
    if revision != head():
        state = f"at {revision}" if revision else "not there"
        raise DatabaseError(
            f"the schema is {state}, and {head()} is needed: run `faceplate migrate`"
        )
    seal = text(f"SELECT to_regnamespace('{SEAL_SCHEMA}')")
    if settings.seal is not None or connection.execute(seal).scalar_one() is not None:
        raise UsageError(SEALED)


def _tables(
    connection: Connection,
) -> tuple[list[schema.Table], list[schema.Table], list[schema.Key]]:
    """Return the tables to distribute, those to keep, and their foreign keys."""
    columns = private_tables()
    rows = connection.execute(
        text(schema.TABLES),
        {
            "schemas": [table.schema for table in columns],
            "names": [table.name for table in columns],
            "columns": list(columns.values()),
        },
    )
    tables, kept = schema.split(schema.facts(rows, schema.Table))
    keys = connection.execute(text(schema.KEYS), {"tables": [str(table.oid) for table in tables]})
    return tables, kept, schema.facts(keys, schema.Key)


def _missing_keys(connection: Connection, keys: list[schema.Key]) -> list[str]:
    """Return what adds the foreign keys of faceplate's own tables that are not there."""
    there = {(key.table_name, key.name) for key in keys}
    return [
        str(AddConstraint(key).compile(dialect=connection.dialect))
        for table in Base.metadata.sorted_tables
        for key in sorted(table.foreign_key_constraints, key=lambda key: str(key.name))
        if (table.fullname, key.name) not in there
    ]


def _role_statements(connection: Connection, settings: Settings) -> list[str]:
    """Return what lets Citus connect to the workers as the role of units, with its time limit."""
    if not settings.row_level_security:
        return []
    limit = f"{settings.lock_timeout_s * 1000:.0f}ms"
    units = connection.execute(UNITS, {"lock_timeout": f"lock_timeout={limit}"}).one_or_none()
    if units is None:
        raise UsageError(
            f"the role {ROLE} is missing, as FACEPLATE_ROW_LEVEL_SECURITY was off in a migration:"
            " switch it off, or run `faceplate migrate --sql` and what it has of roles and policies"
        )
    wanted = []
    if not units.may_log_in:
        wanted.append(f"ALTER ROLE {ROLE} LOGIN")
    if not units.has_limit:
        wanted.append(
            f"ALTER ROLE {ROLE} IN DATABASE {units.database} SET lock_timeout = '{limit}'"
        )
    if wanted and not units.may_change:
        raise UsageError(
            f"the owner may not change the role {ROLE}: let an administrator run on the"
            f" coordinator: {'; '.join(wanted)}"
        )
    return wanted


def _change_role(found: Plan, connection: Connection) -> None:
    """Change the role of units, and see whether Citus reaches the workers as that role."""
    for statement in found.role_statements:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"SET ROLE {ROLE}")
    try:
        _reach_workers(connection)
    except UsageError:
        connection.exec_driver_sql("RESET ROLE")
        if f"ALTER ROLE {ROLE} LOGIN" in found.role_statements:
            connection.exec_driver_sql(f"ALTER ROLE {ROLE} NOLOGIN")
        raise


def _reach_workers(connection: Connection) -> None:
    """Raise UsageError where Citus cannot connect to a worker as the current role."""
    missing = list(connection.execute(REACH_WORKERS).scalars())
    if missing:
        name = connection.execute(text("SELECT quote_ident(current_user)")).scalar_one()
        raise UsageError(
            f"Citus cannot connect as {name} to {', '.join(missing)}: allow it in the pg_hba.conf"
            " of each worker, or put a password into pg_dist_authinfo"
        )


def _sessions(settings: Settings, connection: Connection) -> list[int]:
    """Return the processes of other sessions. Raises UsageError if the owner may not end one."""
    sessions = connection.execute(SESSIONS, {"program": settings.application_name}).all()
    if others := sorted({session.role for session in sessions if not session.may_end}):
        raise UsageError(
            f"there are sessions of {', '.join(others)}, which the owner may not end: GRANT"
            " pg_signal_backend to it, or stop the programs"
        )
    return [session.pid for session in sessions]


def _end_sessions(settings: Settings, connection: Connection) -> None:
    """End the sessions of programs.

    A session that began before the extension was created passes no user on to the workers.
    """
    for pid in _sessions(settings, connection):
        if not connection.execute(END, {"pid": pid}).scalar_one():
            raise DatabaseError("a session of a program did not end within 10 s: run it again")


def _distribute(settings: Settings, connection: Connection) -> None:
    with connection.begin():
        tables, _, _ = _tables(connection)
        # What an append locks comes last, so that it waits for the shortest time.
        names = sorted((table.name for table in tables), key=_is_appended_to)
        connection.exec_driver_sql(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
        for statement in _plan(settings, connection).statements:
            connection.exec_driver_sql(statement)


def _analyze(found: Plan, connection: Connection) -> None:
    for table in found.tables:
        connection.exec_driver_sql(f"ANALYZE {table.name}")


def _is_appended_to(name: str) -> tuple[bool, bool]:
    return name in {schema.FIRST, f"{SCHEMA}.messages"}, name != schema.FIRST


def _settings_of(database: Database | Settings) -> Settings:
    return database if isinstance(database, Settings) else database.settings
