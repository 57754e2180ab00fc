"""How many rows of a batch the columns could not decide, and what the business rules said."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Of batches noted before, all rows had gone through Pydantic."""
    op.add_column("batches", sa.Column("by_pydantic", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("batches", sa.Column("rules", sa.JSON(), nullable=False, server_default="{}"))
    op.execute("UPDATE batches SET by_pydantic = next_row - first_row WHERE NOT of_duplicates")
