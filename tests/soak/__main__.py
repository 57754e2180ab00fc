"""`python -m tests.soak --minutes 15`: random loads under random faults. Exit status 1 if anything was lost, doubled,
stranded or left behind.

Files of all kinds come in all the time. One worker lives through it all and is watched; another is killed and started
again; a fourth pipeline is run by hand. Then the faults end, and within `CALM_SECONDS_MAX` every row must be where it
belongs, once, by the workers' own doing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console

from tests.soak.field import Field
from tests.soak.judging import Verdict, judge, judge_remains, judge_words, settled
from tests.soak.striking import Striker
from tests.soak.watching import Watch
from tests.torture.forking import preload

CALM_SECONDS_MAX = 400.0  # a worker that failed often pauses for up to 300 s
STOP_SECONDS_MAX = 15.0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="under faults; then everything calms down")
    parser.add_argument("--seed", type=int, default=None, help="of everything random; the processes are not")
    parser.add_argument("--every", default="every 5s", help="schedule of the workers' pipelines")
    parser.add_argument("--strike-seconds", type=float, default=3.0, help="mean time between faults")
    parser.add_argument("--feed-seconds", type=float, default=3.0, help="mean time between files")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    return parser.parse_args()


class Soak:
    """One soak, from the first file to the last."""

    def __init__(self, field: Field, source: random.Random, options: argparse.Namespace, console: Console) -> None:
        self.field = field
        self.source = source
        self.options = options
        self.console = console
        self.striker = Striker(field, source)
        self.hands: Counter[str] = Counter()
        self.workers = 1
        self.calm_seconds = 0.0
        self._last_told = time.monotonic()

    def run(self, verdict: Verdict) -> Watch:
        """Faults for so long, then calm; returns what was seen of the steady worker."""
        field = self.field
        field.steady = field.start_worker(field.of_steady)
        watch = Watch(field.steady.pid)
        began = time.monotonic()
        strike_at = began + self.source.expovariate(1 / self.options.strike_seconds)
        feed_at = began
        while (now := time.monotonic()) < began + 60 * self.options.minutes:
            self._tend()
            if now >= feed_at:
                self.source.choice(field.feeds).add()
                feed_at = now + self.source.expovariate(1 / self.options.feed_seconds)
            if now >= strike_at:
                self.striker.strike()
                strike_at = now + self.source.expovariate(1 / self.options.strike_seconds)
            self.striker.end_what_is_due()
            watch.look()
            self._tell(now - began)
            time.sleep(0.1)
        self._calm(watch)
        judge(field, verdict)
        self._stop_workers(verdict)
        judge_remains(field, verdict)
        return watch

    def _tend(self) -> None:
        """Starts the doomed worker and the run by hand whenever they are gone."""
        field = self.field
        if field.doomed is None or field.doomed.status is not None:
            field.doomed = field.start_worker(field.of_doomed)
            self.workers += 1
        if field.hand is None or field.hand.status is not None:
            if field.hand is not None:
                self.hands[_outcome(field.hand.status)] += 1
            field.hand = field.start("run", f"{field.by_hand[0].name}.py", "--json")

    def _calm(self, watch: Watch) -> None:
        """No more faults; everything must come in order by itself."""
        began = time.monotonic()
        self.field.go_on()
        while time.monotonic() < began + CALM_SECONDS_MAX:
            self._tend()
            self.striker.end_what_is_due()
            watch.look()
            if settled(self.field):
                break
            time.sleep(0.5)
        self.calm_seconds = time.monotonic() - began
        hand = self.field.hand
        if hand is not None:
            hand.client.wait(timeout=60)
            self.field.hand = None

    def _stop_workers(self, verdict: Verdict) -> None:
        for name, worker in (("steady", self.field.steady), ("doomed", self.field.doomed)):
            if worker is None:
                continue
            started = time.monotonic()
            if worker.status is None:
                os.kill(worker.pid, signal.SIGTERM)
            status: int | None = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = worker.client.wait(timeout=STOP_SECONDS_MAX)
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


def _show(console: Console, soak: Soak, watch: Watch, verdict: Verdict) -> None:
    feeds = soak.field.feeds
    for note in verdict.notes:
        console.print(note, markup=False, highlight=False, style="red")
    files = ", ".join(f"{feed.name} {feed.files} files {feed.rows:,} rows" for feed in feeds)
    console.print(f"fed          {verdict.rows:,} rows: {files}")
    counts = soak.striker.counts
    told = ", ".join(f"{kind} {counts[kind]}" for kind in sorted(counts))
    console.print(f"faults       {sum(counts.values())}: {told}")
    for kind, why in soak.striker.missed.items():
        console.print(f"not injected {kind}: {why}")
    hands = ", ".join(f"{outcome} {count}" for outcome, count in soak.hands.most_common())
    console.print(f"processes    {soak.workers} workers; runs by hand: {hands}")
    console.print(f"calm after   {soak.calm_seconds:.1f} s")
    first, last = watch.settled[0], watch.settled[-1]
    console.print(
        f"steady worker {last.seconds / 60:.1f} min, {len(watch.samples)} samples: "
        f"memory {first.memory_bytes / 1e6:.1f} to {last.memory_bytes / 1e6:.1f} MB, "
        f"slope {watch.memory_slope / 1e6:+.2f} MB/h; "
        f"descriptors {first.descriptors} to {last.descriptors}, threads {first.threads} to {last.threads}"
    )
    found = {name: count for name, count in vars(verdict).items() if name not in ("rows", "notes")}
    console.print("found        " + ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in found.items()))


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
    field = Field(folder, source, options.every)
    with field.laid_out():
        soak = Soak(field, source, options, console)
        watch = soak.run(verdict)
        judge_words(folder, verdict)
    verdict.descriptors_leaked = max(0, watch.leaked("descriptors"))
    verdict.threads_leaked = max(0, watch.leaked("threads"))
    _show(console, soak, watch, verdict)
    if verdict.is_good and not options.keep:
        shutil.rmtree(folder)
    else:
        console.print(f"kept in      {folder}")
    return 0 if verdict.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
