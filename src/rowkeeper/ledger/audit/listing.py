"""Entries found again: the newest that somebody, something, a time or an outcome is in.

Entries are not indexed, as an index would have to be written with each of them. They are in the order of their times,
so that a time is found by halves; what else is asked for is looked for by the database in the entries' bytes, which
passes over a million of them in about a second, and then looked at again in those that were read.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, LargeBinary, bindparam, func, literal, or_, select

from rowkeeper.ledger.audit.event import ADDRESS, Entry, Outcome, parsed
from rowkeeper.ledger.database import reading
from rowkeeper.ledger.schema import audit_entries, audit_head, audit_people, audit_reasons

PAGE = 4_096  # entries in memory at a time
ACTION_MARK, OUTCOME_MARK = b'{"action":"', b',"outcome":"'
CLOCKS_DIFFER = timedelta(minutes=5)  # how far the clocks of machines that write the same ledger may be apart


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for: those of which all of this is true.

    Attributes:
        actions: of one of these, or of those that begin with one of them and a dot; of any if there is none.
        who: of somebody: a name with its kind or without (`user:ann`, `ann`), or an id.
        on: about something: its kind, or kind and value (`run`, `("run", "12")`); a user by name or by id.
        since, until: not before, and before.
        outcome: with this outcome.
    """

    actions: tuple[str, ...] = ()
    who: str | None = None
    on: tuple[str, str | None] | None = None
    since: datetime | None = None
    until: datetime | None = None
    outcome: Outcome | None = None


ALL = Wanted()


def newest(engine: Engine, limit: int, wanted: Wanted = ALL) -> list[Entry]:
    """The newest entries of those that are wanted, in order."""
    found: list[Entry] = []
    with reading(engine) as connection:
        for entry in _entries(connection, wanted, backwards=True):
            found.append(entry)
            if len(found) == limit:
                break
    return found[::-1]


def entries(engine: Engine, wanted: Wanted = ALL, *, first: int = 0) -> Iterator[Entry]:
    """All that are wanted, in order, a page in memory at a time.

    Args:
        first: the number of the first entry that is looked at.
    """
    with reading(engine) as connection:
        yield from _entries(connection, wanted, backwards=False, first=first)


def people(engine: Engine) -> dict[str, str]:
    """What the ids of people, services and addresses mean: only those that were not forgotten."""
    with reading(engine) as connection:
        return _people(connection)


def tally(engine: Engine, first: int) -> tuple[int, Counter[tuple[str, str]]]:
    """Counts entries by action and outcome, without reading more of them than that.

    Args:
        first: the number of the first entry that is counted.

    Returns the number of the first one that is not, and the counts.
    """
    counted: Counter[tuple[str, str]] = Counter()
    with reading(engine) as connection:
        number = audit_entries.c.number
        asked = select(number, audit_entries.c.entry).where(number >= first).order_by(number)
        for row in connection.execution_options(yield_per=PAGE).execute(asked):
            counted[_gist(bytes(row.entry))] += 1
            first = row.number + 1
    return first, counted


def _gist(entry: bytes) -> tuple[str, str]:
    """Action and outcome, by where they stand in canonical JSON: nothing that follows the outcome can hold its mark."""
    outcome = entry.rindex(OUTCOME_MARK) + len(OUTCOME_MARK)
    return (
        entry[len(ACTION_MARK) : entry.index(b'"', len(ACTION_MARK))].decode(),
        entry[outcome : entry.index(b'"', outcome)].decode(),
    )


def _people(connection: Connection) -> dict[str, str]:
    return {row.id: row.name for row in connection.execute(select(audit_people))}


def _entries(connection: Connection, wanted: Wanted, *, backwards: bool, first: int = 0) -> Iterator[Entry]:
    names = _people(connection)
    size = connection.execute(select(audit_head.c.size)).scalar() or 0
    fits = _Fits(wanted, names)
    number = audit_entries.c.number
    asked = (
        select(audit_entries, audit_reasons.c.reason)
        .join(audit_reasons, audit_reasons.c.number == number, isouter=True)
        .where(*fits.in_bytes(connection.dialect.name))
        .order_by(number.desc() if backwards else number)
    )
    if wanted.since is not None:
        first = max(first, _first_at(connection, size, wanted.since - CLOCKS_DIFFER))
    if wanted.until is not None:
        asked = asked.where(number < _first_at(connection, size, wanted.until + CLOCKS_DIFFER))
    for row in connection.execution_options(yield_per=PAGE).execute(asked.where(number >= first)):
        entry = parsed(row.number, bytes(row.entry), reason=row.reason)
        if fits(entry):
            address = names.get(entry.address or "", "").removeprefix(ADDRESS) or None
            yield dataclasses.replace(entry, name=names.get(entry.who), address=address)


class _Fits:
    """Whether an entry is wanted: first as the database can tell, by bytes that are in it; then for certain.

    Args:
        names: what the ids of people mean.
    """

    def __init__(self, wanted: Wanted, names: Mapping[str, str]) -> None:
        self._wanted = wanted
        self._names = names
        self._who = None if wanted.who is None else self._ids(wanted.who)

    def _ids(self, text: str) -> frozenset[str]:
        """The ids that a person's name may stand for; it may be an id itself."""
        return frozenset({text} | {id_ for id_, name in self._names.items() if text in (name, name.partition(":")[2])})

    def in_bytes(self, dialect: str) -> Iterator[ColumnElement[bool]]:
        """Conditions that every wanted entry meets, and few others."""
        wanted = self._wanted
        if wanted.actions:
            yield _contain(dialect, [b'{"action":' + _json(each)[:-1] for each in wanted.actions])
        if wanted.outcome is not None:
            yield _contain(dialect, [b'"outcome":' + _json(wanted.outcome.value)])
        if self._who is not None:
            yield _contain(dialect, [b'"who":' + _json(each) for each in sorted(self._who)])
        if wanted.on is not None:
            kind, value = wanted.on
            values = [b""] if value is None else [_json(each) for each in sorted(self._ids(value))]
            if value is not None and value.lstrip("-").isdecimal():
                values.append(value.encode())
            yield _contain(dialect, [_json(kind) + b":" + each for each in values])

    def __call__(self, entry: Entry) -> bool:
        wanted, event = self._wanted, entry.event
        return (
            (not wanted.actions or f"{event.action}.".startswith(tuple(f"{each}." for each in wanted.actions)))
            and (wanted.outcome is None or event.outcome is wanted.outcome)
            and (self._who is None or entry.who in self._who)
            and (wanted.since is None or entry.at >= wanted.since)
            and (wanted.until is None or entry.at < wanted.until)
            and (wanted.on is None or self._is_on(event.on, *wanted.on))
        )

    def _is_on(self, on: Mapping[str, Any], kind: str, value: str | None) -> bool:
        return kind in on and (value is None or str(on[kind]) in self._ids(value))


def _contain(dialect: str, needles: Iterable[bytes]) -> ColumnElement[bool]:
    """Whether the bytes of an entry have any of these in them."""
    look = _POSITION.get(dialect, _position_by_standard)
    return or_(*(look(needle) > 0 for needle in needles))


def _position_by_standard(needle: bytes) -> ColumnElement[int]:
    return func.position(literal(needle, LargeBinary).op("IN")(audit_entries.c.entry))


_POSITION: Mapping[str, Callable[[bytes], ColumnElement[int]]] = {
    "sqlite": lambda needle: func.instr(audit_entries.c.entry, literal(needle, LargeBinary))
}


def _first_at(connection: Connection, size: int, at: datetime) -> int:
    """The number of the first entry that is not before a moment, by halves."""
    one = select(audit_entries.c.entry).where(audit_entries.c.number == bindparam("number"))
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        data = connection.execute(one, {"number": middle}).scalar()
        if data is not None and parsed(middle, bytes(data), reason=None).at >= at:
            high = middle
        else:
            low = middle + 1
    return low


def _json(text: str) -> bytes:
    return msgspec.json.encode(text)
