"""The manifests, one after the other: the newest is the table. Making the next one is the commit point.

A manifest is a file that is made only if there is none of its name, so of two who make the next version one fails, and
a version never changes. That is all that is asked of the place; listing it says which version is the newest. A small
file beside them names it for readers who would rather not list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from rowkeeper.destinations.file.manifest import DataFile, Manifest
from rowkeeper.errors import LeaseLost, ObjectExists, ObjectMissing
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.stores import FileStore

FOLDER = "_rowkeeper/"
CURRENT = FOLDER + "current.json"
NAME = re.compile(r"manifest-(\d{10})\.json")
KEPT = 10
ATTEMPTS = 5


class Log:
    """The manifests of one table.

    Args:
        store: where it lies.
        prefix: what stands before every name of the table there; empty or ending in `/`.
    """

    def __init__(self, store: FileStore, prefix: str) -> None:
        self.store = store
        self.prefix = prefix

    @property
    def place(self) -> str:
        """Where the table lies, for people."""
        return f"{self.store.place}/{self.prefix}".rstrip("/")

    def name(self, path: str) -> str:
        """The name in the store of a file of the table."""
        return self.prefix + path

    def versions(self) -> list[int]:
        """Those that are there, ascending."""
        found = []
        for item in self.store.list(self.name(FOLDER)):
            match = NAME.fullmatch(item.name.rpartition("/")[2])
            if match is not None:
                found.append(int(match[1]))
        return sorted(found)

    def newest(self) -> Manifest | None:
        """The table as it is; None if nothing was ever published. Raises IntegrityError for what is no manifest."""
        for _ in range(ATTEMPTS - 1):
            versions = self.versions()
            if not versions:
                return None
            try:
                return self.read(versions[-1])
            except ObjectMissing:  # it was the newest when it was listed, and is one too old to be kept by now
                continue
        versions = self.versions()
        return self.read(versions[-1]) if versions else None

    def read(self, version: int) -> Manifest:
        """One version. Raises ObjectMissing."""
        name = self._path(version)
        return Manifest.decoded(self.store.read(self.name(name)), f"{self.place}/{name}")

    def has(self, version: int | None) -> bool:
        """Whether a version is still there."""
        return version is not None and version in self.versions()

    def append(self, manifest: Manifest) -> None:
        """Makes the next version: the commit point.

        Raises LeaseLost if somebody else has made it: then nothing of this one is to be seen.
        """
        failpoint("files.before_manifest")
        try:
            self.store.put(self.name(self._path(manifest.version)), manifest.encoded(), if_absent=True)
        except ObjectExists as error:
            raise LeaseLost(
                f"version {manifest.version} of {self.place} was made by another process",
                hint="nothing was published by this one; run again: what is there is looked at",
            ) from error
        failpoint("files.after_manifest")
        self.point_to(manifest)

    def point_to(self, manifest: Manifest) -> None:
        """Names the newest version for readers; one that is older than the newest is right for a moment longer."""
        pointer = {"version": manifest.version, "manifest": self._path(manifest.version)}
        self.store.put(self.name(CURRENT), json.dumps(pointer).encode())
        failpoint("files.after_pointer")

    def prune(self, newest: Manifest) -> None:
        """Removes versions that are too old to be kept, and data files that none of those kept has."""
        versions = self.versions()
        old = [each for each in versions if each <= newest.version - KEPT and each != newest.before]
        if not old:
            return
        kept = {file.path for each in versions if each not in old for file in self.read(each).files}
        for version in old:
            gone = [file for file in self.read(version).files if file.path not in kept]
            self.remove(gone)
            self.store.delete(self.name(self._path(version)))
            failpoint("files.after_prune")

    def remove(self, files: Iterable[DataFile]) -> None:
        """Takes data files away."""
        for file in files:
            self.store.delete(self.name(file.path))

    @staticmethod
    def _path(version: int) -> str:
        return f"{FOLDER}manifest-{version:010}.json"
