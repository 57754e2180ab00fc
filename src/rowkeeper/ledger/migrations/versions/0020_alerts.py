"""Alerts, what is told of them, to whom it was brought, and what nobody wants to be told."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

_AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("mend", sa.Text(), nullable=False),
        sa.Column("since", _AT, nullable=False),
        sa.Column("fired_at", _AT, nullable=True),
        sa.Column("lost_at", _AT, nullable=True),
        sa.Column("resolved_at", _AT, nullable=True),
        sa.Column("acked_at", _AT, nullable=True),
        sa.Column("acked_by", sa.String(length=200), nullable=False),
        sa.Column("acked_note", sa.Text(), nullable=False),
        sa.Column("silenced_by", sa.String(length=100), nullable=False),
        sa.Column("routes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_resolved_at"), "alerts", ["resolved_at"])
    op.create_table(
        "alert_notices",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("route", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("alert_group", sa.JSON(), nullable=False),
        sa.Column("alerts", sa.JSON(), nullable=False),
        sa.Column("made_at", _AT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("try_after", _AT, nullable=True),
        sa.Column("ended_at", _AT, nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_alert_notices")),
        sa.UniqueConstraint("id"),
    )
    op.create_index(op.f("ix_alert_notices_ended_at"), "alert_notices", ["ended_at"])
    op.create_table(
        "alert_deliveries",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("notice", sa.String(length=32), nullable=False),
        sa.Column("route", sa.String(length=64), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_alert_deliveries")),
    )
    op.create_index(op.f("ix_alert_deliveries_notice"), "alert_deliveries", ["notice"])
    op.create_index(op.f("ix_alert_deliveries_at"), "alert_deliveries", ["at"])
    op.create_table(
        "alert_silences",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("matchers", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("made_at", _AT, nullable=False),
        sa.Column("until", _AT, nullable=False),
        sa.Column("ended_at", _AT, nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_alert_silences")),
    )
    op.create_table(
        "alert_rounds",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("looked_at", _AT, nullable=False),
        sa.Column("unseen", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_alert_rounds")),
    )
