"""The pairs, and how they are compared: with the SDK's own store as the limit."""

import importlib
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import comparison
from benchmarks.comparison import Comparison
from benchmarks.figures import Condition, info_of
from benchmarks.peers import reason_of
from benchmarks.sdks.base import SDK_WORKLOADS, SdkSide
from benchmarks.server import make_database, tidy
from faceplate.embedded import Server

PAIRS = {"openai-agents": "openai_agents", "google-adk": "google_adk"}
"""The SDKs, each with its module here, which has the sides as `SIDES`: the SDK's own first."""


async def compare_sdks(
    server: Server, compared: Comparison, concurrencies: Sequence[int]
) -> tuple[list[Condition], dict[str, str]]:
    """Compare each pair in a database of its own. Return also why a pair is missing."""
    found: list[Condition] = []
    missing: dict[str, str] = {}
    for name, module in PAIRS.items():
        try:
            sides = _sides_of(module)
        except Exception as error:  # noqa: BLE001 - whatever another package raises is the reason
            missing[name] = reason_of(error)
            continue
        target = await make_database(server, f"bench_{module}")
        await comparison.load(target, compared.data, sides, compared.say)
        await tidy(target)
        pair = replace(compared, url=target.url, sides=sides, workloads=SDK_WORKLOADS)
        cells = await pair.measure_at(name, target.url, concurrencies)
        sides_of_it = [info_of(side) for side in sides]
        found.append(Condition(what=name, sides=sides_of_it, cells=cells, wires=[]))
    return found, missing


def _sides_of(module: str) -> list[SdkSide]:
    found = importlib.import_module(f"benchmarks.sdks.{module}")
    return [side() for side in found.SIDES]
