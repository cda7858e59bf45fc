"""Chats of our own making in every format, one module for each: ``EXAMPLE`` uses all of it."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any


def examples() -> dict[str, Any]:
    """Return a file's value in each format, by the module that has it."""
    names = sorted(module.name for module in iter_modules(__path__))
    return {name: import_module(f"{__name__}.{name}").EXAMPLE for name in names}
