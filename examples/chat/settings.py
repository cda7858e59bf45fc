"""What can be set about the example, as CHAT_* in the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ChatSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="chat_", frozen=True)

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
