"""The page: tables and plots of one run between the markers of docs/performance.md."""

import re
from pathlib import Path

from benchmarks import ROOT
from benchmarks.plots import draw
from benchmarks.results import Results
from benchmarks.tables import BLOCKS

PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "performance"
NOTHING = "This run has no figures for it."
MARKED = r"(?s)(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)"


def write_page(results: Results, page: Path = PAGE, plots: Path | None = PLOTS) -> None:
    """Replace what stands between the markers, and draw the plots anew, unless that is None.

    What the run has no figures for says so, so that no two runs are ever mixed.
    """
    text = page.read_text(encoding="utf-8")
    drawn = {} if plots is None else draw(results, plots)
    for name, (_, block) in BLOCKS.items():
        figures = block(results) or NOTHING
        if name in drawn:
            title, path = drawn[name]
            figures = f"![{title}]({path.relative_to(page.parent)})\n\n{figures}"
        text = fill(text, name, figures)
    page.write_text(text, encoding="utf-8")


def fill(text: str, name: str, block: str) -> str:
    """Return ``text`` with ``block`` between the markers of that name.

    Raises ValueError unless they are there, once.
    """
    filled, count = re.subn(MARKED.format(name=name), lambda _: f"\n{block}\n\n", text)
    if count != 1:
        raise ValueError(f"the page has {count} places for {name}")
    return filled
