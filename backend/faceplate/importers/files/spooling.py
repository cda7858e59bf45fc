"""Standard input, pipes and devices, kept in a temporary file as they can be read only once."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

STDIN: Final = Path("-")


@contextmanager
def spooled(path: Path) -> Iterator[Path]:
    """Yield a path that can be read several times: ``path``, or a temporary copy of its bytes.

    Files and folders are not copied; "-" is standard input. Raises OSError.
    """
    if path != STDIN and (path.is_file() or path.is_dir()):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="faceplate-") as copy:
        if path == STDIN:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        else:
            with path.open("rb") as source:
                shutil.copyfileobj(source, copy)
        copy.flush()
        yield Path(copy.name)
