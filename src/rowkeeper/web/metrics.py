"""Metrics as Prometheus reads them (text format 0.0.4): what the ledger and this process count; no names of people.

A seam for more: a family is a name, what it tells, its kind, and its samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import psutil

from rowkeeper.operations.events.counting import Counts
from rowkeeper.runs.workspace import Workspace

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Attributes:
        kind: gauge or counter.
        samples: labels and value of each.
    """

    name: str
    told: str
    kind: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def of_ledger(space: Workspace) -> list[Family]:
    """What the ledger counts."""
    ledger = space.ledger
    runs = tuple(({"pipeline": name, "status": status}, count) for name, status, count in ledger.run_counts())
    size, _ = ledger.audit.head()
    spooled, leases = len(ledger.spooled()), len(ledger.leases())
    opened = sum(each.open_seconds is not None for each in ledger.breakers.read())
    return [
        Family("rowkeeper_runs", "Runs by pipeline and status.", "gauge", runs),
        Family("rowkeeper_spooled_runs", "Runs that wait in the spool.", "gauge", (({}, spooled),)),
        Family("rowkeeper_leases", "Leases that are held.", "gauge", (({}, leases),)),
        Family("rowkeeper_breakers_open", "Hosts that are left alone.", "gauge", (({}, opened),)),
        Family("rowkeeper_audit_entries_total", "Entries of the audit trail.", "counter", (({}, size),)),
    ]


def of_process(jobs_under_way: int) -> list[Family]:
    """What this process counts."""
    process = psutil.Process()
    with process.oneshot():
        memory, times = process.memory_info().rss, process.cpu_times()
        started = process.create_time()
    return [
        Family("rowkeeper_jobs_under_way", "Jobs that wait or run.", "gauge", (({}, jobs_under_way),)),
        Family("process_resident_memory_bytes", "Memory of the server.", "gauge", (({}, memory),)),
        Family("process_cpu_seconds_total", "Processor time.", "counter", (({}, times.user + times.system),)),
        Family("process_start_time_seconds", "Start, since 1970.", "gauge", (({}, started),)),
    ]


def of_events(counts: Counts) -> list[Family]:
    """Security events, by OCSF's class and by outcome."""
    samples = tuple(({"class": of, "outcome": outcome}, count) for (of, outcome), count in sorted(counts.items()))
    return [Family("rowkeeper_security_events_total", "Security events since the trail began.", "counter", samples)]


def rendered(families: Iterable[Family]) -> str:
    """The text."""
    lines: list[str] = []
    for each in families:
        lines += [f"# HELP {each.name} {each.told}", f"# TYPE {each.name} {each.kind}"]
        for labels, value in each.samples:
            told = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            lines.append(f"{each.name}{{{told}}} {value:g}" if told else f"{each.name} {value:g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
