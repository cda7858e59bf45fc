"""The peers: packages that also keep an agent's conversations in PostgreSQL.

They are installed from peers.txt into an environment of their own. What is not there is missing
from the comparison, by name and with the reason.
"""

import importlib
from typing import NamedTuple

from benchmarks import ROOT
from benchmarks.sides.base import Side


class Peer(NamedTuple):
    """Where a peer's side is to be found."""

    name: str
    module: str
    attribute: str


PEERS = (
    Peer("openai-agents", "benchmarks.peers.openai_agents", "OpenAiAgents"),
    Peer("google-adk", "benchmarks.peers.google_adk", "GoogleAdk"),
    Peer("langgraph", "benchmarks.peers.langgraph", "LangGraph"),
    Peer("langchain-postgres", "benchmarks.peers.langchain", "LangChain"),
    Peer("agno", "benchmarks.peers.agno", "Agno"),
)
REASONS = ROOT / "build" / "bench-venv" / "missing.txt"
"""What `make bench` could not install, a line each: the name, a tab, the reason."""


def available() -> tuple[list[Side], dict[str, str]]:
    """Return the peers that can be imported, and why the others cannot."""
    sides: list[Side] = []
    missing: dict[str, str] = {}
    for peer in PEERS:
        try:
            sides.append(getattr(importlib.import_module(peer.module), peer.attribute)())
        except Exception as error:  # noqa: BLE001 - whatever another package raises is the reason
            missing[peer.name] = _noted(peer.name) or reason_of(error)
    return sides, missing


def reason_of(error: Exception) -> str:
    """Return an error in one line."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _noted(name: str) -> str | None:
    if not REASONS.exists():
        return None
    noted = dict(line.split("\t", 1) for line in REASONS.read_text().splitlines() if "\t" in line)
    return next((reason for peer, reason in noted.items() if peer.startswith(name)), None)
