"""What is of a server alone: its process, its jobs, and the security events that it has counted."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from rowkeeper.operations.events.counting import Counts
from rowkeeper.operations.metrics import catalogue
from rowkeeper.operations.metrics.family import Family, families, family


def of_process(jobs_under_way: int) -> Iterator[Family]:
    """What this process counts."""
    process = psutil.Process()
    with process.oneshot():
        memory, times = process.memory_info().rss, process.cpu_times()
        started = process.create_time()
    yield family(catalogue.JOBS, ((), jobs_under_way))
    yield family(catalogue.MEMORY, ((), memory))
    yield family(catalogue.CPU, ((), times.user + times.system))
    yield family(catalogue.STARTED, ((), started))


def of_events(counts: Counts) -> Iterator[Family]:
    """Security events, by OCSF's class and by outcome."""
    yield families(catalogue.SECURITY_EVENTS, sorted(counts.items()))
