"""A workspace with a clock that tests turn, and runs that are put into its ledger."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from rowkeeper.ledger import RunStatus
from rowkeeper.ledger.schema import ledger, runs
from rowkeeper.operations.alerts import Declared, Looked, check_alerts
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings

MINUTE = timedelta(minutes=1)


@dataclasses.dataclass
class Bench:
    """A workspace, what is declared, and the time.

    Attributes:
        now: begins when the ledger was made; nothing but `look` and the test itself turns it.
    """

    space: Workspace
    now: datetime
    declared: Declared = dataclasses.field(default_factory=Declared)

    def declare(self, text: str) -> None:
        self.declared = Declared.of(tomllib.loads(text), text, Path("rowkeeper-alerts.toml"))

    def look(self, after: timedelta = timedelta(), *, send: bool = True) -> Looked:
        self.now += after
        return check_alerts(self.space, clock=lambda: self.now, send=send, declared=self.declared)

    def firing(self, after: timedelta = timedelta()) -> dict[str, str]:
        """By rule and subject, what is said of alerts that fire."""
        step = self.look(after, send=False).step
        assert step is not None
        return {f"{each.rule} {each.subject}": each.told for each in step.alerts if each.state.value == "firing"}

    def founded(self, ago: timedelta) -> None:
        """The ledger is so old."""
        with self.space.ledger._engine.begin() as connection:
            connection.info["writes"] = "test"
            connection.execute(update(ledger).values(created_at=datetime.now(UTC) - ago))

    def run(self, pipeline: str, status: RunStatus, **values: Any) -> int:
        """Puts a run into the ledger, at this time unless it says another."""
        at = values.pop("at", self.now)
        whole: dict[str, Any] = {
            "pipeline": pipeline,
            "target": f"a/{pipeline}",
            "kind": "load",
            "status": status.value,
            "definition": "0",
            "source": {},
            "destination": {},
            "token": 1,
            "host": "h",
            "pid": 1,
            "started_at": at,
            "finished_at": at,
            "seconds": 1.0,
            "replaces_all": False,
            "drop_rows": [],
            "in_spool": False,
            **values,
        }
        with self.space.ledger._engine.begin() as connection:
            connection.info["writes"] = "test"
            (number,) = connection.execute(insert(runs).values(**whole)).inserted_primary_key
        return int(number)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An installation of the test's own, in this process."""
    with Workspace.open(Settings(home=tmp_path / "home", key_file=tmp_path / "key")) as space:
        yield Bench(space, datetime.now(UTC) + MINUTE)
