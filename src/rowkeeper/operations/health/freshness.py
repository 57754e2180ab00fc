"""How new tables are, and each partition or key of them: by what their pipelines declare as `freshness`.

A table is asked again only after something was published to it. What was seen of it is kept in the ledger, so that a
key of which no row is left is still expected, until it is retired.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime

from rowkeeper.errors import DestinationLacks, FrameworkError, TooManyKeys
from rowkeeper.ledger import RunRecord
from rowkeeper.ledger.freshness import Asked, KnownKey
from rowkeeper.operations.health.check import Check, State
from rowkeeper.operations.health.context import HealthContext, run_command
from rowkeeper.pipeline import Pipeline
from rowkeeper.protocols import Dated, Newest
from rowkeeper.quality import CompleteDays, Freshness, FreshRule, Severity
from rowkeeper.quality.freshness import AHEAD, told_span
from rowkeeper.resilience.deadline import deadline

NAME = "freshness"
ASKED_SECONDS_MAX = 30.0
KEYS_MAX = 10_000
TOLD_MAX = 20  # keys with a check of their own
DAYS_TOLD = 5
LONG_AGO = datetime.min.replace(tzinfo=UTC)


def look_at_freshness(context: HealthContext) -> Iterator[Check]:
    """Checks for each rule: of the rule, and of each key that is old."""
    for pipeline in context.pipelines:
        for rule in pipeline.freshness:
            look = _Look(context, pipeline, rule)
            try:
                yield from look.checks()
            except FrameworkError as error:
                yield look.check(State.UNKNOWN, f"it could not be asked: {error.what}", mend=error.hint)


@dataclasses.dataclass(frozen=True)
class _Look:
    """One rule of one pipeline, looked at once."""

    context: HealthContext
    pipeline: Pipeline
    rule: Freshness

    def checks(self) -> Iterator[Check]:
        """By the ledger alone where that will do."""
        rule, loads = self.rule, self._loads(limit=1)
        if not loads:
            yield self.check(self._bad, "nothing has been published yet", mend=run_command(self.pipeline))
        elif isinstance(rule, CompleteDays):
            yield self._days(rule)
        elif rule.column is None and rule.by is None:
            yield self._aged(rule, loads[0].finished_at or loads[0].started_at)
        else:
            yield from self._keys(rule)

    def check(self, state: State, told: str, *, key: str = "", mend: str = "", since: datetime | None = None) -> Check:
        """A check of the rule, or of one key of it."""
        subject = f"{self.pipeline.name}/{self.rule.name}" + (f"/{key}" if key else "")
        return Check(NAME, subject, state, told, self.rule.limit, mend, since)

    @property
    def _bad(self) -> State:
        return State.WARNING if self.rule.severity is Severity.WARN else State.BAD

    def _loads(self, limit: int) -> list[RunRecord]:
        ledger = self.context.workspace.ledger
        return ledger.former_loads(self.pipeline.name, self.pipeline.destination.target, limit=limit)

    # ------------------------------------------------------------------------------------------ the table as a whole

    def _aged(self, rule: FreshRule, newest: datetime) -> Check:
        """By the last publish."""
        now = self.context.now
        stale = rule.stale_since(newest, now)
        told = f"the last publish was {told_span(now - newest)} ago"
        if stale is None:
            return self.check(State.GOOD, told)
        return self.check(self._bad, told, mend=run_command(self.pipeline), since=stale)

    def _days(self, rule: CompleteDays) -> Check:
        asked = self._asked()
        missing = rule.missing(asked.days or frozenset(), self.context.now)
        if not missing:
            return self.check(State.GOOD, "no day is missing")
        named = ", ".join(each.isoformat() for each in missing[-DAYS_TOLD:])
        which = named if len(missing) <= DAYS_TOLD else f"the last are {named}"
        told = f"{len(missing):,} {'day has' if len(missing) == 1 else 'days have'} no rows: {which}"
        return self.check(self._bad, told, mend=f"see to the source, then {run_command(self.pipeline)}")

    # ------------------------------------------------------------------------------------------ keys

    def _keys(self, rule: FreshRule) -> Iterator[Check]:
        self._asked()
        known = self.context.workspace.ledger.freshness.keys(self.pipeline.name, rule.name)
        expected = [each for each in known if each.retired_at is None]
        yield from self._ahead(expected)
        if rule.by is None:
            yield self._key(rule, expected[0]) if expected else self.check(self._bad, "the table has no rows")
            return
        judged = [self._key(rule, each) for each in expected]
        old = [each for each in judged if each.state is not State.GOOD]
        old.sort(key=lambda each: each.since or LONG_AGO)
        fresh = f"{len(judged) - len(old):,} of {len(judged):,} values of {rule.by} are fresh"
        yield self.check(State.GOOD, fresh) if judged else self.check(self._bad, f"no value of {rule.by} was ever seen")
        yield from old[:TOLD_MAX]
        if len(old) > TOLD_MAX:
            more = f"{len(old) - TOLD_MAX:,} more values are old as well"
            yield self.check(self._bad, more, key="...", mend=run_command(self.pipeline))

    def _key(self, rule: FreshRule, known: KnownKey) -> Check:
        mend = run_command(self.pipeline)
        if known.key:
            mend = f"see to its source; or rowkeeper freshness retire {self.pipeline.name} {known.key!r}"
        if known.newest is None:
            return self.check(self._bad, "it has no event but in the future", key=known.key, mend=mend)
        stale = rule.stale_since(known.newest, self.context.now)
        what = "the newest event" if rule.column else "the last publish that brought any of it"
        told = f"{what} is {told_span(self.context.now - known.newest)} old"
        if stale is None:
            return self.check(State.GOOD, told, key=known.key)
        if not known.present:
            told += ", and no row of it is left"
        return self.check(self._bad, told, key=known.key, mend=mend, since=stale)

    def _ahead(self, known: list[KnownKey]) -> Iterator[Check]:
        """Events of the future do not count: one of them would make a table look fresh for ever."""
        rows = sum(each.ahead for each in known)
        if rows:
            told = f"{rows:,} rows have an event in the future, which does not count"
            mend = "correct them at the source; a gate or a rule of the contract keeps such rows out"
            yield Check("event times", f"{self.pipeline.name}/{self.rule.name}", State.WARNING, told, mend=mend)

    # ------------------------------------------------------------------------------------------ the asking

    def _asked(self) -> Asked:
        """What the table said when it was asked last; it is asked anew if it may say something else by now."""
        ledger, now = self.context.workspace.ledger, self.context.now
        target = self.pipeline.destination.target
        last = ledger.last_published(target)
        asked = ledger.freshness.asked(self.pipeline.name, self.rule.name)
        if asked is not None and asked.holds(target, last.run if last else 0, now):
            return asked
        begun = Asked(self.pipeline.name, self.rule.name, target, last.run if last else 0, now)
        with deadline(ASKED_SECONDS_MAX):
            asked, found = self._ask(begun)
        ledger.freshness.note(asked, found)
        return asked

    def _ask(self, begun: Asked) -> tuple[Asked, list[Newest]]:
        session = self.pipeline.destination.connect(self.context.workspace.site, None)
        try:
            if not isinstance(session, Dated):
                raise DestinationLacks(
                    f"{self.pipeline.destination.target} cannot be asked how new its rows are",
                    hint="judge by the last publish: rk.fresh(within=...), without a column",
                )
            if isinstance(self.rule, CompleteDays):
                days = session.days(self.rule.column, self.rule.since, self.rule.zone.key)
                return dataclasses.replace(begun, days=days), []
            found = session.newest(self.rule.column, self.rule.by, begun.asked_at + AHEAD, KEYS_MAX)
        finally:
            session.close()
        if len(found) > KEYS_MAX:
            raise TooManyKeys(
                f"{self.rule.by} has more than {KEYS_MAX:,} values",
                hint="by= is for what partitions a table, such as a country or a carrier; name a column with fewer",
            )
        if self.rule.column is None:
            found = [dataclasses.replace(each, at=self._published(each.run)) for each in found]
        ahead = [each.first_ahead for each in found if each.first_ahead is not None]
        return dataclasses.replace(begun, ask_after=min(ahead) - AHEAD if ahead else None), found

    def _published(self, run: int) -> datetime:
        record = self.context.workspace.ledger.run(run)
        return record.finished_at or record.started_at
