"""The worker across users: ``python -m app.worker``, beside the service, one or several.

It delivers the reminders that are due, and ends the replies of processes that were killed.
"""

import asyncio
import logging
import signal
from contextlib import suppress
from datetime import timedelta

from faceplate import Database, FaceplateError
from faceplate.services import messages

from app import reminders

logger = logging.getLogger("app.worker")

EVERY_S = 5.0
STALE = timedelta(seconds=90)
"""A live reply is saved every 30 seconds; one that was not for so long has no process."""


async def work(db: Database) -> int:
    """Do what is due, once; return how many reminders were delivered."""
    await db.run_system(messages.sweep_drafts, older_than=STALE)
    delivered, last = 0, reminders.FIRST
    while found := await db.run_system(reminders.due, after=last):
        for reminder in found:
            try:
                delivered += await db.run(reminder.user_id, reminders.deliver, reminder.id)
            except FaceplateError as error:  # the others are delivered all the same
                logger.warning("reminder %s is not delivered yet: %s", reminder.id, error)
        last = found[-1]
    return delivered


async def main() -> None:
    """Work until SIGTERM or Ctrl-C."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with Database() as db:
        logger.info("started")
        while not stop.is_set():
            try:
                if delivered := await work(db):
                    logger.info("%d reminders delivered", delivered)
            except FaceplateError as error:
                logger.warning("nothing is delivered for now: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_S)
    logger.info("stopped")


if __name__ == "__main__":
    logging.basicConfig()
    logging.getLogger("app").setLevel(logging.INFO)
    asyncio.run(main())
