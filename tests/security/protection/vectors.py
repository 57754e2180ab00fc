"""Wycheproof's vectors: the files beside the repository where they are, else the compressed ones in it."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1] / "vectors"
SHARED = Path(__file__).parents[4] / "shared" / "vectors"


def groups(name: str) -> list[dict[str, Any]]:
    newer = SHARED / f"{name}_test.json"
    data = newer.read_bytes() if newer.is_file() else lzma.decompress((HERE / f"{name}_test.json.xz").read_bytes())
    return json.loads(data)["testGroups"]


def faults(name: str, does: Any) -> list[tuple[int, str]]:
    """The vectors of which `does(group, test)` is not true as it should be.

    It says whether the vector's result came out, and raises ValueError (InvalidTag, InvalidSignature) where it is
    refused. A valid one must work, an invalid one be refused, an acceptable one may do either.
    """
    found = []
    for group in groups(name):
        for test in group["tests"]:
            if test["result"] == "acceptable":
                continue
            try:
                worked = bool(does(group, test))
            except (ValueError, *_refusals()):
                worked = False
            if worked != (test["result"] == "valid"):
                found.append((test["tcId"], test["comment"]))
    return found


def count(name: str) -> int:
    return sum(len(group["tests"]) for group in groups(name))


def _refusals() -> tuple[type[Exception], ...]:
    from cryptography.exceptions import InvalidSignature, InvalidTag

    return InvalidTag, InvalidSignature
