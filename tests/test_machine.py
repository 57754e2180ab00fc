"""What a control group grants is read as the kernel writes it, v1 and v2, however deep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rowkeeper.machine import MemoryGroup, memory_bytes, memory_group, processors

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
