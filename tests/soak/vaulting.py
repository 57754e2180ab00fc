"""The place of backups, looked at from outside as the soak goes on: what prune must keep is never missing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.field import KEPT

MANIFEST, BEGUN = ".json", ".begun"


def manifests_in(place: Path) -> dict[str, dict[str, Any]]:
    """The manifests that are there now, by id: the first line of each, without its seal."""
    found = {}
    for path in sorted((place / "manifests").glob(f"*{MANIFEST}")):
        try:
            found[path.stem] = json.loads(path.read_text().partition("\n")[0])
        except FileNotFoundError:  # pruned as we looked
            continue
    return found


@dataclass
class Vault:
    """What was seen of it.

    Attributes:
        seen: each backup that was complete at some time, with those that it needs.
        lost: what was missing, a sentence each.
    """

    place: Path
    seen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def look(self) -> None:
        """The newest are all there, with whatever they need, and all their files."""
        there = self._there()
        missing = self._missing(there)
        if missing:  # one may have been completed, and others pruned for it, as we looked
            missing = [each for each in self._missing(there | self._there()) if each in missing]
        self.lost += [each for each in missing if each not in self.lost]

    def _there(self) -> set[str]:
        """Those that are complete now. Of each that stays, the files are there."""
        found = manifests_in(self.place)
        self.seen |= {id: tuple(each["needs"]) for id, each in found.items()}
        return set(found)

    def _missing(self, there: set[str]) -> list[str]:
        kept = sorted(self.seen)[-KEPT:]
        missing = [f"the backup {id} is one of the newest {KEPT}, and gone" for id in kept if id not in there]
        for id in there:
            missing += [f"{id} needs {each}, which is gone" for each in self.seen[id] if each not in there]
        return missing

    @property
    def kept(self) -> list[str]:
        """What is there now, oldest first."""
        return sorted(self._there())

    def faults(self) -> list[str]:
        """What is wrong with the files of those that claim to be complete, and what was left behind."""
        found = manifests_in(self.place)
        return [
            f"the backup {id} claims to be complete, and {file['name']} is not as long as it says"
            for id, manifest in found.items()
            for file in manifest["files"]
            if _size(self.place / id / file["name"]) != file["size"]
        ]

    def remains(self) -> list[Path]:
        """Folders and beginnings of backups that nobody finished, and drafts."""
        found = manifests_in(self.place)
        begun = [path for path in (self.place / "manifests").glob(f"*{BEGUN}") if path.stem not in found]
        folders = [path for path in self.place.iterdir() if path.name not in {*found, "manifests"}]
        known = {self.place / id / file["name"] for id, each in found.items() for file in each["files"]}
        files = [path for id in found for path in (self.place / id).rglob("*") if path.is_file()]
        return [*begun, *folders, *(path for path in files if path not in known)]


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None
