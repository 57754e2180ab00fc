"""`rowkeeper backup prune`: what a kept backup needs is never removed, whatever is damaged and whatever dies."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rowkeeper.errors import SettingsError
from rowkeeper.ledger.appointments import Appointment
from rowkeeper.ledger.leases import BACKUPS as LEASE
from rowkeeper.operations.backups.due import backup_due, full_due
from rowkeeper.operations.backups.listing import COMPLETE, list_backups
from rowkeeper.operations.backups.manifest import Kind
from rowkeeper.operations.backups.pruning import prune_backups
from rowkeeper.resilience.failpoints import FailpointError, arm
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings
from tests import extent
from tests.access.governed import opened
from tests.arena import KILLED, Arena, Outcome, Running
from tests.operations.backups.furnished import furnish, load
from tests.operations.backups.made import FILES, begin, id_of, make

BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POINTS = ("backup.after_unmade", "backup.after_file_removed", "prune.after_entry", "prune.after_remove")
LEASE_HELD, LEDGER_LOCKED = "RK-3401", "RK-3301"
places = itertools.count()


@pytest.fixture(scope="module")
def space(arena: Arena) -> Iterator[Workspace]:
    arena.env["ROWKEEPER_EGRESS"] = "off"
    arena.ok("runs")
    with opened(arena) as space:
        yield space


def chain(space: Workspace, place: Path, days: range, full_every: int = 3) -> list[str]:
    """A backup a day, of which each so many is a full one."""
    ids: list[str] = []
    for day in days:
        kind = Kind.INCREMENTAL if day % full_every else Kind.FULL
        needs = ids[len(ids) - day % full_every :] if day % full_every else []
        ids.append(id_of(BEGIN + day * DAY, kind))
        make(space, place, ids[-1], tuple(needs))
    return ids


def states(space: Workspace, place: Path) -> dict[str, str]:
    return {each.id: each.state for each in list_backups(space, place=str(place)).backups}


def test_what_is_kept_stays_whole_and_the_rest_is_gone(space: Workspace, tmp_path: Path):
    """Of seven days with chains of three: the newest, and the two that it does not need go, all their files too."""
    ids = chain(space, tmp_path, range(6))
    before = prune_backups(space, keep="1 last", dry_run=True, place=str(tmp_path))
    assert states(space, tmp_path) == dict.fromkeys(ids, COMPLETE)
    pruned = prune_backups(space, keep="1 last", place=str(tmp_path))
    assert (pruned.removed, list(pruned.kept)) == (tuple(reversed(ids[:3])), ids[3:])
    assert before.removed == pruned.removed
    assert pruned.bytes == 3 * sum(map(len, FILES.values()))
    assert states(space, tmp_path) == dict.fromkeys(ids[3:], COMPLETE)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*ids[3:], "manifests"])
    assert not list((tmp_path / "manifests").glob(f"{ids[0]}*"))


def test_what_dead_processes_began_goes_too(space: Workspace, tmp_path: Path):
    """Half a backup is none; a good one beside it is untouched."""
    (id,) = chain(space, tmp_path, range(1))
    half = id_of(BEGIN + DAY, Kind.INCREMENTAL)
    begin(space, tmp_path, half)
    assert prune_backups(space, keep="1 last", place=str(tmp_path)).leftovers == (half,)
    assert states(space, tmp_path) == {id: COMPLETE}
    assert not (tmp_path / half).exists()


def test_another_installations_backups_are_left_alone(space: Workspace, tmp_path: Path):
    """They are told of, and never removed."""
    other = id_of(BEGIN - DAY, Kind.FULL)
    make(space, tmp_path, other, ledger_id="f" * 32)
    ids = chain(space, tmp_path, range(0, 6, 3))
    pruned = prune_backups(space, keep="1 last", damaged=True, place=str(tmp_path))
    assert (pruned.removed, pruned.kept[other]) == ((ids[0],), ("of another installation",))
    assert (tmp_path / "manifests" / f"{other}.json").exists()


def test_none_is_removed_while_one_is_made(space: Workspace, tmp_path: Path):
    """Whoever makes one may be about to go on from the one that would go."""
    chain(space, tmp_path, range(2), full_every=1)
    lease = space.ledger.acquire_lease(LEASE, 60)
    try:
        with pytest.raises(Exception, match="held"):
            prune_backups(space, keep="1 last", place=str(tmp_path))
    finally:
        space.ledger.release_lease(lease)
    assert len(states(space, tmp_path)) == 2


def test_how_many_are_kept_has_to_be_said(space: Workspace, tmp_path: Path):
    """Nothing is removed by a default."""
    with pytest.raises(SettingsError, match="it is not set how many"):
        prune_backups(space, place=str(tmp_path))


@pytest.mark.parametrize("point", extent.sample("kills of prune", POINTS, 4 if extent.whole else 2))
def test_killed_anywhere_what_is_left_is_whole_or_claims_nothing(
    arena: Arena, space: Workspace, tmp_path: Path, point: str
):
    """SIGKILL of the command; no backup is broken then, and the next one finishes."""
    ids = chain(space, tmp_path, range(6))
    words = ("backup", "prune", "--keep", "1 last", "--to", str(tmp_path))
    nth = "@2" if point == "backup.after_file_removed" else ""
    assert arena.run(*words, failpoints=f"{point}=kill{nth}").status == KILLED
    found = states(space, tmp_path)
    assert set(found.values()) <= {COMPLETE, "begun"}
    assert all(found[id] == COMPLETE for id in ids[3:])
    assert arena.run(*words).status == 0
    assert states(space, tmp_path) == dict.fromkeys(ids[3:], COMPLETE)
    assert arena.ok(*words)["removed"] == []


def pruned(arena: Arena) -> Outcome:
    """How a pruning ended, once no backup's lease was in its way."""
    while True:
        outcome = arena.run("backup", "prune", "--keep", "1 last", "--json")
        if not outcome.status or outcome.json["error"]["code"] != LEASE_HELD:
            return outcome


def silent(arena: Arena) -> tuple[Running, Outcome]:
    """A backup that stood still until its lease was over, and the pruning that found it so."""
    slow = arena.start("backup", "create", failpoints="backup.after_send=stop", env={"ROWKEEPER_LEASE_SECONDS": "1"})
    slow.wait_stopped()
    outcome = pruned(arena)
    if not outcome.status:
        return slow, outcome
    assert outcome.json["error"]["code"] == LEDGER_LOCKED, outcome  # it was stopped as it renewed its lease
    slow.signal(signal.SIGKILL)
    slow.wait()
    assert pruned(arena).status == 0  # of what it left: another one, then
    return silent(arena)


def test_a_process_that_was_silent_for_too_long_completes_no_backup(own_arena: Arena, tmp_path: Path):
    """Others took what it had sent for a leftover: it finds its lease lost, and nothing claims to be a backup."""
    furnish(own_arena, tmp_path / "backups")
    load(own_arena, 1, names=("added",))
    slow, found = silent(own_arena)
    assert len(found.json["leftovers"]) == 1
    slow.go_on()
    ended = slow.wait()
    assert (ended.status, "RK-3402" in ended.stderr) == (1, True), ended
    assert list(tmp_path.glob("backups/manifests/*.json")) == []


# --------------------------------------------------------------------------------------------- the proof


class Place(RuleBasedStateMachine):
    """A place with backups, to which anything happens that can: it never loses what a kept backup needs."""

    space: Workspace
    root: Path

    @initialize()
    def begin(self) -> None:
        self.place = self.root / str(next(places))
        self.now = BEGIN
        self.sound = True  # the last pruning came to its end, and nothing happened since

    def _good(self) -> dict[str, tuple[str, ...]]:
        """Those that can be restored, with what they need, by what `backup list` says."""
        found = list_backups(self.space, place=str(self.place)).backups
        return {each.id: each.manifest.needs for each in found if each.manifest and each.state == COMPLETE}

    @rule(hours=st.sampled_from([1, 7, 24, 24 * 8, 24 * 40, -5]))
    def time_goes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(full=st.booleans(), dies=st.booleans())
    def create(self, full: bool, dies: bool) -> None:
        """Goes on from the newest good one, as `backup create` does; names sort by time, whatever the clock does."""
        good = self._good()
        base = None if full or not good else max(good)
        taken = [path.name.partition(".")[0] for path in self.place.glob("manifests/*")]
        while any(each.startswith(self.now.strftime("%Y%m%dT%H%M%SZ")) for each in taken) or (
            taken and id_of(self.now, Kind.FULL) < max(taken)
        ):
            self.now += timedelta(hours=1)
        id = id_of(self.now, Kind.FULL if base is None else Kind.INCREMENTAL)
        if dies:
            begin(self.space, self.place, id)
        else:
            make(self.space, self.place, id, () if base is None else (*good[base], base))

    @precondition(lambda self: self.place.exists())
    @rule(which=st.integers(0, 20), how=st.sampled_from(["manifest", "file", "missing", "short"]))
    def damage(self, which: int, how: str) -> None:
        manifests = sorted(self.place.glob("manifests/*.json"))
        if not manifests:
            return
        manifest = manifests[which % len(manifests)]
        pack = self.place / manifest.stem / "tables-0"
        if how == "manifest":
            manifest.write_bytes(manifest.read_bytes().replace(b"tables-0", b"tables-1", 1))
        elif how == "missing":
            pack.unlink(missing_ok=True)
        elif pack.exists():
            pack.write_bytes(b"" if how == "short" else b"sour")

    @rule(
        keep=st.sampled_from(["1 last", "2 daily", "1 weekly, 1 monthly", "3 last, 2 yearly"]),
        damaged=st.booleans(),
        dies=st.none() | st.tuples(st.sampled_from(POINTS), st.integers(1, 4)),
    )
    def prune(self, keep: str, damaged: bool, dies: tuple[str, int] | None) -> None:
        before = self._good()
        arm(f"{dies[0]}=raise@{dies[1]}" if dies else "")
        try:
            prune_backups(self.space, keep=keep, damaged=damaged, place=str(self.place))
        except FailpointError:
            pass
        else:
            arm("")
            again = prune_backups(self.space, keep=keep, damaged=damaged, place=str(self.place))
            assert (again.removed, again.leftovers) == ((), ())
        finally:
            arm("")
        after = self._good()
        assert set(after) <= set(before)
        broken = {each.id for each in list_backups(self.space, place=str(self.place)).backups if each.state == "broken"}
        assert not broken & set(before), "a good backup lost something that it needs"
        if before:
            assert max(before) in after, "the newest good chain is gone"

    @invariant()
    def nothing_claims_what_it_has_not(self) -> None:
        """A good one has all of its files, and all that it needs is good."""
        good = self._good()
        for id, needs in good.items():
            assert set(needs) <= set(good)
            assert {path.name for path in (self.place / id).iterdir()} == set(FILES)


def test_a_place_of_backups_whatever_happens_to_it(space: Workspace, tmp_path: Path):
    """Creates, prunes, deaths between two removals, damage, half a backup, a clock that jumps: in any order."""

    class Own(Place):
        pass

    Own.space, Own.root = space, tmp_path
    run_state_machine_as_test(
        Own,
        settings=settings(
            max_examples=extent.examples(8, 300),
            stateful_step_count=extent.examples(10, 30),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# --------------------------------------------------------------------------------------------- when it is due


def test_a_backup_is_due_by_schedule_and_after_so_many_runs(space: Workspace):
    """Whichever comes first; not while a pause after a failure goes on, and not where no place is set."""
    now = datetime.now(UTC)

    def due(found: Appointment, **more: Any) -> bool:
        given = {"backup_to": "/backups", **more}
        return backup_due(Settings(**given), space.ledger, found, now)

    kept = Appointment("backup", now - timedelta(hours=2))
    assert not due(kept)
    assert due(kept, backup_schedule="every 1h")
    assert not due(kept, backup_schedule="every 1h", backup_to=None)
    assert not due(Appointment("backup", now - DAY, 1, now + DAY), backup_schedule="every 1h")
    assert not due(kept, backup_after_runs=1)


@pytest.mark.parametrize(
    ("every", "days", "full"), [("7d", 6, True), ("7d", 0, False), ("off", 900, False), ("0 1 * * 0", 8, True)]
)
def test_when_the_next_one_is_full(every: str, days: int, full: bool):
    """The first of all, and the first in each period of its schedule; `7d` counts from a Thursday, as `every 7d`."""
    assert full_due(every, [], BEGIN)
    newest = datetime(2026, 1, 1, 1, tzinfo=UTC)  # a Thursday
    ids = [id_of(newest, Kind.FULL), id_of(newest + timedelta(hours=1), Kind.INCREMENTAL)]
    assert full_due(every, ids, newest + timedelta(days=days + (days == 6), hours=2)) is full
