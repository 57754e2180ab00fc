"""A flipped bit on the engine's disk, which is encrypted and not authenticated: no wrong row is read as a right one."""

from __future__ import annotations

import json

import pytest

from tests.arena import Arena
from tests.security.keys.test_commands import PIPELINE, add, end_host

ROWS = 100


@pytest.mark.parametrize(("region", "at"), [("signature", 0), ("key", 7), ("nonce", 30), ("data", 90)])
def test_a_flipped_bit_in_a_tables_file_is_found(own_arena: Arena, region: str, at: int):
    """In each region of a file: one error with a next step from whatever reads the table; no row is told wrong."""
    arena = own_arena
    arena.write("p.py", PIPELINE)
    add(arena, 0, ROWS)
    arena.ok("run", "p.py")
    right = arena.rows("people")
    end_host(arena)
    files = sorted((arena.home / "engine" / "disk").rglob("data.bin"), key=lambda path: path.stat().st_size)
    content = bytearray(files[-1].read_bytes())
    content[at] ^= 4
    files[-1].write_bytes(content)
    for words in (("query", "SELECT * FROM people ORDER BY ALL"), ("verify", "p.py")):
        outcome = arena.run(*words, "--json")
        assert "Traceback" not in outcome.stderr, outcome
        document = json.loads(outcome.stdout)
        if outcome.status == 0 and words[0] == "query":
            assert document["rows"] == right or document["rows"] == [], outcome
        elif words[0] == "query":
            assert document["error"]["hint"], outcome
        else:
            assert outcome.status != 0, (region, outcome)
