"""``make serve``: the chat on http://127.0.0.1:8000, on DATABASE_URL or a local PostgreSQL."""

import argparse
import asyncio
import os

import uvicorn
from pydantic import SecretStr

from examples.chat.settings import ChatSettings
from faceplate import migrate
from faceplate.cli.output import note
from faceplate.cli.session import find_settings

GRACE_S = 3
"""How long replies may go on when the server is stopped. Then they are interrupted, and kept."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.chat", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()

    settings = find_settings()
    asyncio.run(migrate.upgrade(settings))
    # The workers are processes of their own and read their settings themselves.
    for name in ("database_url", "owner_url"):
        if (url := getattr(settings, name)) is not None:
            os.environ[f"FACEPLATE_{name.upper()}"] = (
                url.get_secret_value() if isinstance(url, SecretStr) else url
            )
    os.environ.setdefault("CHAT_ALONE", str(options.workers == 1))
    note(f"Model: {ChatSettings().model_name}")
    note(f"Chat: http://{options.host}:{options.port}/  (Ctrl-C stops it)")
    uvicorn.run(
        "examples.chat.app:create_app",
        factory=True,
        host=options.host,
        port=options.port,
        workers=options.workers,
        timeout_graceful_shutdown=GRACE_S,
        access_log=False,
    )


if __name__ == "__main__":
    main()
