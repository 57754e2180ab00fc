"""Throttles by the time of their last failure: old ones are forgotten at each new one."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Makes the index."""
    op.create_index(op.f("ix_throttles_failed_at"), "throttles", ["failed_at"])
