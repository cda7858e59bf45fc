"""What an error tracker sees of an error: the locals of its frames, and the errors under it."""

import traceback
from collections.abc import Iterator
from pathlib import Path

TESTS = str(Path(__file__).parent)


def linked(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes, contexts and members, and theirs, each once."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        member = pending.pop()
        if member is None or id(member) in seen:
            continue
        seen.add(id(member))
        yield member
        pending += member.__cause__, member.__context__, getattr(member, "orig", None)
        if isinstance(member, BaseExceptionGroup):
            pending += member.exceptions


def shown(error: BaseException) -> str:
    """Everything but the locals of the tests' own frames, which a caller answers for."""
    lines = []
    for member in linked(error):
        lines += [repr(member), str(member), repr(member.args), repr(vars(member))]
        lines += traceback.format_exception_only(member)
        for frame, line in traceback.walk_tb(member.__traceback__):
            code = frame.f_code
            if not code.co_filename.startswith(TESTS):
                held = {name: _shown(value) for name, value in frame.f_locals.items()}
                lines.append(f"{code.co_filename}:{line} {code.co_name} {held}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - an object that is only half made
        return f"<{type(error).__name__}>"
