"""What lies where under `engine/` in the state folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True)
class EnginePlaces:
    """The embedded engine's folder.

    data/       chDB's own: metadata, and tables that are not encrypted (none of ours)
    backups/    where ClickHouse writes its own backups, and reads them; each is there only while it is worked with
    disk/       the encrypted disk: our tables and their staging
    host.sock   ClickHouse's HTTP interface
    host.secret the password of the user `rowkeeper`, made anew by each host
    host.lock   held by the host as long as it lives
    start.lock  held while a host is being started
    host.log, config.xml, users.xml
    """

    folder: Path

    @classmethod
    def under(cls, home: Path) -> EnginePlaces:
        """Those of the state folder `home`."""
        return cls(home / "engine")

    @property
    def data(self) -> Path:
        """chDB's path."""
        return self.folder / "data"

    @property
    def backups(self) -> Path:
        """Where ClickHouse may write and read backups."""
        return self.folder / "backups"

    @property
    def disk(self) -> Path:
        """What the encrypted disk lies on."""
        return self.folder / "disk"

    @property
    def socket(self) -> Path:
        """Where the host listens."""
        return self.folder / "host.sock"

    @property
    def secret(self) -> Path:
        """The password of the writing user."""
        return self.folder / "host.secret"

    @property
    def log(self) -> Path:
        """The host's standard error."""
        return self.folder / "host.log"

    @property
    def host_lock(self) -> Path:
        """Held for the host's life."""
        return self.folder / "host.lock"

    @property
    def start_lock(self) -> Path:
        """Held while a host is being started."""
        return self.folder / "start.lock"
