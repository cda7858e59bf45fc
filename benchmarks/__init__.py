"""faceplate beside raw asyncpg, a plain ORM service and its peers, measured in one run.

``make bench`` runs everything, ``make bench ARGS=--quick`` the short form. See
docs/performance.md, whose figures come from here.
"""

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
"""Where the page and the results are, wherever the run was started."""


def child_environment() -> dict[str, str]:
    """Return the environment for a process that runs a module of this package."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
