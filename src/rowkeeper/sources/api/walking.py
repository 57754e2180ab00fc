"""From page to page: each asked for, judged, and followed by the next; where it stands is a value that can be kept.

The state of a walk (`Page.before`, `Page.after`) is JSON: the request for a page, how many records came before it, the
total that the first page named, and one mark of a former request. The mark is moved ahead at each power of two (R. P.
Brent, An improved Monte Carlo factorization algorithm, 1980), so that a circle of any length is found, without a list
of all that was asked.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from rowkeeper.apis.answers import LINES, document_of, lines_of, records_of
from rowkeeper.apis.requests import Answer, Request
from rowkeeper.apis.selecting import Document, Path
from rowkeeper.errors import PagesChanged, PagesEndless
from rowkeeper.sources.api.binding import bound_to, members_of, with_members
from rowkeeper.sources.api.paging import PageRead, Pagination

SAME_PAGES_MAX = 3
PAGES_MAX = 100_000
State = Mapping[str, Any]
Ask = Callable[[Request], Answer]


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One page.

    Attributes:
        before: the state from which a walk begins with this page.
        after: the state from which it goes on after it; None after the last.
    """

    answer: Answer
    records: Sequence[bytes]
    before: State
    after: State | None


class Walk(Protocol):
    """The pages of a source, in order."""

    def pages(self, ask: Ask, state: State | None) -> Iterator[Page]:
        """From a state on; None is the beginning."""
        ...


@dataclasses.dataclass(frozen=True)
class PageWalk:
    """The pages of one call.

    Attributes:
        records: where the records are in an answer: a JSONPath, or `lines`.
        errors: JSONPaths of what must not be in an answer; None looks for none.
    """

    request: Request
    pagination: Pagination
    records: str
    errors: Sequence[str] | None
    pages_max: int = PAGES_MAX

    def pages(self, ask: Ask, state: State | None) -> Iterator[Page]:
        """Implements Walk."""
        state = state or begun(self.pagination.first(self.request))
        last, same = "", 1
        while state is not None:
            page = self._page(ask, state)
            digest = hashlib.blake2b(page.answer.body, digest_size=16).hexdigest() if page.records else ""
            same = same + 1 if digest and digest == last else 1
            if same >= SAME_PAGES_MAX:
                raise PagesEndless(
                    f"{page.answer.request.place} gives the same page {same} times in succession",
                    hint="an API that does not know a parameter gives its first page for ever: see pagination=",
                )
            last = digest
            yield page
            state = page.after

    def _page(self, ask: Ask, state: State) -> Page:
        request = Request.of(state["request"])
        if state["page"] >= self.pages_max:
            raise PagesEndless(
                f"{request.place} has more than {self.pages_max:,} pages",
                hint="see whether they end (total=, pagination=); if there are that many: pages_max=",
            )
        answer = ask(request)
        document = Document(b"{}") if self.records == LINES else document_of(answer)
        records = self._records(answer, document)
        read = PageRead(answer, document, records, state["rows"])
        total = self.pagination.total_of(read)
        _check_total(request, state["total"], total)
        following = self._following(read, total)
        rows = state["rows"] + len(records)
        if following is None and total is not None and rows != total:
            raise PagesChanged(
                f"{request.place} has {total:,} records by its own word, and {rows:,} on its pages",
                hint="they changed meanwhile, or total= is the number of something else; run again: it starts over",
            )
        return Page(answer, records, state, None if following is None else _advanced(state, following, rows, total))

    def _records(self, answer: Answer, document: Document) -> list[bytes]:
        if self.records == LINES:
            return lines_of(answer)
        errors = None if self.errors is None else [Path(each) for each in self.errors]
        return records_of(answer, document, Path(self.records), errors)

    def _following(self, read: PageRead, total: int | None) -> Request | None:
        """Where the total says that all was read, nobody has to ask for an empty page to know it."""
        if total is not None and read.before + len(read.records) == total:
            return None
        return self.pagination.following(read)


def begun(request: Request) -> State:
    """The state before the first page."""
    return {"request": request.document(), "page": 0, "rows": 0, "total": None, "mark": "", "marked": 0}


def _advanced(state: State, following: Request, rows: int, total: int | None) -> State:
    """The state after a page. Raises PagesEndless if the next request was made before."""
    number = state["page"] + 1
    current = Request.of(state["request"]).print
    if following.print in (current, state["mark"]):
        raise PagesEndless(
            f"the pages of {following.place} lead back to one that was read",
            hint="see what the API gives as its next page; nothing was published",
        )
    is_power = number & (number - 1) == 0
    return {
        "request": following.document(),
        "page": number,
        "rows": rows,
        "total": total if state["total"] is None else state["total"],
        "mark": current if is_power else state["mark"],
        "marked": number if is_power else state["marked"],
    }


def _check_total(request: Request, before: int | None, now: int | None) -> None:
    if before is not None and now is not None and before != now:
        raise PagesChanged(
            f"{request.place} had {before:,} records when its first page was read, and has {now:,} now",
            hint="run again: it starts over; a cursor or an incremental source does not mind",
        )


@dataclasses.dataclass(frozen=True)
class ChildWalk:
    """For each record of one call the pages of another: the items of each order.

    Attributes:
        url: of the call for a record, with `{name}` where a value of the record belongs.
        bound: by name, the JSONPath in the parent's record of what stands in its place.
        included: by name, the JSONPath in the parent's record of what each child is given as a member.
    """

    parent: PageWalk
    child: PageWalk
    bound: Mapping[str, str]
    included: Mapping[str, str]

    def pages(self, ask: Ask, state: State | None) -> Iterator[Page]:
        """Implements Walk. The state has that of the parent's page, the record's place in it, and the child's."""
        state = state or {"parent": None, "skip": 0, "print": None, "child": None}
        for parent in self.parent.pages(ask, state["parent"]):
            skip = state["skip"]
            for number, record in enumerate(parent.records[skip:], skip):
                yield from self._of_record(ask, parent, number, record, state)
                state = {**state, "print": None, "child": None}
            state = {"parent": None, "skip": 0, "print": None, "child": None}

    def _of_record(self, ask: Ask, parent: Page, number: int, record: bytes, state: State) -> Iterator[Page]:
        own = hashlib.blake2b(record, digest_size=16).hexdigest()
        if state["print"] not in (None, own):
            raise PagesChanged(
                f"{parent.answer.request.place} has another record where the run had stopped",
                hint="run again: it starts over",
            )
        here = {"parent": parent.before, "skip": number, "print": own}
        child = dataclasses.replace(self.child, request=bound_to(self.child.request, record, self.bound))
        added = members_of(record, self.included)
        for page in child.pages(ask, state["child"]):
            after: State | None = {**here, "child": page.after}
            if page.after is None:
                after = self._next(parent, number)
            records = [with_members(each, added) for each in page.records] if added else page.records
            yield Page(page.answer, records, {**here, "child": page.before}, after)

    @staticmethod
    def _next(parent: Page, number: int) -> State | None:
        if number + 1 < len(parent.records):
            return {"parent": parent.before, "skip": number + 1, "print": None, "child": None}
        return None if parent.after is None else {"parent": parent.after, "skip": 0, "print": None, "child": None}
