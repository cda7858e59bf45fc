"""OpenAI's JavaScript client works against the API, where node and the client are installed."""

import asyncio
import shutil
from pathlib import Path

import pytest

from faceplate import User

HERE = Path(__file__).parent
MODULES = HERE.parents[2] / "build" / "sdks" / "javascript"
"""``npm install --prefix build/sdks/javascript openai`` fills it."""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(not MODULES.exists(), reason="the JavaScript client is not installed")
async def test_openais_javascript_client_works(url: str, user: User) -> None:
    program = MODULES / "client.mjs"  # a module finds packages beside itself
    program.write_text((HERE / "client.mjs").read_text())
    node = await asyncio.create_subprocess_exec(
        *("node", program, f"{url}/v1", str(user.id)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, wrong = await asyncio.wait_for(node.communicate(), 60)
    assert (node.returncode, told) == (0, b"done\n"), wrong.decode()
