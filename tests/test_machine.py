"""What a control group grants is read as the kernel writes it, v1 and v2, however deep."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rowkeeper.machine import MachineMemory, MemoryGroup, machine_memory, memory_bytes, memory_group, processors
from tests.arena import Arena

NO_LIMIT_V1 = "9223372036854771712\n"


def root_with(tmp_path: Path, groups: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_tightest_group_counts(tmp_path: Path):
    """A unit may have more than the slice it is in; pages of files that nobody uses are not in use."""
    root = root_with(
        tmp_path,
        "0::/work.slice/job.service\n",
        {
            "sys/fs/cgroup/work.slice/memory.max": "1000000\n",
            "sys/fs/cgroup/work.slice/memory.current": "700000\n",
            "sys/fs/cgroup/work.slice/memory.stat": "anon 100\ninactive_file 200000\n",
            "sys/fs/cgroup/work.slice/job.service/memory.max": "max\n",
            "sys/fs/cgroup/work.slice/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/work.slice/job.service/cpu.max": "max 100000\n",
        },
    )
    assert memory_group(root) == MemoryGroup(1_000_000, 500_000)
    assert memory_bytes(root) == 1_000_000
    assert processors(root) == min(2, len(os.sched_getaffinity(0)))


def test_what_the_machine_has_left_is_as_the_kernel_tells_it(tmp_path: Path):
    """What could be had without swapping, and how long everybody waited: 0 where the kernel does not say."""
    root = root_with(
        tmp_path,
        "0::/\n",
        {
            "proc/meminfo": "MemTotal:  2000 kB\nMemFree:  100 kB\nMemAvailable:  500 kB\nHugePages_Total:  0\n",
            "proc/pressure/memory": "some avg10=50.00 avg60=1.00 avg300=0.00 total=5\n"
            "full avg10=12.50 avg60=1.00 avg300=0.00 total=3\n",
        },
    )
    assert machine_memory(root) == MachineMemory(2000 << 10, 500 << 10, 12.5)
    (root / "proc/pressure/memory").unlink()
    assert machine_memory(root).stalled_percent == 0.0
    here = machine_memory()
    assert 0 < here.available_bytes < here.total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_the_first_version_is_understood_too(tmp_path: Path):
    """In a container the group is mounted at the top, whatever path the kernel tells."""
    root = root_with(
        tmp_path,
        "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n",
        {
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "600000\n",
            "sys/fs/cgroup/memory/memory.stat": "cache 5\ntotal_inactive_file 100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert memory_group(root) == MemoryGroup(2_000_000, 500_000)
    assert processors(root) == 1


@pytest.mark.parametrize("limit", [NO_LIMIT_V1, "-1\n"])
def test_no_limit_is_half_the_machine(tmp_path: Path, limit: str):
    """Whether the kernel says so by a number near 2^63, or there is no group at all."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    root = root_with(tmp_path, "4:memory:/\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": limit})
    assert memory_group(root) is None
    assert memory_bytes(root) == total // 2
    assert processors(tmp_path / "nothing") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("variable", "file", "threads"), [("1", "", 1), ("", "threads = 3", 3), ("2", "threads = 3", 2)]
)
def test_polars_has_as_many_threads_as_are_set(tmp_path: Path, variable: str, file: str, threads: int):
    """It looks once, when it is imported: importing rowkeeper first is enough, the environment before the file."""
    (tmp_path / "rowkeeper.toml").write_text(file)
    env = {name: value for name, value in os.environ.items() if name not in ("POLARS_MAX_THREADS", "ROWKEEPER_THREADS")}
    said = subprocess.run(
        [sys.executable, "-c", "import rowkeeper.cli, polars; print(polars.thread_pool_size())"],
        env={**env, **({"ROWKEEPER_THREADS": variable} if variable else {})},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert int(said.stdout) == threads


def test_threads_and_niceness_reach_the_engine(own_arena: Arena):
    """A statement uses no more threads than were set, and all are nice but those that ClickHouse itself sets to -20."""
    env = {"ROWKEEPER_THREADS": "1", "ROWKEEPER_NICE": "7"}
    answer = own_arena.run("query", "SELECT getSetting('max_threads')", "--json", env=env)
    assert answer.json["rows"] == [[1]]
    pid = own_arena.host_pid()
    assert pid is not None
    niceness = {os.getpriority(os.PRIO_PROCESS, thread.id) for thread in psutil.Process(pid).threads()}
    assert niceness - {-20} == {7}
