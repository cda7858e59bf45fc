"""The parsing of durations in options."""

import re
from datetime import timedelta

import typer

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> timedelta:
    """Return the duration of ``90s``, ``10m``, ``2h`` or ``90d``.

    Raises BadParameter, with which the command ends with exit code 2.
    """
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise typer.BadParameter("a whole number and s, m, h or d, such as 90s, 10m, 2h or 90d")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
