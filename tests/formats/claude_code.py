"""A session of Claude Code as its log has it, and sessions of every shape."""

from typing import Any

from hypothesis import strategies as st

SESSION = "5e55101e-0000-4000-8000-000000000001"
_ABOUT = {"sessionId": SESSION, "isSidechain": False, "userType": "external", "cwd": "/home/me"}


def line(kind: str, uuid: str, parent: str | None, **fields: Any) -> dict[str, Any]:
    """A line that follows the line ``parent``; the number in its id is its second."""
    second = "".join(filter(str.isdigit, uuid)) or "0"
    time = f"2025-01-02T03:04:{int(second) % 60:02}.000Z"
    named = {"parentUuid": parent, "uuid": uuid, "timestamp": time}
    return {"type": kind, **_ABOUT, **named, **fields}


def user(uuid: str, parent: str | None, content: object, **fields: Any) -> dict[str, Any]:
    return line("user", uuid, parent, message={"role": "user", "content": content}, **fields)


def answer(
    uuid: str, parent: str | None, answer_id: str, block: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    message = {
        "id": answer_id,
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [block],
        "stop_reason": None,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 40, "output_tokens": 7},
    }
    return line("assistant", uuid, parent, message=message, **fields)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def call(call_id: str, command: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "Bash", "input": {"command": command}}


def result(call_id: str, output: object) -> list[dict[str, Any]]:
    return [{"type": "tool_result", "tool_use_id": call_id, "content": output}]


IMAGE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
FILE = {"filePath": "/home/me/notes.md", "content": "buy beans", "numLines": 1}

LINES: list[dict[str, Any]] = [
    {"type": "summary", "summary": "Beans and their files", "leafUuid": "a24"},
    {"type": "file-history-snapshot", "messageId": "u1", "snapshot": {"messageId": "u1"}},
    user("u0", None, "Caveat: what follows is of the program", isMeta=True),
    user("u1", "u0", [text("Read my notes"), {"type": "image", "source": IMAGE}]),
    line(
        "attachment",
        "f2",
        "u1",
        attachment={
            "type": "file",
            "filename": "/home/me/notes.md",
            "displayPath": "notes.md",
            "content": {"type": "text", "file": FILE},
        },
    ),
    answer("a3", "f2", "m1", {"type": "thinking", "thinking": "two calls", "signature": "c2ln"}),
    answer("a4", "a3", "m1", text("I look twice.")),
    answer("a5", "a4", "m1", call("t1", "ls")),
    user("r6", "a5", result("t1", "notes.md"), toolUseResult={"stdout": "notes.md"}),
    answer("a7", "a5", "m1", call("t2", "cat")),
    line("progress", "p8", "a7", data={"type": "bash_progress", "output": "buy"}),
    user("r9", "p8", result("t2", [text("buy beans")])),
    line("attachment", "q10", "r9", attachment={"type": "queued_command", "prompt": "Be brief"}),
    answer("a11", "q10", "m2", text("Buy beans.")),
    user("u12", "a11", "Which ones?"),
    answer("a13", "u12", "m3", text("White ones.")),
    user("u20", "a11", "How many?"),
    line("system", "s21", "u20", subtype="informational", content="A hook ran", level="info"),
    answer("a22", "s21", "m4", text("Two tins."), gitBranch="main"),
    {
        "type": "queue-operation",
        "operation": "remove",
        "timestamp": "2025-01-02T03:04:23.000Z",
        "content": "Three rather",
        "sessionId": SESSION,
    },
    answer("a24", "a22", "m5", text("Three tins.")),
    line(
        "system",
        "s25",
        None,
        subtype="compact_boundary",
        content="Compacted",
        logicalParentUuid="a24",
    ),
    user("u26", "s25", "So far it was about beans.", isCompactSummary=True),
    user("u27", "u26", "<local-command-stdout>Compacted</local-command-stdout>"),
    user("u28", "u27", "Go on"),
    answer("a29", "u28", "<none>", text("API Error: 529"), isApiErrorMessage=True),
    user("z30", None, "Look for peas", isSidechain=True, agentId="ag1"),
    answer("z31", "z30", "m6", text("No peas."), isSidechain=True, agentId="ag1"),
]
EXAMPLE: dict[str, Any] = {"messages": LINES}

_words = st.text(min_size=1, max_size=20)


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    """Lines of sessions with calls, rewound questions, repeated lines and lines of no message."""
    lines = [user("u1", None, "Begin")]
    for number in range(2, draw(st.integers(2, 20))):
        uuid, last = f"x{number}", lines[-1].get("uuid")
        told = draw(st.sampled_from([last, None, "elsewhere", *(at.get("uuid") for at in lines)]))
        parent = draw(st.sampled_from([last, last, last, told]))
        words, kind = draw(_words), draw(st.integers(0, 8))
        if kind <= 1:
            lines.append(user(uuid, parent, words, isMeta=kind == 1 or None))
        elif kind <= 3:
            block = text(words) if kind == 2 else call(f"t{number}", words)
            lines.append(answer(uuid, parent, draw(st.sampled_from(["m1", "m2"])), block))
        elif kind == 4:
            lines.append(user(uuid, parent, result(f"t{draw(st.integers(1, 20))}", words)))
        elif kind == 5:
            lines.append(line("attachment", uuid, parent, attachment={"type": "x", "text": words}))
        elif kind == 6:
            lines.append(line("later", uuid, parent, text=words))
        elif kind == 7:
            lines.append({**draw(st.sampled_from(lines)), "uuid": uuid})
        else:
            agent = {"isSidechain": True, "agentId": draw(st.sampled_from(["a", "b"]))}
            lines.append(user(uuid, parent, words, **agent))
    return {"messages": lines}
