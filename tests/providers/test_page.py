"""What docs/models.md shows runs, with the official clients against a provider on loopback."""

import re
from pathlib import Path

import pytest
from examples.chat.settings import DEFAULT_MODELS, ChatSettings
from tests.blocks import run_page
from tests.providers.loopback import Answer, provider

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


async def test_what_the_page_shows_runs(
    fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the first thing that a newcomer copies into a backend fails."""
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    async with provider() as speaker:
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{speaker.url}/v1")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", speaker.url)
        speaker.answers = [
            Answer("A raincoat."),
            Answer("A warm one."),
            Answer("I look.", (("call_1", "weather", {"city": "Oslo"}),)),
            Answer("It rains."),
            Answer("You are welcome."),
        ]
        await run_page(PAGE, tmp_path, {"__name__": "models"})
        assert speaker.answers == []
        assert len(speaker.requests[-1]["messages"]) == 9  # the calls' results among them


def test_the_page_names_models_and_settings_that_there_are() -> None:
    """Else what is copied is answered with 404, or a setting does nothing."""
    page = PAGE.read_text(encoding="utf-8")
    assert {*re.findall(r'(?:model|name) ?= ?"([^"]+)"', page)} == {*DEFAULT_MODELS.values()}
    named = {name.removeprefix("CHAT_").lower() for name in re.findall(r"\bCHAT_\w+", page)}
    assert named <= {*ChatSettings.model_fields}
