"""Examples of pages, run as they stand."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(\w+)(?: file=(\S+))?\n(.*?)```", re.DOTALL)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Language, file name (or "") and text of each block of a page, whose path is from the root."""
    return BLOCK.findall((ROOT / page).read_text())


def snippets(page: str) -> list[str]:
    """The blocks of Python that are no files."""
    return [text for kind, name, text in blocks(page) if kind == "python" and not name]


def run_after_readme(snippet: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Runs it with what the README's example has made, its contract above all. Returns all names there are then."""
    module = ModuleType("snippet")
    monkeypatch.setitem(sys.modules, "snippet", module)  # where Pydantic looks names of types up
    exec(snippets("README.md")[0], vars(module))
    exec(snippet, vars(module))
    return vars(module)
