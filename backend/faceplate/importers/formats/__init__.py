"""The formats that can be imported, one module for each."""

from typing import Final

from faceplate.importers.formats import (
    ai_studio,
    chat_exporters,
    chatgpt,
    claude_ai,
    deepseek,
    gemini,
    gemini_takeout,
    grok,
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
        claude_ai.FORMAT,
        deepseek.FORMAT,
        grok.FORMAT,
        gemini.FORMAT,
        ai_studio.FORMAT,
        gemini_takeout.FORMAT,
        chat_exporters.FORMAT,
        chatgpt.FORMAT,
        librechat.FORMAT,
        llamacpp.FORMAT,
        open_webui.FORMAT,
        sharegpt.FORMAT,
        openai.FORMAT,
    )
}
"""The formats by their keys. Of two that fit a chat equally well, the first reads it."""
