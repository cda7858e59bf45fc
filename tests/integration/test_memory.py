"""Memory stays bounded however much is imported, exported or read."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from tests.memory import CONTENT, STEPS

ROOT = Path(__file__).parents[2]
COUNT = 30_000
MAX_RISE_MB = 16
MAX_RISE_OF_ONE_MB = 48
"""A chat has names, ids and places of all its messages in memory, but not what they say."""
HELD_MB = COUNT * len(CONTENT) / 2**20
"""What the contents alone would take if all of them were held."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak")
@pytest.mark.parametrize("step", STEPS)
async def test_memory_does_not_grow_with_the_number_of_messages(
    step: str, fresh_database_url: str
) -> None:
    """Else one user's long history ends the process that serves everybody."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.memory", step, str(COUNT)),
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": fresh_database_url},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await program.communicate()
    measured = json.loads(printed)
    assert measured["messages"] == COUNT
    is_one = step.startswith("import one")
    assert measured["peak"] - measured["before"] < (MAX_RISE_OF_ONE_MB if is_one else MAX_RISE_MB)
    assert MAX_RISE_MB < HELD_MB
