"""What quality gates said, where profiles lie, and who published a held run."""

import sqlalchemy as sa
from alembic import op

from rowkeeper.ledger.schema import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Makes them."""
    op.add_column("runs", sa.Column("gates", sa.JSON(), nullable=True))
    op.create_table(
        "gate_results",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("gate", sa.String(length=512), nullable=False),
        sa.Column("dimension", sa.String(length=32), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("offending", sa.BigInteger(), nullable=True),
        sa.Column("measured", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("sample_file", sa.String(length=255), nullable=True),
        sa.Column("sample_sha256", sa.String(length=64), nullable=True),
        sa.Column("judged_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.run"], name=op.f("fk_gate_results_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate_results")),
    )
    op.create_index("ix_gate_results_run_attempt", "gate_results", ["run", "attempt"], unique=False)
    op.create_table(
        "profiles",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("file", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("made_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.run"], name=op.f("fk_profiles_run")),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_profiles")),
    )
    op.create_table(
        "overrides",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("who", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("critical", sa.Boolean(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.run"], name=op.f("fk_overrides_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_overrides")),
    )
    op.create_index("ix_overrides_run", "overrides", ["run"], unique=False)
