"""The commands on keys: ``faceplate generate-key`` and ``rotate-keys``."""

from faceplate import encryption
from faceplate.cli.output import AsJson, emit, note, out
from faceplate.cli.progress import progress_bar
from faceplate.cli.rendering import count
from faceplate.cli.session import find_settings, interruptible, run
from faceplate.database import Database
from faceplate.errors import ConfigurationError
from faceplate.services import _mcp_tokens, mcp_configs


def generate_key(*, as_json: AsJson = False) -> None:
    """Print a new key for FACEPLATE_ENCRYPTION_KEYS or FACEPLATE_SEAL_KEY.

    The key is not stored.
    """
    key = encryption.generate_key()
    if as_json:
        emit({"key": key})
        return
    out.print(key, soft_wrap=True)
    note(
        "For secrets: put it first in FACEPLATE_ENCRYPTION_KEYS, before the keys in use, which are"
        " still needed to decrypt; then run `faceplate rotate-keys`. To seal user ids: generate"
        " another key for FACEPLATE_SEAL_KEY."
    )


def rotate_keys(*, as_json: AsJson = False) -> None:
    """Re-encrypt all secrets with the first key of FACEPLATE_ENCRYPTION_KEYS.

    It is safe while programs run, if each has all the keys. It is safe to interrupt, and to run
    again.
    """

    if not find_settings().encryption_keys:
        raise ConfigurationError(
            "there is no key: set FACEPLATE_ENCRYPTION_KEYS to the new key and, after a comma, the"
            " keys in use"
        )

    async def work(db: Database) -> tuple[int, int, int]:
        return *await _rotate(db), len(db.settings.encryption_keys)

    with interruptible("what was re-encrypted is kept; run it again for the rest"):
        configs, tokens, keys = run(work)
    if as_json:
        emit({"rotated": configs + tokens})
        return
    done = f"the secrets of {count(configs, 'configuration')}"
    if tokens:
        done += f" and {count(tokens, 'document')} of tokens"
    note(f"Re-encrypted {done} with the first key.")
    if keys > 1:
        note("When every program has that key first, run this again; then remove the other keys.")


async def _rotate(db: Database) -> tuple[int, int]:
    """Rotate a batch per transaction; return the numbers of configurations and of tokens."""
    total = await db.run_system(mcp_configs.count_secrets) + await db.run_system(_mcp_tokens.count)
    with progress_bar("rotating", "secret", total) as update:
        rotated = 0
        configs = await db.run_system(mcp_configs.rotate_secrets)
        while configs:
            rotated += len(configs)
            update(completed=rotated)
            configs = await db.run_system(mcp_configs.rotate_secrets, configs[-1])
        of_configs = rotated
        tokens = await db.run_system(_mcp_tokens.rotate)
        while tokens:
            rotated += len(tokens)
            update(completed=rotated)
            tokens = await db.run_system(_mcp_tokens.rotate, tokens[-1])
    return of_configs, rotated - of_configs
