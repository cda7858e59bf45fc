"""The order of a list of messages, which may begin with the newest."""

from collections.abc import Sequence
from itertools import pairwise

from faceplate.importers.fields import to_seconds
from faceplate.importers.source import Message


def is_newest_first(messages: Sequence[Message]) -> bool:
    """Return whether no message is newer than the one before it, by the whole seconds of all.

    A talk that goes from a question to an answer is in order: two clocks may have set its times.
    """
    if not messages or messages[0].created is None:
        return False
    is_in_order = messages[0].role != "assistant" and messages[-1].role == "assistant"
    times = [to_seconds(message.created) for message in messages]
    known = [int(time) for time in times if time is not None]
    is_falling = all(later <= earlier for earlier, later in pairwise(known))
    return len(known) == len(times) > 1 and known[0] > known[-1] and is_falling and not is_in_order
