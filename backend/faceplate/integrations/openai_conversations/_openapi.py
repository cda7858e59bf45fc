"""The OpenAPI document of the endpoints."""

from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.integrations.openai_conversations._requests import (
    DEFAULT_LIMIT,
    MAX_IDEMPOTENCY_KEY_CHARS,
    MAX_ITEMS,
    MAX_KEY_CHARS,
    MAX_LIMIT,
    MAX_PAIRS,
    MAX_VALUE_CHARS,
    ORDERS,
)

_NO_NUL: Final = r"^[^\u0000]*$"
_ERRORS: Final = {
    400: "The request breaks a rule",
    401: "The application does not know who sends the request",
    404: "The conversation or the item does not exist, or belongs to another user",
    409: "An id exists already with other content",
    413: "The request is larger than FACEPLATE_MAX_BODY_MB",
    429: "The application's own limit on requests",
    500: "An internal error, which was logged",
    503: "The database is busy, or cannot be used at the moment",
    504: "The request took too long; nothing was changed",
}


def _schema(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: list[str], **properties: JsonObject) -> JsonObject:
    return {"type": "object", "required": required, "properties": properties}


def _nullable(schema: JsonObject) -> JsonObject:
    return {"anyOf": [schema, {"type": "null"}]}


_TEXT: Final = {"type": "string"}
_ID: Final = {"type": ["string", "null"]}
_METADATA: Final = {
    "type": "object",
    "maxProperties": MAX_PAIRS,
    "propertyNames": {"maxLength": MAX_KEY_CHARS, "pattern": _NO_NUL},
    "additionalProperties": {"type": "string", "maxLength": MAX_VALUE_CHARS, "pattern": _NO_NUL},
}
_PART: Final = {"type": "object", "additionalProperties": True}
_NEW_ITEMS: Final = {
    "type": "array",
    "maxItems": MAX_ITEMS,
    "items": {"anyOf": [_schema("NewMessage"), _schema("NewItem")]},
}

_SCHEMAS: Final = {
    "Conversation": _object(
        ["id", "object", "created_at", "metadata"],
        id=_TEXT,
        object={"const": "conversation"},
        created_at={"type": "integer", "description": "In seconds since 1970"},
        metadata=_METADATA,
    ),
    "DeletedConversation": _object(
        ["id", "object", "deleted"],
        id=_TEXT,
        object={"const": "conversation.deleted"},
        deleted={"type": "boolean"},
    ),
    "NewConversation": {
        **_object([], items=_nullable(_NEW_ITEMS), metadata=_nullable(_METADATA)),
        "additionalProperties": False,
    },
    "ConversationUpdate": {
        **_object(["metadata"], metadata=_nullable(_METADATA)),
        "additionalProperties": False,
    },
    "NewItems": {**_object(["items"], items=_NEW_ITEMS), "additionalProperties": False},
    "NewMessage": {
        **_object(
            ["role", "content"],
            type={"const": "message"},
            id=_ID,
            role=_TEXT,
            content={"anyOf": [_TEXT, {"type": "array", "items": _PART}]},
        ),
        "description": "What is said",
    },
    "NewItem": {
        **_object(
            ["type"],
            type={"type": "string", "not": {"enum": ["message", "item_reference"]}},
            id=_ID,
        ),
        "description": "A call, a result, reasoning or any other item of the Responses API",
    },
    "Item": {
        **_object(["id", "type"], id=_TEXT, type=_TEXT),
        "additionalProperties": True,
        "description": "The item as it was given, with an id; a message has its content in parts",
    },
    "ItemList": _object(
        ["object", "data", "first_id", "last_id", "has_more"],
        object={"const": "list"},
        data={"type": "array", "items": _schema("Item")},
        first_id=_TEXT,
        last_id={"type": "string", "description": "The `after` of the next page"},
        has_more={"type": "boolean"},
    ),
    "Error": _object(
        ["error"],
        error=_object(
            ["message", "type", "param", "code"], message=_TEXT, type=_TEXT, param=_ID, code=_ID
        ),
    ),
}


def _parameter(place: str, name: str, schema: JsonObject, about: str) -> JsonObject:
    return {
        "in": place,
        "name": name,
        "required": place == "path",
        "schema": schema,
        "description": about,
    }


_CONVERSATION_ID: Final = _parameter("path", "conversation_id", _TEXT, "Such as conv_123")
_ITEM_ID: Final = _parameter("path", "item_id", _TEXT, "Such as msg_123")
_INCLUDE: Final = _parameter(
    "query",
    "include",
    {"type": "array", "items": _TEXT},
    "Accepted for OpenAI's clients: an answer always has all that is stored",
)
_ONCE: Final = _parameter(
    "header",
    "Idempotency-Key",
    {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_IDEMPOTENCY_KEY_CHARS,
        "pattern": "^[!-~]+$",
    },
    "A request with the same key is done once",
)
_AFTER: Final = _parameter("query", "after", _TEXT, "The item that the page follows")
_ORDER: Final = _parameter(
    "query", "order", {"enum": list(ORDERS), "default": "desc"}, "desc: the newest item first"
)
_LIMIT: Final = _parameter(
    "query",
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    "How many items",
)


def _json(name: str) -> JsonObject:
    return {"application/json": {"schema": _schema(name)}}


def _operation(
    operation_id: str, summary: str, answer: str, *parameters: JsonObject, body: str | None = None
) -> JsonObject:
    responses: dict[str, Any] = {"200": {"description": summary, "content": _json(answer)}}
    for status, about in _ERRORS.items():
        responses[str(status)] = {"description": about, "content": _json("Error")}
    described: JsonObject = {
        "operationId": operation_id,
        "summary": summary,
        "parameters": list(parameters),
        "responses": responses,
    }
    if body is not None:
        described["requestBody"] = {
            "required": body != "NewConversation",
            "content": _json(body),
        }
    return described


DOCUMENT: Final[JsonObject] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Conversations",
        "version": "1",
        "description": "OpenAI's Conversations API, over the chats of the user who signs in.",
    },
    "security": [{"bearer": []}],
    "paths": {
        "/v1/conversations": {
            "post": _operation(
                "createConversation",
                "Create a conversation",
                "Conversation",
                _ONCE,
                body="NewConversation",
            ),
        },
        "/v1/conversations/{conversation_id}": {
            "parameters": [_CONVERSATION_ID],
            "get": _operation("getConversation", "Get a conversation", "Conversation"),
            "post": _operation(
                "updateConversation",
                "Replace the metadata of a conversation",
                "Conversation",
                body="ConversationUpdate",
            ),
            "delete": _operation(
                "deleteConversation",
                "Delete a conversation with its items",
                "DeletedConversation",
            ),
        },
        "/v1/conversations/{conversation_id}/items": {
            "parameters": [_CONVERSATION_ID],
            "post": _operation(
                "createConversationItems",
                "Append items",
                "ItemList",
                _INCLUDE,
                _ONCE,
                body="NewItems",
            ),
            "get": _operation(
                "listConversationItems",
                "List the items",
                "ItemList",
                _AFTER,
                _INCLUDE,
                _LIMIT,
                _ORDER,
            ),
        },
        "/v1/conversations/{conversation_id}/items/{item_id}": {
            "parameters": [_CONVERSATION_ID, _ITEM_ID],
            "get": _operation("getConversationItem", "Get an item", "Item", _INCLUDE),
            "delete": _operation(
                "deleteConversationItem",
                "Delete an item, and leave what follows it",
                "Conversation",
            ),
        },
    },
    "components": {
        "schemas": _SCHEMAS,
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    },
}
"""What ``/openapi.json`` answers."""
