"""Runs whose details were pruned, and what the installation does at appointed times: maintenance, backups, drills."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0021"


def upgrade() -> None:
    """Adds the column and the table."""
    op.add_column("runs", sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "appointments",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("try_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("publish_order", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_appointments")),
    )
