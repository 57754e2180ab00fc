"""Which runs have their rows in the spool, and in which file each batch is."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("runs", sa.Column("in_spool", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("batches", sa.Column("spool_file", sa.String(length=255), nullable=True))
    op.add_column("batches", sa.Column("spool_sha256", sa.String(length=64), nullable=True))
