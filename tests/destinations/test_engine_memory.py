"""What the embedded engine may take, and what it does with what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.arena import Arena

GROUPED = "SELECT count() FROM (SELECT concat('canary-', toString(number)) AS text FROM numbers(6000000) GROUP BY text)"


def test_what_does_not_fit_into_memory_is_refused_and_never_written_in_the_clear(own_arena: Arena):
    """ClickHouse would group in files, which chDB does not encrypt; the error names the setting."""
    env = {"ROWKEEPER_MEMORY_MAX": "600MiB"}
    refused = own_arena.run("query", GROUPED, env=env)
    assert refused.status == 1
    assert "RK-3004" in refused.stderr
    assert "ROWKEEPER_MEMORY_MAX" in refused.stderr
    spilled = own_arena.run(
        "query", "SELECT sum(value) FROM system.events WHERE event LIKE 'External%'", "--json", env=env
    )
    assert spilled.json["rows"] == [["0"]] or spilled.json["rows"] == [[0]]


def test_a_client_cannot_ask_for_files_either(own_arena: Arena):
    """The settings that would allow them are set last, and SQL cannot change them."""
    refused = own_arena.run("query", GROUPED + " SETTINGS max_bytes_before_external_group_by = 1000000")
    assert refused.status == 1
    assert "max_bytes_before_external_group_by" in refused.stderr


MERGING = (
    "SELECT name, toInt64(value) FROM system.server_settings "
    "WHERE name IN ('background_pool_size', 'background_merges_mutations_concurrency_ratio') ORDER BY name DESC"
)


@pytest.mark.parametrize(("limit", "threads", "decay"), [("900MB", 1, b"dirty_decay_ms:500"), ("8GiB", 2, None)])
def test_where_memory_is_short_few_merges_run_and_little_is_kept(
    own_arena: Arena, limit: str, threads: int, decay: bytes | None
):
    """Two merges at a time instead of four, and an allocator that keeps what it has back for half a second."""
    asked = own_arena.run("query", MERGING, "--json", env={"ROWKEEPER_MEMORY_MAX": limit})
    assert [int(value) for _, value in asked.json["rows"]] == [threads, 2]
    host = Path(f"/proc/{own_arena.host_pid()}/environ").read_bytes().split(b"\0")
    found = dict(each.split(b"=", 1) for each in host if each)
    assert found.get(b"JE_MALLOC_CONF") == decay


def test_the_engine_is_there_without_arrow(own_arena: Arena):
    """chDB would import it, and numpy: a seventh of what the host holds at rest, and a third of its start."""
    own_arena.ok("query", "SELECT 1")
    maps = Path(f"/proc/{own_arena.host_pid()}/maps").read_text()
    assert "_chdb" in maps
    assert "libarrow" not in maps
    assert "numpy" not in maps
