"""What can be set about the example, as CHAT_* in the environment, and the keys of providers."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_MODELS = {"openai": "gpt-5.4-mini", "anthropic": "claude-haiku-4-5"}


class ChatSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="chat_", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    token_delay_s: float = Field(
        default=0.04, ge=0, description="Pause of the echo model after each token."
    )
    save_every_s: float = Field(
        default=0.1, gt=0, le=30, description="How often a reply is saved, and then shown."
    )
    alone: bool = Field(
        default=False,
        description="Whether no other process serves this database: then every draft that is found"
        " at the start is that of a dead process, and ends as interrupted at once.",
    )
    max_upload_mb: int = Field(
        default=500, gt=0, description="How large a file of chats may be that is imported."
    )
    model: str | None = Field(
        default=None, description="The model's name at its provider, by default a small one."
    )
    answer_timeout_s: float = Field(
        default=60, gt=0, description="How long a model may say nothing before its reply fails."
    )
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_base_url: str | None = Field(default=None, validation_alias="ANTHROPIC_BASE_URL")

    @property
    def provider(self) -> Literal["openai", "anthropic"] | None:
        """Whose key is set. Where both are, the model's name decides; None: the echo answers."""
        is_claude = (self.model or "").startswith("claude")
        if self.anthropic_api_key and (is_claude or not self.openai_api_key):
            return "anthropic"
        return "openai" if self.openai_api_key else None

    @property
    def model_name(self) -> str:
        """The name of the model that answers."""
        return self.model or DEFAULT_MODELS.get(self.provider or "", "echo")
