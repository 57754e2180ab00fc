"""Whether an answer is one: JSON, without an error inside, with records where they were declared to be."""

from __future__ import annotations

from collections.abc import Sequence

from rowkeeper.apis.requests import Answer
from rowkeeper.apis.selecting import MISSING, Document, Path, Unreadable, as_line
from rowkeeper.errors import AnswerIsError, AnswerUnreadable, RecordsMissing

LINES = "lines"
ERRORS = ("$.error", "$.errors")
VERDICTS = ("$.ok", "$.success")
HTML = (b"<!doctype html", b"<html", b"<?xml", b"<")


def document_of(answer: Answer) -> Document:
    """The answer as JSON. Raises AnswerUnreadable."""
    place = answer.request.place
    beginning = answer.body[:200].lstrip().lower()
    if beginning.startswith(HTML):
        kind = "XML" if beginning.startswith(b"<?xml") else "HTML"
        raise AnswerUnreadable(
            f"{place} answers with {kind}, not with JSON",
            hint="a login or a maintenance page? see whether the URL is that of the API, and auth= is right",
        )
    if not beginning:
        raise AnswerUnreadable(f"{place} answers with nothing", hint="see whether the URL is that of the API")
    document = Document(answer.body)
    try:
        _ = document.top
    except Unreadable as error:
        raise _unreadable(answer, error) from None
    return document


def records_of(answer: Answer, document: Document, path: Path, errors: Sequence[Path] | None) -> list[bytes]:
    """The records of an answer, a line of JSON each.

    Args:
        errors: what must not be there: a member that is neither null nor false nor empty. None looks for none.

    Raises AnswerIsError, RecordsMissing, AnswerUnreadable.
    """
    try:
        refuse_errors(answer, document, errors)
        found = path.records(document)
    except Unreadable as error:
        raise _unreadable(answer, error) from None
    if found is None:
        raise RecordsMissing(
            f"{answer.request.place} answers without records at {path.text}", hint="compare records= with an answer"
        )
    return found


def lines_of(answer: Answer) -> list[bytes]:
    """The records of an answer in NDJSON. A line that is no JSON is a record all the same: the contract refuses it."""
    return [as_line(line.rstrip(b"\r")) for line in answer.body.split(b"\n") if line.strip()]


def refuse_errors(answer: Answer, document: Document, errors: Sequence[Path] | None) -> None:
    """Raises AnswerIsError if an answer holds an error, without what it says."""
    if errors is None or not isinstance(document.top, dict):
        return
    for path in errors:
        found = path.value(document)
        if found is not MISSING and found:
            raise _is_error(answer, path.text)
    for text in VERDICTS:
        if Path(text).value(document) is False:
            raise _is_error(answer, text)


def _is_error(answer: Answer, where: str) -> AnswerIsError:
    return AnswerIsError(
        f"{answer.request.place} answers {answer.status} with an error inside, at {where}",
        hint="ask it by hand to see what it says; where that is no error: error=None, or error= the path of one",
    )


def _unreadable(answer: Answer, error: Unreadable) -> AnswerUnreadable:
    return AnswerUnreadable(
        f"{answer.request.place} answers with what is not JSON: {error}",
        hint="run again; if it stays so, ask it by hand",
    )
