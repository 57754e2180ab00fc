"""Checkpoints of the audit trail that are brought elsewhere; entries by their number, without an index beside them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Makes the table. SQLite finds a row by `INTEGER PRIMARY KEY` itself; for BIGINT it has a second tree to write."""
    op.create_table(
        "audit_deliveries",
        sa.Column("place", sa.String(length=700), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("try_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_audit_deliveries")),
    )
    if op.get_bind().dialect.name != "sqlite":
        return
    op.create_table(
        "audit_entries_by_number",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_entries")),
    )
    op.execute("INSERT INTO audit_entries_by_number SELECT number, entry FROM audit_entries ORDER BY number")
    op.drop_table("audit_entries")
    op.rename_table("audit_entries_by_number", "audit_entries")
