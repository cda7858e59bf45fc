#!/usr/bin/env python
"""Write the signatures of the units and the records into llms.txt: `make llms`."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faceplate import Database, Scope, drafts, pagination, records, services
from faceplate.integrations import anthropic, openai, web
from faceplate.services import chats, messages

PAGE = Path(__file__).with_name("llms.txt")
BEGIN, END = "<!-- generated: make llms -->\n", "<!-- /generated -->\n"
# The command line and faceplate's own jobs call these; a program calls the jobs.
OF_JOBS = {"archives", "retention"}
AROUND = {
    Database: ("run", "run_system", "begin", "check", "dispose"),
    Scope: ("one", "first", "all", "stream", "execute", "execute_many", "new_id"),
    drafts: ("open",),
    web: ("start_stream",),
    openai: ("to_openai", "from_openai"),
    anthropic: ("to_anthropic", "from_anthropic"),
    drafts.Draft: ("write", "save", "keep"),
}
GIVEN = [messages.NewMessage, messages.NewConversation, chats.NewChat]


def completed(page: str) -> str:
    """Return the page with what is generated between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{_generated()}{END}{after}"


def _generated() -> str:
    units = [*_units()]
    of_user = [line for line, is_across in units if not is_across]
    across = [line for line, is_across in units if is_across]
    parts = {
        "Around the units": [*_around()],
        "Units of a user, for `db.run(user_id, unit, ...)`": of_user,
        "Units across users, for `db.run_system(unit, ...)`": across,
        "What units return, named tuples": [*map(_record, _returned())],
        "What units take": [*map(_record, GIVEN)],
    }
    return "\n".join(
        f"{heading}:\n\n```\n" + "\n".join(lines) + "\n```\n" for heading, lines in parts.items()
    )


def _units() -> Iterator[tuple[str, bool]]:
    """Yield a line for each unit, and whether it works across users."""
    for info in pkgutil.iter_modules(services.__path__):
        if info.name.startswith("_") or info.name in OF_JOBS:
            continue
        module = importlib.import_module(f"{services.__name__}.{info.name}")
        for name, unit in vars(module).items():
            is_own = getattr(unit, "__module__", "").startswith(module.__name__)
            is_unit = inspect.iscoroutinefunction(unit) or inspect.isasyncgenfunction(unit)
            if is_own and is_unit and not name.startswith("_"):
                is_across = "SystemScope" in str(inspect.signature(unit))
                yield _line(f"{info.name}.{name}", unit), is_across


def _around() -> Iterator[str]:
    for owner, names in AROUND.items():
        where = owner.__name__.removeprefix("faceplate.").removeprefix("integrations.")
        for name in names:
            yield _line(f"{where}.{name}", getattr(owner, name))


def _returned() -> list[Any]:
    return [each for each in (*vars(records).values(), pagination.Page) if hasattr(each, "_fields")]


def _line(name: str, function: Callable[..., Any]) -> str:
    summary = (inspect.getdoc(function) or "").partition("\n")[0].replace("``", "")
    return f"{name}{_short(str(inspect.signature(function)))}  # {summary}"


def _record(record: Any) -> str:
    return f"{record.__name__}{_short(str(inspect.signature(record)))}".removesuffix(" -> None")


def _short(signature: str) -> str:
    """Leave out the modules of types, the type of the scope, and what is no text a reader needs."""
    signature = re.sub(r"\(self(?:, )?", "(", signature)
    signature = re.sub(r"= \(UUID\(.*?\)\)", "= ...", signature)
    signature = re.sub(r"(?<![\w.'])~?(?:[a-z_]\w*\.)+(?=\w)", "", signature)
    return re.sub(r"\bscope: \w+", "scope", signature).replace("~", "").replace("'", '"')


if __name__ == "__main__":
    PAGE.write_text(completed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
