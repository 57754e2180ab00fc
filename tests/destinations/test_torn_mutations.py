"""What a full disk leaves behind must not keep the engine from starting."""

from __future__ import annotations

import time

from tests.arena import Arena
from tests.runs.scenarios import SCENARIOS, prepare


def test_an_engine_starts_in_spite_of_notes_of_mutations_that_hold_nothing(own_arena: Arena):
    """Found by the soak: one empty file beside one table, and no table of all could be opened any more."""
    own_arena.ok(*prepare(own_arena, SCENARIOS[0], "torn"))
    rows = own_arena.rows("torn")
    own_arena.kill_host()
    while own_arena.host_pid() is not None:
        time.sleep(0.05)
    folders = [path.parent for path in own_arena.home.glob("engine/disk/enc/store/*/*/format_version.txt")]
    assert folders
    for folder in folders:
        (folder / "mutation_7.txt").write_bytes(b"")
        (folder / "mutation_8.txt").write_bytes((folder / "format_version.txt").read_bytes()[:64])
    assert own_arena.rows("torn") == rows
    assert own_arena.ok("verify", "torn.py")["sound"]
    assert not list(own_arena.home.glob("engine/disk/enc/store/*/*/mutation_[78].txt"))
