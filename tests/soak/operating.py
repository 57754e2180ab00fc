"""Operations that somebody gives by hand between strikes: backups, prunes, drills, maintenance, restores beside the
live state. What a restore brings is compared with the files that its ledger says were loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import shutil
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.soak.field import Field, Started, Unanswered
from tests.soak.judging import Verdict, tables_of
from tests.soak.vaulting import manifests_in

REST_SECONDS = 6.0
"""Mean time between the end of one and the next."""
WORDS = {
    "backup create": 3,
    "backup prune": 2,
    "backup drill": 1,
    "backup verify": 1,
    "maintain": 1,
    "restore": 3,
}
"""How often each is given."""
AWAITED_SHARE = 0.6
"""So often it is one for which somebody lies in wait."""
ALARMING = frozenset(
    {"RK-5001", "RK-5002", "RK-5003", "RK-5004", "RK-5005", "RK-7003", "RK-7004", "RK-7006", "RK-7023", "RK-7024"}
)
"""Errors that say that something is damaged or lacking: no kill, no full disk may lead to one."""
LOADED = """
SELECT r.pipeline, json_extract(p.detail, '$.path') FROM run_partitions p JOIN runs r ON r.run = p.run
WHERE r.status = 'published' AND p.complete ORDER BY r.publish_order, p.ordinal
"""


@dataclasses.dataclass
class Operator:
    """Gives one operation at a time.

    Attributes:
        ended: how they ended: kind and outcome.
        codes: of the errors with which they ended.
    """

    field: Field
    source: random.Random
    verdict: Verdict
    ended: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    codes: Counter[str] = dataclasses.field(default_factory=Counter)
    _words: tuple[str, ...] = ()
    _there: frozenset[str] = frozenset()
    _next: float = 0.0
    _count: int = 0

    def tend(self) -> None:
        """Takes in what has ended, and gives the next if it is time for it."""
        if self.field.operating is not None:
            kind, started = self.field.operating
            if started.status is not None:
                self.field.operating = None
                self._take_in(kind, started)
                self._next = time.monotonic() + self.source.expovariate(1 / REST_SECONDS)
        elif time.monotonic() >= self._next:
            self._begin()

    def _begin(self) -> None:
        if not self._words:
            awaited = self.field.awaited & set(WORDS)
            chosen = sorted(awaited) if awaited and self.source.random() < AWAITED_SHARE else list(WORDS)
            (kind,) = self.source.choices(chosen, [WORDS[each] for each in chosen])
            self._words = tuple(kind.split()) if kind != "restore" else self._restore()
        kind = self._words[0] if self._words[0] == "restore" else " ".join(self._words[:2])
        self._there = frozenset(manifests_in(self.field.place))
        self.field.operating = (kind, self.field.start(*self._words, "--json"))

    def _restore(self) -> tuple[str, ...]:
        """To a run that a backup has, or to the newest state."""
        self._count += 1
        into = self.field.folder / "looks" / f"{self._count:03}"
        runs = runs_in(self.field)
        to = ("--to", str(self.source.choice(runs))) if runs and self.source.random() < 0.7 else ()
        return ("restore", "--into", str(into), *to)

    def _take_in(self, kind: str, started: Started) -> None:
        status, document = started.status, self.field.said(started) or {}
        code = str((document.get("error") or {}).get("code", ""))
        self.ended[kind, _outcome(status)] += 1
        self.codes.update([code] if code else [])
        self._judge(kind, status, document, code)
        if kind == "restore":
            if status == 0:
                self.judge_restored(Path(document["folder"]))
            if status is not None and status < 0:
                return  # given again: it must end well
            self.remove(Path(self._words[2]))
        self._words = ()

    def _judge(self, kind: str, status: int | None, document: dict[str, Any], code: str) -> None:
        """Whether it found something damaged that was there all the time."""
        found = [str(document["error"]["what"])] if code in ALARMING else []
        for each in document.get("backups", ()) if kind == "backup verify" and status == 1 else ():
            found += each.get("findings", ())
        if (
            found and self._there and self._there <= frozenset(manifests_in(self.field.place))
        ):  # nothing was pruned meanwhile
            self.verdict.operations_failed += 1
            self.verdict.notes.append(f"{' '.join(self._words)}: {code} {'; '.join(found)}")

    def judge_restored(self, home: Path) -> None:
        """What a state folder has, and what its ledger says that it has."""
        faults = faults_of_restored(self.field, home)
        self.verdict.restores_wrong += bool(faults)
        self.verdict.notes += faults

    def remove(self, home: Path) -> None:
        """A look is over."""
        self.field.end_engine_of(home)
        for each in (home, home.with_name(f"{home.name}.restoring")):
            shutil.rmtree(each, ignore_errors=True)

    def stop(self) -> None:
        """Ends what is under way; one that was killed is not given again."""
        if self.field.operating is not None:
            _, started = self.field.operating
            with contextlib.suppress(ProcessLookupError):
                started.client.wait(timeout=120)
            self.tend()
        if self._words and self._words[0] == "restore":
            self.field.end_engine_of(Path(f"{self._words[2]}.restoring"))
            self.remove(Path(self._words[2]))
        self._words = ()


def runs_in(field: Field) -> list[int]:
    """Runs to which the backups claim to lead, but for those from before the oldest of them."""
    manifests = list(manifests_in(field.place).values())
    first = next((each["run"] for each in manifests if each["kind"] == "full" and each["run"]), None)
    if first is None:
        return []
    points = {
        run
        for each in manifests
        for table in each["tables"]
        for snapshot in table["snapshots"]
        for run in snapshot["points"]
    }
    return sorted(run for run in points if run >= first)


def faults_of_restored(field: Field, home: Path) -> list[str]:
    """A sentence for each table whose rows are not those of the files that the ledger there says were loaded."""
    loaded: dict[str, list[str]] = {}
    with contextlib.closing(sqlite3.connect(home / "ledger.sqlite")) as ledger:
        for pipeline, path in ledger.execute(LOADED):
            loaded.setdefault(pipeline, []).append(Path(path).name)
    feeds = [feed for feed in field.feeds if feed.name in loaded]
    try:
        found = tables_of(field, feeds, home)
    except Unanswered as error:
        return [str(error)]
    expected = {feed.name: feed.figures_of(loaded[feed.name]) for feed in feeds}
    return [
        f"{home}: {name} has {found.get(name)} instead of {figures}"
        for name, figures in expected.items()
        if found.get(name) != figures
    ]


def _outcome(status: int | None) -> str:
    return {0: "done", 1: "failed", 2: "refused"}.get(status or 0, "killed")
