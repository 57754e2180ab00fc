"""Slots of schedules, and how schedules treat them; which slot a run answers; which schedules are paused."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Makes the table and the columns. Schedules that are there treat their slots as they did."""
    op.create_table(
        "slots",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("pipeline", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("cause", sa.String(length=16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_slots")),
        sa.UniqueConstraint("pipeline", "key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_slots_state", "slots", ["state", "pipeline"])
    op.add_column("runs", sa.Column("slot", sa.Integer(), nullable=True))
    op.add_column("schedules", sa.Column("timing", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("schedules", sa.Column("slot", sa.Integer(), nullable=True))
    op.add_column("schedules", sa.Column("publishes_seen", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("schedules", sa.Column("published_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("schedules", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("schedules", sa.Column("paused_by", sa.String(length=200), nullable=True))
    op.add_column("schedules", sa.Column("paused_why", sa.Text(), nullable=True))
