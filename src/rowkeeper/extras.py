"""Libraries that not everybody needs: imported when they are, and named with the way to them when they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rowkeeper.errors import ConfigurationError


def library(module: str, extra: str, needs: str) -> Any:
    """A module of an extra.

    Args:
        needs: who needs it, and what it is: `Avro files need a library`.

    Raises ConfigurationError if it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigurationError(f"{needs} that is not installed", hint=f"pip install 'rowkeeper[{extra}]'") from error
