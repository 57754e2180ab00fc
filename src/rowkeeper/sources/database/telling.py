"""What drivers raise, in our words: neither rows nor SQL are in them, as drivers quote both."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from rowkeeper.errors import (
    AmbiguousError,
    CircuitOpenError,
    CursorUnfit,
    DeadlineExceeded,
    FrameworkError,
    LoginRefused,
    RetryError,
    RightsMissing,
    SourceDamaged,
    SourceDown,
    SourceError,
    StatementRefused,
    TableMissing,
    TLSError,
)
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.outcomes import Effect, Judgement, Outcome
from rowkeeper.sources.database.described import SnapshotLost

MISSING = frozenset({"42P01", "42703", "3F000", "3D000", "1146", "1054", "1049", "1051"})
LOGIN = frozenset({"28000", "28P01", "1045", "1698", "1862", "4151"})
RIGHTS = frozenset({"42501", "1142", "1143", "1044", "1227"})
NO_ORDER = frozenset({"42883", "42725"})  # no such operator, or function
LOST_SQLITE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
DAMAGED_SQLITE = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
DRIVERS = ("psycopg", "pymysql", "sqlite3")
# What PostgreSQL says before it has let anybody in comes without a code.
NOT_LET_IN = ("authentication", "pg_hba.conf", "no password supplied", "role ", "is not permitted to log in")


def never_connected(error: BaseException) -> Judgement | None:
    """libpq's errors without a code: the server is not there, breaks off, or does not let us in."""
    if not is_of_driver(error, "psycopg") or getattr(error, "sqlstate", None) is not None:
        return None
    words = str(error)
    for_good = any(each in words for each in NOT_LET_IN) or "does not exist" in words or "permission denied" in words
    return Judgement(Outcome.PERMANENT if for_good else Outcome.TRANSIENT)


def hung_up(error: BaseException) -> Judgement | None:
    """PyMySQL's InterfaceError of a connection that it has given up; its 1158 to 1161 of what the server saw of it."""
    if not is_of_driver(error, "pymysql"):
        return None
    code = error.args[0] if error.args else None
    return Judgement(Outcome.TRANSIENT) if code in (0, 1053, 1158, 1159, 1160, 1161, 2055) else None


def broke_off(error: BaseException) -> Judgement | None:
    """A handshake of which nobody knows why it failed: most of them were cut off in the middle."""
    return Judgement(Outcome.TRANSIENT) if type(error) is TLSError else None


CLASSIFIER = DEFAULT.with_rules(never_connected, hung_up, broke_off)


def is_of_driver(error: BaseException, *names: str) -> bool:
    """Whether an exception is one of a driver's own."""
    return any(each.__module__.partition(".")[0] in (names or DRIVERS) for each in type(error).__mro__[:-1])


@contextlib.contextmanager
def telling(place: str, about: str = "") -> Iterator[None]:
    """Puts what a driver, or the way to a database, raises in the block in our words.

    Args:
        about: the relation that is read, for people.

    Raises SourceError, and what the way out raises.
    """
    where = f"{about} of {place}" if about else place
    try:
        yield
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"{place}: {error.what}", hint=error.hint, context=error.context) from error
    except CircuitOpenError as error:
        raise SourceDown(f"{place}: {error.what}", hint=error.hint) from error
    except (RetryError, AmbiguousError) as error:
        cause = error.__cause__
        if isinstance(cause, (SourceError, TLSError)):
            raise cause from cause.__cause__
        raise _down(place, cause or error) from error
    except SnapshotLost as lost:
        raise _down(place, lost.__cause__ or lost) from lost
    except FrameworkError:
        raise
    except Exception as error:
        if not is_of_driver(error) and not isinstance(error, OSError):
            raise
        raise told(error, place, where) from error


def told(error: BaseException, place: str, where: str) -> FrameworkError:  # noqa: PLR0911 - a table of codes
    """A driver's error in our words."""
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error, where)
    code = code_of(error)
    if code is None:
        return _before_login(error, place)
    context = {"code": code}
    if code in LOGIN:
        return LoginRefused(
            f"{place} does not let us in ({code})", hint="see to the user and to password=", context=context
        )
    if code in MISSING:
        return TableMissing(
            f"{where} is not there, or has not the columns that are read ({code})",
            hint="see to the names, and to the schema",
            context=context,
        )
    if code in RIGHTS:
        return RightsMissing(
            f"{where} may not be read by our user ({code})",
            hint="grant it: SELECT on the table, USAGE on its schema",
            context=context,
        )
    if CLASSIFIER.judge(error, Effect.READ).outcome is not Outcome.PERMANENT:
        return _down(place, error)
    return StatementRefused(f"{where} cannot be read ({code})", hint="the code is the database's own", context=context)


def code_of(error: BaseException) -> str | None:
    """SQLSTATE, or the number of a MySQL error."""
    if is_of_driver(error, "pymysql"):
        first = error.args[0] if error.args else None
        return str(first) if isinstance(first, int) else None
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def refuse_without_order(error: BaseException, name: str, column: str) -> None:
    """Raises CursorUnfit if an error says that a column cannot be compared, or not so far back."""
    if code_of(error) in NO_ORDER:
        raise CursorUnfit(
            f"{column} of {name} has no order, or its lookback does not fit it",
            hint="a timedelta for times, a number for numbers; a column of another type cannot be a cursor",
        ) from error


def _before_login(error: BaseException, place: str) -> FrameworkError:
    words = str(error)
    if "database" in words and "does not exist" in words:
        return TableMissing(f"{place}: there is no such database", hint="see to the end of the URL")
    if any(each in words for each in NOT_LET_IN):
        return LoginRefused(f"{place} does not let us in", hint="see to the user and to password=")
    if "permission denied" in words:
        return RightsMissing(f"{place} may not be connected to by our user", hint="GRANT CONNECT ON DATABASE")
    return _down(place, error)


def _of_sqlite(error: sqlite3.Error, where: str) -> FrameworkError:
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    words = str(error)
    if code in DAMAGED_SQLITE:
        return SourceDamaged(
            f"{where} is no SQLite database, or a damaged one", hint="PRAGMA integrity_check says more"
        )
    if code in LOST_SQLITE:
        return SourceDown(f"{where} is locked by another process", hint="run again when it has finished")
    if code == sqlite3.SQLITE_INTERRUPT:
        return DeadlineExceeded(f"{where}: the deadline has passed", hint="run again, or allow more time")
    if words.startswith("no such "):
        return TableMissing(f"{where} is not there, or has not the columns that are read", hint="see to the names")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
        return RightsMissing(f"{where} cannot be opened", hint="see to the permissions of the file and of its folder")
    return StatementRefused(f"{where} cannot be read ({type(error).__name__})", hint="ask it by hand")


def _down(place: str, error: BaseException) -> SourceDown:
    code = code_of(error)
    kind = type(error).__name__ if code is None else f"{type(error).__name__}, {code}"
    return SourceDown(f"{place} does not answer, or breaks off ({kind})", hint="see whether it is up, then run again")
