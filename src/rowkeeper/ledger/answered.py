"""Which instants were answered, of slots that are no longer kept; inside a transaction that is open.

What was answered is not answered again, however long ago it was: a backfill asks. So the instants of slots that are
pruned are kept in short, as rows of equal steps: those of `0 6 * * *` in UTC are one row for good, those of a working
week one a week. Nothing is in a row but what was answered.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from rowkeeper.ledger.schema import answered_instants as table


@dataclasses.dataclass(frozen=True, slots=True)
class Steps:
    """Instants in equal steps.

    Attributes:
        last: the last of them; the first, if it is the only one.
        step: from each to the next; nothing, if there is one.
    """

    first: datetime
    last: datetime
    step: timedelta = timedelta()

    def fits(self, moment: datetime) -> bool:
        """Whether a later moment can be the next of them."""
        return not self.step or moment - self.last == self.step

    def has(self, moment: datetime) -> bool:
        """Whether it is one of them."""
        if not self.first <= moment <= self.last:
            return False
        return moment == self.first if not self.step else not (moment - self.first) % self.step


def in_steps(moments: Iterable[datetime], begun: Steps | None = None) -> Iterator[Steps]:
    """Ascending instants as few steps; the first goes on with what was begun, if there is such."""
    for moment in moments:
        if begun is None:
            begun = Steps(moment, moment)
        elif begun.fits(moment):
            begun = Steps(begun.first, moment, moment - begun.last)
        else:
            yield begun
            begun = Steps(moment, moment)
    if begun is not None:
        yield begun


def keep(connection: Connection, pipeline: str, instants: Collection[datetime]) -> None:
    """Takes down that these were answered. None of them may be taken down before."""
    if not instants:
        return
    ordered = sorted(each.astimezone(UTC) for each in instants)
    mine = (table.c.pipeline == pipeline, table.c.last < ordered[0])
    newest = select(table).where(*mine).order_by(table.c.last.desc(), table.c.first.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    begun = None if row is None else Steps(row.first, row.last, timedelta(seconds=row.step_seconds))
    for each in in_steps(ordered, begun):
        values = {"last": each.last, "step_seconds": int(each.step.total_seconds())}
        if begun is not None and each.first == begun.first:
            own = (table.c.pipeline == pipeline, table.c.first == begun.first)
            connection.execute(update(table).where(*own).values(**values))
        else:
            connection.execute(insert(table).values(pipeline=pipeline, first=each.first, **values))


def answered(connection: Connection, pipeline: str, instants: Collection[datetime]) -> set[datetime]:
    """Those of them that were answered by slots that are no longer kept."""
    if not instants:
        return set()
    ordered = sorted(instants)
    near = (table.c.pipeline == pipeline, table.c.last >= ordered[0], table.c.first <= ordered[-1])
    found: set[datetime] = set()
    for row in connection.execute(select(table).where(*near)):
        steps = Steps(row.first, row.last, timedelta(seconds=row.step_seconds))
        within = ordered[bisect.bisect_left(ordered, steps.first) : bisect.bisect_right(ordered, steps.last)]
        found.update(each for each in within if steps.has(each))
    return found
