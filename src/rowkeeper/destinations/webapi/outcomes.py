"""What an answer says of the rows that were sent: taken, refused one by one, refused as a whole, too many at once."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rowkeeper.apis.answers import ERRORS, document_of, refuse_errors
from rowkeeper.apis.requests import Answer
from rowkeeper.apis.selecting import MISSING, Document, Path, Unreadable
from rowkeeper.errors import AnswerIsError, AnswerUnreadable, DeclarationError, DeliveryUnread, DestinationRefused

OK_MIN, OK_MAX = 200, 299
MULTI_STATUS, TOO_LARGE = 207, 413
OF_THE_ROWS = frozenset({400, 409, 422})
AGAIN = frozenset({408, 423, 425, 429, 500, 502, 503, 504})
GOOD_WORDS = frozenset({"ok", "success", "succeeded", "created", "updated", "accepted", "done"})
ANSWER_CHARACTERS_MAX = 1_000
MARKUP = b"<"


@dataclasses.dataclass(frozen=True, slots=True)
class ItemResults:
    """How an API says what became of each row of a batch, as a 207 does: `ItemResults("$.items[*]")`.

    Args:
        at: a JSONPath to the list of results.
        status: within a result, its status: an HTTP status, or a word such as `ok`.
        message: within a result, why it was refused.
        index: within a result, the row's place in the batch; None where results are in the order of the rows.
        first: what the first row's place is called: 0 or 1.
    """

    at: str
    status: str = "$.status"
    message: str = "$.message"
    index: str | None = None
    first: int = 0

    def __post_init__(self) -> None:
        _check_paths(self.at, self.status, self.message, *([self.index] if self.index else []))


@dataclasses.dataclass(frozen=True, slots=True)
class ItemErrors:
    """How an API lists the rows that it refused, and says nothing of the others: `ItemErrors("$.errors[*]")`.

    Args:
        at: a JSONPath to the list of errors; where it leads nowhere, all rows were taken.
        index: within an error, the row's place in the batch.
        message: within an error, why.
        status: within an error, its status, where it has one.
        first: what the first row's place is called: 0 or 1.
    """

    at: str
    index: str = "$.index"
    message: str = "$.message"
    status: str = "$.status"
    first: int = 0

    def __post_init__(self) -> None:
        _check_paths(self.at, self.index, self.message, self.status)


def _check_paths(*paths: str) -> None:
    for path in paths:
        Path(path)


Items = ItemResults | ItemErrors
ITEMS = {"ItemResults": ItemResults, "ItemErrors": ItemErrors}


def items_document(items: Items | None) -> dict[str, Any] | None:
    """As JSON values."""
    return None if items is None else {"kind": type(items).__name__, **dataclasses.asdict(items)}


def items_of(document: Mapping[str, Any] | None) -> Items | None:
    """The inverse."""
    if document is None:
        return None
    kind: Any = ITEMS[document["kind"]]
    made: Items = kind(**{name: value for name, value in document.items() if name != "kind"})
    return made


class Verdict(enum.Enum):
    """What became of a batch."""

    TAKEN = "taken"
    """But for the rows that are listed."""
    REFUSED = "refused"
    """All of it, for what is in it."""
    TOO_LARGE = "too large"


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """One row that was not taken.

    Attributes:
        place: in the batch, from 0.
        again: it may be taken in a moment.
    """

    place: int
    status: int
    answer: str = ""
    again: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer says.

    Attributes:
        refusals: the rows that were not taken; of a batch that was refused as a whole one entry says why.
    """

    verdict: Verdict
    refusals: tuple[Refusal, ...] = ()


def outcome_of(answer: Answer, rows: int, items: Items | None) -> Outcome:
    """What became of a batch of so many rows.

    Raises:
        DestinationRefused: the API takes none, whatever is in it.
        DeliveryUnread: it does not say.
    """
    status, place = answer.status, answer.request.place
    if OK_MIN <= status <= OK_MAX:
        try:
            return _of_good(answer, rows, items)
        except (AnswerUnreadable, AnswerIsError, Unreadable) as error:
            what = str(error) if isinstance(error, Unreadable) else error.what
            raise DeliveryUnread(f"{place}: what became of the rows is not known: {what}", hint=UNREAD) from None
    if status == TOO_LARGE:
        return Outcome(Verdict.TOO_LARGE)
    if status in OF_THE_ROWS:
        return Outcome(Verdict.REFUSED, (Refusal(0, status, words(answer.body)),))
    raise DestinationRefused(
        f"{place} answers {status}",
        hint="see whether the URL is right, and what this API wants, by asking it by hand",
        context={"status": status},
    )


UNREAD = "ask it by hand what it holds; say how it tells of rows: results=rk.destinations.ItemResults(...)"


def _of_good(answer: Answer, rows: int, items: Items | None) -> Outcome:
    place = answer.request.place
    if items is None:
        if answer.status == MULTI_STATUS:
            raise DeliveryUnread(f"{place} answers 207, and where it tells of each row is not declared", hint=UNREAD)
        _refuse_error_inside(answer)
        return Outcome(Verdict.TAKEN)
    document = document_of(answer)
    found = Path(items.at).records(document)
    if found is None and isinstance(items, ItemErrors):
        refuse_errors(answer, document, None if items.at.startswith("$.error") else [Path(each) for each in ERRORS])
        return Outcome(Verdict.TAKEN)
    if found is None:
        raise DeliveryUnread(f"{place} answers without results at {items.at}", hint=UNREAD)
    if isinstance(items, ItemErrors):
        return Outcome(Verdict.TAKEN, tuple(_errors(found, items, rows, place)))
    return Outcome(Verdict.TAKEN, tuple(_results(found, items, rows, place)))


def _refuse_error_inside(answer: Answer) -> None:
    """An answer need not be JSON; a page for people, or an error inside, is none."""
    begins = answer.body.lstrip()[:1]
    if begins in (b"{", b"[", MARKUP):
        refuse_errors(answer, document_of(answer), [Path(each) for each in ERRORS])


def _results(found: Sequence[bytes], items: ItemResults, rows: int, place: str) -> Iterator[Refusal]:
    if len(found) != rows:
        raise DeliveryUnread(f"{place} tells of {len(found)} rows, and {rows} were sent", hint=UNREAD)
    told: set[int] = set()
    for number, text in enumerate(found):
        item = Document(text)
        at = number if items.index is None else _place(Path(items.index).value(item), items.first, rows, place)
        told.add(at)
        status = Path(items.status).value(item)
        if not _is_good(status):
            code = int(status) if isinstance(status, int) or str(status).isdecimal() else 0
            yield Refusal(at, code, _said(item, items.message), code in AGAIN)
    if len(told) != rows:
        raise DeliveryUnread(f"{place} tells of some rows twice, and of others not at all", hint=UNREAD)


def _errors(found: Sequence[bytes], items: ItemErrors, rows: int, place: str) -> Iterator[Refusal]:
    told: set[int] = set()
    for text in found:
        item = Document(text)
        at = _place(Path(items.index).value(item), items.first, rows, place)
        if at in told:
            continue  # a row may have several faults
        told.add(at)
        status = Path(items.status).value(item)
        code = int(status) if isinstance(status, int) or str(status).isdecimal() else 0
        yield Refusal(at, code, _said(item, items.message), code in AGAIN)


def _place(value: Any, first: int, rows: int, place: str) -> int:
    is_number = (isinstance(value, int) and not isinstance(value, bool)) or str(value).isdecimal()
    at = int(value) - first if is_number else -1
    if not 0 <= at < rows:
        raise DeliveryUnread(f"{place} tells of a row that was not sent", hint=UNREAD)
    return at


def _is_good(status: Any) -> bool:
    if isinstance(status, bool):
        return status
    if isinstance(status, int) or str(status).isdecimal():
        return OK_MIN <= int(status) <= OK_MAX
    return status is not MISSING and str(status).lower() in GOOD_WORDS


def _said(item: Document, path: str) -> str:
    found = Path(path).value(item)
    return "" if found is MISSING or found is None else str(found)[:ANSWER_CHARACTERS_MAX]


def words(body: bytes) -> str:
    """The beginning of an answer, for quarantine: JSON or text, no markup."""
    text = body.decode(errors="replace").strip()
    return "" if text.startswith("<") else text[:ANSWER_CHARACTERS_MAX]


def check_items(items: object) -> None:
    """Raises DeclarationError for what says nothing of rows."""
    if items is not None and not isinstance(items, (ItemResults, ItemErrors)):
        raise DeclarationError(
            f"results={type(items).__name__} says nothing of rows",
            hint='such as results=rk.destinations.ItemErrors("$.errors[*]")',
        )
