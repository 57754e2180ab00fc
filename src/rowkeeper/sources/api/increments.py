"""Incremental reading: what has changed since, by a field of the records, with a look back for what comes late.

The highest value that was read is the mark. The next run asks from the mark less the lookback on, so that it gets
records a second time, at least those at the mark itself. Which of them were read is known by their digests: those of
all records at or after the mark less the lookback are kept with it. A record that is as it was is a duplicate; one that
changed is new, and it is the destination that knows by its key what to do with it.

Digests are of the record with its members sorted, so that another order is no change. There may be several records that
are alike: each is counted.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec

from rowkeeper.apis.requests import Request, Sent
from rowkeeper.apis.selecting import Document, Path, Unreadable, decode
from rowkeeper.errors import CursorWentBack, DeclarationError, SourceError
from rowkeeper.sources.api.paging import Order

SEEN_MAX = 100_000
SORTED = msgspec.json.Encoder(order="sorted", decimal_format="number")
Kind = Literal["number", "time", "text"]
Comparable = Decimal | datetime | str


@dataclasses.dataclass(frozen=True)
class Incremental:
    """Only what has changed since the last run is asked for.

    Args:
        field: a JSONPath in the record to what grows: a time of change, a number, a text that sorts.
        param: the parameter by which the API is asked for records from a value on.
        start: what the first run asks for; None asks for everything.
        lookback: how much further back each run looks: a `timedelta` for times (in ISO 8601, or in seconds since 1970),
            a number for numbers. As long as a record may come late, and as a run may take.
        order: in which the API gives the records; one that does not keep to it is an error. None does not look.
        sent: whether the parameter goes in the query or in the JSON body of a POST.
        format: how a time is written in the parameter (`strftime`); None as the API writes it itself.
    """

    field: str
    param: str
    start: str | int | None = None
    lookback: timedelta | int | None = None
    order: Order | None = None
    sent: Sent = "query"
    format: str | None = None

    def __post_init__(self) -> None:
        Path(self.field)
        wrong = self.lookback is not None and not isinstance(self.lookback, (int, timedelta))
        if wrong or (self.lookback is not None and self.lookback < type(self.lookback)()):  # type: ignore[operator]
            raise DeclarationError(
                f"Incremental(lookback={self.lookback!r})", hint="a timedelta, or a number, not below 0"
            )
        if self.order not in (None, "ascending", "descending"):
            raise DeclarationError(f"Incremental(order={self.order!r})", hint="ascending or descending")

    def describe(self) -> Mapping[str, Any]:
        """As JSON values."""
        lookback = self.lookback.total_seconds() if isinstance(self.lookback, timedelta) else self.lookback
        return {**dataclasses.asdict(self), "lookback": lookback}


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """A value of the field.

    Attributes:
        text: as the API writes it.
        order: what it is compared by.
    """

    kind: Kind
    text: str
    order: Comparable

    @classmethod
    def of(cls, found: Any, kind: Kind | None) -> Value | None:
        """None for what cannot be compared with values of this kind; None as a kind takes whatever it is."""
        if isinstance(found, (int, Decimal)) and not isinstance(found, bool):
            return cls("number", str(found), Decimal(found)) if kind in (None, "number") else None
        if not isinstance(found, str) or not found:
            return None
        if kind in (None, "time"):
            moment = _moment(found)
            if moment is not None:
                return cls("time", found, moment)
        return cls("text", found, found) if kind in (None, "text") else None

    def less(self, lookback: timedelta | int | None, written: str | None) -> Value:
        """The value so much further back. Raises DeclarationError if there is no such thing."""
        if not lookback and (written is None or self.kind != "time"):
            return self
        if self.kind == "number":
            step = Decimal(0)
            if isinstance(lookback, timedelta):
                step = Decimal(lookback // timedelta(microseconds=1)) / 10**6
            elif lookback is not None:
                step = Decimal(lookback)
            back = Decimal(self.order) - step  # type: ignore[arg-type]
            return Value("number", f"{back:f}", back)
        if self.kind == "text" or not isinstance(lookback, (timedelta, type(None))):
            raise DeclarationError(
                f"lookback={lookback!r} does not fit a field of the kind {self.kind}",
                hint="a timedelta for times, a number for numbers, none for other texts",
            )
        assert isinstance(self.order, datetime)
        moment = self.order - (lookback or timedelta())
        return Value("time", _written(moment, self.text, written), moment)


def _moment(text: str) -> datetime | None:
    """A time in ISO 8601; without a zone it is UTC. A bare number is none."""
    if text.isdecimal():
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _written(moment: datetime, like: str, written: str | None) -> str:
    if written is not None:
        return moment.strftime(written)
    if len(like) == len("2026-11-26"):
        return date(moment.year, moment.month, moment.day).isoformat()
    text = moment.isoformat()
    if like.endswith("Z"):
        return text.replace("+00:00", "Z")
    return text if _has_zone(like) else text.removesuffix("+00:00")


def _has_zone(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


class Tide:
    """The mark while records go by.

    Args:
        known: what `document` gave after the last run, or after the last batch of this one.
    """

    def __init__(self, declared: Incremental, known: Mapping[str, Any] | None, *, going_on: bool = False) -> None:
        self._declared = declared
        self._kind: Kind | None = known["kind"] if known else None
        self._mark = Value.of(_plain(known["mark"], known["kind"]), known["kind"]) if known else None
        self._seen: dict[str, tuple[int, Comparable | None]] = {}
        if known is None:
            self._left: Counter[str] = Counter()
            self._asked = self._start
            self._kind = None if self._asked is None else self._asked.kind
        elif going_on:
            self._left = Counter(known["left"])
            self._seen = {each: (count, None) for each, count in Counter(known["seen"]).items()}
            self._asked = _value_of(known["asked"])
        else:
            self._left = Counter(known["seen"])
            assert self._mark is not None
            self._asked = self._mark.less(declared.lookback, declared.format)
        self._last: Value | None = None
        self._pruned_at = 1_000
        self._read = _reader(declared.field)

    @property
    def _start(self) -> Value | None:
        return None if self._declared.start is None else Value.of(self._declared.start, None)

    def asks(self, request: Request) -> Request:
        """The request for what is new."""
        if self._asked is None:
            return request
        number = self._asked.kind == "number" and self._declared.sent == "body"
        text = self._asked.text
        return request.with_value(self._declared.param, int(Decimal(text)) if number else text, self._declared.sent)

    def takes(self, record: bytes, place: str) -> bool | None:
        """Whether a record is new; None if it has no value by which that could be told.

        Raises CursorWentBack or SourceError.
        """
        found = Value.of(self._read(record), self._kind)
        if found is None:
            return None
        self._kind = found.kind
        self._check(found, place)
        self._last = found
        if self._mark is None or found.order > self._mark.order:  # type: ignore[operator]
            self._mark = found
        digest = digest_of(record)
        is_new = self._left[digest] <= 0
        if not is_new:
            self._left[digest] -= 1
        if found.order >= self._bottom():  # type: ignore[operator]
            count, _ = self._seen.get(digest, (0, None))
            self._seen[digest] = (count + 1, found.order)
            if len(self._seen) > self._pruned_at:
                self._prune(place)
        return is_new

    def document(self, place: str) -> dict[str, Any]:
        """What the next run, or the next process of this one, has to know; JSON values."""
        if self._mark is None:
            return {}
        self._prune(place)
        seen = [digest for digest, (count, _) in self._seen.items() for _ in range(count)]
        left = [digest for digest, count in self._left.items() for _ in range(count)]
        asked = None if self._asked is None else [self._asked.kind, self._asked.text]
        return {
            "kind": self._mark.kind,
            "mark": self._mark.text,
            "asked": asked,
            "seen": sorted(seen),
            "left": sorted(left),
        }

    def _check(self, found: Value, place: str) -> None:
        if self._asked is not None and found.order < self._asked.order:  # type: ignore[operator]
            raise CursorWentBack(
                f"{place} gives records from before what it was asked for by {self._declared.param}",
                hint="does the API know the parameter? One that rounds to days needs a lookback of a day",
            )
        if self._declared.order is None or self._last is None:
            return
        ascends = self._declared.order == "ascending"
        earlier, later = (self._last, found) if ascends else (found, self._last)
        if later.order < earlier.order:  # type: ignore[operator]
            raise CursorWentBack(
                f"{place} does not give its records in {self._declared.order} order of {self._declared.field}",
                hint="leave order= out, or ask the API for that order (params=)",
            )

    def _bottom(self) -> Comparable:
        assert self._mark is not None
        return self._mark.less(self._declared.lookback, None).order if self._declared.lookback else self._mark.order

    def _prune(self, place: str) -> None:
        """Lets go of what no later run will be given again. Of what an earlier process saw, nobody knows when."""
        bottom = self._bottom()
        self._seen = {
            digest: (count, order)
            for digest, (count, order) in self._seen.items()
            if order is None or order >= bottom  # type: ignore[operator]
        }
        if len(self._seen) > SEEN_MAX:
            raise SourceError(
                f"{place} gave more than {SEEN_MAX:,} records within the lookback",
                hint="look back less far, and let the destination know rows by a key",
            )
        self._pruned_at = 2 * max(1_000, len(self._seen))


def digest_of(record: bytes) -> str:
    """96 bits, in hexadecimal, of a record with its members sorted."""
    try:
        text = SORTED.encode(decode(record))
    except (Unreadable, msgspec.ValidationError):
        text = record
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _reader(path: str) -> Callable[[bytes], Any]:
    """Reads the field of a record; anything but a value if it has none."""
    parsed = Path(path)

    def read(record: bytes) -> Any:
        try:
            return parsed.value(Document(record))
        except Unreadable:
            return None

    if parsed.steps is None or len(parsed.steps) != 1 or not isinstance(parsed.steps[0], str):
        return read
    fields = [("found", Any, None)]
    decoder = msgspec.json.Decoder(
        msgspec.defstruct("Field", fields, rename={"found": parsed.steps[0]}), float_hook=Decimal
    )

    def read_quickly(record: bytes) -> Any:
        try:
            return decoder.decode(record).found  # type: ignore[attr-defined]
        except (msgspec.DecodeError, RecursionError):
            return None

    return read_quickly


def _plain(text: str, kind: Kind) -> Any:
    return Decimal(text) if kind == "number" else text


def _value_of(kept: list[Any] | None) -> Value | None:
    return None if kept is None else Value.of(_plain(kept[1], kept[0]), kept[0])
