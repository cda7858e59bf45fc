"""The formats that can be imported, one module for each."""

from typing import Final

from faceplate.importers.formats import (
    anthropic,
    chatgpt,
    claude_code,
    codex,
    librechat,
    llamacpp,
    open_webui,
    openai,
    sharegpt,
)
from faceplate.importers.formats.description import Format

__all__ = ["FORMATS", "Format"]

FORMATS: Final = {
    format_.key: format_
    for format_ in (
        claude_code.FORMAT,
        codex.FORMAT,
        chatgpt.FORMAT,
        librechat.FORMAT,
        llamacpp.FORMAT,
        open_webui.FORMAT,
        anthropic.FORMAT,
        sharegpt.FORMAT,
        openai.FORMAT,
    )
}
"""The formats by their keys. Of two that fit a chat equally well, the first reads it."""
