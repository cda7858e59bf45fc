"""Changes that an administrator may make by hand, and what `check` has to say of each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from faceplate import Database, Health, Settings, _checks, migrate
from faceplate._schema.policies import stored_expression
from tests.databases import Operator

ALL_LAYERS = (_checks.OWNER_CRITERION, _checks.COMPOSITE_KEYS, _checks.ROW_LEVEL_SECURITY)
UNIQUE_EMAIL = "CREATE UNIQUE INDEX uq_users_email ON faceplate.users (lower(email))"
PEEK = "CREATE FUNCTION public.peek() RETURNS SETOF text SECURITY DEFINER"


async def check(settings: Settings) -> Health:
    async with Database(settings) as db:
        return await db.check()


@asynccontextmanager
async def damaged(admin: Operator, *damage: str, repair: str) -> AsyncIterator[None]:
    try:
        for statement in damage:
            await admin.execute(statement)
        yield
    finally:
        await admin.execute("RESET ROLE")
        for statement in repair.split(";"):
            await admin.execute(statement)


class Case(NamedTuple):
    damage: str
    """Statements of an administrator, separated by ``;;``."""
    repair: str
    told: str
    """What the one gap begins with or holds: the object, and what it does."""
    layer: str = _checks.ROW_LEVEL_SECURITY
    """What does not hold any more; none, where another promise falls."""


GAPS = {
    "row-level security off": Case(
        "ALTER TABLE faceplate.messages DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE faceplate.messages ENABLE ROW LEVEL SECURITY",
        "faceplate.messages is without row-level security",
    ),
    "lost in a crash": Case(
        "ALTER TABLE faceplate.tasks SET UNLOGGED",
        "ALTER TABLE faceplate.tasks SET LOGGED",
        "faceplate.tasks is UNLOGGED, so that a crash empties it",
        "",
    ),
    "no policy": Case(
        "DROP POLICY users_self ON faceplate.users",
        f"CREATE POLICY users_self ON faceplate.users FOR SELECT TO faceplate_app"
        f" USING {stored_expression('id')}",
        "faceplate.users lacks the policy of the migrations: CREATE POLICY users_self",
    ),
    "a second policy": Case(
        "CREATE POLICY extra ON faceplate.messages TO faceplate_app USING (true)",
        "DROP POLICY extra ON faceplate.messages",
        "the policy extra on faceplate.messages lets units reach rows",
    ),
    "a policy for everybody": Case(
        "CREATE POLICY extra ON faceplate.messages FOR SELECT USING (user_id IS NOT NULL)",
        "DROP POLICY extra ON faceplate.messages",
        "the policy extra on faceplate.messages lets units reach rows",
    ),
    "a policy that lets others' rows be inserted": Case(
        "CREATE POLICY extra ON faceplate.tasks FOR INSERT TO faceplate_app WITH CHECK (true)",
        "DROP POLICY extra ON faceplate.tasks",
        "the policy extra on faceplate.tasks lets units reach rows",
    ),
    "BYPASSRLS": Case(
        "ALTER ROLE faceplate_app BYPASSRLS",
        "ALTER ROLE faceplate_app NOBYPASSRLS",
        "the role faceplate_app, which units run as, has BYPASSRLS: ALTER ROLE faceplate_app NO",
    ),
    "superuser": Case(
        "ALTER ROLE faceplate_app SUPERUSER",
        "ALTER ROLE faceplate_app NOSUPERUSER",
        "the role faceplate_app, which units run as, has SUPERUSER",
    ),
    "replication": Case(
        "ALTER ROLE faceplate_app REPLICATION CREATEROLE",
        "ALTER ROLE faceplate_app NOREPLICATION NOCREATEROLE",
        "the role faceplate_app, which units run as, has REPLICATION, CREATEROLE",
    ),
    "member of a role that no policy holds": Case(
        "CREATE ROLE staff BYPASSRLS;;GRANT staff TO faceplate_app",
        "DROP ROLE staff",
        "faceplate_app is a member of staff, which has BYPASSRLS: REVOKE staff FROM faceplate_app",
    ),
    "predefined role": Case(
        "GRANT pg_monitor TO faceplate_app",
        "REVOKE pg_monitor FROM faceplate_app",
        "faceplate_app is a member of pg_monitor, which reaches beyond one user's rows",
    ),
    "the role is missing": Case(
        "ALTER ROLE faceplate_app RENAME TO lost",
        "ALTER ROLE lost RENAME TO faceplate_app",
        "the role faceplate_app is missing: run `faceplate migrate`",
    ),
    "owns a table": Case(
        "GRANT CREATE ON SCHEMA faceplate TO faceplate_app;;"
        "ALTER TABLE faceplate.tasks OWNER TO faceplate_app;;"
        "REVOKE CREATE ON SCHEMA faceplate FROM faceplate_app",
        "ALTER TABLE faceplate.tasks OWNER TO faceplate;"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON faceplate.tasks TO faceplate_app",
        "the role faceplate_app, which units run as, owns the table faceplate.tasks",
    ),
    "member of an owner": Case(
        "CREATE ROLE landlord;;GRANT landlord TO faceplate_app;;"
        "ALTER TABLE faceplate.tasks OWNER TO landlord",
        "ALTER TABLE faceplate.tasks OWNER TO faceplate;DROP ROLE landlord",
        "faceplate_app is a member of landlord, which owns the table faceplate.tasks",
    ),
    "TRUNCATE": Case(
        "GRANT TRUNCATE ON faceplate.messages TO faceplate_app",
        "REVOKE TRUNCATE ON faceplate.messages FROM faceplate_app",
        "faceplate_app has TRUNCATE on faceplate.messages, which the migrations do not grant",
    ),
    "a grant to everybody": Case(
        "GRANT TRIGGER ON faceplate.tasks TO PUBLIC",
        "REVOKE TRIGGER ON faceplate.tasks FROM PUBLIC",
        "PUBLIC has TRIGGER on faceplate.tasks",
    ),
    "a grant on a column": Case(
        "GRANT UPDATE (email) ON faceplate.users TO faceplate_app",
        "REVOKE UPDATE (email) ON faceplate.users FROM faceplate_app",
        "faceplate_app has UPDATE (email) on faceplate.users",
    ),
    "the revision can be changed": Case(
        "GRANT UPDATE ON faceplate.alembic_version TO faceplate_app",
        "REVOKE UPDATE ON faceplate.alembic_version FROM faceplate_app",
        "faceplate_app has UPDATE on faceplate.alembic_version",
    ),
    "a grant that is missing": Case(
        "REVOKE INSERT ON faceplate.tasks FROM faceplate_app",
        "GRANT INSERT ON faceplate.tasks TO faceplate_app",
        "faceplate_app lacks INSERT on faceplate.tasks, so that units fail: GRANT INSERT",
    ),
    "a function that PostgreSQL keeps from everybody": Case(
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO faceplate_app",
        "REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM faceplate_app",
        "units may use pg_read_file(text), which PostgreSQL grants to nobody",
    ),
    "values that ANALYZE has found": Case(
        "GRANT SELECT ON pg_statistic TO PUBLIC",
        "REVOKE SELECT ON pg_statistic FROM PUBLIC",
        "units may use pg_statistic, which PostgreSQL grants to nobody",
    ),
    "a parameter that switches foreign keys off": Case(
        "GRANT SET ON PARAMETER session_replication_role TO faceplate_app",
        "REVOKE SET ON PARAMETER session_replication_role FROM faceplate_app",
        "units may set the parameter session_replication_role",
    ),
    "a function of somebody whom a policy lets see all": Case(
        "CREATE ROLE staff;;GRANT SELECT ON faceplate.messages TO staff;;"
        "CREATE POLICY extra ON faceplate.messages TO staff USING (true);;"
        f"{PEEK} LANGUAGE sql AS 'SELECT content FROM faceplate.messages';;"
        "ALTER FUNCTION public.peek() OWNER TO staff",
        "DROP POLICY extra ON faceplate.messages;DROP OWNED BY staff;DROP ROLE staff",
        "units may call the function public.peek(), which works on the tables as staff",
    ),
    "CREATE in the schema": Case(
        "GRANT CREATE ON SCHEMA faceplate TO faceplate_app",
        "REVOKE CREATE ON SCHEMA faceplate FROM faceplate_app",
        "units may create objects in the schema faceplate",
    ),
    "CREATE in the database": Case(
        "GRANT CREATE ON DATABASE faceplate TO faceplate_app",
        "REVOKE CREATE ON DATABASE faceplate FROM faceplate_app",
        "units may create schemas in the database faceplate",
    ),
    "an owner's view": Case(
        "CREATE VIEW public.everything AS SELECT * FROM faceplate.messages;;"
        "CREATE VIEW public.again AS SELECT * FROM public.everything;;"
        "GRANT SELECT ON public.again TO faceplate_app",
        "DROP VIEW public.again;DROP VIEW public.everything",
        "units may read the view public.again, which sees all rows as its owner does",
    ),
    "a materialized view": Case(
        "CREATE MATERIALIZED VIEW public.copy AS SELECT * FROM faceplate.messages;;"
        "GRANT SELECT ON public.copy TO PUBLIC",
        "DROP MATERIALIZED VIEW public.copy",
        "units may read the materialized view public.copy, a copy of all rows",
    ),
    "an owner's function": Case(
        f"{PEEK} LANGUAGE sql AS 'SELECT content FROM faceplate.messages'",
        "DROP FUNCTION public.peek()",
        "units may call the function public.peek(), which works on the tables as postgres",
    ),
    "a function with a parsed body": Case(
        f"{PEEK} BEGIN ATOMIC SELECT content FROM faceplate.messages; END",
        "DROP FUNCTION public.peek()",
        "units may call the function public.peek()",
    ),
    "a function that runs what it is given": Case(
        f"{PEEK} LANGUAGE plpgsql AS 'BEGIN RETURN QUERY EXECUTE current_setting(''a.b''); END'",
        "DROP FUNCTION public.peek()",
        "units may call the function public.peek()",
    ),
    "a child": Case(
        "CREATE TABLE public.child () INHERITS (faceplate.tasks);;"
        "GRANT SELECT ON public.child TO faceplate_app",
        "DROP TABLE public.child",
        "units may read public.child, a child of faceplate.tasks, under no policy",
    ),
    "a rule": Case(
        "CREATE RULE copy AS ON INSERT TO faceplate.tasks DO ALSO NOTHING",
        "DROP RULE copy ON faceplate.tasks",
        "the rule copy rewrites statements about faceplate.tasks",
    ),
    "a foreign key is missing": Case(
        "ALTER TABLE faceplate.messages DROP CONSTRAINT fk_messages_conversations",
        "ALTER TABLE faceplate.messages ADD CONSTRAINT fk_messages_conversations"
        " FOREIGN KEY (user_id, conversation_id) REFERENCES faceplate.conversations"
        " (user_id, id) ON DELETE CASCADE",
        "keys are missing: fk_messages_conversations (user_id, conversation_id) of messages",
        _checks.COMPOSITE_KEYS,
    ),
    "a key without the user": Case(
        "ALTER TABLE faceplate.messages DROP CONSTRAINT pk_messages,"
        " ADD CONSTRAINT pk_messages PRIMARY KEY (id)",
        "ALTER TABLE faceplate.messages DROP CONSTRAINT pk_messages,"
        " ADD CONSTRAINT pk_messages PRIMARY KEY (user_id, conversation_id, id)",
        "keys are missing: pk_messages (user_id, conversation_id, id) of messages",
        _checks.COMPOSITE_KEYS,
    ),
    "a key that was never validated": Case(
        "ALTER TABLE faceplate.tasks DROP CONSTRAINT fk_tasks_users, ADD CONSTRAINT fk_tasks_users"
        " FOREIGN KEY (user_id) REFERENCES faceplate.users ON DELETE CASCADE NOT VALID",
        "ALTER TABLE faceplate.tasks VALIDATE CONSTRAINT fk_tasks_users",
        "keys are missing: fk_tasks_users (user_id) of tasks to users",
        _checks.COMPOSITE_KEYS,
    ),
    "foreign keys switched off": Case(
        "ALTER TABLE faceplate.tasks DISABLE TRIGGER ALL",
        "ALTER TABLE faceplate.tasks ENABLE TRIGGER ALL",
        "the foreign keys of faceplate.tasks are switched off",
        _checks.COMPOSITE_KEYS,
    ),
    "two users with one e-mail address": Case(
        "DROP INDEX faceplate.uq_users_email",
        "CREATE UNIQUE INDEX uq_users_email ON faceplate.users (lower(email))",
        "unique indexes are missing or invalid: uq_users_email",
        _checks.COMPOSITE_KEYS,
    ),
    "a user is preset": Case(
        "ALTER ROLE faceplate SET faceplate.user_id = '018f0000-0000-7000-8000-000000000000'",
        "ALTER ROLE faceplate RESET faceplate.user_id",
        "faceplate.user_id is preset for faceplate",
    ),
    "a child's child, under a policy that asks for no user": Case(
        "CREATE TABLE public.child () INHERITS (faceplate.tasks);;"
        "CREATE TABLE public.grand () INHERITS (public.child);;"
        "GRANT SELECT (title) ON public.grand TO faceplate_app;;"
        "ALTER TABLE public.grand ENABLE ROW LEVEL SECURITY;;"
        "CREATE POLICY p ON public.grand USING (true)",
        "DROP TABLE public.child CASCADE",
        "units may read public.grand, a child of faceplate.tasks, under no policy",
    ),
    "a parent": Case(
        "CREATE TABLE public.parent (title text NOT NULL);;"
        "ALTER TABLE faceplate.tasks INHERIT public.parent;;"
        "GRANT SELECT ON public.parent TO faceplate_app",
        "ALTER TABLE faceplate.tasks NO INHERIT public.parent;DROP TABLE public.parent",
        "units may read public.parent, a parent of faceplate.tasks, under no policy",
    ),
    "a function that is run before the policy is asked": Case(
        "CREATE FUNCTION public.tell(text) RETURNS bool LEAKPROOF LANGUAGE plpgsql"
        " AS 'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END'",
        "DROP FUNCTION public.tell(text)",
        "units may call the function public.tell(text), which is LEAKPROOF",
    ),
    "a procedure": Case(
        "CREATE PROCEDURE public.clear() SECURITY DEFINER LANGUAGE sql"
        " AS 'DELETE FROM faceplate.tasks'",
        "DROP PROCEDURE public.clear()",
        "under no policy: ALTER ROUTINE public.clear() SECURITY INVOKER",
    ),
    "a function with the name of the one that tells a seal": Case(
        "CREATE SCHEMA faceplate_seal;;GRANT USAGE ON SCHEMA faceplate_seal TO faceplate_app;;"
        "CREATE FUNCTION faceplate_seal.user_id() RETURNS SETOF text SECURITY DEFINER LANGUAGE sql"
        " AS 'SELECT content FROM faceplate.messages'",
        "DROP SCHEMA faceplate_seal CASCADE",
        "units may call the function faceplate_seal.user_id(), which works on the tables",
    ),
    "CREATE among PostgreSQL's own": Case(
        "GRANT CREATE ON SCHEMA pg_catalog TO faceplate_app",
        "REVOKE CREATE ON SCHEMA pg_catalog FROM faceplate_app",
        "units may create objects in the schema pg_catalog",
    ),
    "a column that PostgreSQL keeps from everybody": Case(
        "GRANT SELECT (rolpassword) ON pg_authid TO PUBLIC",
        "REVOKE SELECT (rolpassword) ON pg_authid FROM PUBLIC",
        "units may use rolpassword of pg_authid, which PostgreSQL grants to nobody",
    ),
    "a foreign key to a table of another schema": Case(
        "CREATE TABLE public.users (id uuid PRIMARY KEY);;"
        "ALTER TABLE faceplate.tasks DROP CONSTRAINT fk_tasks_users, ADD CONSTRAINT fk_tasks_users"
        " FOREIGN KEY (user_id) REFERENCES public.users ON DELETE CASCADE",
        "ALTER TABLE faceplate.tasks DROP CONSTRAINT fk_tasks_users, ADD CONSTRAINT fk_tasks_users"
        " FOREIGN KEY (user_id) REFERENCES faceplate.users ON DELETE CASCADE;"
        "DROP TABLE public.users",
        "keys are missing: fk_tasks_users (user_id) of tasks to users",
        _checks.COMPOSITE_KEYS,
    ),
    "a key that holds at COMMIT only": Case(
        "ALTER TABLE faceplate.messages DROP CONSTRAINT pk_messages, ADD CONSTRAINT pk_messages"
        " PRIMARY KEY (user_id, conversation_id, id) DEFERRABLE INITIALLY DEFERRED",
        "ALTER TABLE faceplate.messages DROP CONSTRAINT pk_messages, ADD CONSTRAINT pk_messages"
        " PRIMARY KEY (user_id, conversation_id, id)",
        "keys are missing: pk_messages (user_id, conversation_id, id) of messages",
        _checks.COMPOSITE_KEYS,
    ),
    "two users with one e-mail address in other letters": Case(
        "DROP INDEX faceplate.uq_users_email;;"
        "CREATE UNIQUE INDEX uq_users_email ON faceplate.users (email)",
        f"DROP INDEX faceplate.uq_users_email;{UNIQUE_EMAIL}",
        "unique indexes are missing or invalid: uq_users_email",
        _checks.COMPOSITE_KEYS,
    ),
    "an index for no row": Case(
        "DROP INDEX faceplate.uq_users_email;;"
        "CREATE UNIQUE INDEX uq_users_email ON faceplate.users (lower(email)) WHERE false",
        f"DROP INDEX faceplate.uq_users_email;{UNIQUE_EMAIL}",
        "unique indexes are missing or invalid: uq_users_email",
        _checks.COMPOSITE_KEYS,
    ),
    "a column is missing": Case(
        "ALTER TABLE faceplate.tasks RENAME description TO more",
        "ALTER TABLE faceplate.tasks RENAME more TO description",
        "columns are not as the migrations create them, so that units fail:"
        " faceplate.tasks.description is missing",
        "",
    ),
    "a column that units do not fill": Case(
        "ALTER TABLE faceplate.tasks ADD rank integer NOT NULL",
        "ALTER TABLE faceplate.tasks DROP rank",
        "faceplate.tasks.rank is required, and units do not fill it",
        "",
    ),
    "a column of another type": Case(
        "ALTER TABLE faceplate.tasks ALTER updated_at TYPE timestamp",
        "ALTER TABLE faceplate.tasks ALTER updated_at TYPE timestamptz",
        "faceplate.tasks.updated_at is of type timestamp without time zone, not timestamp with",
        "",
    ),
    "a column of another collation": Case(
        'ALTER TABLE faceplate.users ALTER email TYPE text COLLATE "C"',
        'ALTER TABLE faceplate.users ALTER email TYPE text COLLATE "default"',
        "faceplate.users.email is of type text with collation C, not text",
        "",
    ),
    "a column that has lost its collation": Case(
        "ALTER TABLE faceplate.documents ALTER key TYPE text",
        'ALTER TABLE faceplate.documents ALTER key TYPE text COLLATE "C"',
        "faceplate.documents.key is of type text, not text with collation C",
        "",
    ),
    "a column that has lost its default": Case(
        "ALTER TABLE faceplate.messages ALTER created_at DROP DEFAULT",
        "ALTER TABLE faceplate.messages ALTER created_at SET DEFAULT now()",
        "faceplate.messages.created_at has no default",
        "",
    ),
    "a column that must be given": Case(
        "ALTER TABLE faceplate.users ALTER email SET NOT NULL",
        "ALTER TABLE faceplate.users ALTER email DROP NOT NULL",
        "faceplate.users.email may not be null",
        "",
    ),
    "an owner without its rights": Case(
        "REVOKE INSERT ON faceplate.users FROM faceplate",
        "GRANT INSERT ON faceplate.users TO faceplate",
        "faceplate may not use tables that it owns, so that work across users fails:"
        " GRANT INSERT ON faceplate.users TO faceplate",
        "",
    ),
    "an owner of some tables": Case(
        "ALTER TABLE faceplate.messages OWNER TO postgres",
        "ALTER TABLE faceplate.messages OWNER TO faceplate",
        "faceplate does not own faceplate's tables (faceplate, postgres does)",
        "",
    ),
    "two revisions": Case(
        "INSERT INTO faceplate.alembic_version VALUES ('0001')",
        "DELETE FROM faceplate.alembic_version WHERE version_num = '0001'",
        f"faceplate.alembic_version has several rows (0001, {migrate.head()})",
        "",
    ),
}


WARNINGS = {
    "may log in": (
        "ALTER ROLE faceplate_app LOGIN",
        "ALTER ROLE faceplate_app NOLOGIN",
        "the role faceplate_app may log in, and no setting here uses that login",
    ),
    "member of a role": (
        "CREATE ROLE staff;;GRANT staff TO faceplate_app",
        "DROP ROLE staff",
        "faceplate_app is a member of staff: every unit has what that role is granted",
    ),
    "a grant that can be passed on": (
        "GRANT SELECT ON faceplate.tasks TO faceplate_app WITH GRANT OPTION",
        "REVOKE GRANT OPTION FOR SELECT ON faceplate.tasks FROM faceplate_app",
        "faceplate_app may grant its privileges on faceplate.tasks to others",
    ),
    "tables that are yet to come": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA faceplate GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA faceplate REVOKE SELECT ON TABLES FROM PUBLIC",
        "tables that postgres creates are granted to units by default",
    ),
    "the trigger of hours switched off": (
        "ALTER TABLE faceplate.conversations DISABLE TRIGGER active_hour",
        "ALTER TABLE faceplate.conversations ENABLE TRIGGER active_hour",
        "the trigger active_hour of faceplate.conversations is missing or switched off",
    ),
    "a trigger": (
        (
            "CREATE TRIGGER noted BEFORE UPDATE ON faceplate.tasks FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        ),
        "DROP TRIGGER noted ON faceplate.tasks",
        "the trigger noted on faceplate.tasks runs suppress_redundant_updates_trigger",
    ),
    "a function of the owner's": (
        f"{PEEK} LANGUAGE sql AS 'SELECT now()::text'",
        "DROP FUNCTION public.peek()",
        "units may call functions that run as postgres, under no policy: public.peek()",
    ),
    "a unique index across users": (
        "CREATE UNIQUE INDEX titles ON faceplate.tasks (title)",
        "DROP INDEX faceplate.titles",
        "the unique index faceplate.titles does not begin with user_id",
    ),
    "objects that outlive a unit": (
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "units may create objects in the schema public",
    ),
    "functions in place of PostgreSQL's": (
        "ALTER ROLE faceplate SET search_path = public, pg_catalog",
        "ALTER ROLE faceplate RESET search_path",
        "the search_path of faceplate has public before pg_catalog",
    ),
    "an exclusion across users": (
        "ALTER TABLE faceplate.tasks ADD CONSTRAINT apart EXCLUDE USING btree (title WITH =)",
        "ALTER TABLE faceplate.tasks DROP CONSTRAINT apart",
        "the unique index faceplate.apart does not begin with user_id",
    ),
    "an index is missing": (
        "DROP INDEX faceplate.ix_tasks_newest",
        "CREATE INDEX ix_tasks_newest ON faceplate.tasks (user_id, created_at DESC, id DESC)",
        "the index faceplate.ix_tasks_newest of faceplate.tasks is missing or invalid",
    ),
    "a rule that does not hold": (
        (
            "ALTER TABLE faceplate.tasks DROP CONSTRAINT ck_tasks_title,"
            " ADD CONSTRAINT ck_tasks_title CHECK"
            " (char_length(title) <= 500 AND btrim(title) <> '') NOT VALID"
        ),
        "ALTER TABLE faceplate.tasks VALIDATE CONSTRAINT ck_tasks_title",
        "CHECK constraints are missing or not in force: ck_tasks_title",
    ),
    "another default": (
        "ALTER TABLE faceplate.messages ALTER status SET DEFAULT 'streaming'",
        "ALTER TABLE faceplate.messages ALTER status SET DEFAULT 'complete'",
        "faceplate.messages.status has the default 'streaming'::text",
    ),
    "a column that may be null": (
        "ALTER TABLE faceplate.tasks ALTER description DROP NOT NULL",
        "ALTER TABLE faceplate.tasks ALTER description SET NOT NULL",
        "columns are not as the migrations create them: faceplate.tasks.description may be null",
    ),
    "a table elsewhere": (
        (
            "CREATE FOREIGN DATA WRAPPER a_wrapper;;"
            "CREATE SERVER elsewhere FOREIGN DATA WRAPPER a_wrapper;;"
            "CREATE FOREIGN TABLE public.remote (content text) SERVER elsewhere;;"
            "GRANT SELECT ON public.remote TO faceplate_app"
        ),
        "DROP FOREIGN DATA WRAPPER a_wrapper CASCADE",
        "units may read the foreign table public.remote, under no policy",
    ),
    "a function of PostgreSQL's that runs what it is given": (
        "ALTER FUNCTION query_to_xml(text, bool, bool, text) SECURITY DEFINER",
        "ALTER FUNCTION query_to_xml(text, bool, bool, text) SECURITY INVOKER",
        "units may call functions that run as postgres, under no policy: pg_catalog.query_to_xml",
    ),
}


HARMLESS = {
    "a policy that only narrows": (
        "CREATE POLICY short ON faceplate.tasks AS RESTRICTIVE USING (title <> 'x')",
        "DROP POLICY short ON faceplate.tasks",
    ),
    "a policy for somebody else": (
        "CREATE ROLE staff;;CREATE POLICY extra ON faceplate.tasks TO staff USING (true)",
        "DROP POLICY extra ON faceplate.tasks;DROP ROLE staff",
    ),
    "a view that asks as its caller": (
        (
            "CREATE VIEW public.mine WITH (security_invoker) AS SELECT * FROM faceplate.tasks;;"
            "GRANT SELECT ON public.mine TO faceplate_app"
        ),
        "DROP VIEW public.mine",
    ),
    "a view that units may not read": (
        "CREATE VIEW public.report AS SELECT * FROM faceplate.tasks",
        "DROP VIEW public.report",
    ),
    "a function that units may not call": (
        (
            f"{PEEK} LANGUAGE sql AS 'SELECT content FROM faceplate.messages';;"
            "REVOKE EXECUTE ON FUNCTION public.peek() FROM PUBLIC"
        ),
        "DROP FUNCTION public.peek()",
    ),
    "names in quotes": (
        "ALTER ROLE faceplate SET quote_all_identifiers = on",
        "ALTER ROLE faceplate RESET quote_all_identifiers",
    ),
    "a backup's role": (
        "CREATE ROLE backup BYPASSRLS;;GRANT SELECT ON ALL TABLES IN SCHEMA faceplate TO backup",
        "DROP OWNED BY backup;DROP ROLE backup",
    ),
    "a child that units may not read": (
        "CREATE TABLE public.child () INHERITS (faceplate.tasks)",
        "DROP TABLE public.child",
    ),
    "a column of the application's own": (
        "ALTER TABLE faceplate.tasks ADD rank integer NOT NULL DEFAULT 0",
        "ALTER TABLE faceplate.tasks DROP rank",
    ),
    "an index of the application's own": (
        "CREATE INDEX titles ON faceplate.tasks (title)",
        "DROP INDEX faceplate.titles",
    ),
}
