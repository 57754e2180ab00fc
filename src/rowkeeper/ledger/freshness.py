"""How new tables and their keys are, as they were asked last: so that a key of which nothing is left is still expected,
and a table is asked again only after something was published.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select, update

from rowkeeper.ledger.audit import Event, Trail
from rowkeeper.ledger.database import reading, writing
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.schema import freshness_asked, freshness_keys
from rowkeeper.protocols import Newest

KEY_CHARACTERS_MAX = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """When a table was asked for a rule.

    Attributes:
        run: whose publish was the last before; 0 if there was none.
        ask_after: from then on the answer is another one by itself.
        days: that have rows, where the rule is about days.
    """

    pipeline: str
    rule: str
    target: str
    run: int
    asked_at: datetime
    ask_after: datetime | None = None
    days: frozenset[date] | None = None

    def holds(self, target: str, run: int, now: datetime) -> bool:
        """Whether the table would say the same now."""
        same = self.target == target and self.run == run
        return same and (self.ask_after is None or now < self.ask_after)


@dataclasses.dataclass(frozen=True, slots=True)
class KnownKey:
    """One key of a rule, or the whole table.

    Attributes:
        key: as text; empty: the whole table.
        newest: the newest event, when rows of it were there last; None: none but in the future.
        ahead: rows with an event that lay in the future.
        present: rows of it were there when the table was asked last.
        retired_at: since when it is expected no more.
    """

    pipeline: str
    rule: str
    key: str
    newest: datetime | None
    ahead: int
    present: bool
    first_seen_at: datetime
    retired_at: datetime | None = None

    def as_dict(self) -> dict[str, object]:
        """The JSON document."""
        times = {name: getattr(self, name) for name in ("newest", "first_seen_at", "retired_at")}
        told = {name: None if each is None else each.isoformat() for name, each in times.items()}
        return {"rule": self.rule, "key": self.key, "present": self.present, "ahead": self.ahead, **told}


class LedgerFreshness:
    """Reads and writes them. Every method raises DatabaseError or IntegrityError."""

    def __init__(self, engine: Engine, clock: Clock, audit: Trail) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit

    def asked(self, pipeline: str, rule: str) -> Asked | None:
        """When the table was asked last for a rule."""
        mine = (freshness_asked.c.pipeline == pipeline) & (freshness_asked.c.rule == rule)
        with reading(self._engine) as connection:
            row = connection.execute(select(freshness_asked).where(mine)).one_or_none()
        if row is None:
            return None
        days = None if row.days is None else frozenset(map(date.fromisoformat, row.days))
        return Asked(row.pipeline, row.rule, row.target, row.run, row.asked_at, row.ask_after, days)

    def keys(self, pipeline: str, rule: str | None = None) -> list[KnownKey]:
        """The keys of a rule, or of all of a pipeline's, also those that are retired."""
        query = select(freshness_keys).where(_of(pipeline, rule)).order_by(freshness_keys.c.rule, freshness_keys.c.key)
        with reading(self._engine) as connection:
            return [KnownKey(*row) for row in connection.execute(query)]

    def most_behind(self) -> dict[tuple[str, str], datetime]:
        """By pipeline and rule, the newest event of the key that is most behind of those that are expected."""
        rule = (freshness_keys.c.pipeline, freshness_keys.c.rule)
        expected = freshness_keys.c.retired_at.is_(None) & freshness_keys.c.newest.is_not(None)
        query = select(*rule, func.min(freshness_keys.c.newest).label("newest")).where(expected).group_by(*rule)
        with reading(self._engine) as connection:
            return {(row.pipeline, row.rule): row.newest for row in connection.execute(query)}

    def note(self, asked: Asked, found: Sequence[Newest]) -> None:
        """What the table said. A key that was retired and has a newer event than then is expected again."""
        with writing(self._engine, "freshness") as connection:
            mine = (freshness_asked.c.pipeline == asked.pipeline) & (freshness_asked.c.rule == asked.rule)
            connection.execute(delete(freshness_asked).where(mine))
            values = dataclasses.asdict(asked)
            values["days"] = None if asked.days is None else sorted(each.isoformat() for each in asked.days)
            connection.execute(insert(freshness_asked).values(**values))
            if asked.days is None:
                self._note_keys(connection, asked, found)

    def _note_keys(self, connection: Connection, asked: Asked, found: Iterable[Newest]) -> None:
        mine = _of(asked.pipeline, asked.rule)
        known = {row.key: row for row in connection.execute(select(freshness_keys).where(mine))}
        connection.execute(update(freshness_keys).where(mine).values(present=False, ahead=0))
        made = []
        for each in found:
            key = kept_key(each.key)
            former = known.get(key)
            state = {"newest": each.at, "ahead": each.ahead, "present": True}
            if former is None:
                made.append({"pipeline": asked.pipeline, "rule": asked.rule, "key": key, **state})
                continue
            if each.at is not None and (former.newest is None or each.at > former.newest):
                state["retired_at"] = None
            connection.execute(update(freshness_keys).where(mine, freshness_keys.c.key == key).values(**state))
        if made:
            connection.execute(insert(freshness_keys), [{**each, "first_seen_at": asked.asked_at} for each in made])

    def retire(self, pipeline: str, key: str, rules: Collection[str], reason: str | None) -> None:
        """From now on it is not expected, until it has a newer event. The caller has seen that the rules have it."""
        with writing(self._engine, "retire_key") as connection:
            mine = (freshness_keys.c.pipeline == pipeline) & (freshness_keys.c.key == key)
            connection.execute(
                update(freshness_keys).where(mine, freshness_keys.c.rule.in_(rules)).values(retired_at=self._clock())
            )
            on: Mapping[str, object] = {"pipeline": pipeline, "key": key}
            self._audit.write(connection, Event("freshness.retire", on, detail={"rules": sorted(rules)}, reason=reason))


def kept_key(key: str) -> str:
    """A key as the ledger has it: a long one ends in a hash of it."""
    if len(key) <= KEY_CHARACTERS_MAX:
        return key
    digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    return f"{key[: KEY_CHARACTERS_MAX - len(digest) - 3]}...{digest}"


def _of(pipeline: str, rule: str | None) -> ColumnElement[bool]:
    mine = freshness_keys.c.pipeline == pipeline
    return mine if rule is None else mine & (freshness_keys.c.rule == rule)
