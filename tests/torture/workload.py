"""The seam: what is tortured. A workload works in one folder, and keeps all its state in `folder/home`.

The tools put `home` on a faulty filesystem, or on a disk that loses its power. Everything else in the folder,
the pipeline file and the data, lies on a good one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypedDict

from tests.torture.processes import Command, Herd


class Unreadable(Exception):  # noqa: N818 - what it says
    """The state cannot be read at all."""


class Outcome(TypedDict):
    """What can be seen from outside, without what differs between two good runs (times, identifiers, paths).

    A workload that has no accounts or no quarantine gives an empty list.
    """

    rows: list[str]
    accounts: list[str]
    quarantine: list[str]


class Workload(Protocol):
    """What is run, killed, run again and looked at."""

    name: str

    def prepare(self, folder: Path, herd: Herd) -> None:
        """Lays out the data, and the state before: best with a first run already published. The disk is good."""

    def command(self, folder: Path) -> Command:
        """The run under torture. Exit status 0 acknowledges it; running it again must finish what died."""

    def outcome(self, folder: Path, herd: Herd) -> Outcome:
        """What a reader sees now. Changes nothing that a later run depends on."""

    def watcher(self, folder: Path) -> Command | None:
        """A reader that prints the state of the destination, as one line, again and again until it is killed."""

    def is_engine(self, argv: list[str]) -> bool:
        """True for the command line of the engine's process, where it has one of its own."""

    def moments(self, folder: Path, herd: Herd) -> list[dict[str, str]]:
        """Environments that stop one process of the run (SIGSTOP) at a moment of interest, each at another."""


def home_of(folder: Path) -> Path:
    """Where the workload keeps its state."""
    return folder / "home"
