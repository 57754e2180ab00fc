"""What every command shares: settings, the workspace, errors and the exit status.

Exit status: 0 done; 1 the run or command failed and nothing was changed by it; 2 wrong usage or configuration;
3 a run was published without partitions that failed; 4 an alert fires, where that was asked.
Of several pipelines in one file the worst counts: see `worst`.
Standard output holds the answer (one JSON document with `--json`), standard error everything else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from rowkeeper.cli.topics import Listing
from rowkeeper.errors import (
    Category,
    FrameworkError,
    RunInterrupted,
    StateError,
    UnknownError,
    is_fault,
)
from rowkeeper.logs import about, logger
from rowkeeper.logs.failure import document, traced
from rowkeeper.logs.foreign import hear_libraries
from rowkeeper.logs.native import own_stderr, told_by
from rowkeeper.logs.secrets import learn_environment, scrubbed
from rowkeeper.runs.interrupt import SIGNALS, Strike
from rowkeeper.runs.last_resort import LastResort

if TYPE_CHECKING:
    from rowkeeper.runs.workspace import Workspace
    from rowkeeper.security.statefolder import StateFolder
    from rowkeeper.settings import Settings

WIDTH_ELSEWHERE = 200  # where there is no terminal, lines are for other programs to cut
out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE)
err = Console(stderr=True, soft_wrap=True, highlight=False)

DONE, FAILED, WRONG_USAGE, DONE_IN_PART, ALERTING = 0, 1, 2, 3, 4
log = logger("command")


def exit_status(error: FrameworkError) -> int:
    """2 for what the person who configured must mend, otherwise 1."""
    return WRONG_USAGE if error.category is Category.CONFIGURATION else FAILED


def worst(statuses: Iterable[int]) -> int:
    """The one status of several pipelines: 1 if any failed, else 2, else 3, else 0.

    A failure beats a partial success, although its number is smaller; and what may pass by itself beats what cannot.
    """
    return max(statuses, key=(DONE, DONE_IN_PART, WRONG_USAGE, FAILED).index, default=DONE)


def tell_error(error: FrameworkError) -> None:
    """What happened, and the next step."""
    err.print(f"[bold red]error:[/] {escape(scrubbed(error.what))} [dim]({error.code})[/]")
    if error.hint:
        err.print(f"[bold]next:[/]  {escape(scrubbed(error.hint))}")


def tell_trace(error: BaseException) -> None:
    """Where it was raised, if `--debug` was asked for; without the words of others, which may quote values."""
    if "--debug" in sys.argv[1:]:
        click.echo("\n".join(traced(error)), err=True)


def print_json(document: Any) -> None:
    """The one document of a `--json` command."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_json_line(document: Any) -> None:
    """One of several documents: each on a line of its own, written at once."""
    click.echo(json.dumps(document, default=str, ensure_ascii=False))
    sys.stdout.flush()


def write_page(path: Path, text: str, option: str = "--html") -> None:
    """Writes a page that somebody asked for by this option, a new one for them alone to read.

    Raises StateError if it cannot be written.
    """
    try:
        with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}", hint=f"name another file: {option} PATH"
        ) from error


def load_settings() -> Settings:
    """The settings. From now on this process reaches what they declare, and nothing else.

    Raises as `read_settings`.
    """
    from rowkeeper.operations.configuring import read_settings  # noqa: PLC0415 - help needs no settings
    from rowkeeper.runs.reaching import guard_process  # noqa: PLC0415

    settings = read_settings()
    guard_process(settings)
    return settings


@contextmanager
def workspace() -> Iterator[Workspace]:
    """The workspace of this command; tells of a key that was made just now."""
    from rowkeeper.runs.workspace import Workspace  # noqa: PLC0415 - help needs none

    command = click.get_current_context().command_path.partition(" ")[2]
    with about(command=command), Workspace.open(load_settings()) as opened:
        log.debug("command begun")
        tell_of_key(opened.folder)
        try:
            yield opened
        finally:
            if opened.settings.metrics_file is not None:
                _write_metrics(opened)


def _write_metrics(opened: Workspace) -> None:
    from rowkeeper.operations.metrics.textfile import write_after_runs  # noqa: PLC0415 - few have it written

    error = write_after_runs(opened)
    if error is not None:
        err.print(f"[yellow]metrics not written:[/] {escape(scrubbed(error.what))}")


def tell_of_key(folder: StateFolder) -> None:
    """Tells of a state folder's key, if it was made just now."""
    if folder.key_made:
        tell_key_made(folder.key_path, folder.path)


def tell_key_made(key: Path | None, folder: Path) -> None:
    """Somebody has to keep a copy of a key file that was made just now."""
    err.print(
        f"[bold]a key was made:[/] {escape(str(key))} opens everything in {escape(str(folder))}. "
        "Keep a copy of it elsewhere: without it the tables cannot be read."
    )


class Door(Listing):
    """The command group: wrong words get a suggestion, errors get one sentence and an exit status."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a command and ends the process with its exit status."""
        kwargs["standalone_mode"] = False
        own_stderr()
        if not args:  # `--debug` is understood wherever it stands
            kwargs.setdefault("args", [word for word in sys.argv[1:] if word != "--debug"])
            self.topics.fetch(kwargs["args"])  # while Ctrl-C is still Python's to answer
        try:
            _listen()  # from here on a Ctrl-C is raised, wherever the process is
            hear_libraries()
            learn_environment()
            status = super().main(*args, **kwargs)
        except click.exceptions.Exit as leave:
            status = leave.exit_code
        except click.ClickException as error:
            error.show()
            status = WRONG_USAGE
        except (click.Abort, KeyboardInterrupt):
            stopped = RunInterrupted("stopped", hint="give the command again: it goes on or starts over")
            status = self._failed(stopped, stopped)
        except FrameworkError as error:
            status = self._failed(error, error)
        except BaseException as error:
            if not is_fault(error):
                raise
            status = self._failed(UnknownError.of(error), error)  # nobody but a developer wants the traceback
        _leave(status if isinstance(status, int) else DONE)

    @staticmethod
    def _failed(error: FrameworkError, raised: BaseException) -> int:
        tell_trace(raised)
        if "--json" in sys.argv[1:]:
            print_json({"status": "failed", "error": document(error)})
        tell_error(error)
        return exit_status(error)


def _listen() -> None:
    """Ctrl-C and SIGTERM stop a command, unless they are ignored, as in the background of a shell."""
    strike = Strike()
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, strike)
    LastResort(_leave_at_once).stand_by()


def _leave_at_once(words: str) -> None:
    """Ends the process from another thread than its main one, which may hold any lock: nothing but descriptors."""
    if "--json" in sys.argv[1:]:
        told = document(RunInterrupted(words.partition("; ")[0], hint=words.partition("; ")[2]))
        os.write(1, json.dumps({"status": "failed", "error": told}).encode() + b"\n")
    os.write(told_by(), words.encode() + b"\n")
    os._exit(FAILED)


def _leave(status: int) -> NoReturn:
    """Ends the process with this status.

    A thread of ours that was left behind may be anywhere in native code, and Python would take down the ground below it
    (or wait for it): then the process ends without that.
    """
    if any(thread.name.startswith("rowkeeper-") for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


def choose_profile(_context: click.Context, _option: click.Parameter, name: str | None) -> None:
    """`--profile`: in the environment, so that what the command starts has it as well."""
    if name is not None:
        os.environ["ROWKEEPER_PROFILE"] = name


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`: one JSON document on standard output, for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")(function)
