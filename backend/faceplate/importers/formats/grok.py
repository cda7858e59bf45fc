"""Grok data exports: ``prod-grok-backend.json``, alone or in the archive of the account's data.

A chat is ``{"conversation", "responses"}``, and each response stands in an object of its own. Each
response names the one that it follows. Times are ISO 8601 in chats and MongoDB's in responses. The
web interface has other names for the same fields, and may have no conversation around responses.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.fitting import digest
from faceplate.importers.formats.description import Format
from faceplate.importers.source import (
    Aside,
    Attachment,
    Call,
    Message,
    Piece,
    Result,
    SourceChat,
    Text,
    Unknown,
)

_USERS: Final = {"human", "user"}
_CARD: Final = "xai:tool_usage_card"
_IMAGES: Final = ("generated_image_urls", "image_attachments", "image_edit_uris")
_RESPONSE_FIELDS: Final = (
    *("_id", "conversation_id", "parent_response_id", "sender", "message", "create_time", "model"),
    *("thinking_trace", "agent_thinking_traces", "steps", "error", "partial"),
    *("file_attachments", *_IMAGES),
)
_CHAT_FIELDS: Final = ("id", "title", "create_time", "modify_time", "leaf_response_id")
_WEB_NAMES: Final = {
    "responseId": "_id",
    "parentResponseId": "parent_response_id",
    "leafResponseId": "leaf_response_id",
    "createTime": "create_time",
    "modifyTime": "modify_time",
    "thinkingTrace": "thinking_trace",
    "fileAttachments": "file_attachments",
    "generatedImageUrls": "generated_image_urls",
    "imageAttachments": "image_attachments",
    "imageEditUris": "image_edit_uris",
    "webSearchResults": "web_search_results",
}


def fits(value: JsonObject) -> int:
    """Return 3 for responses that each have a sender, 2 for a chat with none or with others."""
    conversation, responses = value.get("conversation"), value.get("responses")
    if not isinstance(responses, list):
        return 0
    sent = ["sender" in _response(each) for each in responses]
    if not isinstance(conversation, dict):
        are_named = all("responseId" in as_object(each) for each in responses)
        return 3 if sent and all(sent) and are_named else 0
    if not sent:
        return 2 if "id" in conversation else 0
    return 3 if all(sent) else 2 if any(sent) else 0


def _response(wrapped: object) -> JsonObject:
    """Return the fields of a response, which stand in an object of their own or not."""
    outer = as_object(wrapped)
    inner = outer.get("response")
    return _named({**without(outer, "response"), **inner} if isinstance(inner, dict) else outer)


def _named(fields: JsonObject) -> JsonObject:
    """Return fields by the names that they have in the data export."""
    return {_WEB_NAMES.get(key, key): field for key, field in fields.items()}


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, with its branches."""
    conversation, responses = as_object(value.get("conversation")), value.get("responses")
    if not isinstance(responses, list):
        raise Unreadable("responses must be a list")
    conversation = _named(conversation)
    if "id" not in conversation and "conversationId" in conversation:
        conversation["id"] = conversation.pop("conversationId")
    ids = {first_text(_response(each).get("_id")) for each in responses} - {""}
    messages: list[Message] = []
    for number, wrapped in enumerate(responses, start=1):
        message = _read_response(wrapped, ids, messages[-1].id if messages else None)
        messages.append(message._replace(id=message.id or f"message {number}"))
    parents = {first_text(_response(each).get("parent_response_id")) for each in responses}
    yield SourceChat(
        messages,
        id=first_text(conversation.get("id"))
        or ("" if len(ids) == len(messages) else digest(value)),
        title=conversation.get("title"),
        created=_moment(conversation.get("create_time")),
        updated=_moment(conversation.get("modify_time")),
        is_tree=bool(parents & ids),
        current=conversation.get("leaf_response_id"),
        rest={
            **without(value, "conversation", "responses"),
            **without(conversation, *_CHAT_FIELDS),
        },
    )


def _read_response(wrapped: object, ids: Collection[str], before: str | None) -> Message:
    """Return a message; an answer that names no question follows the message ``before`` it."""
    fields = _response(wrapped) if isinstance(wrapped, dict) else {"message": wrapped}
    sender = first_text(fields.get("sender")).strip().lower()
    parent = first_text(fields.get("parent_response_id"))
    is_user = sender in _USERS
    beside: JsonObject = {}
    pieces = [*_thoughts(fields), *_read_steps(fields.get("steps"), beside), *_said(fields)]
    error = first_text(fields.get("error"))
    if error and not any(isinstance(piece, Text) and piece.text.strip() for piece in pieces):
        pieces.append(Text(error))
    elif error:
        beside["failure"] = error
    return Message(
        "user" if is_user else "assistant" if sender else "unknown",
        [*pieces, *_files(fields)],
        id=first_text(fields.get("_id")),
        parent=parent if parent in ids else None if is_user or parent else before,
        created=_moment(fields.get("create_time")),
        model=fields.get("model") if is_user else _model(fields, beside),
        status="failed" if error else "interrupted" if fields.get("partial") is True else None,
        rest={**without(fields, *_RESPONSE_FIELDS), **_taken(fields), **beside},
        original=wrapped,
    )


def _taken(fields: JsonObject) -> JsonObject:
    """Return the sender where it is the name of a model."""
    sender = first_text(fields.get("sender"))
    return {} if sender.lower() in ("human", "user", "assistant", "") else {"sender": sender}


def _model(fields: JsonObject, beside: JsonObject) -> object:
    """Return the model that answered; ``model`` may be the mode that was chosen."""
    request = as_object(as_object(fields.get("metadata")).get("request_metadata"))
    chosen = fields.get("model")
    answered = first_text(request.get("resolved_model"))
    if not answered or answered == chosen:
        return chosen
    if chosen:
        beside["mode"] = chosen
    return answered


def _moment(value: object) -> object:
    """Return a time without what MongoDB writes around it."""
    for key in ("$date", "$numberLong"):
        value = value.get(key) if isinstance(value, dict) else value
    return value


def _thoughts(fields: JsonObject) -> list[Piece]:
    thoughts = (fields.get("thinking_trace"), *as_list(fields.get("agent_thinking_traces")))
    return [Aside("reasoning", thought) for thought in thoughts if thought]


def _said(fields: JsonObject) -> list[Piece]:
    """Return the text of a response; a request for a picture has it in another field."""
    message = fields.get("message")
    if message is not None and not isinstance(message, str):
        return [Unknown({"text": message})]
    query = fields.get("query")
    is_query = not (message or "").strip() and isinstance(query, str)
    return [Text(str(query))] if is_query else [Text(message)] if message else []


def _files(fields: JsonObject) -> Iterator[Attachment]:
    for file in as_list(fields.get("file_attachments")):
        yield attachment(file if isinstance(file, dict) else {"id": file}, "file")
    for key in _IMAGES:
        for image in as_list(fields.get(key)):
            yield attachment(image if isinstance(image, dict) else {"url": image}, "image")
    for card in map(_card, as_list(fields.get("card_attachments_json"))):
        shown, chunk = as_object(card.get("image")), as_object(card.get("image_chunk"))
        url = first_text(shown.get("original"), shown.get("thumbnail"), chunk.get("imageUrl"))
        if url:
            name = first_text(shown.get("title"), chunk.get("imageTitle"))
            yield Attachment("image", name, url)


def _card(text: Any) -> JsonObject:
    """Return the card that a JSON text is, or an empty object."""
    try:
        return as_object(json.loads(text) if isinstance(text, str) else text)
    except (ValueError, RecursionError):
        return {}


def _read_steps(steps: object, beside: JsonObject) -> list[Piece]:
    """Return the thoughts, calls and results of the steps; the rest of them stands ``beside``."""
    if steps is not None and not isinstance(steps, list):
        return [Unknown({"parts": steps})]
    pieces: list[Piece] = []
    others: list[object] = []
    for step in as_list(steps):
        fields = as_object(step)
        tagged = fields.get("tagged_text")
        results = as_list(fields.get("tool_usage_results"))
        raw: list[Piece] = []
        called: set[str] = set()
        for tag, body in as_object(tagged).items():
            if tag == "raw_function_result":
                raw += [Result(body)] if body else []
            else:
                read_pieces = _read_tagged(tag, body)
                called |= {piece.id for piece in read_pieces if isinstance(piece, Call)}
                pieces += read_pieces
        cards = as_list(fields.get("tool_usage_cards"))
        pieces += [call for card in cards if (call := _read_listed(card)).id not in called]
        pieces += [*(_read_result(result) for result in results), *raw]
        taken = [name for name, value in (("tagged_text", tagged),) if isinstance(value, dict)]
        taken += ["tool_usage_results"] if results else []
        taken += ["tool_usage_cards"] if cards else []
        if any((rest := without(fields, "tag_order", *taken)).values()) or not fields:
            others.append(rest or step)
    if others:
        beside["steps"] = others
    return pieces


def _read_tagged(tag: str, body: object) -> list[Piece]:
    cards = body.split(f"<{_CARD}>")[1:] if isinstance(body, str) else []
    if tag != "tool_usage_card" or not cards:
        return [Aside("reasoning", {tag: body})] if body else []
    return [_read_card(card.partition(f"</{_CARD}>")[0]) for card in cards]


def _read_card(card: str) -> Call:
    """Return the call that a card of XML is."""
    id_, tool, given = (
        card.partition(f"<xai:{name}>")[2].partition(f"</xai:{name}>")[0].strip()
        for name in ("tool_usage_card_id", "tool_name", "tool_args")
    )
    given = given.removeprefix("<![CDATA[").removesuffix("]]>")
    inner = _only(_card(given), "args")
    return Call(tool or "tool", (given if inner is None else inner) if tool else card, id_)


def _read_listed(card: object) -> Call:
    """Return the call that a card in a list is: ``{"tool": {name: {"args"}}}``."""
    fields = as_object(card)
    id_, tools = first_text(fields.get("tool_usage_card_id")), as_object(fields.get("tool"))
    if len(tools) != 1:
        return Call("tool", without(fields, "tool_usage_card_id") if fields else card, id_)
    [(tool, given)] = tools.items()
    inner = _only(given, "args")
    return Call(tool, given if inner is None else inner, id_)


def _only(value: object, key: str) -> Any:
    """Return what stands under a key that is the only one of an object."""
    fields = as_object(value)
    return fields.get(key) if len(fields) == 1 else None


def _read_result(result: object) -> Result:
    fields = as_object(result)
    call_id = first_text(fields.get("tool_usage_card_id"))
    said = without(fields, "tool_usage_card_id") if call_id else result
    inner = _only(said, "result")
    return Result(said if inner is None else inner, call_id)


FORMAT: Final = Format(
    "grok",
    "Grok export",
    fits,
    read,
    known=(
        *("web_search_results", "cited_web_search_results", "card_attachments_json", "steps"),
        *("metadata", "query", "connector_search_results", "collection_search_results"),
    ),
)
