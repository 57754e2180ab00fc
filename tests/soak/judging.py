"""What was lost, doubled, stranded or left behind, once everything is calm."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.feeding import Feed
from tests.soak.field import Field, Unanswered
from tests.soak.watching import LONG_SECONDS, Watch

# Ctrl-C while Python itself starts, before any line of ours, ends it with these words.
PYTHON_STARTING = re.compile(r"Fatal Python error: init_import_site: .*?\nKeyboardInterrupt\n", re.DOTALL)
UNKNOWN = re.compile(r"RK-9001|Traceback \(most recent call last\)|Segmentation fault|Fatal Python error")


@dataclass
class Verdict:
    """What was found; all counts are rows, runs, processes or files that should not be.

    Attributes:
        stale: rows that a later file should have replaced.
        misbooked: pipelines whose published accounts do not add up to what was fed.
        unsound: tables that `rowkeeper verify` objects to.
        surprises: errors that Rowkeeper does not know, in what any process said.
        sealed_files_orphaned: files of rejected rows, samples and profiles that the ledger does not know.
        memory_grown: processes whose memory grew more than it may.
        limits_exceeded: processes that had more memory, descriptors or threads at some time than they may.
        slots_wrong: slots that were left out, or answered twice, or whose rows are not there.
        backups_lost: backups that prune had to keep and did not.
        backups_unsound: files of backups that are not what their manifests say.
        restores_wrong: restored states that are not what their ledgers say.
        operations_failed: operations that found something damaged, or failed with nothing in their way.
        alerts_lost: notices that nobody heard, or in another order.
        watchdog_gaps: times in which the watchdog was not heard for too long.
        scratch_left: folders in which something was restored, and half backups.
        unexercised: operations that never ended well, and faults that never met one.
    """

    rows: int = 0
    lost: int = 0
    doubled: int = 0
    stale: int = 0
    misbooked: int = 0
    stranded: int = 0
    unsound: int = 0
    surprises: int = 0
    processes_left: int = 0
    temporary_files_left: int = 0
    drafts_left: int = 0
    sealed_files_orphaned: int = 0
    staging_tables_left: int = 0
    descriptors_leaked: int = 0
    threads_leaked: int = 0
    memory_grown: int = 0
    limits_exceeded: int = 0
    slots_wrong: int = 0
    backups_lost: int = 0
    backups_unsound: int = 0
    restores_wrong: int = 0
    operations_failed: int = 0
    alerts_lost: int = 0
    watchdog_gaps: int = 0
    scratch_left: int = 0
    unexercised: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Nothing was found."""
        return not any(count for name, count in vars(self).items() if name not in ("rows", "notes"))


def settled(field: Field) -> bool:
    """Everything that was fed is published, and no run is unfinished."""
    try:
        if field.answer("status")["unfinished"]:
            return False
        tables = tables_of(field, field.feeds)
        return all(tables[feed.name][0] >= feed.good for feed in field.feeds)
    except Unanswered:  # a table that is not there yet
        return False


def judge(field: Field, verdict: Verdict) -> None:
    """Compares tables and accounts with what was fed. What cannot be asked is stranded, all of it."""
    try:
        _judge(field, verdict)
    except Unanswered as error:
        verdict.stranded += 1
        verdict.notes.append(str(error))


def _judge(field: Field, verdict: Verdict) -> None:
    for run in field.answer("status")["unfinished"]:
        verdict.stranded += 1
        verdict.notes.append(f"run {run['run']} of {run['pipeline']} is {run['status']}: {run['error']}")
    tables = tables_of(field, field.feeds)
    for feed in field.feeds:
        _judge_rows(tables[feed.name], feed, verdict)
        _judge_accounts(field, feed, verdict)
        ended = field.ask("verify", f"{feed.name}.py")
        if not ended.acknowledged:
            verdict.unsound += 1
            verdict.notes.append(f"verify {feed.name}: {(ended.errors or ended.output)[-500:]}")
    # The former table is kept, to be rolled back to: that is no leak.
    found = field.answer("query", "SELECT name FROM system.tables WHERE name LIKE '%_rk_staging%'")["rows"]
    verdict.staging_tables_left += len(found)
    verdict.notes += [f"a staging table is left: {name}" for (name,) in found]


Figures = tuple[int, int, int, int]
"""Of a table: rows, different numbers, their sum, the sum of fares."""


def tables_of(field: Field, feeds: Sequence[Feed], home: Path | None = None) -> dict[str, Figures]:
    """What is in the tables. Raises Unanswered.

    Args:
        home: another state folder than that of the soak.
    """
    figures = "count(), uniqExact(id), toInt64(sum(id)), toInt64(sum(fare))"
    sql = " UNION ALL ".join(f"SELECT '{feed.name}', {figures} FROM {feed.name}" for feed in feeds)
    found = field.answer("query", sql, home=home)["rows"] if feeds else []
    return {name: (int(rows), int(numbers), int(total), int(fares)) for name, rows, numbers, total, fares in found}


def _judge_rows(figures: Figures, feed: Feed, verdict: Verdict) -> None:
    rows, numbers, total, fares = figures
    lost, doubled = max(0, feed.good - numbers), rows - numbers
    verdict.rows += feed.rows
    verdict.lost += lost
    verdict.doubled += doubled
    if lost or doubled:
        verdict.notes.append(f"{feed.name}: {feed.good} rows expected, {rows} found, of {numbers} numbers")
    elif fares != feed.fares or numbers != feed.good:
        verdict.stale += 1
        verdict.notes.append(f"{feed.name}: numbers add up to {total}, fares to {fares} instead of {feed.fares}")


def _judge_accounts(field: Field, feed: Feed, verdict: Verdict) -> None:
    runs = field.answer("runs", "--pipeline", feed.name, "--limit", "100000")["runs"]
    accounts = [run["account"] for run in runs if run["status"] == "published"]
    read = sum(account["read"] for account in accounts)
    quarantined = sum(account["quarantined"] for account in accounts)
    if (read, quarantined) != (feed.rows, feed.bad_rows):
        verdict.misbooked += 1
        verdict.notes.append(
            f"{feed.name}: {read} rows read and {quarantined} quarantined by the books; "
            f"{feed.rows} were fed, of which {feed.bad_rows} bad"
        )


def judge_words(folder: Path, verdict: Verdict) -> None:
    """Looks for errors that nobody foresaw in all that was said."""
    for path in sorted([*folder.glob("*.err"), *folder.glob("*.out")]):
        text = PYTHON_STARTING.sub("", path.read_text(errors="replace"))
        if found := UNKNOWN.search(text):
            verdict.surprises += 1
            verdict.notes.append(f"{path.name}: {text[max(0, found.start() - 300) : found.end() + 1500]}")


def judge_processes(watches: list[Watch], verdict: Verdict) -> None:
    """What any process took at most, and how those grew that lived long."""
    for watch in watches:
        name = f"{watch.kind} {watch.process.pid}"
        verdict.limits_exceeded += bool(watch.excesses)
        verdict.notes += [f"{name} had {watch.most(what):,} {what.replace('_', ' ')}" for what in watch.excesses]
        if watch.seconds < LONG_SECONDS:
            continue
        verdict.descriptors_leaked += watch.leaked("descriptors")
        verdict.threads_leaked += watch.leaked("threads")
        if watch.growth_bytes > watch.growth_bytes_max:
            verdict.memory_grown += 1
            verdict.notes.append(
                f"{name} grew by {watch.growth_bytes / 1e6:.1f} MB in {watch.seconds / 60:.1f} min, "
                f"and may by {watch.growth_bytes_max / 1e6:.1f} MB"
            )


SEALED = {
    "quarantine": "SELECT quarantine_file FROM batches",
    "samples": "SELECT sample_file FROM gate_results UNION SELECT file FROM profiles",
}


def judge_remains(field: Field, verdict: Verdict) -> None:
    """Processes and temporary files, once all has been told to stop."""
    engine = field.engine()
    left = [each for each in field.herd.members() if engine is None or each.pid != engine.pid]
    verdict.processes_left += len(left)
    verdict.notes += [f"process {each.pid} is left: {' '.join(each.cmdline())[:200]}" for each in left]
    files = [Path(where) / name for where, _, names in os.walk(field.temporary) for name in names]
    verdict.temporary_files_left += len(files)
    verdict.notes += [f"a temporary file is left: {path}" for path in files]
    judge_state_folder(field.home, verdict)


def judge_state_folder(home: Path, verdict: Verdict) -> None:
    """Drafts that nobody finished, and sealed files of which the ledger knows nothing."""
    engines_own = [home / "engine" / name for name in ("backups", "data", "disk")]
    files = [path for path in home.rglob("*") if path.is_file() and not {*engines_own} & {*path.parents}]
    drafts = {path for path in files if path.name.startswith(".") or path.suffix == ".draft"}
    with contextlib.closing(sqlite3.connect(home / "ledger.sqlite")) as ledger:
        known = {home / folder / name for folder, sql in SEALED.items() for (name,) in ledger.execute(sql) if name}
    orphans = [path for path in files if {*path.parents} & {home / each for each in SEALED} and path not in known]
    orphans = [path for path in orphans if path not in drafts]
    verdict.drafts_left += len(drafts)
    verdict.sealed_files_orphaned += len(orphans)
    verdict.notes += [f"a draft is left: {path}" for path in sorted(drafts)]
    verdict.notes += [f"no run knows of {path}" for path in sorted(orphans)]
