"""Since when each thing that health looks at is as it is; how new tables and their keys are."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "health_states",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=600), nullable=False),
        sa.Column("part", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "subject", name=op.f("pk_health_states")),
    )
    op.create_table(
        "health_changes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=600), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=True),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_health_changes")),
    )
    op.create_index(op.f("ix_health_changes_at"), "health_changes", ["at"])
    op.create_table(
        "health_figures",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=600), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_health_figures")),
    )
    op.create_index(op.f("ix_health_figures_name"), "health_figures", ["name", "subject"])
    op.create_table(
        "freshness_asked",
        sa.Column("pipeline", sa.String(length=100), nullable=False),
        sa.Column("rule", sa.String(length=255), nullable=False),
        sa.Column("target", sa.String(length=512), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ask_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("days", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("pipeline", "rule", name=op.f("pk_freshness_asked")),
    )
    op.create_table(
        "freshness_keys",
        sa.Column("pipeline", sa.String(length=100), nullable=False),
        sa.Column("rule", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("newest", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ahead", sa.BigInteger(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("pipeline", "rule", "key", name=op.f("pk_freshness_keys")),
    )
