"""The nearest right word for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The word that was probably meant; empty if none is near. Case and `-` for `_` are no difference."""
    alike = {each.lower().replace("-", "_"): each for each in known}
    near = difflib.get_close_matches(word.lower().replace("-", "_"), alike, n=1, cutoff=cutoff)
    return alike[near[0]] if near else ""


def did_you_mean(word: object, known: Iterable[str], otherwise: str = "") -> str:
    """A hint: the nearest word as a question, or what else there is to say."""
    near = nearest(word, known) if isinstance(word, str) else ""
    return f"did you mean {near}?" if near else otherwise


def one_of(word: object, known: Iterable[str]) -> str:
    """A hint for a choice: all that there are, and the nearest of them first."""
    choices = list(known)
    question = did_you_mean(word, choices)
    return f"{question} It is one of {', '.join(choices)}" if question else f"one of {', '.join(choices)}"
