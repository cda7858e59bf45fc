"""A message history of pydantic-ai, and histories of every shape."""

from typing import Any

from hypothesis import strategies as st

TIME = "2025-01-02T03:04:05.000006Z"


def part(part_kind: str, **fields: Any) -> dict[str, Any]:
    return {"part_kind": part_kind, **fields}


def request(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"kind": "request", "parts": [*parts], "instructions": None, "run_id": "r1", **fields}


def response(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "kind": "response",
        "parts": [*parts],
        "usage": {"input_tokens": 90, "output_tokens": 8, "details": {}},
        "model_name": "model-x",
        "timestamp": "2025-01-02T03:04:09Z",
        "run_id": "r1",
        **fields,
    }


def call(call_id: str, name: str, args: object) -> dict[str, Any]:
    return part("tool-call", tool_name=name, args=args, tool_call_id=call_id)


def result(call_id: str, name: str, content: object) -> dict[str, Any]:
    return part(
        "tool-return",
        tool_name=name,
        content=content,
        tool_call_id=call_id,
        tool_kind=None,
        metadata=None,
        timestamp="2025-01-02T03:04:07Z",
        outcome="success",
    )


PICTURE = {
    "kind": "image-url",
    "url": "https://pictures.example/cat.png",
    "media_type": "image/png",
}
PDF = {"kind": "binary", "data": "JVBERi0=", "media_type": "application/pdf", "identifier": "f1"}
EXAMPLE: list[dict[str, Any]] = [
    request(
        part("system-prompt", content="You know cats.", timestamp=TIME, dynamic_ref=None),
        part(
            "user-prompt",
            content=["What is it?", PICTURE, PDF, {"kind": "text-content", "content": "Quickly."}],
            timestamp=TIME,
        ),
        instructions="Be brief.",
    ),
    response(
        part("thinking", content="I look at it", signature="c2ln"),
        part("text", content="I look."),
        call("c1", "look", '{"times": 1}'),
        call("c2", "listen", {"times": 2}),
        finish_reason="tool_call",
    ),
    request(
        result("c2", "listen", {"heard": "meow"}),
        part(
            "retry-prompt",
            content=[{"type": "missing", "loc": ["at"], "msg": "Field required", "input": {}}],
            tool_name="look",
            tool_call_id="c1",
            timestamp=TIME,
        ),
        instructions="Be brief.",
    ),
    response(
        part("builtin-tool-call", tool_name="web_search", args=None, tool_call_id="b1"),
        part(
            "builtin-tool-return",
            tool_name="web_search",
            content=[{"title": "Cats"}],
            tool_call_id="b1",
        ),
        part("text", content="A cat."),
        part("file", content={**PDF, "data": "JVBERi0x"}),
    ),
    request(part("retry-prompt", content="Say more.", tool_name=None, tool_call_id="p1")),
    request(part("user-prompt", content="And now?", timestamp=TIME), instructions="Be very brief."),
    response(part("text", content="Still a"), state="interrupted"),
]

_words = st.text(max_size=20)
_ids = st.sampled_from(["c1", "c2"])
_asked = st.lists(
    st.one_of(
        st.builds(lambda words: part("user-prompt", content=words), _words),
        st.builds(lambda words: part("system-prompt", content=words), _words),
        st.builds(result, _ids, st.just("look"), _words | st.lists(_words)),
        st.builds(lambda words: part("retry-prompt", content=words, tool_name=None), _words),
        st.builds(lambda words: part("later", content=words), _words),
    ),
    max_size=4,
)
_answered = st.lists(
    st.one_of(
        st.builds(lambda words: part("text", content=words), _words),
        st.builds(lambda words: part("thinking", content=words), _words),
        st.builds(call, _ids, st.just("look"), st.none() | st.dictionaries(_words, _words)),
        st.builds(lambda words: part("later", content=words), _words),
    ),
    max_size=4,
)
_messages = st.builds(lambda parts: request(*parts), _asked) | st.builds(
    lambda parts: response(*parts), _answered
)


def chats() -> st.SearchStrategy[dict[str, Any]]:
    """Histories of requests and responses with parts of every kind."""
    return st.lists(_messages, min_size=1, max_size=6).map(lambda listed: {"messages": listed})
