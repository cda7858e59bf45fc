"""Whether a connection sends preamble and statement together, or one after the other.

To send both in one write relies on private parts of the driver and of the event loop. They are
listed in docs/private-parts.md, each with its contract tests. With a driver or an event loop that
those tests have not seen, a connection uses the driver's public methods alone: BEGIN with the user,
each statement and COMMIT are sent and awaited one after the other.
"""

import asyncio
import functools
import logging
import re

import asyncpg

from faceplate.config import Settings

TESTED_DRIVERS = (0, 32), (0, 32)
"""The oldest and the newest asyncpg that the tests have seen, as the package's requirement says."""
TESTED_LOOPS = frozenset({"asyncio", "uvloop"})

logger = logging.getLogger("faceplate")


def is_possible(settings: Settings) -> bool:
    """Return whether a connection of the running event loop can be pipelined."""
    if not settings.pipelining:
        return False
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    if (obstacle := _obstacle(asyncpg.__version__, loop)) is not None:
        _warn(obstacle)
        return False
    return True


@functools.cache
def _obstacle(driver: str, loop: str) -> str | None:
    """Return why nothing is pipelined with this driver and event loop, or None."""
    oldest, newest = TESTED_DRIVERS
    numbers = re.match(r"(\d+)\.(\d+)(\.|$)", driver)  # no pre-release of a version to come
    if numbers is None or not oldest <= (int(numbers[1]), int(numbers[2])) <= newest:
        return f"asyncpg {driver}"
    return None if loop in TESTED_LOOPS else f"the event loop of {loop}"


@functools.cache
def _warn(obstacle: str) -> None:
    """Warn once in a process."""
    logger.warning(
        "statements are not pipelined, as %s is not one that this version was tested with:"
        " a unit takes more round trips",
        obstacle,
    )
