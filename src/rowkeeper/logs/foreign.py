"""What the libraries below log for themselves: that they did, and where; never their words, which quote SQL."""

from __future__ import annotations

import logging

from rowkeeper.logs.journal import logger

LIBRARIES = ("clickhouse_connect", "sqlalchemy", "alembic", "urllib3", "httpx", "httpcore", "uvicorn", "asyncio")

log = logger("library")


class _Hearing(logging.Handler):
    """Turns a library's warning into a line of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Implements a handler of the standard library."""
        kind = record.exc_info[0] if record.exc_info else None
        log.warning(
            "a library warned",
            library=record.name,
            place=f"{record.pathname}:{record.lineno}",
            error=kind.__name__ if kind else None,
        )


def hear_libraries() -> None:
    """For commands, which own the process: neither a terminal nor the pipeline file's own logging gets their words."""
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.propagate = False
        if not any(isinstance(each, _Hearing) for each in library.handlers):
            library.addHandler(_Hearing(logging.WARNING))
