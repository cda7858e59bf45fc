"""The formats that can be imported, and the recognition of a file's format."""

from collections.abc import Callable, Generator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.errors import InvalidInput
from faceplate.importers import chatgpt, open_webui, openai, sharegpt
from faceplate.importers.chats import Chat, Refusal
from faceplate.importers.json_values import Value, read_values

_MAX_TRIED_VALUES: Final = 20

Chats = Generator[Chat | Refusal, None, None]


class Format(NamedTuple):
    """A format: its title, its test for a chat, and its reader."""

    title: str
    recognises: Callable[[JsonObject], bool]
    read: Callable[[Path, Callable[[int], None] | None], Chats]


DEFAULT: Final = "openai"
FORMATS: Final = {
    "chatgpt": Format("ChatGPT export", chatgpt.recognises, chatgpt.read),
    "open-webui": Format("Open WebUI export", open_webui.recognises, open_webui.read),
    "sharegpt": Format("ShareGPT chats", sharegpt.recognises, sharegpt.read),
    DEFAULT: Format("OpenAI chat messages", lambda value: "messages" in value, openai.read),
}
"""The formats, in the order in which they are tried."""


def recognise(path: Path) -> str:
    """Return the key in `FORMATS` of a file's format, by the first chat in it.

    If no format is recognised it is `DEFAULT`, whose reader reports what is wrong. Raises OSError
    if the file cannot be read.
    """
    return _find(path) or DEFAULT


def is_recognised(path: Path) -> bool:
    """Return whether a chat of a known format is near the begin of a file. Raises OSError."""
    return _find(path) is not None


def _find(path: Path) -> str | None:
    with closing(read_values(path)) as items:
        for item in islice(items, _MAX_TRIED_VALUES):
            if isinstance(item, Value) and isinstance(item.value, dict):
                for key, format_ in FORMATS.items():
                    if format_.recognises(item.value):
                        return key
    return None


def get_format(key: str) -> Format:
    """Return the format called ``key``. Raises InvalidInput if there is none."""
    if key not in FORMATS:
        raise InvalidInput("format", f"must be one of {', '.join(FORMATS)}")
    return FORMATS[key]
