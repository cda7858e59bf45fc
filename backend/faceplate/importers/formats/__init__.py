"""The formats that can be imported, one module for each."""

from typing import Final

from faceplate.importers.formats import (
    ai_studio,
    anthropic,
    assistants,
    chat_exporters,
    chatbot_ui,
    chatgpt,
    claude_ai,
    claude_code,
    codex,
    deepseek,
    exchanges,
    gemini,
    gemini_takeout,
    gemini_workspace,
    grok,
    instructions,
    jan,
    langchain,
    librechat,
    llamacpp,
    lm_studio,
    lobechat,
    nextchat,
    oasst,
    open_webui,
    openai,
    pydantic_ai,
    responses,
    sharegpt,
    tavern,
    typingmind,
    vercel,
)
from faceplate.importers.formats.description import Format

__all__ = ["FORMATS", "Format"]

FORMATS: Final = {
    format_.key: format_
    for format_ in (
        claude_code.FORMAT,
        codex.FORMAT,
        langchain.FORMAT,
        pydantic_ai.FORMAT,
        oasst.FORMAT,
        claude_ai.FORMAT,
        deepseek.FORMAT,
        grok.FORMAT,
        gemini.FORMAT,
        ai_studio.FORMAT,
        gemini_takeout.FORMAT,
        gemini_workspace.FORMAT,
        chat_exporters.FORMAT,
        tavern.FORMAT,
        chatgpt.FORMAT,
        librechat.FORMAT,
        llamacpp.FORMAT,
        lobechat.FORMAT,
        lm_studio.FORMAT,
        jan.FORMAT,
        open_webui.FORMAT,
        chatbot_ui.FORMAT,
        typingmind.FORMAT,
        nextchat.FORMAT,
        assistants.FORMAT,
        exchanges.FORMAT,
        responses.FORMAT,
        vercel.FORMAT,
        anthropic.FORMAT,
        sharegpt.FORMAT,
        instructions.FORMAT,
        openai.FORMAT,
    )
}
"""The formats by their keys. Of two that fit a chat equally well, the first reads it."""
