"""How far a source was read that cannot tell it from a row's number, and rows that it knew to be loaded already."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("run_partitions", sa.Column("position", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("batches", sa.Column("duplicate", sa.BigInteger(), nullable=False, server_default="0"))
