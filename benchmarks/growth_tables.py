"""How operations and tables grow: with what is stored, and over half an hour of appends."""

from collections.abc import Sequence

from benchmarks.figures import Growth
from benchmarks.markdown import MISSING, figure, spread, table
from benchmarks.results import Results

WRITTEN = """\
Of faceplate's appends, one at a time, in the tables above. HOT is the share of the updates of
`conversations` that changed no index, so that no index entry is written and VACUUM has less to do.
The log is that between two checkpoints. PostgreSQL writes a page to it as a whole at its first
change after a checkpoint; *whole pages* counts these, for one append. A larger table has more pages
with room for a short message, and so has more of them."""
SOAK = """\
faceplate appends at full speed, 20 at a time, to a database of its own with autovacuum at its
defaults. Each row sums up the minutes since the one above. The number of conversations stays the
same, so what their table and its indexes grow by is what VACUUM could not give back in time. The
log has everything: whole pages after each checkpoint, and what VACUUM writes."""


def growth(results: Results) -> str:
    """Return how the time of an operation grows."""
    kinds = {"conversation": "messages in the conversation", "table": "messages in the table"}
    parts = []
    for kind, title in kinds.items():
        found = [g for g in results.growth if g.kind == kind]
        if found:
            parts.append(_growth_table(title, found))
    return "\n\n".join(parts)


def _growth_table(title: str, found: Sequence[Growth]) -> str:
    names = {"append": "append", "last": "last 50"}
    keys = list(dict.fromkeys((g.side, g.workload) for g in found))
    cells = {(g.side, g.workload, g.messages): g for g in found}
    head = [title, *(f"{side}, {names[workload]}" for side, workload in keys)]
    sizes = sorted({g.messages for g in found})
    rows = []
    for size in sizes:
        here = [cells[*key, size] for key in keys]
        rows.append([f"{size:,}", *(f"{g.p50_ms:.2f} ms, {spread(g.ratio)}" for g in here)])
    return table(head, rows)


def written(results: Results) -> str:
    """Return what the server writes for an append, by the size of the table."""
    if not results.written:
        return ""
    return table(
        ["messages in the table", "appends", "HOT", "bytes of log an append", "whole pages"],
        [
            [
                f"{w.messages:,}",
                f"{w.appends:,}",
                _share(w.hot_share),
                f"{w.wal_bytes:,.0f}",
                f"{w.whole_pages:.2f}",
            ]
            for w in results.written
        ],
    )


def soak(results: Results) -> str:
    """Return a row for each sample of the soak."""
    if not results.soak:
        return ""
    return table(
        [
            "minute",
            "appends a second",
            "p99, ms",
            "messages",
            "HOT",
            "bytes of log an append",
            "vacuums",
            "dead conversations",
            "conversations, MB: table / indexes",
            "messages, MB: table / indexes",
        ],
        [
            [
                figure(s.minute),
                figure(s.per_second),
                f"{s.p99_ms:.1f}",
                f"{s.messages:,}",
                _share(s.hot_share),
                f"{s.wal_bytes:,.0f}",
                f"{s.vacuums}",
                f"{s.dead_conversations:,}",
                f"{s.conversations_mb:.1f} / {s.conversations_index_mb:.1f}",
                f"{s.messages_mb:,.0f} / {s.messages_index_mb:,.0f}",
            ]
            for s in results.soak
        ],
    )


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1%}"
