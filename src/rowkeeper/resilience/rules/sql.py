"""Databases: SQLAlchemy's errors, and those of the drivers below it."""

from __future__ import annotations

import sqlite3

from rowkeeper.resilience.outcomes import Judgement, Outcome
from rowkeeper.resilience.rules.lineage import lineage, number

# SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), whole or by its class.
STATES = {
    "08001": Outcome.TRANSIENT,  # the connection could not be made
    "08004": Outcome.TRANSIENT,
    "08": Outcome.AMBIGUOUS,  # it broke
    "40003": Outcome.AMBIGUOUS,  # statement completion unknown
    "40": Outcome.TRANSIENT,  # rolled back: serialization failure, deadlock
    "53100": Outcome.PERMANENT,  # disk full
    "53": Outcome.THROTTLED,  # too many connections, out of memory
    "55P03": Outcome.TRANSIENT,  # lock not available
    "57P03": Outcome.TRANSIENT,  # cannot connect now: starting up
    "57P01": Outcome.AMBIGUOUS,  # shut down in mid-work
    "57P02": Outcome.AMBIGUOUS,
    "57014": Outcome.TRANSIENT,  # the statement was cancelled, by a timeout of the server's own: it was undone
    "58": Outcome.AMBIGUOUS,
    "XX": Outcome.PERMANENT,
}
MYSQL: dict[object, Outcome] = {
    1040: Outcome.THROTTLED,  # too many connections
    1205: Outcome.TRANSIENT,  # lock wait timeout
    1213: Outcome.TRANSIENT,  # deadlock, rolled back
    2002: Outcome.TRANSIENT,  # cannot connect
    2003: Outcome.TRANSIENT,
    2006: Outcome.AMBIGUOUS,  # gone away
    2013: Outcome.AMBIGUOUS,  # lost in mid-query
}
STATE_LENGTH = 5
DBAPI = {"sqlalchemy.exc.DBAPIError"}
POOL = {"sqlalchemy.exc.TimeoutError"}  # no connection came free
MYSQL_ERROR = {"pymysql.err.MySQLError", "MySQLdb.MySQLError", "mysql.connector.errors.Error"}


def judge(error: BaseException) -> Judgement | None:
    """SQLAlchemy's by what the driver said; a driver's own by its code."""
    names = lineage(error)
    if names & POOL:
        return Judgement(Outcome.TRANSIENT)
    if names & DBAPI:
        return _of_sqlalchemy(error)
    return _of_driver(error, names)


def _of_sqlalchemy(error: BaseException) -> Judgement:
    original = getattr(error, "orig", None)
    if isinstance(original, BaseException):
        judgement = _of_driver(original, lineage(original))
        if judgement is not None:
            return judgement
    lost = bool(getattr(error, "connection_invalidated", False))
    return Judgement(Outcome.AMBIGUOUS if lost else Outcome.PERMANENT)


def _of_driver(error: BaseException, names: set[str]) -> Judgement | None:
    if isinstance(error, sqlite3.Error):
        code = (number(error, "sqlite_errorcode") or 0) & 0xFF  # extended codes keep the primary one in the low byte
        busy = code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        return Judgement(Outcome.TRANSIENT if busy else Outcome.PERMANENT)
    if names & MYSQL_ERROR:
        return Judgement(MYSQL.get(error.args[0] if error.args else None, Outcome.PERMANENT))
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str) and len(state) == STATE_LENGTH:
        return Judgement(STATES.get(state) or STATES.get(state[:2]) or Outcome.PERMANENT)
    return None
