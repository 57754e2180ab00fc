"""The last transaction of each connection that writes a ledger on PostgreSQL: by it a lost commit is looked up."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Makes the table; each row is written over and over, within its page."""
    op.create_table(
        "writers",
        sa.Column("writer", sa.String(length=32), nullable=False),
        sa.Column("transactions", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("writer", name=op.f("pk_writers")),
        postgresql_with={"fillfactor": 10},
    )
