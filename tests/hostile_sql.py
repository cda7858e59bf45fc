"""SQL that Ada's unit may run against Bob: every way out of one's rows that PostgreSQL might have.

A name in braces is filled in: ``bob`` and ``ada`` are users' ids, ``owner`` is the login that owns
the tables, ``login`` that of units.
"""

from typing import NamedTuple

USER_ID = "the user id"
"""Reaches Bob where units may name their user, whatever the login."""
OWNER = "the owner"
"""Reaches Bob where the login of units owns the tables."""


class Attack(NamedTuple):
    kind: str
    statements: tuple[str, ...]
    by: str | None = None
    """By what it reaches Bob's rows; None for what never does."""


def _each(kind: str, *statements: str, by: str | None = None) -> list[Attack]:
    return [Attack(kind, (statement,), by) for statement in statements]


def _do(body: str) -> str:
    return f"DO $$ DECLARE row record; BEGIN {body} END $$"


ROLES = [
    *_each(
        "role",
        "SET ROLE NONE",
        "SET LOCAL ROLE NONE",
        "SELECT set_config('role', 'none', true)",
        "SELECT pg_catalog.set_config('role', 'none', false)",
        _do("SET LOCAL ROLE NONE;"),
        "SET ROLE {owner}",
        "SET SESSION AUTHORIZATION {owner}",
        by=OWNER,
    ),
    *_each(
        "role",
        "RESET ROLE",
        "RESET SESSION AUTHORIZATION",
        "SET SESSION AUTHORIZATION DEFAULT",
        "UPDATE pg_settings SET setting = 'none' WHERE name = 'role'",
        "SET ROLE TO DEFAULT",
        "RESET ALL",
        "SET ROLE faceplate_app",
        "SET ROLE postgres",
        "SET ROLE pg_read_all_data",
        "SET SESSION AUTHORIZATION postgres",
        "CREATE ROLE intruder SUPERUSER",
        "ALTER ROLE faceplate_app BYPASSRLS",
        "ALTER ROLE faceplate_app LOGIN",
        "GRANT {owner} TO faceplate_app",
        "GRANT faceplate_app TO PUBLIC",
        "GRANT pg_read_all_data TO faceplate_app",
        "GRANT ALL ON ALL TABLES IN SCHEMA faceplate TO PUBLIC",
        "GRANT SELECT ON faceplate.messages TO PUBLIC",
        "REASSIGN OWNED BY {owner} TO faceplate_app",
        "DROP OWNED BY {owner}",
        "DROP OWNED BY faceplate_app",
        "DROP OWNED BY CURRENT_USER CASCADE",
        "REVOKE ALL ON ALL TABLES IN SCHEMA faceplate FROM faceplate_app",
        "REVOKE USAGE ON SCHEMA faceplate FROM faceplate_app",
        "REVOKE faceplate_app FROM {login}",
    ),
]

SETTINGS = [
    *_each(
        "setting",
        "SET faceplate.user_id = '{bob}'",
        "SET LOCAL faceplate.user_id = '{bob}'",
        "SELECT set_config('faceplate.user_id', '{bob}', true)",
        "SELECT set_config('faceplate.user_id', '{bob}', false)",
        _do("PERFORM set_config('faceplate.user_id', '{bob}', true);"),
        "WITH me AS MATERIALIZED (SELECT set_config('faceplate.user_id', '{bob}', true))"
        " SELECT m::text FROM me, faceplate.messages m",
        "EXECUTE faceplate_enter('{bob}')",
        "EXPLAIN ANALYZE EXECUTE faceplate_enter('{bob}')",
        by=USER_ID,
    ),
    Attack("setting", ("SET LOCAL ROLE NONE", "SET LOCAL faceplate.user_id = '{bob}'"), USER_ID),
    *_each(
        "setting",
        "SET LOCAL faceplate.user_id = ''",
        "SET LOCAL faceplate.user_id = 'everybody'",
        "RESET faceplate.user_id",
        "SET LOCAL row_security = off",
        "SET row_security = off",
        "SET search_path = pg_temp, public, faceplate, pg_catalog",
        "SET session_replication_role = replica",
        "SET default_transaction_read_only = on",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET default_transaction_isolation = 'serializable'",
        "SET default_transaction_deferrable = on",
        "SET default_tablespace = pg_global",
        "SET default_text_search_config = 'simple'",
        "SET statement_timeout = 1",
        "SET lock_timeout = 0",
        "SET idle_in_transaction_session_timeout = 0",
        "SET transaction_timeout = 1000000",
        "SET client_min_messages = debug5",
        "SET log_statement = 'all'",
        "SET track_activities = off",
        "SET datestyle = 'SQL, DMY'",
        "SET intervalstyle = 'sql_standard'",
        "SET bytea_output = 'escape'",
        "SET standard_conforming_strings = off",
        "SET quote_all_identifiers = on",
        "SET timezone = 'Asia/Tokyo'",
        "SET extra_float_digits = -15",
        "SET plan_cache_mode = force_generic_plan",
        "SET application_name = 'bob'",
        "SET synchronous_commit = off",
        "SET TRANSACTION READ ONLY",
        "SET CONSTRAINTS ALL DEFERRED",
        "ALTER SYSTEM SET row_security = off",
        "ALTER DATABASE postgres SET row_security = off",
        "ALTER ROLE {owner} SET row_security = off",
        "ALTER ROLE CURRENT_USER SET faceplate.user_id = '{bob}'",
        "ALTER ROLE {login} SET faceplate.user_id = '{bob}'",
        "ALTER ROLE ALL SET row_security = off",
        "ALTER ROLE postgres PASSWORD 'known'",
    ),
]

CATALOGS = _each(
    "catalog",
    "SELECT a::text FROM pg_stat_activity a",
    "SELECT pg_stat_get_activity(NULL)::text",
    "SELECT s::text FROM pg_stats s WHERE schemaname = 'faceplate'",
    "SELECT s::text FROM pg_stats_ext s",
    "SELECT s::text FROM pg_statistic s",
    "SELECT s::text FROM pg_statistic_ext_data s",
    "SELECT a::text FROM pg_authid a",
    "SELECT s::text FROM pg_shadow s",
    "SELECT h::text FROM pg_hba_file_rules h",
    "SELECT l::text FROM pg_largeobject l",
    "SELECT p::text FROM pg_prepared_statements p",
    "SELECT c::text FROM pg_cursors c",
    "SELECT l::text FROM pg_locks l",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT pg_read_binary_file(pg_relation_filepath('faceplate.messages'))::text",
    "SELECT pg_ls_dir('base')",
    "SELECT pg_ls_logdir()::text",
    "SELECT pg_current_logfile()",
    "SELECT pg_stat_file('PG_VERSION')::text",
    "SELECT pg_export_snapshot()",
    "SELECT pg_switch_wal()",
    "SELECT pg_reload_conf()",
    "SELECT pg_stat_reset()",
    "SELECT pg_log_backend_memory_contexts(pg_backend_pid())",
    "SELECT s::text FROM pg_create_logical_replication_slot('spy', 'test_decoding') s",
)

FUNCTIONS = [
    *_each(
        "function",
        "CREATE FUNCTION pg_temp.leak(text) RETURNS bool COST 0.0000001 LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION '%', $1; END $$",
        "CREATE FUNCTION public.leak(text) RETURNS bool RETURN true",
        "CREATE FUNCTION faceplate.now() RETURNS timestamptz RETURN NULL",
        "CREATE OR REPLACE FUNCTION pg_catalog.now() RETURNS timestamptz RETURN NULL",
        "CREATE FUNCTION public.own() RETURNS text SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'",
        "CREATE OPERATOR public.= (LEFTARG = uuid, RIGHTARG = text, FUNCTION = texteq)",
        "CREATE AGGREGATE pg_temp.all_of(text) (SFUNC = textcat, STYPE = text)",
        "CREATE CAST (text AS uuid) WITH INOUT AS IMPLICIT",
        "CREATE TYPE pg_temp.t AS (x int)",
        "CREATE DOMAIN pg_temp.d AS text",
        "CREATE EXTENSION dblink",
        "CREATE LANGUAGE plpython3u",
        "CREATE EVENT TRIGGER spy ON ddl_command_end EXECUTE FUNCTION pg_catalog.now()",
        "LOAD 'auto_explain'",
    ),
    *_each(
        "leak",
        "SELECT content::int FROM faceplate.messages",
        "SELECT content FROM faceplate.messages WHERE (content || '')::int = 1",
        "SELECT content FROM faceplate.messages WHERE user_id = '{bob}' AND content::uuid = id",
        "SELECT m::text FROM faceplate.messages m WHERE user_id = '{bob}'",
        "SELECT m::text FROM faceplate.messages m TABLESAMPLE SYSTEM (100)",
        "SELECT ctid::text, m::text FROM ONLY faceplate.messages m",
        "SELECT query_to_xml('SELECT * FROM faceplate.messages', true, true, '')::text",
        "SELECT table_to_xml('faceplate.messages', true, true, '')::text",
        "SELECT schema_to_xml('faceplate', true, true, '')::text",
        "SELECT s::text FROM ts_stat('SELECT to_tsvector(content) FROM faceplate.messages') s",
        "EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM faceplate.messages",
        "EXPLAIN (ANALYZE, TIMING OFF) UPDATE faceplate.messages SET content = 'hijacked'",
        "MERGE INTO faceplate.tasks t USING (SELECT '{bob}'::uuid AS id) u ON t.user_id = u.id"
        " WHEN MATCHED THEN UPDATE SET title = 'hijacked'",
        "MERGE INTO faceplate.tasks t USING (SELECT 1) x ON false"
        " WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING t::text",
        "SELECT currtid2('faceplate.messages', '(0,1)')::text",
        "SELECT pg_restore_attribute_stats('schemaname', 'faceplate', 'relname', 'messages',"
        " 'attname', 'content', 'inherited', false)",
        "SELECT database_to_xml(true, true, '')::text",
        "INSERT INTO faceplate.tasks (user_id, id, title) SELECT '{bob}', id, 'planted'"
        " FROM faceplate.tasks ON CONFLICT (user_id, id) DO UPDATE SET title = 'hijacked'",
        "INSERT INTO faceplate.users (id, subject_id) VALUES (gen_random_uuid(), 'a')",
        "UPDATE faceplate.tasks SET user_id = '{bob}'",
        _do(
            "FOR row IN SELECT * FROM faceplate.messages LOOP"
            " RAISE EXCEPTION '%', row.content; END LOOP;"
        ),
        _do("EXECUTE 'DELETE FROM faceplate.messages WHERE user_id = ''{bob}''';"),
        _do("COMMIT;"),
    ),
]

PREPARED = [
    *_each(
        "prepared",
        "DEALLOCATE faceplate_enter",
        "DEALLOCATE ALL",
        "DISCARD PLANS",
        "PREPARE faceplate_enter (text) AS SELECT 1",
        "PREPARE spy AS SELECT m::text FROM faceplate.messages m",
        "PREPARE __asyncpg_stmt_1__ AS SELECT 1",
        "PREPARE TRANSACTION 'kept'",
        "COMMIT PREPARED 'kept'",
    ),
    *(
        Attack("prepared", (f"DEALLOCATE {name}", f"PREPARE {name} {what}"))
        for name, what in {
            "faceplate_enter": "(text) AS SELECT WHERE $1 IS NULL"
            " OR set_config('faceplate.user_id', '{ada}', true) IS NULL",
            "faceplate_mark": "AS SELECT '1', '2', '3', '4', '5', '6'",
            "faceplate_step_up": "AS SELECT",
        }.items()
    ),
]

MOVING = [
    *_each(
        "copy",
        "COPY faceplate.messages TO STDOUT",
        "COPY faceplate.messages FROM STDIN",
        "COPY faceplate.messages TO '/tmp/stolen'",
        "COPY faceplate.messages FROM '/etc/passwd'",
        "COPY (SELECT 1) TO PROGRAM 'id'",
    ),
    *_each(
        "cursor",
        "DECLARE spy CURSOR WITH HOLD FOR SELECT m::text FROM faceplate.messages m",
        "DECLARE spy BINARY CURSOR FOR SELECT m::text FROM faceplate.messages m",
        "FETCH ALL FROM spy",
        "CLOSE ALL",
    ),
    *_each(
        "large object",
        "SELECT lo_from_bytea(0, 'of ada')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/stolen')",
        "SELECT lo_get(oid)::text FROM pg_largeobject_metadata",
        "SELECT lo_open(lo_create(0), 131072)",
    ),
]

OBJECTS = _each(
    "object",
    "CREATE TEMPORARY TABLE messages (content text)",
    "CREATE TEMPORARY TABLE pg_class (oid oid)",
    "CREATE TEMPORARY VIEW messages AS SELECT * FROM faceplate.messages",
    "CREATE TEMPORARY SEQUENCE s",
    "SELECT * INTO TEMPORARY stolen FROM faceplate.messages",
    "CREATE TABLE public.stolen AS SELECT * FROM faceplate.messages",
    "CREATE VIEW public.stolen AS SELECT * FROM faceplate.messages",
    "CREATE MATERIALIZED VIEW public.stolen AS SELECT * FROM faceplate.messages",
    "CREATE TABLE faceplate.stolen (x int)",
    "CREATE SCHEMA stolen",
    "CREATE TABLE public.m (LIKE faceplate.messages) PARTITION BY HASH (id)",
    "CREATE TRIGGER spy BEFORE INSERT ON faceplate.messages"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE spy AS ON INSERT TO faceplate.messages DO INSTEAD NOTHING",
    "CREATE POLICY spy ON faceplate.messages USING (true)",
    "DROP POLICY messages_of_user ON faceplate.messages",
    "ALTER POLICY messages_of_user ON faceplate.messages USING (true)",
    "ALTER TABLE faceplate.messages DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE faceplate.messages OWNER TO faceplate_app",
    "ALTER TABLE faceplate.messages ADD COLUMN x int",
    "CREATE INDEX spy ON faceplate.messages (content)",
    "CREATE STATISTICS spy ON role, content FROM faceplate.messages",
    "DROP TABLE faceplate.messages",
    "DROP SCHEMA faceplate CASCADE",
    "DROP ROLE {owner}",
    "TRUNCATE faceplate.messages",
    "TRUNCATE faceplate.users CASCADE",
    "COMMENT ON TABLE faceplate.messages IS 'ada was here'",
    "ANALYZE faceplate.messages",
    "VACUUM faceplate.messages",
    "CLUSTER faceplate.messages USING pk_messages",
    "REINDEX TABLE faceplate.messages",
    "CHECKPOINT",
    "CREATE PUBLICATION spy FOR TABLE faceplate.messages",
    "CREATE SUBSCRIPTION spy CONNECTION 'host=/tmp' PUBLICATION spy",
    "CREATE FOREIGN DATA WRAPPER spy",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA faceplate GRANT ALL ON TABLES TO PUBLIC",
    "UPDATE pg_class SET relrowsecurity = false",
    "DELETE FROM pg_policy",
    "UPDATE faceplate.alembic_version SET version_num = '0001'",
)

NEIGHBOURS = _each(
    "neighbour",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "LISTEN spy",
    "NOTIFY spy, 'of ada'",
    "SELECT pg_notify('spy', 'of ada')",
    "SELECT pg_advisory_lock(7)",
    "SELECT pg_advisory_lock_shared(8)",
    "LOCK TABLE faceplate.messages IN ACCESS EXCLUSIVE MODE",
    "LOCK TABLE pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE",
    "SELECT m::text FROM faceplate.messages m FOR UPDATE",
    "ROLLBACK",
    "COMMIT AND CHAIN",
)

ATTACKS = [
    *ROLES,
    *SETTINGS,
    *CATALOGS,
    *FUNCTIONS,
    *PREPARED,
    *MOVING,
    *OBJECTS,
    *NEIGHBOURS,
]

HARVEST = (
    *(
        f"SELECT t::text FROM faceplate.{table} t"
        for table in ("users", "conversations", "messages", "tasks", "mcp_configs")
    ),
    "UPDATE faceplate.conversations SET title = 'hijacked' WHERE user_id = '{bob}'",
    "UPDATE faceplate.messages SET content = 'hijacked' WHERE user_id <> '{ada}'",
    "DELETE FROM faceplate.tasks WHERE user_id = '{bob}'",
    "INSERT INTO faceplate.tasks (user_id, id, title) VALUES ('{bob}', gen_random_uuid(), 'new')",
)
"""What each attack is followed by: the reading and the writing that it was for."""
