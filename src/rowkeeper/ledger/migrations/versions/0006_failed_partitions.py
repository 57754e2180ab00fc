"""Why a partition is no part of a run that went on without it, and what else a run did less well than it should."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("runs", sa.Column("degraded", sa.JSON(), nullable=True))
    op.add_column("run_partitions", sa.Column("error", sa.JSON(none_as_null=True), nullable=True))
