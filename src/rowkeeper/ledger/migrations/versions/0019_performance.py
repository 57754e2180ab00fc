"""What runs took, by stage; and totals that outlive the runs, begun with what the runs of old came to."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Makes the tables. The totals are those of the runs that are there: counters go on from them."""
    op.create_table(
        "run_performance",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("cpu_seconds", sa.Float(), nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("by_pydantic", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_run_performance")),
        sa.ForeignKeyConstraint(["run"], ["runs.run"], name=op.f("fk_run_performance_run"), ondelete="CASCADE"),
    )
    op.create_table(
        "run_stages",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("cpu_seconds", sa.Float(), nullable=False),
        sa.Column("input_wait_seconds", sa.Float(), nullable=False),
        sa.Column("room_wait_seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("run", "stage", name=op.f("pk_run_stages")),
        sa.ForeignKeyConstraint(["run"], ["runs.run"], name=op.f("fk_run_stages_run"), ondelete="CASCADE"),
    )
    op.create_table(
        "totals",
        sa.Column("family", sa.String(length=100), nullable=False),
        sa.Column("labels", sa.String(length=1024), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("family", "labels", name=op.f("pk_totals")),
    )
    _begin_totals()


def _begin_totals() -> None:
    bind = op.get_bind()
    totals = sa.table("totals", sa.column("family"), sa.column("labels"), sa.column("value"))
    found: list[tuple[str, dict[str, str], float]] = []
    ended = "('published', 'unchanged', 'failed', 'rolled_back', 'interrupted', 'held', 'spooled')"
    by = "pipeline, kind, status"
    counts = f"SELECT {by}, count(*) FROM runs WHERE status IN {ended} GROUP BY {by}"
    by_end: dict[tuple[str, str, str], int] = {}
    for pipeline, kind, status, count in bind.execute(sa.text(counts)):
        key = (pipeline, kind, "published" if status == "rolled_back" else status)  # it was, before
        by_end[key] = by_end.get(key, 0) + count
    for (pipeline, kind, status), count in by_end.items():
        found.append(("rowkeeper_runs_total", {"kind": kind, "pipeline": pipeline, "status": status}, count))
    lines = ("committed", "quarantined", "duplicate", "filtered")
    sums = ", ".join(f"sum(rows_{line})" for line in lines)
    rows = f"SELECT pipeline, {sums} FROM runs WHERE status IN ('published', 'rolled_back') GROUP BY pipeline"
    for pipeline, *counts_by_line in bind.execute(sa.text(rows)):
        for line, count in zip(lines, counts_by_line, strict=True):
            found.append(("rowkeeper_rows_total", {"line": line, "pipeline": pipeline}, count))
    found += [(family, {"pipeline": pipeline}, at) for family, pipeline, at in _last(bind)]
    for family, labels, value in found:
        text = json.dumps(labels, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        bind.execute(totals.insert().values(family=family, labels=text, value=float(value)))


def _last(bind: sa.Connection) -> Iterator[tuple[str, str, float]]:
    """When loads last succeeded, and were published."""
    for family, statuses in (
        ("rowkeeper_last_success_timestamp_seconds", ("published", "unchanged")),
        ("rowkeeper_last_published_timestamp_seconds", ("published",)),
    ):
        runs = sa.table("runs", sa.column("pipeline"), sa.column("kind"), sa.column("status"), _finished())
        well = (runs.c.kind == "load") & runs.c.status.in_(statuses) & runs.c.finished_at.is_not(None)
        newest = sa.select(runs.c.pipeline, sa.func.max(runs.c.finished_at)).where(well).group_by(runs.c.pipeline)
        for pipeline, at in bind.execute(newest):
            yield family, pipeline, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _finished() -> sa.ColumnClause[datetime]:
    return sa.column("finished_at", sa.DateTime(timezone=True))
