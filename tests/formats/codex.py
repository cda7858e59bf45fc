"""A session of Codex CLI as its log has it, in its three ages, and sessions of every shape."""

from typing import Any

from hypothesis import strategies as st

SESSION = "0199aaaa-0000-7000-8000-000000000001"


def line(kind: str, payload: dict[str, Any], second: int = 0) -> dict[str, Any]:
    return {"timestamp": f"2025-10-01T00:00:{second:02}.000Z", "type": kind, "payload": payload}


def said(role: str, *texts: str, **fields: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text} for text in texts]
    return {"type": "message", "role": role, "content": content, **fields}


def call(call_id: str, command: str) -> dict[str, Any]:
    arguments = f'{{"command": ["{command}"]}}'
    return {"type": "function_call", "name": "shell", "arguments": arguments, "call_id": call_id}


def output(call_id: str, text: object) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def thought(text: str) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": text}]
    return {"type": "reasoning", "summary": summary, "encrypted_content": "Z0FBQUFB"}


META = {
    "id": SESSION,
    "timestamp": "2025-10-01T00:00:00.000Z",
    "cwd": "/home/me",
    "cli_version": "0.46.0",
    "instructions": "You are a coding agent.",
}
PATCH = "*** Begin Patch\n*** Add File: b.txt\n+beans\n*** End Patch"
USAGE = {"input_tokens": 120, "cached_input_tokens": 100, "output_tokens": 9, "total_tokens": 129}
ITEMS: list[dict[str, Any]] = [
    said("developer", "Ask before you write."),
    said("user", "<environment_context>\n<cwd>/home/me</cwd>\n</environment_context>"),
    said("user", "List my files"),
    thought("One call is enough."),
    call("c1", "ls"),
    output("c1", "notes.md"),
    {"type": "custom_tool_call", "name": "apply_patch", "input": PATCH, "call_id": "c2"},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": "Done!"},
    said("assistant", "There is notes.md.", phase="final_answer"),
]


def event(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": name, **fields}


PICTURE = {"type": "input_image", "image_url": "https://pictures.example/beans.png"}
SHOWN = {**said("user"), "content": [*said("user", "Show it")["content"], PICTURE]}
LINES: list[dict[str, Any]] = [
    line("session_meta", META),
    line("turn_context", {"model": "gpt-x", "cwd": "/home/me", "user_instructions": "Be kind."}),
    *(line("response_item", item, number) for number, item in enumerate(ITEMS, start=1)),
    line("event_msg", event("user_message", message="List my files", kind="plain"), 3),
    line("event_msg", event("agent_reasoning", text="One call is enough."), 4),
    line("event_msg", event("agent_message", message="There is notes.md."), 9),
    line("event_msg", event("token_count", info={"last_token_usage": USAGE}), 9),
    line("response_item", said("user", "Delete it"), 10),
    line("response_item", said("assistant", "Deleted."), 11),
    line("event_msg", event("thread_rolled_back", num_turns=1), 12),
    line("response_item", SHOWN, 13),
    line("response_item", call("c3", "cat"), 14),
    line("event_msg", event("exec_command_end", call_id="c3", aggregated_output="beans"), 15),
    line("event_msg", event("agent_message", message="It says beans."), 16),
    line("event_msg", event("turn_aborted", reason="interrupted"), 17),
    line("compacted", {"message": "So far: files.", "replacement_history": ITEMS[:1]}, 18),
    line("event_msg", event("thread_name_updated", thread_name="Files and beans"), 19),
    line("world_state", {"full": True, "state": {"agents_md": "x"}}, 20),
]
EXAMPLE: dict[str, Any] = {"messages": LINES}
BARE_LINES = [
    {"id": SESSION, "timestamp": "2025-06-01T00:00:00.000Z", "instructions": None},
    {"record_type": "state"},
    *ITEMS,
]
DOCUMENT = {
    "session": {"timestamp": "2025-05-01T00:00:00.000Z", "id": SESSION, "instructions": ""},
    "items": ITEMS,
}

_words = st.text(min_size=1, max_size=20)
_ids = st.sampled_from(["c1", "c2", "c3"])
_items = st.one_of(
    st.builds(said, st.sampled_from(["user", "assistant", "developer"]), _words),
    st.builds(thought, _words),
    st.builds(call, _ids, st.just("ls")),
    st.builds(output, _ids, _words),
    st.builds(lambda words: {"type": "web_search_call", "action": {"query": words}}, _words),
)
_events = st.one_of(
    st.builds(lambda words: event("user_message", message=words), _words),
    st.builds(lambda words: event("agent_message", message=words), _words),
    st.builds(lambda words: event("agent_reasoning", text=words), _words),
    st.builds(lambda words: event("later", message=words), _words),
    st.builds(lambda turns: event("thread_rolled_back", num_turns=turns), st.integers(0, 3)),
    st.just(event("turn_aborted")),
)
_lines = st.one_of(
    st.builds(line, st.just("response_item"), _items),
    st.builds(line, st.just("event_msg"), _events),
)


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    """Lines of a session with calls, copies, standalone events and turns that are taken back."""
    return {"messages": [line("session_meta", META), *draw(st.lists(_lines, max_size=15))]}
