"""Roles of one's own, grants, row filters, and the number by which a change of them is seen."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Makes the tables."""
    version = op.create_table(
        "access_version",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_version")),
    )
    op.bulk_insert(version, [{"id": 1, "number": 0}])
    op.create_table(
        "roles",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_roles")),
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("to_kind", sa.String(length=16), nullable=False),
        sa.Column("to_name", sa.String(length=100), nullable=False),
        sa.Column("gives_kind", sa.String(length=16), nullable=False),
        sa.Column("gives", sa.String(length=100), nullable=False),
        sa.Column("on_kind", sa.String(length=16), nullable=False),
        sa.Column("on_id", sa.String(length=512), nullable=False),
        sa.Column("purpose", sa.String(length=100), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_grants_to_name"), "grants", ["to_name"])
    op.create_table(
        "row_filters",
        sa.Column("role", sa.String(length=100), nullable=False),
        sa.Column("table", sa.String(length=512), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("role", "table", name=op.f("pk_row_filters")),
    )
