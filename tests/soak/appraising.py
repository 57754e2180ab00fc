"""What the operations left, once everything is calm: slots, backups, alerts, and whatever should be gone."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.soak.field import KEPT, OPERATIONS, Field, Unanswered
from tests.soak.judging import Verdict
from tests.soak.operating import Operator
from tests.soak.slotting import faults_of_slots, slots_in
from tests.soak.tripping import Tripwire
from tests.soak.vaulting import Vault

GAP_SECONDS_MAX = 90.0
"""Between two notices of the watchdog, of the time in which its receiver is up. One is made every 15 s, but by
processes that are killed and stand still, and not before their leases and pauses are over."""
PATIENCE_SECONDS = 60.0
LAST = (("backup", "create"), ("backup", "prune"))
MORE = (("backup", "drill"), ("maintain",))
"""Given in the end: they take away what those left that were killed, and must succeed."""
DELIVERED = "SELECT id, kind FROM alert_notices WHERE outcome = 'delivered' ORDER BY number"
UNDELIVERED = "SELECT id, kind, outcome FROM alert_notices WHERE outcome <> 'delivered' AND made_at < ?"


@contextlib.contextmanager
def ledger_of(field: Field) -> Iterator[sqlite3.Connection]:
    """Its database, to be read."""
    with contextlib.closing(sqlite3.connect(field.home / "ledger.sqlite")) as ledger:
        yield ledger


def slots_are_answered(field: Field, until: datetime) -> bool:
    """Whether none is due any more of those that ended by then."""
    with ledger_of(field) as ledger:
        found = [each for slots in slots_in(ledger).values() for each in slots]
    return not any(each.state == "due" and each.until.replace(tzinfo=UTC) <= until for each in found)


def judge_slots(field: Field, verdict: Verdict) -> None:
    """Every slot was answered once, by the ledger; and by the table, in which each has rows of its own."""
    feed = field.by_slot
    with ledger_of(field) as ledger:
        faults = faults_of_slots(ledger, {feed.name: feed.seconds})
        done = [each.file for each in slots_in(ledger).get(feed.name, []) if each.state == "done"]
    try:
        rows = field.answer("query", f"SELECT id FROM {feed.name} ORDER BY id")["rows"] if done else []
        found, expected = [int(id) for (id,) in rows], feed.ids_of(done)
        if found != expected:
            lacking, many = sorted(set(expected) - set(found)), len(found) - len(set(found))
            faults.append(f"{feed.name}: the rows {lacking[:9]} of answered slots are missing, {many} are there twice")
    except Unanswered as error:
        faults.append(str(error))
    verdict.slots_wrong += len(faults)
    verdict.notes += faults


def judge_alerts(field: Field, tripwire: Tripwire, began: float, ended: float, verdict: Verdict) -> None:
    """Each was told, in order; and the watchdog was heard all the time.

    Args:
        began, ended: from when to when workers looked, by the monotonic clock.
    """
    heard = list(dict.fromkeys(each.notice["id"] for each in field.ear.heard))  # more than once is allowed
    long_ago = (datetime.now(UTC) - timedelta(seconds=PATIENCE_SECONDS * field.crowding)).replace(tzinfo=None)
    with ledger_of(field) as ledger:
        delivered = [id for id, _ in ledger.execute(DELIVERED)]
        waiting = list(ledger.execute(UNDELIVERED, (str(long_ago),)))
    faults = [
        f"the notice {id} was delivered, says the ledger, and nobody heard it" for id in delivered if id not in heard
    ]
    faults += [f"the notice {id} ({kind}) was not delivered: {outcome or 'it waits'}" for id, kind, outcome in waiting]
    if [id for id in heard if id in delivered] != [id for id in delivered if id in heard]:
        faults.append("notices were heard in another order than they were made in")
    faults += tripwire.untold
    gaps = [each for each in field.ear.gaps(began, ended) if each > GAP_SECONDS_MAX * field.crowding]
    verdict.alerts_lost += len(faults)
    verdict.watchdog_gaps += len(gaps)
    verdict.notes += faults
    verdict.notes += [f"nothing was heard of the watchdog for {each:.0f} s" for each in gaps]


def finish(field: Field, verdict: Verdict, *, thorough: bool) -> None:
    """The last operations, with nobody else at work.

    Args:
        thorough: a drill too, and maintenance; otherwise a drill only if one that was killed has left its place.
    """
    drilled = field.home.with_name(f"{field.home.name}.drill.restoring").exists()
    for words in (*LAST, *(MORE if thorough else MORE[:1] if drilled else ())):
        ended = field.ask(*words)
        if not ended.acknowledged:
            verdict.operations_failed += 1
            verdict.notes.append(f"{' '.join(words)} in the end: {(ended.errors or ended.output)[-800:]}")


def judge_backups(field: Field, vault: Vault, operator: Operator, verdict: Verdict, *, restores_max: int) -> None:
    """None was lost, all that are there are whole, and each of the newest can be restored."""
    vault.look()
    faults = vault.faults()
    verdict.backups_lost += len(vault.lost)
    if len(vault.kept) < min(KEPT, len(vault.seen)):
        faults.append(f"{len(vault.kept)} backups are there of {len(vault.seen)}")
    try:
        for each in field.answer("backup", "verify")["backups"]:
            faults += each["findings"]
    except Unanswered as error:
        faults.append(str(error))
    verdict.backups_unsound += len(faults)
    verdict.notes += [*vault.lost, *faults]
    for id in vault.kept[::-1][:restores_max]:
        home = field.folder / "looks" / id
        ended = field.ask("restore", "--into", str(home), "--backup", id)
        if ended.acknowledged:
            operator.judge_restored(home)
        else:
            verdict.restores_wrong += 1
            verdict.notes.append(f"restore --backup {id}: {(ended.errors or ended.output)[-500:]}")
        operator.remove(home)


def judge_scratch(field: Field, vault: Vault, verdict: Verdict) -> None:
    """Folders in which something was built, and half backups."""
    work = field.home / "engine" / "backups"
    left = [path for path in field.disk.iterdir() if path not in (field.home, field.ballast)]
    left += [path for path in (*work.iterdir(), *work.glob("work/*")) if path != work / "work"]
    left += list((field.folder / "looks").glob("*"))
    left += vault.remains()
    verdict.scratch_left += len(left)
    verdict.notes += [f"left behind: {path}" for path in left]


def judge_exercise(struck: dict[str, int], done: dict[str, int], verdict: Verdict) -> None:
    """A soak in which an operation never ended well, or was never struck, says nothing about it.

    Args:
        struck: by kind of fault, of those that are about operations, how often.
        done: by operation, how often it ended well.
    """
    idle = [f"no {each} ended well" for each in OPERATIONS if not done.get(each)]
    idle += [f"never: {kind}" for kind, times in struck.items() if not times]
    verdict.unexercised += len(idle)
    verdict.notes += idle


def told_by(folder: Path, event: str) -> int:
    """How often a worker told this."""
    return sum(path.read_text(errors="replace").count(f'"event": "{event}"') for path in folder.glob("*.out"))
