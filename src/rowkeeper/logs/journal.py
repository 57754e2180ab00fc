"""Where lines come together: stamped, stripped of what is not known, and handed to the outlets of the open journal.

The journal in charge is a context variable, so two workspaces in one program keep their lines apart, and a program's
own configuration of structlog or `logging` is left alone.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from structlog.contextvars import get_contextvars
from structlog.typing import FilteringBoundLogger

from rowkeeper.logs.fields import known
from rowkeeper.logs.file import RotatingFile
from rowkeeper.logs.secrets import scrubbed

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
Line = Mapping[str, object]
Outlet = Callable[[Line], None]

_json = structlog.processors.JSONRenderer(ensure_ascii=False)
_current: ContextVar[Journal | None] = ContextVar("rowkeeper_journal", default=None)


class Journal:
    """Takes lines of a level or above.

    Args:
        level: debug, info, warning or error.
        outlets: where they go. They must not raise.
        facts: on every line.
    """

    def __init__(self, level: str, outlets: Sequence[Outlet], **facts: object) -> None:
        self.least = LEVELS[level]
        self._outlets = tuple(outlets)
        self._facts = facts

    def put(self, level: str, facts: Mapping[str, object]) -> None:
        """Stamps a line and hands it on."""
        stamp = {"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", "level": level, "pid": os.getpid()}
        line = {name: _clean(value) for name, value in known({**self._facts, **facts, **stamp}).items()}
        for outlet in self._outlets:
            outlet(line)


def _clean(value: object) -> object:
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return scrubbed(value) if isinstance(value, str) else value


@contextmanager
def keep(journal: Journal) -> Iterator[None]:
    """Lines that are written inside the block go to this journal."""
    former = _current.get()
    _current.set(journal)
    try:
        yield
    finally:
        _current.set(former)


def file_outlet(file: RotatingFile) -> Outlet:
    """JSON lines in a file. A line tells how many before it could not be written."""

    def put(line: Line) -> None:
        lost = {"lost": file.lost} if file.lost else {}
        file.write(_render(_json, {**line, **lost}))

    return put


def stderr_outlet(form: str) -> Outlet:
    """Lines for whoever looks on: `json`, or `console` in columns, with colours on a terminal.

    Standard error is looked up for each line: a progress line that is being shown puts itself in its place.
    """
    colours = sys.stderr.isatty()
    renderer: Any = _json if form == "json" else structlog.dev.ConsoleRenderer(colors=colours, sort_keys=False)
    lock = threading.Lock()

    def put(line: Line) -> None:
        shown = dict(line)
        if form == "console":
            shown["timestamp"] = str(shown.pop("time"))[11:23]
            shown["logger"] = shown.pop("area", "")
            for name in ("session", "pid"):
                shown.pop(name, None)
        with lock:
            try:
                sys.stderr.write(_render(renderer, shown) + "\n")
                sys.stderr.flush()
            except (OSError, ValueError):
                return  # nobody reads any more: closed, or a pipe whose other end has gone

    return put


def _render(renderer: Any, line: Line) -> str:
    return str(renderer(None, "", dict(line)))


# ------------------------------------------------------------------------------------------------ structlog


class _Hand:
    """What structlog calls at the end: passes a line to the journal in charge."""

    def _put(self, level: str) -> Callable[[Mapping[str, object]], None]:
        def put(facts: Mapping[str, object]) -> None:
            journal = _current.get()
            if journal is not None:
                journal.put(level, facts)

        return put

    def __getattr__(self, level: str) -> Callable[[Mapping[str, object]], None]:
        if level not in LEVELS:
            raise AttributeError(level)
        return self._put(level)


def _heard(_logger: object, level: str, facts: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Ends a line at once that no journal wants."""
    journal = _current.get()
    if journal is None or LEVELS.get(level, 0) < journal.least:
        raise structlog.DropEvent
    return facts


def _handed(_logger: object, _level: str, facts: MutableMapping[str, Any]) -> tuple[tuple[Any], dict[str, Any]]:
    return ({**get_contextvars(), **facts},), {}


def logger(area: str) -> FilteringBoundLogger:
    """The logger of one area, such as run, lease or call: `fields.FIELDS` names them."""
    made = structlog.wrap_logger(
        _Hand(),
        processors=[_heard, _handed],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        context_class=dict,
        area=area,
    )
    return cast("FilteringBoundLogger", made.bind())
