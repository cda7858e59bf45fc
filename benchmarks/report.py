"""The pages: the tables and plots of one run, between the markers of the two pages."""

import re
from pathlib import Path

from benchmarks import ROOT
from benchmarks.plots import draw
from benchmarks.results import Results
from benchmarks.tables import BLOCKS

PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "performance"
TABLES = PLOTS / "tables.md"
MARKED = r"(?s)(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)"


def write_pages(
    results: Results, pages: tuple[Path, ...] = (PAGE, TABLES), plots: Path | None = PLOTS
) -> None:
    """Replace the text between the markers, and draw the plots anew unless that is None.

    A block without figures in this run is left out or says so: no page mixes two runs.
    """
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    drawn = {} if plots is None else draw(results, plots)
    for name, block in BLOCKS.items():
        page = page_of(name, texts)
        figures = block.on_page(results)
        if name in drawn:
            title, path = drawn[name]
            figures = f"![{title}]({path.relative_to(page.parent)})\n\n{figures}"
        texts[page] = fill(texts[page], name, figures)
    for page, text in texts.items():
        page.write_text(text, encoding="utf-8")


def page_of(name: str, texts: dict[Path, str]) -> Path:
    """Return the page with the block's markers. Raises ValueError unless one page has them."""
    found = [page for page, text in texts.items() if f"<!-- {name} -->" in text]
    if len(found) != 1:
        raise ValueError(f"{len(found)} pages have a place for {name}")
    return found[0]


def fill(text: str, name: str, block: str) -> str:
    """Return ``text`` with ``block`` between the markers of that name.

    Raises ValueError unless they are there, once.
    """
    between = f"\n{block}\n\n" if block else "\n"
    filled, count = re.subn(MARKED.format(name=name), lambda _: between, text)
    if count != 1:
        raise ValueError(f"the page has {count} places for {name}")
    return filled
