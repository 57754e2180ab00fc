"""Instants whose slots were answered and have been pruned, in short."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "answered_instants",
        sa.Column("pipeline", sa.String(length=100), nullable=False),
        sa.Column("first", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last", sa.DateTime(timezone=True), nullable=False),
        sa.Column("step_seconds", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pipeline", "first", name=op.f("pk_answered_instants")),
    )
