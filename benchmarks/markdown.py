"""Figures as text, and rows of them as a table of Markdown."""

from collections.abc import Iterable, Sequence

from benchmarks.measuring import Spread

MISSING = "-"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Return a table whose first columns are ``texts`` and whose others are figures."""
    kinds = [*("---" for _ in head[:texts]), *("---:" for _ in head[texts:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, kinds, *rows))


def spread(value: Spread) -> str:
    """Return a median with its quartiles in brackets."""
    digits = 2 if value.median >= 0.095 else 3
    low, median, high = (f"{figure:.{digits}f}" for figure in value)
    return f"{median} ({low} to {high})"


def figure(value: float) -> str:
    """Return a figure without decimals, or with one where it is small."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def count(value: float) -> str:
    """Return a mean of counts, which most often is a whole number."""
    return f"{value:.1f}".removesuffix(".0")
