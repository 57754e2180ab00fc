"""Is what was restored what the books say? Every row is hashed anew, every file is read, every key is unwrapped."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from rowkeeper.batch import Fingerprint
from rowkeeper.destinations import ClickHouseDestination
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import end_host
from rowkeeper.errors import IntegrityError, RestoreUnsound, SecurityError
from rowkeeper.ledger.audit.verifying import verify as verify_trail
from rowkeeper.ledger.restoring import TableThen
from rowkeeper.protocols import RunRows
from rowkeeper.runs.reconciling import check_commit
from rowkeeper.runs.workspace import Workspace

NOBODYS = 0  # rows that no run brought are in no books; they are there again as they were


@dataclasses.dataclass(frozen=True, slots=True)
class TableProved:
    """A table that is what the books say.

    Attributes:
        run: whose state it is; None where there is no table, as there was none then.
        fingerprint: of all its rows that runs brought, as they were read.
    """

    target: str
    run: int | None
    fingerprint: Fingerprint

    def as_dict(self) -> dict[str, object]:
        """The JSON document."""
        return {
            "target": self.target,
            "run": self.run,
            "rows": self.fingerprint.rows,
            "fingerprint": str(self.fingerprint),
        }


def prove(
    space: Workspace, tables: Sequence[TableThen], placed: Mapping[str, ClickHouseDestination]
) -> list[TableProved]:
    """Compares tables and ledger with each other and with the point that was gone back to.

    1. The engine is started anew: what it reads is what is on the disk.
    2. Each table has the commit record that the ledger expects, sound parts, and rows that hash to what the books say
       of each run; and the books say what they said at the point.
    3. The ledger's file is sound, and so is the trail in it.

    Args:
        placed: where tables are that are not in their places yet, by target.

    Raises RestoreUnsound.
    """
    end_host(EnginePlaces.under(space.folder.path))
    try:
        proved = [_proved(space, then, placed.get(then.target)) for then in tables]
    except IntegrityError as error:
        raise _unsound(error.what) from error
    faults = space.ledger.check() or list(verify_trail(space.ledger.audit, {}).findings)
    if faults:
        raise _unsound(f"the ledger: {faults[0]}")
    return proved


def _proved(space: Workspace, then: TableThen, placed: ClickHouseDestination | None) -> TableProved:
    books = space.ledger.balance(then.target)
    if books != then.books:
        raise _unsound(f"the books of {then.target} are not those of run {then.run}")
    last = space.ledger.last_published(then.target)
    if last is None:
        return TableProved(then.target, None, Fingerprint())
    session = (placed or ClickHouseDestination.from_description(last.destination)).connect(space.site, None)
    try:
        check_commit(space.ledger, session, then.target)
        session.check_parts()
        wrong = [each for each in session.verify(books) if not each.sound and each.run != NOBODYS]
    finally:
        session.close()
    if wrong:
        raise unsound_rows(then.target, wrong)
    return TableProved(then.target, then.run, then.fingerprint)


def prove_sealed(space: Workspace) -> int:
    """Opens every sealed file there is, and every keyset. Returns how many files. Raises RestoreUnsound."""
    count = 0
    seals = {"quarantine": space.quarantine, "samples": space.samples, "spool": space.spool}
    try:
        for purpose in space.keysets.records():
            space.keysets.of(purpose)
        for folder, seal in seals.items():
            root = space.folder.path / folder
            for path in sorted(root.rglob("*.sealed")):
                seal.read(str(path.relative_to(root)))
                count += 1
    except (IntegrityError, SecurityError) as error:
        raise _unsound(error.what) from error
    return count


def unsound_rows(target: str, wrong: Sequence[RunRows]) -> RestoreUnsound:
    """What to raise for a table whose rows are not those of the books."""
    return _unsound(
        f"{target} has {sum(each.found.rows for each in wrong):,} rows of run {wrong[0].run}, and the books "
        f"say {sum(each.expected.rows for each in wrong):,}, or others"
    )


def _unsound(why: str) -> RestoreUnsound:
    return RestoreUnsound(
        f"what was restored is not what was backed up: {why}",
        hint="rowkeeper backup verify tells whether the backup is sound; restore another one, or to another run",
    )
