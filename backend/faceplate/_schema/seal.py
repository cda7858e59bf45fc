"""The sealed user id: policies that check the application's seal.

SQL in a unit can change every setting, so a plain policy shows it the rows of each user whose id it
knows. A sealed policy calls a function, once per statement, which compares the setting
``faceplate.seal`` with the HMAC of the user id. The application has the key. The function reads it
from a table that only its owner may read.
"""

from faceplate._driver.connection import DriverConnection
from faceplate._driver.preamble import ROLE, seal_pads
from faceplate.errors import UsageError

# The expressions as PostgreSQL prints them, for a column; quotes are doubled, for a string.
PLAIN = "({} = (NULLIF(current_setting(''faceplate.user_id''::text, true), ''''::text))::uuid)"
SEALED = "({} = ( SELECT faceplate_seal.user_id() AS user_id))"
BODY = """
DECLARE
    name text := current_setting('faceplate.user_id', true);
    seal text := current_setting('faceplate.seal', true);
BEGIN
    PERFORM FROM faceplate_seal.keys k
    WHERE seal = encode(sha256(k.outside || sha256(k.inside || convert_to(name, 'UTF8'))), 'hex');
    IF FOUND THEN
        RETURN name::uuid;
    END IF;
    RETURN NULL;
END
"""
SEARCH_PATH = "pg_catalog, pg_temp"
MAKE = f"""
CREATE SCHEMA IF NOT EXISTS faceplate_seal;
GRANT USAGE ON SCHEMA faceplate_seal TO {ROLE};
CREATE TABLE IF NOT EXISTS faceplate_seal.keys (inside bytea NOT NULL, outside bytea NOT NULL);
REVOKE ALL ON faceplate_seal.keys FROM PUBLIC, {ROLE};
CREATE OR REPLACE FUNCTION faceplate_seal.user_id() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = {SEARCH_PATH}
AS $${BODY}$$
"""
# Whether the function p in the schema n is the one that `MAKE` creates.
IS_SEAL = f"""(n.nspname = 'faceplate_seal' AND p.proname = 'user_id' AND p.pronargs = 0
    AND p.prosecdef AND p.prorettype = 'uuid'::regtype
    AND p.proconfig = ARRAY['search_path={SEARCH_PATH}'] AND p.prosrc = $body${BODY}$body$)"""
# NULL without a stored key; else whether it is the same key.
IS_KEPT = "SELECT bool_and(inside = $1 AND outside = $2) FROM faceplate_seal.keys"
KEEP = "INSERT INTO faceplate_seal.keys (inside, outside) VALUES ($1, $2)"
ANOTHER_KEY = (
    "the policies are sealed with another key: set FACEPLATE_SEAL_KEY to the key of the other"
    " processes; to change the key, remove the seal with `migrate.unseal_user_ids` first"
)
# Changes every policy with the expression, also those on the application's own tables.
CHANGE = """
DO $do$
DECLARE
    policy record;
BEGIN
    FOR policy IN
        SELECT p.polname, p.polrelid::regclass AS place, k.name,
            p.polwithcheck IS NOT NULL AS checks
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
            CROSS JOIN (VALUES ('id'), ('user_id')) AS k (name)
        WHERE pg_get_expr(p.polqual, p.polrelid) = replace('{before}', '{{}}', k.name)
            AND pg_has_role(c.relowner, 'USAGE')
        ORDER BY c.relname = 'messages', c.relname = 'conversations', c.oid
    LOOP
        EXECUTE format('ALTER POLICY %I ON %s USING (%s)', policy.polname, policy.place,
            replace('{after}', '{{}}', policy.name));
        IF policy.checks THEN
            EXECUTE format('ALTER POLICY %I ON %s WITH CHECK (%s)', policy.polname, policy.place,
                replace('{after}', '{{}}', policy.name));
        END IF;
    END LOOP;
END
$do$
"""
REMOVE = "DROP SCHEMA IF EXISTS faceplate_seal CASCADE"


async def put(owner: DriverConnection, key: bytes) -> None:
    """Store the key, and make every policy of the owner's tables check the seal.

    Raises UsageError if another key is stored.
    """
    await owner.execute(MAKE)
    pads = seal_pads(key)
    is_kept = await owner.fetchval(IS_KEPT, *pads)
    if is_kept is False:
        raise UsageError(ANOTHER_KEY)
    if is_kept is None:
        await owner.execute(KEEP, *pads)
    await owner.execute(CHANGE.format(before=PLAIN, after=SEALED))


async def take_off(owner: DriverConnection) -> None:
    """Make every policy accept the user id without a seal, and delete the key."""
    await owner.execute(CHANGE.format(before=SEALED, after=PLAIN))
    await owner.execute(REMOVE)
