"""What libraries write to standard error past Python: told, unless a panic is among it."""

from __future__ import annotations

import subprocess
import sys


def said_by(program: str) -> str:
    """What a process of its own, which owns its standard error as commands do, says there."""
    begun = "import os, sys\nfrom rowkeeper.logs.native import own_stderr, told_by, withheld\nown_stderr()\n"
    done = subprocess.run([sys.executable, "-c", begun + program], capture_output=True, text=True, check=True)
    return done.stderr


def test_words_are_told_when_a_block_ends():
    """Those of a program that was started in it as well; Python's own are told at once."""
    program = """
with withheld():
    with withheld():
        os.system("echo one >&2")
        print("python", file=sys.stderr)
    print("between", file=sys.stderr)
    os.write(2, b"two\\n")
os.write(2, b"after\\n")
"""
    assert said_by(program) == "python\none\nbetween\ntwo\nafter\n"


def test_words_of_a_panic_are_not_told():
    """Nor what follows it, until the last block has ended; the next block is a new one."""
    program = """
with withheld():
    with withheld():
        os.write(2, b"\\nthread 'x' (7) panicked at a.rs:1:2:\\n")
        os.write(2, b"canary\\n")
    os.write(2, b"stack backtrace: canary\\n")
with withheld():
    os.write(2, b"next\\n")
"""
    assert said_by(program) == "next\n"


def test_a_panic_that_passes_through_python_is_not_printed():
    """Rust prints it by Python's hook on its way up; the hook says nothing, and others' exceptions are printed."""
    program = """
import polars as pl

def panics(value):
    raise pl.exceptions.PanicException("canary")

try:
    with withheld():
        pl.DataFrame({"a": [1]}).select(pl.col("a").map_elements(panics, return_dtype=pl.Int64))
except pl.exceptions.PanicException:
    print("caught", file=sys.stderr)
sys.excepthook(ValueError, ValueError("seen"), None)
"""
    assert said_by(program) == "caught\nValueError: seen\n"


def test_there_is_a_way_past_a_block():
    """For whoever must write and end the process at once."""
    assert said_by("with withheld():\n    os.write(told_by(), b'at once\\n')\n    os._exit(0)\n") == "at once\n"
