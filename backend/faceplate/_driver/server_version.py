"""Which versions of PostgreSQL every new connection accepts."""

OLDEST_VERSION, NEWEST_TESTED = 15, 18


def problem(major: int, version: str) -> str | None:
    """Return why PostgreSQL ``version`` cannot be used, or None."""
    if major >= OLDEST_VERSION:
        return None
    return (
        f"PostgreSQL {version} is too old: faceplate needs {OLDEST_VERSION} or newer, and is"
        f" tested on {OLDEST_VERSION} to {NEWEST_TESTED}: upgrade the server"
    )
