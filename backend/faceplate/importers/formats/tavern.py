"""Chats of SillyTavern, and of exporters that write for it or for text-generation-webui.

SillyTavern keeps JSON lines: a head with the names, then messages with ``mes`` and ``is_user``,
whose ``swipes`` are alternatives. The other form is ``{"internal": [[question, answer], ...]}``.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment
from faceplate.importers.fields import as_list, as_object, first_text, read_time, without
from faceplate.importers.fitting import digest
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Aside, Attachment, Message, Piece, SourceChat, Text, Unknown

_TIMES: Final = (
    *("%B %d, %Y %I:%M%p", "%Y-%m-%d @%Hh %Mm %Ss %fms", "%Y-%m-%d@%Hh%Mm%Ss"),
    "%Y-%m-%d@%Hh%Mm%Ss%fms",
)
_HEAD: Final = {"user_name", "character_name"}
_MESSAGE_FIELDS: Final = (
    "mes",
    "is_user",
    "send_date",
    "swipes",
    "swipe_id",
    "swipe_info",
    "extra",
)
_EXTRA_FIELDS: Final = ("reasoning", "image", "file", "model")
_GREETING: Final = "<|BEGIN-VISIBLE-CHAT|>"


def fits(value: JsonObject) -> int:
    """Return 3 for messages with ``mes``, or for pairs."""
    messages = value.get("messages")
    if isinstance(messages, list):
        said = [_is_message(each) for each in messages]
        return 3 if any(said) and all(map(_is_line, messages)) else 2 if any(said) else 0
    pairs = as_list(value.get("internal"))
    return 3 if "visible" in value and pairs and all(map(_is_pair, pairs)) else 0


def _is_line(value: object) -> bool:
    return _is_message(value) or _HEAD.issubset(as_object(value))


def _is_message(value: object) -> bool:
    fields = as_object(value)
    return "mes" in fields and isinstance(fields.get("is_user"), bool)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)


def joins(value: JsonObject) -> str | None:
    """Return "" for a line of a chat."""
    return "" if _is_line(value) else None


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value; its swipes are branches."""
    listed, pairs = value.get("messages"), value.get("internal")
    if isinstance(pairs, list) and not isinstance(listed, list):
        yield _read_pairs(value, pairs)
        return
    if not isinstance(listed, list):
        raise Unreadable("messages must be a list")
    head: JsonObject = next((as_object(each) for each in listed if not _is_message(each)), {})
    lines = [each for each in listed if each is not head or not head]
    messages: list[Message] = []
    last: str | None = None
    for number, line in enumerate(lines, start=1):
        shown, *others = _read_line(line)
        name = str(number)
        messages.append(shown._replace(id=name, parent=last))
        messages += [
            other._replace(id=f"{name}.{place}", parent=last)
            for place, other in enumerate(others, start=1)
        ]
        last = name
    created = head.get("create_date")
    named = f"{first_text(head.get('character_name'))} {created}" if created else ""
    yield SourceChat(
        messages,
        id=first_text(value.get("id"), named) or digest(value),
        created=read_time(created, _TIMES),
        is_tree=True,
        current=last,
        rest={**without(value, "id", "messages"), **head},
    )


def _read_line(line: Any) -> Iterator[Message]:
    """Yield a message as it is shown, then its alternatives."""
    fields = line if isinstance(line, dict) else {"mes": line}
    extra = as_object(fields.get("extra"))
    role = "user" if fields.get("is_user") is True else "assistant"
    infos, chosen = as_list(fields.get("swipe_info")), fields.get("swipe_id")
    beside = without(fields, *_MESSAGE_FIELDS)
    if others := without(extra, *_EXTRA_FIELDS):
        beside["extra"] = others
    said, swipes = fields.get("mes"), list(enumerate(as_list(fields.get("swipes"))))
    alternatives = {
        place: swipe for place, swipe in swipes if swipe != said and (swipe or place != chosen)
    }
    idle = [_say_more(info, extra) for at, info in enumerate(infos) if at not in alternatives]
    if any(idle):
        beside["swipe_info"] = [info for info in idle if info]
    yield Message(
        role,
        [*_read_extra(extra), *([Text(said)] if isinstance(said, str) else [Unknown(said)])],
        created=read_time(fields.get("send_date"), _TIMES),
        model=extra.get("model"),
        output_tokens=extra.get("token_count") if role == "assistant" else None,
        rest=beside,
        original=line,
    )
    for place, swipe in alternatives.items():
        info = as_object(infos[place]) if place < len(infos) else {}
        about = as_object(info.get("extra"))
        yield Message(
            role,
            [*_read_extra(about), Text(swipe) if isinstance(swipe, str) else Unknown(swipe)],
            created=read_time(info.get("send_date"), _TIMES),
            model=about.get("model"),
            rest={name: item for name, item in without(info, "send_date").items() if item},
            original=swipe,
        )


def _say_more(info: object, extra: JsonObject) -> object:
    """Return what a swipe's information says that its message does not."""
    if not isinstance(info, dict):
        return info
    more = without(info, "send_date", "extra", "gen_started", "gen_finished")
    told = as_object(info.get("extra"))
    other = {name: item for name, item in told.items() if extra.get(name) != item}
    return {**more, **({"extra": other} if other else {})}


def _read_extra(extra: JsonObject) -> Iterator[Piece]:
    if extra.get("reasoning"):
        yield Aside("reasoning", extra["reasoning"])
    if isinstance(file := extra.get("file"), dict):
        yield attachment(file, "file")._replace(text=first_text(file.get("text")))
    elif file:
        yield Unknown(file)
    if isinstance(image := extra.get("image"), str) and image:
        yield Attachment("image", reference=image[:2_000])


def _read_pairs(value: JsonObject, pairs: list[Any]) -> SourceChat:
    messages: list[Message] = []
    for pair in pairs:
        asked, answer = pair if _is_pair(pair) else ("", pair)
        if asked and asked != _GREETING:
            messages.append(Message("user", [Text(asked)], original=pair))
        if answer:
            piece = Text(answer) if isinstance(answer, str) else Unknown(answer)
            messages.append(Message("assistant", [piece], original=pair))
    visible = [
        ["" if asked == _GREETING else asked, answer]
        for asked, answer in (pair for pair in pairs if _is_pair(pair))
    ]
    repeats = value.get("visible") in (visible, pairs)
    return SourceChat(messages, rest=without(value, "internal", *(["visible"] if repeats else [])))


FORMAT: Final = Format(
    "tavern",
    "SillyTavern chat",
    fits,
    read,
    known=("chat_metadata",),
    joins=joins,
)
