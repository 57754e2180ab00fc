"""`python -m tests.soak --minutes 15`: random loads and operations under random faults. Exit status 1 if anything was
lost, doubled, stranded or left behind.

Files of all kinds come in all the time. One worker lives through it all; another is killed and started again; a fourth
pipeline is run by hand. Workers make backups, prune and try them, maintain, look at alerts; so does somebody by hand,
who restores besides: beside the live state, and now and then in its place, for which all is stopped. In the first half
engines are killed as well, in the second one engine lives through the rest. Every process is watched: what it takes at
most, and how that grows in those that live long. Then the faults end, and within `CALM_SECONDS_MAX` every row must be
where it belongs, once, by the workers' own doing, every slot answered, every alert told, every backup whole.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.soak.appraising import (
    finish,
    judge_alerts,
    judge_backups,
    judge_exercise,
    judge_scratch,
    judge_slots,
    slots_are_answered,
    told_by,
)
from tests.soak.field import Field, Unanswered
from tests.soak.judging import Verdict, judge, judge_processes, judge_remains, judge_words, settled
from tests.soak.operating import Operator
from tests.soak.outage import Outage
from tests.soak.striking import OF_OPERATIONS, Striker
from tests.soak.tripping import Tripwire
from tests.soak.vaulting import Vault
from tests.soak.watching import BOUNDS, Lookout, Watch
from tests.torture.forking import preload

CALM_SECONDS_MAX = 400.0  # a worker that failed often pauses for up to 300 s
STOP_SECONDS_MAX = 15.0
DEADLY_TO_ENGINES = frozenset({"engine killed"})
HAND_RESTS_SECONDS = 2.0
OUTAGES = (0.2, 0.4)  # at these shares of the time the live state is restored
THOROUGH_MINUTES = 5.0
"""A soak of so many minutes has to have struck and done everything at least once."""
WORKERS_DID = {
    "backed up": "backup create",
    "backups pruned": "backup prune",
    "drill passed": "backup drill",
    "maintained": "maintain",
}
"""What a worker tells of an operation that ended well."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="under faults; then everything calms down")
    parser.add_argument("--seed", type=int, default=None, help="of everything random; the processes are not")
    parser.add_argument("--every", default="every 15s", help="schedule of the workers' pipelines")
    parser.add_argument("--strike-seconds", type=float, default=3.0, help="mean time between faults")
    parser.add_argument("--feed-seconds", type=float, default=3.0, help="mean time between files")
    parser.add_argument("--outages", type=int, default=len(OUTAGES), help="how often the live state is restored")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there as well")
    return parser.parse_args()


class Soak:
    """One soak, from the first file to the last."""

    def __init__(
        self, field: Field, source: random.Random, options: argparse.Namespace, console: Console, verdict: Verdict
    ) -> None:
        self.field = field
        self.verdict = verdict
        self.source = source
        self.options = options
        self.console = console
        self.striker = Striker(field, source)
        self.lookout = Lookout(field)
        self.vault = Vault(field.place)
        self.tripwire = Tripwire(field, source)
        self.operator = Operator(field, source, verdict)
        self.outage = Outage(field, source, self.operator, self.tripwire, verdict)
        self.hands: Counter[str] = Counter()
        self.workers = 1
        self.calm_seconds = 0.0
        self.gap_seconds = 0.0
        self._hand_at = 0.0
        self._last_told = time.monotonic()

    def run(self) -> None:
        """Faults for so long, then calm; judges what is there then, and what was seen of the processes."""
        field, verdict = self.field, self.verdict
        self.tripwire.lay()
        field.start_steady()
        began = time.monotonic()
        self._storm(began)
        self._calm()
        judge(field, verdict)
        judge_processes(self.lookout.watches, verdict)
        ended = time.monotonic()
        self._stop_workers(verdict)
        judge_slots(field, verdict)
        self.gap_seconds = max(field.ear.gaps(began, ended))
        judge_alerts(field, self.tripwire, began, ended, verdict)
        finish(field, verdict, thorough=self.options.minutes >= 1)
        judge_backups(field, self.vault, self.operator, verdict, restores_max=1 + int(self.options.minutes / 2))
        judge_scratch(field, self.vault, verdict)
        judge_remains(field, verdict)
        if self.options.minutes >= THOROUGH_MINUTES:
            self._judge_exercise()

    def _storm(self, began: float) -> None:
        """Everything at once, until the time is over."""
        field, lasts = self.field, 60 * self.options.minutes
        strike_at, feed_at = began + self.source.expovariate(1 / self.options.strike_seconds), began
        outages = [began + share * lasts for share in OUTAGES[: self.options.outages]]
        while (now := time.monotonic()) < began + lasts:
            self._tend()
            self.operator.tend()
            self.tripwire.tend()
            if now >= feed_at:
                self.source.choice(field.feeds).add()
                feed_at = now + self.source.expovariate(1 / self.options.feed_seconds)
            if now >= began + lasts / 2:
                self.striker.sparing = DEADLY_TO_ENGINES
            if now >= strike_at:
                self.striker.strike()
                strike_at = now + self.source.expovariate(1 / self.options.strike_seconds)
            if outages and now >= outages[0]:
                self.striker.end_everything()
                if self.outage.take_place():
                    outages.pop(0)
                    self.striker.counts["restore killed"] += self.outage.killed_now
                else:
                    outages[0] = now + 5.0
            self.striker.end_what_is_due()
            self.lookout.look()
            self.vault.look()
            self._tell(now - began)
            time.sleep(0.1)

    def _tend(self) -> None:
        """Starts the doomed worker and the run by hand whenever they are gone."""
        field = self.field
        if field.doomed is None or field.doomed.status is not None:
            field.doomed = field.start_worker(field.of_doomed)
            self.workers += 1
        if field.hand is not None and field.hand.status is not None:
            self.hands[_outcome(field.hand.status)] += 1
            field.hand, self._hand_at = None, time.monotonic() + HAND_RESTS_SECONDS
        if field.hand is None and time.monotonic() >= self._hand_at:
            field.hand = field.start("run", f"{field.by_hand[0].name}.py", "--json")

    def _calm(self) -> None:
        """No more faults; everything must come in order by itself."""
        began, at, paused = time.monotonic(), datetime.now(UTC), False
        self.striker.end_everything()
        self.field.go_on()
        self.operator.stop()
        while time.monotonic() < began + CALM_SECONDS_MAX * self.field.crowding:
            self._tend()
            self.tripwire.tend(trips=False)
            self.lookout.look()
            self.vault.look()
            if not paused and slots_are_answered(self.field, at):  # each would bring rows, for ever
                paused = self.field.ask("schedule", "pause", self.field.by_slot.name).acknowledged
            if paused and not self.tripwire.is_waiting and settled(self.field):
                break
            time.sleep(0.5)
        self.calm_seconds = time.monotonic() - began
        hand = self.field.hand
        if hand is not None:
            hand.client.wait(timeout=60)
            self.field.hand = None

    def _judge_exercise(self) -> None:
        done = Counter({kind: times for (kind, outcome), times in self.operator.ended.items() if outcome == "done"})
        done.update({kind: told_by(self.field.folder, event) for event, kind in WORKERS_DID.items()})
        done["alerts check"] = len(self.field.ear.heard)
        struck = {kind: self.striker.counts[kind] for kind in OF_OPERATIONS if kind not in self.striker.missed}
        judge_exercise(struck, done, self.verdict)

    def _stop_workers(self, verdict: Verdict) -> None:
        for name, worker in (("steady", self.field.steady), ("doomed", self.field.doomed)):
            if worker is None:
                continue
            started = time.monotonic()
            if worker.status is None:
                os.kill(worker.pid, signal.SIGTERM)
            status: int | None = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = worker.client.wait(timeout=STOP_SECONDS_MAX * self.field.crowding)
            if status != 0:
                verdict.surprises += 1
                verdict.notes.append(f"the {name} worker ended with {status} after {time.monotonic() - started:.1f} s")

    def _tell(self, seconds: float) -> None:
        if time.monotonic() - self._last_told > 60:
            self._last_told = time.monotonic()
            rows = sum(feed.rows for feed in self.field.feeds)
            faults = sum(self.striker.counts.values())
            self.console.print(f"{seconds / 60:.0f} min: {rows:,} rows fed, {faults} faults")


def _outcome(status: int | None) -> str:
    return {0: "done", 1: "failed"}.get(status or 0, f"status {status}" if (status or 0) > 0 else "killed")


def _show(console: Console, figures: dict[str, Any], verdict: Verdict) -> None:
    for note in verdict.notes:
        console.print(note, markup=False, highlight=False, style="red")
    files = ", ".join(f"{name} {fed['files']} files {fed['rows']:,} rows" for name, fed in figures["fed"].items())
    console.print(f"fed          {verdict.rows:,} rows: {files}")
    told = ", ".join(f"{kind} {count}" for kind, count in figures["faults"].items())
    console.print(f"faults       {sum(figures['faults'].values())}: {told}")
    for kind, why in figures["not_injected"].items():
        console.print(f"not injected {kind}: {why}")
    hands = ", ".join(f"{outcome} {count}" for outcome, count in figures["runs_by_hand"].items())
    console.print(f"processes    {figures['workers']} workers; runs by hand: {hands}")
    for kind, most in figures["at_most"].items():
        console.print(
            f"             {most['processes']} {kind}s watched: at most {most['memory_bytes'] / 1e6:.0f} MB, "
            f"{most['descriptors']} descriptors, {most['threads']} threads"
        )
    did = ", ".join(f"{kind} {times}" for kind, times in figures["operations_by_hand"].items())
    console.print(f"operations   by hand: {did}; with the errors {figures['errors_of_operations']}")
    did = ", ".join(f"{event} {times}" for event, times in figures["workers_did"].items())
    restores = figures["live_restores"]
    console.print(f"             by workers: {did}; {figures['backups_seen']} backups were complete at some time")
    console.print(
        f"             live state restored {restores['done']} times, killed before {restores['killed']} times; "
        f"{restores['slots_run_again']} slots run again"
    )
    heard = figures["alerts"]
    console.print(
        f"alerts       {heard['heard']} notices heard, {heard['different']} different, {heard['watchdog']} of the "
        f"watchdog, at most {heard['watchdog_gap_seconds_most']} s without one; tripped {heard['trips']} times, "
        f"{heard['told']} changes told after {heard['told_seconds_median']} s, at most {heard['told_seconds_most']} s"
    )
    console.print(f"calm after   {figures['calm_seconds']:.1f} s; bounds in time stretched {figures['crowding']} times")
    for each in figures["long_lived"]:
        console.print(_lived(each))
    console.print("found        " + ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in figures["found"].items()))


def _lived(each: dict[str, Any]) -> str:
    memory, descriptors, threads = each["memory_bytes"], each["descriptors"], each["threads"]
    return (
        f"{each['kind']:12} {each['pid']}, {each['seconds'] / 60:.1f} min, {each['samples']} samples: "
        f"memory {memory[0] / 1e6:.1f} to {memory[1] / 1e6:.1f} MB, "
        f"slope {each['memory_slope_bytes_hour'] / 1e6:+.2f} MB/h, "
        f"which is {each['memory_growth_bytes'] / 1e6:+.2f} MB of {each['memory_growth_bytes_max'] / 1e6:.0f} allowed; "
        f"descriptors {descriptors[0]} to {descriptors[1]}, threads {threads[0]} to {threads[1]}"
    )


def _figures(soak: Soak, verdict: Verdict, seed: int) -> dict[str, Any]:
    watches = soak.lookout.watches
    return {
        "seed": seed,
        "minutes": soak.options.minutes,
        "good": verdict.is_good,
        "found": {name: count for name, count in vars(verdict).items() if name not in ("rows", "notes")},
        "notes": verdict.notes,
        "fed": {each.name: {"files": each.files, "rows": each.rows} for each in soak.field.feeds},
        "faults": {kind: soak.striker.counts[kind] for kind in sorted(soak.striker.counts)},
        "not_injected": soak.striker.missed,
        "workers": soak.workers,
        "operations_by_hand": {f"{kind} {how}": times for (kind, how), times in sorted(soak.operator.ended.items())},
        "errors_of_operations": dict(soak.operator.codes.most_common()),
        "workers_did": {event: told_by(soak.field.folder, event) for event in WORKERS_DID},
        "live_restores": {
            "done": soak.outage.restored,
            "killed": soak.outage.killed,
            "slots_run_again": soak.outage.again,
        },
        "backups_seen": len(soak.vault.seen),
        "alerts": _alerts(soak),
        "crowding": round(soak.field.crowding, 1),
        "runs_by_hand": dict(soak.hands.most_common()),
        "calm_seconds": round(soak.calm_seconds, 1),
        "at_most": {kind: _most([each for each in watches if each.kind == kind]) for kind in BOUNDS},
        "long_lived": [each.figures() for each in soak.lookout.long_lived],
    }


def _alerts(soak: Soak) -> dict[str, Any]:
    ear, told = soak.field.ear, sorted(soak.tripwire.told)
    return {
        "heard": len(ear.heard),
        "different": len({each.notice["id"] for each in ear.heard}),
        "watchdog": sum(each.kind == "watchdog" for each in ear.heard),
        "watchdog_gap_seconds_most": round(soak.gap_seconds, 1),
        "trips": soak.tripwire.trips,
        "told": len(told),
        "told_seconds_median": round(told[len(told) // 2], 1) if told else None,
        "told_seconds_most": round(told[-1], 1) if told else None,
    }


def _most(watches: list[Watch]) -> dict[str, int]:
    names = ("memory_bytes", "descriptors", "threads")
    most = {name: max((each.most(name) for each in watches), default=0) for name in names}
    return {"processes": len(watches), **most}


def main() -> int:
    """Soaks, and says what was found."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # everything is killed and unmounted
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False, soft_wrap=True)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    console.print(f"seed         {seed}")
    preload(["rowkeeper.cli"])
    source = random.Random(seed)
    verdict = Verdict()
    folder = Path(tempfile.mkdtemp(prefix="rk-soak-"))
    field = Field(folder, source, options.every, alerts_seconds=10 if options.minutes >= 1 else 2)
    with field.laid_out(timedelta(minutes=options.minutes)):
        soak = Soak(field, source, options, console, verdict)
        try:
            soak.run()
        except Unanswered as error:
            verdict.stranded += 1
            verdict.notes.append(str(error))
        judge_words(folder, verdict)
    figures = _figures(soak, verdict, seed)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    _show(console, figures, verdict)
    if verdict.is_good and not options.keep:
        shutil.rmtree(folder)
    else:
        console.print(f"kept in      {folder}")
    return 0 if verdict.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
