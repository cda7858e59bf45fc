"""A LangGraph thread of LangChain messages in all their spellings, and threads of every shape."""

from typing import Any

from hypothesis import strategies as st


def dumped(kind: str, content: object, **fields: Any) -> dict[str, Any]:
    """A message as ``messages_to_dict`` writes it."""
    return {"type": kind, "data": {"content": content, "type": kind, **fields}}


def flat(kind: str, content: object, **fields: Any) -> dict[str, Any]:
    """A message as its ``model_dump`` is."""
    return {"type": kind, "content": content, "additional_kwargs": {}, **fields}


def constructor(name: str, content: object, **fields: Any) -> dict[str, Any]:
    """A message as ``dumpd`` writes it."""
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": content, **fields}}


def call(call_id: str | None, name: str, args: object) -> dict[str, Any]:
    return {"name": name, "args": args, "id": call_id, "type": "tool_call"}


USAGE = {"input_tokens": 60, "output_tokens": 5, "total_tokens": 65}
MESSAGES: list[dict[str, Any]] = [
    constructor("SystemMessage", "You know the weather."),
    dumped(
        "human",
        [
            {"type": "text", "text": "Rome and Oslo?"},
            {"type": "image_url", "image_url": {"url": "https://maps.example/a.png"}},
            {
                "type": "text-plain",
                "title": "cities.txt",
                "text": "Rome, Oslo",
                "mime_type": "text/plain",
            },
        ],
        id="h1",
        name="Ada",
    ),
    constructor(
        "AIMessageChunk",
        [
            {"type": "reasoning", "reasoning": "Two calls."},
            {"type": "text", "text": "I ask."},
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}},
        ],
        id="run-1",
        tool_calls=[
            call("c1", "weather", {"city": "Rome"}),
            call("c2", "weather", {"city": "Oslo"}),
        ],
        usage_metadata=USAGE,
        response_metadata={"model_name": "model-x", "finish_reason": "tool_calls"},
    ),
    flat("tool", "3 degrees", tool_call_id="c2", name="weather", status="success"),
    flat("tool", [{"type": "text", "text": "20 degrees"}], tool_call_id="c1", artifact={"raw": 20}),
    flat(
        "AIMessageChunk",
        "Warm and cold.",
        id="run-2",
        response_metadata={"model": "model-y", "created_at": "2025-01-02T03:04:35Z"},
    ),
    dumped("human", "And Lima?"),
    dumped(
        "ai",
        "",
        additional_kwargs={"function_call": {"name": "weather", "arguments": '{"city": "Lima"}'}},
        response_metadata={"token_usage": {"prompt_tokens": 9, "completion_tokens": 4}},
    ),
    dumped("function", "18 degrees", name="weather"),
    dumped("ai", "Mild.", additional_kwargs={"reasoning_content": "18 is mild."}),
    dumped("chat", "Thank you.", role="assistant"),
]
EXAMPLE: dict[str, Any] = {
    "thread_id": "thread-1",
    "created_at": "2025-01-02T03:04:05+00:00",
    "updated_at": "2025-01-02T03:05:05+00:00",
    "title": "Weather",
    "status": "idle",
    "values": {"messages": MESSAGES},
}

_words = st.text(max_size=20)
_ids = st.sampled_from(["c1", "c2", None])
_contents = st.one_of(
    _words,
    st.lists(
        st.one_of(
            _words,
            st.builds(lambda words: {"type": "text", "text": words}, _words),
            st.builds(lambda words: {"type": "later", "text": words}, _words),
            st.builds(lambda words: {"type": "non_standard", "value": {"text": words}}, _words),
        ),
        max_size=3,
    ),
)
_calls = st.lists(
    st.builds(call, _ids, _words, st.dictionaries(_words, _words, max_size=2)), max_size=2
)
_messages = st.one_of(
    st.builds(dumped, st.sampled_from(["human", "system", "chat"]), _contents),
    st.builds(lambda content, made: dumped("ai", content, tool_calls=made), _contents, _calls),
    st.builds(lambda content, made: flat("ai", content, tool_calls=made), _contents, _calls),
    st.builds(lambda words, id_: flat("tool", words, tool_call_id=id_), _contents, _ids),
    st.builds(constructor, st.sampled_from(["HumanMessage", "AIMessage"]), _contents),
)


def chats() -> st.SearchStrategy[dict[str, Any]]:
    """Threads of messages in every spelling."""
    listed = st.lists(_messages, max_size=6)
    return listed.map(lambda messages: {"messages": [flat("human", "Hello"), *messages]})
