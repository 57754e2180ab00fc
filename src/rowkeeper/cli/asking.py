"""Secrets that somebody types: at a prompt that does not show them, or on standard input; never as an argument."""

from __future__ import annotations

import sys

import click

from rowkeeper.errors import ConfigurationError

LENGTH_MAX = 4096


def asked_for(what: str, *, twice: bool = False, hidden: bool = True) -> str:
    """What somebody types, or one line of standard input where that is no terminal.

    Args:
        what: is asked for, such as `new password`.
        twice: at a terminal, so that a slip is found out.
        hidden: it is not shown as it is typed.

    Raises ConfigurationError if nothing is given.
    """
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=hidden, confirmation_prompt=twice, err=True))
    line = sys.stdin.readline(LENGTH_MAX).rstrip("\r\n")
    if not line:
        raise ConfigurationError(
            f"no {what} was given", hint="type it at the prompt, or send it on standard input, followed by a line end"
        )
    return line
