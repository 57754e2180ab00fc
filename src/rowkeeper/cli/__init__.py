"""The main door: parse, call, render; no logic of its own."""

from rowkeeper.cli.starting import ended_quietly

with ended_quietly():
    from rowkeeper.cli.commands import main

__all__ = ["main"]
