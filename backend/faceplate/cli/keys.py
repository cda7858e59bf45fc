"""``faceplate generate-key`` and ``rotate-keys``: the keys of the secrets."""

from faceplate import encryption
from faceplate.cli.output import AsJson, emit, note, out
from faceplate.cli.progress import progress_bar
from faceplate.cli.rendering import count
from faceplate.cli.session import run
from faceplate.database import Database
from faceplate.services import mcp_configs


def generate_key(*, as_json: AsJson = False) -> None:
    """Print a new key for FACEPLATE_ENCRYPTION_KEYS or FACEPLATE_SEAL_KEY, and store it nowhere."""
    key = encryption.generate_key()
    if as_json:
        emit({"key": key})
        return
    out.print(key, soft_wrap=True)
    note(
        "For secrets: put it first in FACEPLATE_ENCRYPTION_KEYS, before the keys in use, which"
        " still have to decrypt; then run `faceplate rotate-keys`. To seal user ids: make another"
        " one for FACEPLATE_SEAL_KEY."
    )


def rotate_keys(*, as_json: AsJson = False) -> None:
    """Re-encrypt every user's secrets under the first key of FACEPLATE_ENCRYPTION_KEYS.

    Safe while programs run, if each has all the keys; safe to interrupt, and to run again.
    """

    async def work(db: Database) -> tuple[int, int]:
        return await _rotate(db), len(db.settings.encryption_keys)

    rotated, keys = run(work)
    if as_json:
        emit({"rotated": rotated})
        return
    note(f"{count(rotated, 'configuration')} had secrets; they are under the first key now.")
    if keys > 1:
        note(
            "When every program has that key in front, run this once more; then the other keys"
            " may be removed."
        )


async def _rotate(db: Database) -> int:
    """Rotate a batch and a transaction at a time; return how many configurations there were."""
    with progress_bar("rotating", await db.run_system(mcp_configs.count_secrets)) as update:
        rotated = 0
        batch = await db.run_system(mcp_configs.rotate_secrets)
        while batch:
            rotated += len(batch)
            update(completed=rotated)
            batch = await db.run_system(mcp_configs.rotate_secrets, batch[-1])
    return rotated
