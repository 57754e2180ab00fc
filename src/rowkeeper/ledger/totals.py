"""Totals: what all runs came to, for metrics. Kept apart from the runs, so that they go on when old runs are forgotten.

They change in the transaction in which a run ends, and so never say more or less than the runs do. The names are those
of the metrics; see `operations/metrics/catalogue.py` for what each tells.
"""

from __future__ import annotations

import bisect
import enum
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, Connection, Dialect, Engine, Select, bindparam, case, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from rowkeeper.ledger.database import reading
from rowkeeper.ledger.leases import Clock
from rowkeeper.ledger.records import RunKind, RunPerformance, RunRecord, RunStatus, StagePerformance
from rowkeeper.ledger.schema import batches, run_performance, run_stages, totals
from rowkeeper.metering import Figures, Meter, StageFigures, meter_of

BOUNDS_SECONDS = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)
"""Upper bounds of the histograms' buckets; what is above all of them is in a last one."""

ADDED = ("seconds", "cpu_seconds", "retries")
OF_STAGES = ("rows", "bytes", "seconds", "cpu_seconds", "input_wait_seconds", "room_wait_seconds")
ENDS = (
    RunStatus.PUBLISHED,
    RunStatus.UNCHANGED,
    RunStatus.FAILED,
    RunStatus.INTERRUPTED,
    RunStatus.HELD,
    RunStatus.SPOOLED,
)
WELL = (RunStatus.PUBLISHED, RunStatus.UNCHANGED)
LINES = ("committed", "quarantined", "duplicate", "filtered")


class Total(enum.StrEnum):
    """The metrics that are kept here. A histogram has a row for each bucket, by `le`, and one for the sum, without."""

    RUNS = "rowkeeper_runs_total"
    ERRORS = "rowkeeper_run_errors_total"
    ROWS = "rowkeeper_rows_total"
    BY_PYDANTIC = "rowkeeper_rows_by_pydantic_total"
    RETRIES = "rowkeeper_retries_total"
    RUN_SECONDS = "rowkeeper_run_seconds"
    RUN_CPU = "rowkeeper_run_cpu_seconds_total"
    RUN_PEAK = "rowkeeper_run_peak_memory_bytes"
    STAGE_SECONDS = "rowkeeper_stage_seconds"
    STAGE_CPU = "rowkeeper_stage_cpu_seconds_total"
    STAGE_ROWS = "rowkeeper_stage_rows_total"
    STAGE_BYTES = "rowkeeper_stage_bytes_total"
    STAGE_WAITS = "rowkeeper_stage_wait_seconds_total"
    LAST_SUCCESS = "rowkeeper_last_success_timestamp_seconds"
    LAST_PUBLISHED = "rowkeeper_last_published_timestamp_seconds"
    LAST_WELL = "rowkeeper_last_run_success"


SET = (Total.RUN_PEAK, Total.LAST_SUCCESS, Total.LAST_PUBLISHED, Total.LAST_WELL)
"""Those of which the last value counts; the others are added to."""


LABELS = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))
"""How labels are kept: the same text for the same labels."""


class LedgerTotals:
    """Reads them, and what single runs took."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self) -> list[tuple[Total, Mapping[str, str], float]]:
        """All of them, by metric and labels. Raises DatabaseError or IntegrityError."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(totals).order_by(totals.c.family, totals.c.labels)).all()
        return [(Total(row.family), json.loads(row.labels), row.value) for row in rows]

    def by_pipeline(self, total: Total) -> dict[str, float]:
        """Of one that is kept by pipeline alone, its values."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(totals.c.labels, totals.c.value).where(totals.c.family == total.value))
            return {json.loads(row.labels)["pipeline"]: row.value for row in rows}

    def of_run(self, run: int) -> RunPerformance | None:
        """What a run took; None if nobody has measured it."""
        stages = select(run_stages).where(run_stages.c.run == run).order_by(run_stages.c.position, run_stages.c.stage)
        with reading(self._engine) as connection:
            whole = connection.execute(select(run_performance).where(run_performance.c.run == run)).one_or_none()
            if whole is None:
                return None
            found = connection.execute(stages).all()
        return RunPerformance(
            whole.seconds,
            whole.cpu_seconds,
            whole.peak_memory_bytes,
            whole.retries,
            whole.rows,
            whole.by_pydantic,
            tuple(StagePerformance(each.stage, *(getattr(each, name) for name in OF_STAGES)) for each in found),
        )


def _checked() -> Select[Any]:
    """How many rows of a run were checked, and how many of them by Pydantic; PostgreSQL's sums are decimals."""
    read = batches.c.next_row - batches.c.first_row
    sums = {"rows": func.sum(read), "by_pydantic": func.sum(batches.c.by_pydantic)}
    counts = (func.coalesce(each, 0).label(name) for name, each in sums.items())
    return select(*counts).where(batches.c.run == bindparam("number"), batches.c.of_duplicates.is_(False))


CHECKED = _checked()


# ------------------------------------------------------------------------- as runs end


def count_run(connection: Connection, run: RunRecord, clock: Clock) -> None:
    """Notes in the open transaction that a run ended as its record says, and what it took, if that was measured here.

    What was measured is noted once: what comes after it is counted at the run's next end.
    """
    sums = _Sums()
    of, status = {"pipeline": run.pipeline}, run.status
    for each in ENDS:  # those that have not been seen are there from the start: what is not there cannot grow
        sums.add(Total.RUNS, {**of, "kind": run.kind.value, "status": each.value}, int(each is status))
    if run.error is not None and status not in WELL:
        sums.add(Total.ERRORS, {**of, "code": str(run.error.get("code") or run.error.get("type") or "unknown")}, 1)
    if run.kind is RunKind.LOAD:
        sums.add(Total.LAST_WELL, of, int(status in (*WELL, RunStatus.SPOOLED)))
        if status in WELL:
            sums.add(Total.LAST_SUCCESS, of, clock().timestamp())
    rows, by_pydantic = map(int, connection.execute(CHECKED, {"number": run.run}).one())
    if status is RunStatus.PUBLISHED and run.kind is not RunKind.ROLLBACK:
        sums.add(Total.LAST_PUBLISHED, of, clock().timestamp())
        account = run.account.as_dict()
        for line in LINES:
            sums.add(Total.ROWS, {**of, "line": line}, account[line])
        sums.add(Total.BY_PYDANTIC, of, by_pydantic)
    meter = meter_of(run.run)
    if meter is not None:
        _note(connection, run, meter, {"rows": rows, "by_pydantic": by_pydantic}, sums)
    sums.write(connection)


def _note(connection: Connection, run: RunRecord, meter: Meter, checked: Mapping[str, int], sums: _Sums) -> None:
    figures = meter.figures()
    _keep(connection, run.run, figures, checked)
    of = {"pipeline": run.pipeline}
    sums.observe(Total.RUN_SECONDS, of, figures.seconds)
    sums.add(Total.RUN_CPU, of, figures.cpu_seconds)
    sums.add(Total.RUN_PEAK, of, figures.peak_memory_bytes)
    sums.add(Total.RETRIES, of, figures.retries)
    for name, stage in figures.stages.items():
        _add_stage(sums, {**of, "stage": name}, stage)
    connection.info["after_commit"].append(meter.noted)


def _add_stage(sums: _Sums, of: Mapping[str, str], stage: StageFigures) -> None:
    sums.observe(Total.STAGE_SECONDS, of, stage.seconds)
    sums.add(Total.STAGE_CPU, of, stage.cpu_seconds)
    for total, figure in (
        (Total.STAGE_ROWS, stage.rows),
        (Total.STAGE_BYTES, stage.bytes),
    ):
        if figure:
            sums.add(total, of, figure)
    for wait, seconds in (("input", stage.input_wait_seconds), ("room", stage.room_wait_seconds)):
        if seconds:
            sums.add(Total.STAGE_WAITS, {**of, "wait": wait}, seconds)


def _keep(connection: Connection, run: int, figures: Figures, checked: Mapping[str, int]) -> None:
    """Beside the run; one that is gone on with has them added to those before."""
    whole = {**{name: getattr(figures, name) for name in (*ADDED, "peak_memory_bytes")}, **checked}
    _put(connection, _keeping, [{"run": run, **whole}])
    rows = [
        {"run": run, "stage": name, "position": position, **{each: getattr(stage, each) for each in OF_STAGES}}
        for position, (name, stage) in enumerate(figures.stages.items())
    ]
    if rows:
        _put(connection, _keeping_stages, rows)


class _Sums:
    """What is to be added to the totals."""

    def __init__(self) -> None:
        self._found: dict[tuple[Total, str], float] = {}

    def add(self, total: Total, labels: Mapping[str, str], value: float) -> None:
        key = (total, LABELS.encode(labels))
        self._found[key] = self._found.get(key, 0.0) + value

    def observe(self, total: Total, labels: Mapping[str, str], seconds: float) -> None:
        place = bisect.bisect_left(BOUNDS_SECONDS, seconds)
        bound = str(BOUNDS_SECONDS[place]) if place < len(BOUNDS_SECONDS) else "+Inf"
        self.add(total, {**labels, "le": bound}, 1)
        self.add(total, labels, seconds)

    def write(self, connection: Connection) -> None:
        """In one order, whoever writes: two that end at once wait for each other in no circle."""
        rows = [
            {"family": total.value, "labels": labels, "value": value, "is_set": total in SET}
            for (total, labels), value in sorted(self._found.items())
        ]
        _put(connection, _adding, rows)


def _put(connection: Connection, build: Callable[[Any], Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows by the driver alone: of so many small ones, SQLAlchemy would be most of it."""
    made = _compiled(build, connection.dialect)
    names = made.positiontup
    given: Any = rows if names is None else [tuple(row[name] for name in names) for row in rows]
    connection.exec_driver_sql(made.string, given)


@functools.lru_cache(maxsize=32)
def _compiled(build: Callable[[Any], Any], dialect: Dialect) -> SQLCompiler:
    made: SQLCompiler = build(sqlite if dialect.name == "sqlite" else postgresql).compile(dialect=dialect)
    return made


def _adding(database: Any) -> Any:
    values: dict[str, Any] = {name: bindparam(name) for name in ("family", "labels", "value")}
    made = database.insert(totals).values(**values)
    is_set: Any = bindparam("is_set", type_=Boolean())
    new = case((is_set, made.excluded.value), else_=totals.c.value + made.excluded.value)
    return made.on_conflict_do_update(index_elements=["family", "labels"], set_={"value": new})


def _keeping(database: Any) -> Any:
    made = database.insert(run_performance)
    old, new = run_performance.c, made.excluded
    more = {name: old[name] + new[name] for name in ADDED}
    peak = case((old.peak_memory_bytes > new.peak_memory_bytes, old.peak_memory_bytes), else_=new.peak_memory_bytes)
    latest = {name: new[name] for name in ("rows", "by_pydantic")}
    return made.on_conflict_do_update(index_elements=["run"], set_={**more, **latest, "peak_memory_bytes": peak})


def _keeping_stages(database: Any) -> Any:
    made = database.insert(run_stages)
    more = {name: run_stages.c[name] + made.excluded[name] for name in OF_STAGES}
    return made.on_conflict_do_update(index_elements=["run", "stage"], set_=more)
