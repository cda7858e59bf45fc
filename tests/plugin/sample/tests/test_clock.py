"""What a test can do about time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from app import models

from faceplate import Database
from faceplate.integrations.web import UserRunner
from faceplate.services import conversations, messages
from faceplate.testing import Clock


def moment_of(id: UUID) -> datetime:  # noqa: A002 - as the column is called
    return datetime.fromtimestamp((id.int >> 80) / 1000, tz=UTC)


async def test_ids_tell_the_time_that_was_set(
    faceplate_runner: UserRunner, faceplate_clock: Clock
) -> None:
    new_year = datetime(2020, 1, 1, tzinfo=UTC)
    faceplate_clock.set(new_year)
    first = await faceplate_runner.run(models.add, "first")
    second = await faceplate_runner.run(models.add, "second")
    assert [moment_of(first), moment_of(second) - timedelta(milliseconds=1)] == [new_year] * 2
    assert first < second


async def test_what_is_stored_grows_old(
    faceplate_db: Database, faceplate_runner: UserRunner, faceplate_clock: Clock
) -> None:
    chat = await faceplate_runner.run(conversations.create)
    before = await faceplate_runner.run(messages.append_draft, chat.id)
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    assert await faceplate_db.run_system(messages.sweep_drafts, older_than=minute) == 0
    faceplate_clock.advance(hour)
    after = await faceplate_runner.run(messages.get, chat.id, before.id)
    assert before.created_at - after.created_at == hour
    assert await faceplate_db.run_system(messages.sweep_drafts, older_than=minute) == 1
