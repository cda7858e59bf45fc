"""The import of the project's own models, so that the commands know its tables."""

import importlib
import sys
from pathlib import Path

from faceplate.config import Settings
from faceplate.errors import ConfigurationError


def load_models(settings: Settings) -> None:
    """Import the modules in FACEPLATE_MODELS, also from the current directory.

    Raises ConfigurationError if a module cannot be imported.
    """
    here = str(Path.cwd())
    if settings.models and here not in sys.path:  # `python -m` adds it as well, a script does not
        sys.path.insert(0, here)
    for name in settings.models:
        try:
            importlib.import_module(name)
        except Exception as error:  # a module of the project may raise any error
            reason = str(error).partition("\n")[0]
            raise ConfigurationError(
                f"FACEPLATE_MODELS: {name} cannot be imported from {here}: {type(error).__name__}:"
                f" {reason}"
            ) from error
