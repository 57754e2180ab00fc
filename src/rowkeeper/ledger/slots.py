"""Slots of schedules: which have come due, which were answered, and by which run; inside a transaction that is open.

A slot is answered in the transaction that notes its run as published (or as having found nothing new). A run that is
begun for one that was answered is refused. So a slot is answered once, whatever a worker knew when it began: one that
died before it could note an end, or one that was silent for longer than its lease and goes on.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, literal, select, update

from rowkeeper.errors import SlotAnswered
from rowkeeper.ledger.answered import answered
from rowkeeper.ledger.schema import runs, slots
from rowkeeper.schedule import Due, Slot, numbered_slot

FOUNDED = datetime(1, 1, 1, tzinfo=UTC)  # before all slots


class Cause(enum.StrEnum):
    """What made a slot."""

    TIME = "time"
    PUBLISH = "publish"  # of a pipeline that this one comes after
    BACKFILL = "backfill"  # somebody asked for it, and has it answered


class SlotState(enum.StrEnum):
    """Where a slot stands."""

    DUE = "due"  # to be answered; a run may be under way
    DONE = "done"
    FAILED = "failed"  # by what somebody has to mend: the schedule goes on with the next
    SKIPPED = "skipped"  # passed over, as its schedule says


@dataclasses.dataclass(frozen=True, slots=True)
class SlotRecord:
    """One slot.

    Attributes:
        since, until: its interval.
        not_before: when it may be begun.
        tries: how often a run was begun for it.
        run: the run that answered it.
        outcome: of the last attempt, as of a schedule.
        told: why it failed, or was passed over.
    """

    number: int
    pipeline: str
    cause: Cause
    since: datetime
    until: datetime
    not_before: datetime
    state: SlotState
    tries: int
    run: int | None
    outcome: str
    told: str
    ended_at: datetime | None

    @property
    def slot(self) -> Slot:
        """Its interval, as the pipeline sees it."""
        return Slot(self.since, self.until)

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "number": self.number,
            "cause": self.cause.value,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "not_before": self.not_before.isoformat(),
            "state": self.state.value,
            "tries": self.tries,
            "run": self.run,
            "outcome": self.outcome,
            "error": self.told,
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
        }


def instant_key(until: datetime) -> str:
    """The key of the slot that ends at an instant of the schedule."""
    return until.astimezone(UTC).isoformat()


def add(connection: Connection, pipeline: str, dues: Mapping[str, Due], cause: Cause, now: datetime) -> None:
    """Takes slots down by their keys, but for those that are there, or were answered and are no longer kept."""
    mine = (slots.c.pipeline == pipeline, slots.c.key.in_(list(dues)))
    known = set(connection.execute(select(slots.c.key).where(*mine)).scalars())
    new = {key: due for key, due in dues.items() if key not in known}
    gone = set() if cause is Cause.PUBLISH else answered(connection, pipeline, [due.until for due in new.values()])
    rows = [_row(pipeline, key, due, cause, now) for key, due in new.items() if due.until not in gone]
    if rows:
        connection.execute(insert(slots), rows)


def _row(pipeline: str, key: str, due: Due, cause: Cause, now: datetime) -> dict[str, Any]:
    skipped = bool(due.why_skipped)
    return {
        "pipeline": pipeline,
        "key": key,
        "cause": cause.value,
        "since": due.since,
        "until": due.until,
        "not_before": due.not_before,
        "state": (SlotState.SKIPPED if skipped else SlotState.DUE).value,
        "tries": 0,
        "outcome": "skipped" if skipped else "",
        "told": due.why_skipped,
        "ended_at": now if skipped else None,
    }


def first_due(connection: Connection, pipeline: str) -> SlotRecord | None:
    """The first slot of a pipeline that is to be answered by whoever serves its schedule."""
    mine = (slots.c.state == SlotState.DUE.value, slots.c.pipeline == pipeline, slots.c.cause != Cause.BACKFILL.value)
    row = connection.execute(select(slots).where(*mine).order_by(slots.c.number).limit(1)).one_or_none()
    return None if row is None else slot_of(row)


def unanswered(connection: Connection, since: Mapping[str, datetime]) -> list[SlotRecord]:
    """Of each pipeline the slot of its schedule that no run has answered and that was to be begun first, if any.

    Args:
        since: by pipeline, the moment after which it has to end.
    """
    states = (SlotState.DUE.value, SlotState.FAILED.value)
    conditions = [slots.c.state.in_(states), slots.c.cause != Cause.BACKFILL.value]
    if since:
        moments = {name: literal(moment, slots.c.until.type) for name, moment in since.items()}
        after = case(moments, value=slots.c.pipeline, else_=literal(FOUNDED, slots.c.until.type))
        conditions.append(slots.c.until > after)
    place = func.row_number().over(partition_by=slots.c.pipeline, order_by=slots.c.not_before).label("place")
    open_still = select(slots, place).where(*conditions).subquery()
    return [slot_of(row) for row in connection.execute(select(open_still).where(open_still.c.place == 1))]


def end(connection: Connection, number: int, state: SlotState, outcome: str, *, told: str, now: datetime) -> None:
    """Ends a slot that no run has answered."""
    mine = (slots.c.number == number, slots.c.state == SlotState.DUE.value)
    ended = {"state": state.value, "outcome": outcome, "told": told, "ended_at": now}
    connection.execute(update(slots).where(*mine).values(**ended))


def to_answer(connection: Connection, pipeline: str) -> int | None:
    """The number of the slot that this process answers with a run of a pipeline; None if it answers none.

    Raises SlotAnswered if another run has, or if it ended so long ago that it is no longer kept.
    """
    number = numbered_slot(pipeline)
    if number is None:
        return None
    row = connection.execute(select(slots).where(slots.c.number == number)).one_or_none()
    if row is None:
        raise SlotAnswered(
            f"slot {number} of {pipeline} ended so long ago that it is no longer kept",
            hint="nothing was changed; rowkeeper schedule backfill answers what was not answered",
        )
    if row.state == SlotState.DONE.value:
        by = "" if row.run is None else f" by run {row.run}"
        raise SlotAnswered(
            f"the slot of {pipeline} until {row.until:%Y-%m-%d %H:%M:%S} UTC was answered{by} before",
            hint="nothing is to be done; nothing was changed",
        )
    return number


def answer(connection: Connection, run: int, outcome: str, now: datetime) -> None:
    """Notes that a run has answered the slot that it is for, if it is for one."""
    mine = select(runs.c.slot).where(runs.c.run == run).scalar_subquery()
    done = {"state": SlotState.DONE.value, "run": run, "outcome": outcome, "told": "", "ended_at": now}
    open_still = slots.c.state != SlotState.DONE.value
    connection.execute(update(slots).where(slots.c.number == mine, open_still).values(**done))


def slot_of(row: Row[Any]) -> SlotRecord:
    """One row."""
    return SlotRecord(
        row.number,
        row.pipeline,
        Cause(row.cause),
        row.since,
        row.until,
        row.not_before,
        SlotState(row.state),
        row.tries,
        row.run,
        row.outcome,
        row.told,
        row.ended_at,
    )
