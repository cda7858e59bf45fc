"""The parts of a message of Open WebUI, which each version has elsewhere.

Until version 0.7 they are in the text, as markup; in 0.8 and 0.9 they are in the list ``output`` as
well; since 0.10 they are only there. chat.qwen.ai has them in ``content_list``.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.contents import attachment, read_content, read_part
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats.open_webui_markup import output_text, read_markup, with_files
from faceplate.importers.source import Aside, Attachment, Call, Piece, Result, Text, Unknown
from faceplate.importers.unread import count_text

_LISTS: Final = ("output", "content_list")
_OWN: Final = "open_webui:"
"""How the types of the program's own items begin, which other formats do not share."""
_COMPACTION: Final = "context_compaction"
_REASONING: Final = ("think", "thinking_summary", "reasoning")
_SEARCH: Final = "web_search"


def read_pieces(message: JsonObject) -> list[Piece]:
    """Return the pieces of a message, without its files.

    Where it has a list of parts and a text, the text mostly says the same. If it does not, somebody
    has edited it: then the text counts, and what it replaces is kept beside it.
    """
    written, listed = _written(message), _listed(message)
    if not listed:
        return written
    texts = [piece.text for piece in listed if isinstance(piece, Text)]
    shown = _letters(piece.text for piece in written if isinstance(piece, Text))
    if shown in _letters(texts):
        more = (piece for piece in written if isinstance(piece, Attachment | Unknown))
        return [*listed, *more]
    if any(isinstance(piece, Call) for piece in written):
        replaced = [as_list(message.get(key)) for key in _LISTS if message.get(key)]
        return [*(Aside("replaced parts", parts) for parts in replaced), *written]
    replaced_texts = [text for text in texts if _letters([text]) not in shown]
    beside = [Aside("replaced text", {"text": text}) for text in replaced_texts]
    others = [piece for piece in listed if not isinstance(piece, Text)]
    return [*beside, *others, *(piece for piece in written if not isinstance(piece, Aside))]


def _written(message: JsonObject) -> list[Piece]:
    """Return the pieces of the text of a message."""
    content = message.get("content")
    if isinstance(content, str) and message.get("role") == "assistant":
        return list(read_markup(content))
    return read_content(content)


def _listed(message: JsonObject) -> list[Piece]:
    """Return the pieces of the lists of a message."""
    pieces: list[Piece] = []
    if isinstance(reasoning := message.get("reasoning_content"), str) and reasoning.strip():
        pieces.append(Aside("reasoning", {"text": reasoning}))
    for item in as_list(message.get("output")):
        pieces += _read_item(item)
    for item in as_list(message.get("content_list")):
        pieces += _read_phase(item)
    return pieces


def _letters(texts: Iterable[str]) -> str:
    """Return texts without the space in them, which the versions set differently."""
    return "".join("".join(text.split()) for text in texts)


def _read_item(item: object) -> list[Piece]:
    """Return the pieces of an item of ``output``."""
    fields = as_object(item)
    kind = first_text(fields.get("type"))
    if kind == "message" and not _is_without(fields, "content"):
        return _read_message(fields)
    if kind == "reasoning":
        return [Aside(kind, without(fields, "type"))]
    if kind == "function_call_output" and not _is_without(fields, "output"):
        result = with_files(fields.get("output"), fields.get("files"))
        pages = [Aside("embedded pages", page) for page in as_list(fields.get("embeds"))]
        return [*pages, Result(result, first_text(fields.get("call_id")))]
    if kind == "open_webui:code_interpreter":
        call_id, output = first_text(fields.get("id")), fields.get("output")
        call = Call("code_interpreter", first_text(fields.get("code")), call_id)
        return [call, Result(output_text(output), call_id)] if output else [call]
    if kind == _OWN + _COMPACTION:
        return [Aside(_COMPACTION, item)]
    is_unknown = kind.startswith(_OWN) or kind in ("message", "function_call_output")
    return [Unknown(item)] if is_unknown else read_part(item)


def _is_without(item: JsonObject, key: str) -> bool:
    """Return whether an item has text, but none where it should be."""
    return item.get(key) is None and count_text(without(item, "call_id"), ()) > 0


def _read_message(item: JsonObject) -> list[Piece]:
    """Return the text of an item: its parts are what a stream has divided."""
    pieces = read_content(item.get("content"))
    if not all(isinstance(piece, Text) for piece in pieces):
        return pieces
    return [Text("".join(piece.text for piece in pieces if isinstance(piece, Text)))]


def _read_phase(item: object) -> list[Piece]:
    """Return the pieces of an item of ``content_list``."""
    fields = as_object(item)
    phase, text = first_text(fields.get("phase")), first_text(fields.get("content"))
    if phase in _REASONING:
        return [Aside("reasoning", item)]
    if phase == "answer" or not phase:
        rest = without(fields, "content", "phase", "status", "role")
        notes = [Aside("notes of texts", rest)] if any(rest.values()) else []
        return [Text(text), *notes] if isinstance(item, dict) else read_part(item)
    if text.startswith("http"):
        return [Attachment(phase, reference=text, part=item)]
    return [Aside(phase, item)] if phase == _SEARCH or not text else [Unknown(item)]


def read_files(files: object) -> Iterator[Attachment]:
    """Yield the files of a message, with what was read in them."""
    for file in as_list(files):
        fields = file if isinstance(file, dict) else {"name": file}
        inner = as_object(fields.get("file"))
        data = as_object(inner.get("data"))
        part = fields
        if isinstance(data.get("content"), str):
            part = {**fields, "file": {**inner, "data": without(data, "content")}}
        media_type = as_object(inner.get("meta")).get("content_type")
        found = attachment(part, first_text(media_type, fields.get("type"), "file"))
        yield found._replace(text=first_text(data.get("content"), found.text))
