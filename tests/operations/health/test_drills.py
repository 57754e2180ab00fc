"""How long ago a backup was restored to try it is part of health."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rowkeeper.ledger.drills import DrillRecord
from rowkeeper.operations.health.check import State
from rowkeeper.operations.health.context import HealthContext
from rowkeeper.operations.health.drills import look_at_drills
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings

NOW = datetime(2026, 11, 26, tzinfo=UTC)
GOOD = DrillRecord("b", 4, NOW, 3.0, 2, 100, 5, sound=True)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[HealthContext]:
    settings = Settings(home=tmp_path / "state", key_file=tmp_path / "key", backup_to=str(tmp_path / "backups"))
    with Workspace.open(settings) as workspace:
        yield HealthContext(settings, NOW, (), workspace)


def state_of(context: HealthContext) -> State:
    (check,) = look_at_drills(context)
    assert check.state is State.GOOD or "rowkeeper backup drill" in check.mend
    return check.state


def test_without_backups_nothing_is_said(context: HealthContext):
    """Where no backups are made there is nothing to try."""
    settings = context.settings.model_copy(update={"backup_to": None})
    assert not list(look_at_drills(dataclasses.replace(context, settings=settings)))


def test_a_backup_that_was_never_tried(context: HealthContext):
    """It may be none."""
    assert state_of(context) is State.WARNING


def test_by_the_age_of_the_last_good_one(context: HealthContext):
    """Good until it is older than the limit."""
    days = timedelta(days=context.settings.health_drill_days_max)
    context.workspace.ledger.drills.note(dataclasses.replace(GOOD, started_at=NOW - days))
    assert state_of(context) is State.GOOD
    assert state_of(dataclasses.replace(context, now=NOW + timedelta(seconds=1))) is State.WARNING


def test_one_that_failed(context: HealthContext):
    """Whatever went well before, it is bad until one goes well again."""
    drills = context.workspace.ledger.drills
    drills.note(GOOD)
    drills.note(dataclasses.replace(GOOD, sound=False, told="a table differs"))
    (check,) = look_at_drills(context)
    assert (check.state, "a table differs" in check.told) == (State.BAD, True)
    drills.note(GOOD)
    assert state_of(context) is State.GOOD
