"""The formats that can be imported, and which of them a file has."""

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

_MAX_LOOKS: Final = 20

Chats = Generator[Chat | Refusal, None, None]


class Format(NamedTuple):
    """A format: what to call it, whether a value of a file is one of its chats, its reader."""

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
"""In the order in which they are tried."""


def recognise(path: Path) -> str:
    """Return the key in `FORMATS` of a file's format, by the first chat in it.

    Where nothing is recognised it is `DEFAULT`, whose reader then says what is wrong. Raises
    OSError where the file cannot be read.
    """
    with closing(read_values(path)) as items:
        for item in islice(items, _MAX_LOOKS):
            if isinstance(item, Value) and isinstance(item.value, dict):
                for key, format_ in FORMATS.items():
                    if format_.recognises(item.value):
                        return key
    return DEFAULT


def get_format(key: str) -> Format:
    """Return a format. Raises InvalidInput where there is none of this name."""
    if key not in FORMATS:
        raise InvalidInput("format", f"must be one of {', '.join(FORMATS)}")
    return FORMATS[key]
