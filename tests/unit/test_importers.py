"""Reading chat files: nothing of a chat is lost, and one bad line costs nobody the others."""

import json
import tracemalloc
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest
from tests.chat_files import DATA, MORE, existing, read_all

from faceplate.importers.chats import Chat, Place, Refusal
from faceplate.importers.files import parser
from faceplate.importers.files import text as files_text
from faceplate.importers.reading import read_chats as read

FILES = [(DATA / "chats.jsonl", 8, 32), (MORE / "mt_bench.jsonl", 40, 160)]
HELLO = {"id": "a", "title": "Greeting", "messages": [{"role": "user", "content": "Hello"}]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}


def write(tmp_path: Path, text: str | bytes, name: str = "chats.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read_one(tmp_path: Path, chat: object) -> Chat:
    [item] = read(write(tmp_path, json.dumps(chat)))
    assert isinstance(item, Chat), item
    return item


def refuse_one(tmp_path: Path, chat: object) -> str:
    [item] = read(write(tmp_path, json.dumps(chat)))
    assert isinstance(item, Refusal), item
    assert item.place == Place("line", 1)
    return item.reason


def chat_of(*messages: object, **fields: object) -> dict[str, object]:
    return {"id": "a", "messages": list(messages), **fields}


class TestForms:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("chats.jsonl", f"{json.dumps(HELLO)}\n"),
            ("no-newline.ndjson", json.dumps(HELLO)),
            ("lines.txt", f"{json.dumps(HELLO)}\n"),
            ("one.json", json.dumps(HELLO)),
            ("pretty.json", json.dumps(HELLO, indent=2)),
            ("list.json", json.dumps([HELLO])),
            ("pretty-list.json", json.dumps([HELLO], indent=2)),
            ("list.jsonl", json.dumps([HELLO])),
            ("object.json", json.dumps({"version": 1, "chats": [HELLO], "end": None})),
            ("pretty-object.json", json.dumps({"conversations": [HELLO]}, indent=2)),
        ],
    )
    @pytest.mark.parametrize("encoding", ["plain", "bom", "crlf", "blank lines"])
    def test_a_chat_is_found_in_every_form_of_file(
        self, tmp_path: Path, name: str, text: str, encoding: str
    ) -> None:
        if encoding == "bom":
            text = f"\ufeff{text}"
        elif encoding == "crlf":
            text = text.replace("\n", "\r\n")
        elif encoding == "blank lines":
            text = f"\n  \n{text}\n\n"
        [chat] = read(write(tmp_path, text, name))
        assert isinstance(chat, Chat)
        assert (chat.key, chat.title) == ("a", "Greeting")
        assert [(m.role, m.content) for m in chat.messages] == [("user", "Hello")]

    @pytest.mark.parametrize("name", ["empty.json", "empty.jsonl"])
    @pytest.mark.parametrize("text", ["", " \n\n", "\ufeff"])
    def test_an_empty_file_is_an_error(self, tmp_path: Path, name: str, text: str) -> None:
        """Else the download that failed is deleted as imported."""
        refusal = Refusal(Place("file", 1), "the file is empty")
        assert list(read(write(tmp_path, text, name))) == [refusal]

    def test_a_missing_file_is_the_callers_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            list(read(tmp_path / "missing.jsonl"))

    @pytest.mark.parametrize("block", [1, 2, 7, 64])
    @pytest.mark.parametrize("indent", [None, 1])
    def test_a_value_cut_by_a_block_is_read_whole(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, indent: int | None
    ) -> None:
        """Without it, chats at a block's edge would be lost, or numbers cut in two."""
        monkeypatch.setattr(files_text, "BLOCK_BYTES", block)
        chats = [
            {**HELLO, "id": f"chat-{n}", "size": 1234567890 + n, "rate": 1.25e-3} for n in range(20)
        ]
        path = write(tmp_path, json.dumps({"n": 123456, "chats": chats}, indent=indent), "c.json")
        items = list(read(path))
        assert [
            (item.key, item.metadata["source"]) for item in items if isinstance(item, Chat)
        ] == [(f"chat-{n}", {"size": 1234567890 + n, "rate": 1.25e-3}) for n in range(20)]

    def test_progress_ends_at_the_size_of_the_file(self, tmp_path: Path) -> None:
        path = write(tmp_path, f"{json.dumps(HELLO)}\n" * 100)
        seen: list[int] = []
        assert len(list(read(path, on_progress=seen.append))) == 100
        assert seen == sorted(seen)
        assert seen[-1] == path.stat().st_size

    @pytest.mark.parametrize("name", ["list.json", "lines.jsonl"])
    def test_memory_holds_one_chat_and_not_the_file(self, tmp_path: Path, name: str) -> None:
        long = {**HELLO, "messages": [{"role": "user", "content": "x" * 10_000}]}
        chats = [json.dumps(long)] * 500
        text = f"[{','.join(chats)}]" if name == "list.json" else "\n".join(chats)
        path = write(tmp_path, text, name)
        tracemalloc.start()
        try:
            assert sum(isinstance(item, Chat) for item in read(path)) == 500
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < path.stat().st_size / 5


class TestBadLines:
    def test_reading_goes_on_after_each_bad_line(self, tmp_path: Path) -> None:
        secret = "hunter2"
        lines = [
            json.dumps(HELLO),
            '{"id": "b", "messages": [{"content": "hunter2',
            "",
            "hunter2",
            '["hunter2"]',
            '{"messages": [], "hunter2": ' + "9" * 5000 + "}",
            "[" * 100_000,
            '{"title": "hunter2", "a key that may be a name": 1}',
            json.dumps({**HELLO, "id": "z"}),
        ]
        path = write(tmp_path, "\n".join(lines))
        items = list(read(path))
        assert [item.key for item in items if isinstance(item, Chat)] == ["a", "z"]
        refused = {str(item.place): item.reason for item in items if isinstance(item, Refusal)}
        assert refused == {
            "line 2": "not JSON: Unterminated string starting at (column 38)",
            "line 4": "not JSON: Expecting value (column 1)",
            "line 5": "of no format that can be read; its keys are messages",
            "line 6": "a number with too many digits",
            "line 7": "nested too deeply",
            "line 8": "of no format that can be read; its keys are title",
        }
        assert secret not in str(refused)

    def test_a_message_that_is_nested_too_deeply_does_not_end_the_import(
        self, tmp_path: Path
    ) -> None:
        """Each step of an import takes some of the levels, and so each may be the one to fail."""
        hi, ho = (json.dumps({"role": "user", "content": text}) for text in ("Hi", "Ho"))
        for levels in range(900, 1_000):
            field = f'{{"role": "user", "content": "Ha", "m": {"[" * levels}{"]" * levels}}}'
            items = list(read(write(tmp_path, f"{hi}\n{field}\n{ho}")))
            refused = {item.place: item.reason for item in items if isinstance(item, Refusal)}
            assert {*refused.values()} <= {"nested too deeply"}
            said = [
                each.content for chat in items if isinstance(chat, Chat) for each in chat.messages
            ]
            if not refused:  # some versions of Python read more levels than others
                assert said == ["Hi", "Ha", "Ho"]
            else:
                assert said == (["Hi", "Ho"] if Place("line", 2) in refused else [])

    def test_what_cannot_be_stored_is_replaced_and_counted(self, tmp_path: Path) -> None:
        """One such character must not cost the chat."""
        text = '{"messages": [{"role": "user", "content": "a\\ud800b\\u0000", "score": NaN}]}'
        chat = read_one(tmp_path, json.loads(text))
        assert chat.messages[0].content == "a\ufffdb\ufffd"
        assert chat.messages[0].metadata == {"replaced_chars": 2, "source": {"score": "nan"}}
        assert chat.asides == {"replaced characters": 2}

    def test_a_backslash_before_u0000_is_text_and_no_nul(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, chat_of({"role": "user", "content": r"C:\u0000 \\u0000"}))
        assert chat.messages[0].content == r"C:\u0000 \\u0000"

    def test_a_line_beyond_the_bound_is_skipped_unread(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parser, "MAX_VALUE_CHARS", 100)
        monkeypatch.setattr(parser, "LARGE_CHARS", 50)
        monkeypatch.setattr(files_text, "BLOCK_BYTES", 16)
        long = json.dumps({**HELLO, "id": "x" * 200})
        items = list(read(write(tmp_path, f"{json.dumps(HELLO)}\n{long}\n{json.dumps(HELLO)}")))
        assert [type(item) for item in items] == [Chat, Refusal, Chat]
        assert items[1] == Refusal(Place("line", 2), "not JSON, or longer than 100 characters")

    @pytest.mark.parametrize("block", [1, 16])
    def test_a_document_is_read_up_to_its_first_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
    ) -> None:
        monkeypatch.setattr(files_text, "BLOCK_BYTES", block)
        chat = json.dumps(HELLO)
        odd = '{"id": "n"}'
        for rest, reason in [
            (f'{odd}, {chat}, {{"id": hunter2}}, {chat}]', "not JSON: Expecting value"),
            (f'{odd}, {chat}, {{"id": "hunter2', "not JSON: Unterminated string starting at"),
            (f"{odd}, {chat}", 'not JSON: expecting ","'),
            (f"{odd}, {chat}] hunter2", "not JSON: text after the end of the document"),
        ]:
            items = list(read(write(tmp_path, f"[{chat}, {rest}", "list.json")))
            assert [type(item) for item in items] == [Chat, Refusal, Chat, Refusal]
            assert items[1] == Refusal(
                Place("chat", 2), "of no format that can be read; its keys are id"
            )
            place = Place("chat", 4)
            assert items[3] == Refusal(place, f"{reason}; the rest of the file was not read")

    @pytest.mark.parametrize(
        "text",
        [
            json.dumps([{**HELLO, "id": "x" * 200}]),
            json.dumps({"chats": [{**HELLO, "id": "x" * 200}]}),
            json.dumps({str(n): "x" for n in range(50)}, indent=1),
            "[" * 100_000,
        ],
    )
    def test_a_document_never_holds_more_than_the_bound(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        monkeypatch.setattr(parser, "MAX_VALUE_CHARS", 100)
        monkeypatch.setattr(parser, "LARGE_CHARS", 50)
        monkeypatch.setattr(files_text, "BLOCK_BYTES", 16)
        [item] = read(write(tmp_path, text, "list.json"))
        assert isinstance(item, Refusal)
        assert "longer than 100 characters" in item.reason or "too deeply" in item.reason

    def test_a_document_that_is_no_chat_is_refused(self, tmp_path: Path) -> None:
        [item] = read(write(tmp_path, '"text"', "text.json"))
        assert isinstance(item, Refusal)
        assert item.reason.startswith("neither a chat nor a list of chats")


class TestChats:
    def test_keys_without_a_column_are_kept(self, tmp_path: Path) -> None:
        chat = read_one(
            tmp_path,
            chat_of(
                {"role": "user", "content": "Hi", "name": "poet", "at": None},
                model="gpt",
                metadata={"tags": ["x"]},
            ),
        )
        assert chat.metadata == {"source": {"model": "gpt", "metadata": {"tags": ["x"]}}}
        assert chat.messages[0].metadata == {"source": {"name": "poet", "at": None}}

    def test_a_chat_without_id_has_the_same_one_each_time(self, tmp_path: Path) -> None:
        """Else every further import would store the chat once more."""
        first = {"messages": [{"role": "user", "content": "Hi"}], "model": "m"}
        again = dict(reversed(first.items()))
        other = {"messages": [{"role": "user", "content": "Ho"}], "model": "m"}
        ids = [read_one(tmp_path, {**chat}).key for chat in (first, again, other)]
        assert ids[0] == ids[1] != ids[2]

    def test_a_number_is_an_id(self, tmp_path: Path) -> None:
        assert read_one(tmp_path, chat_of(id=0)).key == "0"

    def test_a_chat_without_title_is_called_by_what_the_user_said_first(
        self, tmp_path: Path
    ) -> None:
        system = {"role": "system", "content": "Be brief"}
        asked = {"role": "user", "content": "\n  What  is a monad? \n\nI know Python."}
        long = {"role": "user", "content": "word " * 50}
        assert read_one(tmp_path, chat_of(system, asked)).title == "What is a monad?"
        assert read_one(tmp_path, chat_of(asked, title=" ")).title == "What is a monad?"
        assert read_one(tmp_path, chat_of(system)).title == "New Chat"
        title = read_one(tmp_path, chat_of(long)).title
        assert len(title) <= 80
        assert title.endswith("word…")

    @pytest.mark.parametrize(
        ("text", "title"),
        [
            ("How do I list **tables** in `psql`?\n\n- fast", "How do I list tables in psql?"),
            ("## **Bold `code`** plans, *soon*", "Bold code plans, soon"),
            ("```python\nimport csv", "import csv"),
            ("> - a [link](https://www.postgresql.org/)\n\nmore", "a link"),
            ("| a | b |\n|---|---|", "a, b"),
            ("Compare these two:\n- one\n- two", "Compare these two"),
            ("snake_case, __init__ and 2 * 3 * 4", "snake_case, __init__ and 2 * 3 * 4"),
            ("f(*a, **k) and g(*a, **k)", "f(*a, **k) and g(*a, **k)"),
            ("-5 degrees, or `**`?", "-5 degrees, or **?"),
            ("```\n```", "New Chat"),
        ],
    )
    def test_the_title_of_such_a_chat_is_plain_text(
        self, tmp_path: Path, text: str, title: str
    ) -> None:
        """Else the list of conversations is full of marks."""
        asked = {"role": "user", "content": text}
        assert read_one(tmp_path, chat_of(asked)).title == title

    @pytest.mark.parametrize("messages", [None, "text", {}, ["text"], [None]])
    def test_what_has_no_messages_is_refused(self, tmp_path: Path, messages: object) -> None:
        reason = refuse_one(tmp_path, {"id": "a", "messages": messages})
        assert reason == "of no format that can be read; its keys are id, messages"


class TestMessages:
    def test_developer_is_a_role(self, tmp_path: Path) -> None:
        [message] = read_one(tmp_path, chat_of({"role": "developer", "content": "x"})).messages
        assert (message.role, message.metadata) == ("developer", {})

    def test_times_and_models_have_columns(self, tmp_path: Path) -> None:
        said = {"role": "user", "content": "x"}
        dated = {"role": "assistant", "created_at": "2024-02-29T12:00:00+01:00", "model": "m"}
        chat = read_one(tmp_path, chat_of({**said, **dated}, created_at=864_000_000))
        assert chat.created_at == datetime(1997, 5, 19, tzinfo=UTC)
        [message] = chat.messages
        assert message.created_at == datetime(2024, 2, 29, 11, tzinfo=UTC)
        assert (message.model, message.metadata) == ("m", {})

    @pytest.mark.parametrize(
        "written",
        [
            *(1_735_693_200.5, "1735693200.5", 1_735_693_200_500, "1735693200500"),
            *("2025-01-01T01:00:00.5", "2025-01-01 01:00:00.5 UTC", "2025-01-01T02:00:00.5+01:00"),
            *("Wed, 01 Jan 2025 01:00:00 GMT", "Wed, 1 Jan 2025 02:00:00 +0100"),
            "Wed Jan 01 2025 02:00:00 GMT+0100 (Central European Standard Time)",
        ],
    )
    def test_a_time_is_read_however_it_is_written(self, tmp_path: Path, written: object) -> None:
        """Else a message has the time of the one before it, and nobody is told."""
        chat = read_one(tmp_path, chat_of({"role": "user", "content": "x"}, time=written))
        assert chat.created_at is not None
        assert chat.created_at.replace(microsecond=0) == datetime(2025, 1, 1, 1, tzinfo=UTC)

    @pytest.mark.parametrize("written", [0, -1, 12.5, "0", "20250101", "0001-01-01T00:00:00Z"])
    def test_what_is_no_time_is_not_taken_for_one(self, tmp_path: Path, written: object) -> None:
        """Zeros of programs and seconds of a recording put chats at the end, in 1970."""
        chat = read_one(tmp_path, chat_of({"role": "user", "content": "x"}, time=written))
        assert chat.created_at is None
        assert chat.metadata["source"] == {"time": written}

    def test_a_prompt_without_a_time_has_that_of_what_follows_it(self, tmp_path: Path) -> None:
        """Else it is years younger than its answers, being as old as the import."""
        asked = {"role": "user", "content": "x", "created_at": "2025-01-01T00:00:00Z"}
        chat = read_one(tmp_path, chat_of({"role": "system", "content": "Be brief."}, asked))
        times = {message.created_at for message in chat.messages}
        assert times == {datetime(2025, 1, 1, tzinfo=UTC)}

    def test_tool_calls_and_results_keep_their_shape(self, tmp_path: Path) -> None:
        parts = [{"type": "text", "text": "3"}]
        made, answered = read_one(
            tmp_path,
            chat_of(
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "name": "add", "content": parts},
            ),
        ).messages
        assert (made.content, made.tool_calls, made.tool_results) == ("", [CALL], None)
        assert answered.tool_results == [{"tool_call_id": "call_1", "content": "3"}]
        assert (answered.content, answered.metadata) == ("3", {"tool": "add"})

    def test_a_call_at_the_end_waits_for_its_result(self, tmp_path: Path) -> None:
        """Programs write such chats, to go on with them."""
        asked = {"role": "user", "content": "1 + 2?"}
        made = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        [_, call] = read_one(tmp_path, chat_of(asked, made)).messages
        assert (call.content, call.tool_calls) == ("", [CALL])
        [_, left, _] = read_one(tmp_path, chat_of(asked, made, asked)).messages
        assert (left.content, left.tool_calls) == ("[add]\n```\n{}\n```", None)

    @pytest.mark.parametrize(
        "messages",
        [
            [{"role": "user", "content": "x", "tool_calls": [CALL]}],
            [{"role": "assistant", "content": "x", "tool_calls": [CALL, CALL]}],
            [{"role": "tool", "content": "3"}],
            [{"role": "tool", "tool_call_id": "x", "content": "3"}],
            [{"role": "assistant", "tool_calls": [CALL]}] * 2,
            [
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": "3"},
                {"role": "tool", "tool_call_id": "call_1", "content": "4"},
            ],
        ],
    )
    def test_what_does_not_hold_together_is_text(
        self, tmp_path: Path, messages: list[object]
    ) -> None:
        """As calls and results it would leave a thread that no model takes up again."""
        [chats, refusals] = read_all(write(tmp_path, json.dumps([chat_of(*messages)]), "c.json"))
        assert (len(chats), refusals) == (1, [])


def test_the_shipped_sample_is_readable_and_varied() -> None:
    with_path = files("faceplate") / "samples" / "chats.jsonl"
    chats = list(read(Path(str(with_path))))
    assert all(isinstance(chat, Chat) for chat in chats)
    messages = [m for chat in chats if isinstance(chat, Chat) for m in chat.messages]
    assert 5 <= len(chats) <= 8
    assert {m.role for m in messages} == {"user", "assistant", "system", "tool"}


@pytest.mark.parametrize(("path", "number", "said"), existing(FILES))
def test_every_chat_of_a_file_is_read(path: Path, number: int, said: int) -> None:
    chats = [item for item in read(path) if isinstance(item, Chat)]
    assert len(chats) == number
    assert sum(len(chat.messages) for chat in chats) == said
