"""URLs that are secret, and stay out of what the SDK ``mcp`` and its HTTP client log.

Both log the URLs that they use. Those are not only the one that the user has configured: a server
names others, often below the same secret path, and OAuth looks for its metadata there.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOGGERS: Final = frozenset({"mcp", "client", "httpx", "httpx2", "httpcore", "httpcore2"})
"""The names of the loggers of the SDK and of its HTTP client, up to the first dot."""
_HEADERS: Final = re.compile(r"(receive_response_headers\.complete return_value=).*", re.DOTALL)
"""How the HTTP client logs the headers of an answer: one may be a path without its host."""

_hidden: Final[dict[object, re.Pattern[str]]] = {}
"""For each block of `hidden`, what finds the URLs of its host."""


@contextmanager
def hidden(hosts: set[str]) -> Iterator[None]:
    """Have log records show nothing of the URLs of ``hosts`` but the host, while the block runs.

    This is so for every record of the SDK and of its HTTP client in this process.
    """
    names = "|".join(map(re.escape, sorted(hosts)))
    url = rf"(https?://)(?:[^\s/?#]*@)?(\[?(?:{names})\]?(?::\d+)?)[/?#][^\s\"<>]*"
    block = object()
    _hidden[block] = re.compile(url, re.IGNORECASE)
    # Some are made with the first client, and a filter sees only what its own logger is given.
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _LOGGERS:
            logging.getLogger(name).addFilter(_hide)
    try:
        yield
    finally:
        del _hidden[block]


def _hide(record: logging.LogRecord) -> bool:
    """Take the hidden URLs out of a log record; let every record pass."""
    if not _hidden:
        return True
    text = record.getMessage()
    if (shown := _without_urls(text)) != text:
        record.msg, record.args = shown, None
    if record.exc_info:
        trace = logging.Formatter().formatException(record.exc_info)
        if (shown := _without_urls(trace)) != trace:
            # What formats the record writes this text; the exception itself holds the URL.
            record.exc_info, record.exc_text = None, shown
    return True


def _without_urls(text: str) -> str:
    for url in set(_hidden.values()):
        text = url.sub(r"\1\2/…", text)
    return _HEADERS.sub(r"\1…", text)
