"""Where a restored ledger goes, and where the one is that is gone on with: in the state folder, or in PostgreSQL.

While a state folder is built its ledger is a SQLite file in it, wherever it was and will be. Only the last step
differs: a file takes its place with the folder; PostgreSQL gets its rows in one transaction before (`restored.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rowkeeper.errors import BackupForeign, CommitUnknown, FrameworkError, StateInUse, StateThere
from rowkeeper.ledger.copying import copy_file, faults_of_copy, mark_of_copy
from rowkeeper.ledger.server import LastEntry, LedgerServer, Standing
from rowkeeper.operations.restoring.laying import LEDGER
from rowkeeper.resilience.calls import Calls
from rowkeeper.runs.journal import log_breaker, log_try
from rowkeeper.runs.reaching import gateway_of
from rowkeeper.runs.restored import finish_restore, ledger_server, put_without_ledger
from rowkeeper.runs.secrets import secrets_of
from rowkeeper.runs.swapping import Swap
from rowkeeper.settings import Settings


class LedgerPlace(Protocol):
    """Where the ledger of a restored state folder goes."""

    is_apart: bool
    """It is not in the state folder, and may be there where that is lost."""

    @property
    def holds(self) -> str:
        """What is there that would be replaced and is in no state folder, in a few words; empty if nothing is."""

    def refuse_used(self) -> None:
        """Raises StateInUse if somebody works with what is there, as far as it knows of them."""

    def refuse_foreign(self, ledger_id: str) -> None:
        """Raises BackupForeign if what is there is not of the installation whose ledger this is."""

    def take(self, home: Path | None, draft: Path) -> str:
        """Copies what is there into the folder that is built.

        Returns why it cannot be gone on with, in a few words; empty if it was copied, or if there is nothing.
        """

    def put(self, swap: Swap, home: Path | None) -> Path | None:
        """Puts ledger and folder in their places. Returns where the former folder is.

        Raises StateInUse if what `take` copied was changed since; and as the steps do.
        """


@dataclasses.dataclass
class InFolder:
    """SQLite, in the state folder itself."""

    is_apart: bool = False
    _mark: tuple[object, ...] | None = None

    @property
    def holds(self) -> str:
        """Nothing beside the folder."""
        return ""

    def refuse_used(self) -> None:
        """Whoever uses it has the folder's files open."""

    def refuse_foreign(self, ledger_id: str) -> None:
        """Whose it is the folder says."""

    def take(self, home: Path | None, draft: Path) -> str:
        """Its file, with what its journal holds."""
        if home is None:
            return ""
        if not (home / LEDGER).exists():
            return "it has no ledger"
        try:
            copy_file(home / LEDGER, draft / LEDGER)
            faults = faults_of_copy(draft / LEDGER)
        except FrameworkError as error:
            faults = [error.what]
        if faults:
            (draft / LEDGER).unlink(missing_ok=True)
            return f"its ledger is damaged ({faults[0]})"
        self._mark = mark_of_copy(draft / LEDGER)
        return ""

    def put(self, swap: Swap, home: Path | None) -> Path | None:
        """With its folder."""
        if home is not None and self._mark is not None and mark_of_copy(home / LEDGER) != self._mark:
            raise StateInUse(f"{home} was changed while it was restored", hint="stop what uses it, and try again")
        return swap.put_in_place()


class OnServer:
    """PostgreSQL, as ROWKEEPER_LEDGER_URL says."""

    is_apart = True

    def __init__(self, server: LedgerServer, found: Standing | None) -> None:
        self._server, self._found = server, found

    @property
    def holds(self) -> str:
        """A ledger."""
        return "" if self._found is None else "the database that ROWKEEPER_LEDGER_URL leads to"

    def refuse_used(self) -> None:
        """Whoever holds a lease may be anywhere."""
        if self._found is None:
            return
        for each in self._server.in_use():
            raise StateInUse(
                f"the ledger is in use: {each.name} is held by process {each.pid} on {each.host.split(':')[0]}",
                hint="stop the workers and servers of all machines that use it, and try again; the lease of one that "
                f"is gone ends at {each.expires_at:%H:%M:%S} UTC",
            )

    def refuse_foreign(self, ledger_id: str) -> None:
        """It says so itself."""
        if self._found is not None and self._found.id != ledger_id:
            raise BackupForeign(
                f"the ledger that ROWKEEPER_LEDGER_URL leads to is another installation's ({self._found.id}) than the "
                f"backup's ({ledger_id})",
                hint="let it lead to an empty database or schema; what is there is left alone",
            )

    def take(self, home: Path | None, draft: Path) -> str:
        """Its rows, as they are at one moment."""
        if self._found is None:
            return "" if home is None else "its ledger is not where ROWKEEPER_LEDGER_URL leads to"
        self._found = self._server.copy_to(draft / LEDGER)
        (draft / LEDGER).chmod(0o600)
        return ""

    def put(self, swap: Swap, home: Path | None) -> Path | None:
        """One after the other, behind a promise."""
        del home
        last = LastEntry.of_file(swap.draft / LEDGER)
        self.refuse_used()
        swap.promise(dataclasses.asdict(last))
        try:
            self._server.lay(swap.draft / LEDGER, self._found)
        except CommitUnknown:
            raise  # whoever comes next asks again
        except FrameworkError:
            swap.withdraw()
            raise
        return put_without_ledger(swap)


@contextmanager
def ledger_place(settings: Settings, swap: Swap, *, elsewhere: bool) -> Iterator[LedgerPlace]:
    """Where the ledger goes; in PostgreSQL what a restore that died has left half done is finished first.

    Args:
        elsewhere: it is restored beside the installation, which is left alone: its ledger goes into the folder.

    Raises, before anything is done, what would keep the ledger from being put there.
    """
    if settings.ledger_url is None or elsewhere:
        yield InFolder()
        return
    calls, gateway = Calls(listeners=[log_breaker], observers=[log_try]), gateway_of(settings)
    with secrets_of(settings, calls, gateway):
        finish_restore(settings, calls, gateway)
        with ledger_server(settings, calls, gateway) as server:
            found = server.look()
            server.rehearse()
            if not swap.is_empty:
                swap.rehearse()
            yield OnServer(server, found)


def refuse_there(place: LedgerPlace, *, may: bool) -> None:
    """Raises StateThere if a ledger is in the way that is in no folder; StateInUse."""
    if place.holds and not may:
        raise StateThere(
            f"there is a ledger in {place.holds}",
            hint="--force goes on with it; or --into an empty folder, which leaves it alone",
        )
    place.refuse_used()
