"""Progress bars, which appear only on a terminal."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from faceplate.cli.output import err, note
from faceplate.cli.rendering import count


@contextmanager
def progress_bar(
    label: str, noun: str, total: int, counter: ProgressColumn | None = None
) -> Iterator[Callable[..., None]]:
    """Show a bar during the block; yield the function that updates it.

    It takes ``completed=``, a number of what the noun names. An interrupt prints how far it was.
    """
    columns = (TextColumn(label), BarColumn(), counter or MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=err, transient=True, disable=not err.is_terminal
    ) as bar:
        task = bar.add_task("", total=total)
        try:
            yield partial(bar.update, task)
        except asyncio.CancelledError:
            note(f"{label}: {bar.tasks[0].completed:,.0f} of {count(total, noun)}")
            raise
