"""A coverage-guided fuzzer over every reader of chats: ``make fuzz``.

It begins with the examples of all formats, and changes their bytes. A reader fails if it raises,
hangs, or yields a chat that the database would refuse, or if a word of a file that is JSON is
neither stored nor reported.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

from tests.formats import examples

with atheris.instrument_imports(include=["faceplate.importers"]):
    from faceplate.importers import Chat, read_chats
    from tests.chat_files import check
    from tests.unit.formats.test_every_format import missing

SUFFIXES = ("json", "jsonl", "zip", "json.gz")


def main() -> None:
    """Run the fuzzer with the arguments of libFuzzer."""
    with TemporaryDirectory() as directory:
        corpus = Path(directory, "corpus")
        corpus.mkdir()
        for name, value in examples().items():
            (corpus / name).write_bytes(b"\0" + json.dumps(value).encode())
        file = Path(directory, "chats")

        def read(data: bytes) -> None:
            """Read a file whose name and content the fuzzer has made."""
            if not data:
                return
            path = file.with_suffix(f".{SUFFIXES[data[0] % len(SUFFIXES)]}")
            path.write_bytes(data[1:])
            for item in read_chats(path):
                if isinstance(item, Chat):
                    check(item)
            try:
                value = json.loads(data[1:])
            except (ValueError, RecursionError):
                return
            lost = missing(path, value)
            assert not lost, sorted(lost)

        atheris.Setup([*sys.argv, str(corpus)], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
