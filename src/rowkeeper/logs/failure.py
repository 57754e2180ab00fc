"""An error as a log or a terminal may show it: by its class and its place, and by its words only where they are ours.

What others say of an error likes to quote values: Pydantic its input, ClickHouse the row, SQLAlchemy statement and
parameters. So the words of an exception are shown if it is one of Rowkeeper's, if it comes from the operating system,
or if Python made it of names alone.
"""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterator
from types import TracebackType

from rowkeeper.errors import FrameworkError
from rowkeeper.logs.secrets import scrubbed

OF_NAMES_ALONE = (
    AttributeError,
    ImportError,
    ModuleNotFoundError,
    NameError,
    RecursionError,
    UnboundLocalError,
    ZeroDivisionError,
)
WITHHELD = "(its words may quote values, and are withheld)"
FRAMES_MAX = 40


def failure(error: BaseException) -> dict[str, object]:
    """What a log says of an error: code, category, class, whether to try again; its sentence; where it was raised."""
    if not isinstance(error, FrameworkError):
        return {"error": _class_of(error), "what": words(error), "trace": list(_places(error))}
    facts: dict[str, object] = {**error.context, "error": type(error).__name__}
    facts |= {"code": error.code, "category": error.category.value, "retryable": error.retryable}
    return facts if error.quotes else {**facts, "what": error.what}


def document(error: FrameworkError) -> dict[str, object]:
    """The error as JSON values, for the ledger and `--json`, without secrets that are known."""
    return {key: scrubbed(value) if isinstance(value, str) else value for key, value in error.document().items()}


def traced(error: BaseException) -> Iterator[str]:
    """The lines of a traceback, the causes first, as Python prints it but for the words of others."""
    for number, (each, joint) in enumerate(_chain(error)):
        if number:
            yield f"\n{joint}\n"
        yield "Traceback (most recent call last):"
        for frame in traceback.extract_tb(each.__traceback__)[-FRAMES_MAX:]:
            yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
            if source := linecache.getline(frame.filename, frame.lineno or 0).strip():
                yield scrubbed(f"    {source}")
        yield f"{_class_of(each)}: {words(each)}"


def words(error: BaseException) -> str:
    """What an error says, where that cannot quote a value."""
    if isinstance(error, FrameworkError):
        said = error.what
    elif isinstance(error, SyntaxError):
        said = f"{error.msg}, line {error.lineno}"
    elif isinstance(error, OSError) and error.strerror:
        named = f": {error.filename}" if isinstance(error.filename, str) else ""
        said = f"{error.strerror}{named}"
    elif type(error) in OF_NAMES_ALONE:
        said = str(error)
    else:
        said = _code_of(error) or WITHHELD
    return scrubbed(said)


def _code_of(error: BaseException) -> str:
    """The number and name that drivers give: ClickHouse's, an SQLSTATE."""
    for name in ("name", "code", "sqlstate"):
        found = getattr(error, name, None)
        if isinstance(found, (int, str)) and str(found).replace("_", "").isalnum() and len(str(found)) <= 60:
            return f"{name} {found} {WITHHELD}"
    origin = getattr(error, "orig", None)
    return f"{_class_of(origin)} {WITHHELD}" if isinstance(origin, BaseException) else ""


def _class_of(error: BaseException) -> str:
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ in ("builtins", "rowkeeper.errors")
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _places(error: BaseException) -> Iterator[str]:
    for each, _ in _chain(error):
        yield _class_of(each)
        yield from _frames(each.__traceback__)


def _frames(trace: TracebackType | None) -> Iterator[str]:
    for frame in traceback.extract_tb(trace)[-FRAMES_MAX:]:
        yield f"{frame.filename}:{frame.lineno} {frame.name}"


def _chain(error: BaseException) -> list[tuple[BaseException, str]]:
    """The first cause first, each with the sentence that joins it to the one before."""
    found: list[tuple[BaseException, str]] = []
    each: BaseException | None = error
    while each is not None and all(each is not seen for seen, _ in found):
        if each.__cause__ is not None:
            cause: BaseException | None = each.__cause__
            joint = "The above exception was the direct cause of the following exception:"
        else:
            cause = None if each.__suppress_context__ else each.__context__
            joint = "During handling of the above exception, another exception occurred:"
        found.append((each, joint))
        each = cause
    return found[::-1]
