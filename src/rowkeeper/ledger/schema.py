"""The ledger's tables, in portable types: SQLite here, PostgreSQL by another URL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)

from rowkeeper.batch import Fingerprint


class UtcDateTime(TypeDecorator[datetime]):
    """Aware times, kept as UTC; SQLite itself knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC."""
        del dialect
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Aware again."""
        del dialect
        if value is None:
            return None
        assert isinstance(value, datetime)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class FingerprintText(TypeDecorator[Fingerprint]):
    """`rows:hash_sum in 16 hex digits`: the sum is an unsigned 64-bit number, which no column type holds everywhere."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Fingerprint | None, dialect: Dialect) -> str | None:
        """To text."""
        del dialect
        return None if value is None else f"{value.rows}:{value.hash_sum:016x}"

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Fingerprint | None:
        """From text."""
        del dialect
        if value is None:
            return None
        rows, hash_sum = str(value).split(":")
        return Fingerprint(int(rows), int(hash_sum, 16))


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _account() -> tuple[Column[Any], ...]:
    names = ("read", "committed", "quarantined", "duplicate", "filtered")
    return tuple(Column(f"rows_{name}", BigInteger, nullable=False, server_default="0") for name in names)


ledger = Table(
    "ledger",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(512), primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("process_started", Float, nullable=False),
    Column("acquired_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=True),  # null: given back
)

writers = Table(
    "writers",
    metadata,
    Column("writer", String(32), primary_key=True),  # a connection to PostgreSQL; see postgresql.py
    Column("transactions", BigInteger, nullable=False),  # the number of its last one that was committed
    Column("at", UtcDateTime, nullable=False),
    postgresql_with={"fillfactor": 10},  # a row is written over and over, and stays in its page
)

runs = Table(
    "runs",
    metadata,
    Column("run", Integer, primary_key=True, autoincrement=True),
    Column("pipeline", String(100), nullable=False),
    Column("target", String(512), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("definition", String(160), nullable=False),
    Column("source", JSON, nullable=False),
    Column("destination", JSON, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime, nullable=True),
    Column("seconds", Float, nullable=True),
    Column("publish_order", Integer, nullable=True, unique=True),  # runs are published in another order than begun
    *_account(),
    Column("fingerprint", FingerprintText, nullable=True),
    Column("columns", JSON, nullable=True),
    Column("replaces_all", Boolean, nullable=False),
    Column("drop_rows", JSON, nullable=False),
    Column("reverses", Integer, ForeignKey("runs.run"), nullable=True),
    Column("error", JSON, nullable=True),
    Column("note", Text, nullable=True),
    Column("gates", JSON, nullable=True),  # names of the quality gates that it has to pass
    Column("degraded", JSON, nullable=True),  # sentences: what it did less well than it should have
    Column("in_spool", Boolean, nullable=False, server_default=false()),  # its rows are, or were, in spool files
    Column("pruned_at", UtcDateTime, nullable=True),  # its batches, judgements and profile were removed
    Column("slot", Integer, nullable=True),  # of its pipeline's schedule, which is answered when it is published
    Index("ix_runs_target_status", "target", "status"),
    Index("ix_runs_pipeline", "pipeline"),
    sqlite_autoincrement=True,  # a run's number is never given out again
)

run_partitions = Table(
    "run_partitions",
    metadata,
    Column("run", Integer, ForeignKey("runs.run"), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("key", String(4096), nullable=False),
    Column("identity", String(512), nullable=False),
    Column("size_bytes", BigInteger, nullable=True),
    Column("detail", JSON, nullable=False),
    Column("reload", Boolean, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("next_row", BigInteger, nullable=False),
    *_account(),
    Column("fingerprint", FingerprintText, nullable=True),
    Column("error", JSON(none_as_null=True), nullable=True),  # why none of its rows are in the run
    Column("position", JSON(none_as_null=True), nullable=True),  # how far it was read, in the source's own words
)

batches = Table(
    "batches",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", Integer, ForeignKey("runs.run"), nullable=False),
    Column("partition_ordinal", Integer, nullable=False),
    Column("first_row", BigInteger, nullable=False),
    Column("next_row", BigInteger, nullable=False),
    Column("staged", BigInteger, nullable=False),
    Column("quarantined", BigInteger, nullable=False),
    Column("filtered", BigInteger, nullable=False),
    Column("quarantine_file", String(255), nullable=True),
    Column("quarantine_sha256", String(64), nullable=True),
    Column("reasons", JSON, nullable=False),
    Column("staged_at", UtcDateTime, nullable=False),
    Column("of_duplicates", Boolean, nullable=False),  # set aside by the seal, not by the contract
    Column("by_pydantic", BigInteger, nullable=False, server_default="0"),  # rows that the columns did not decide
    Column("rules", JSON, nullable=False, server_default="{}"),  # rule to rows valid, invalid, unknown
    Column("spool_file", String(255), nullable=True),  # where its accepted rows are, of a run in the spool
    Column("spool_sha256", String(64), nullable=True),
    Column("duplicate", BigInteger, nullable=False, server_default="0"),  # rows that the source knew to be loaded
    Index("ix_batches_run_partition_ordinal", "run", "partition_ordinal"),
)

postings = Table(
    "postings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", Integer, ForeignKey("runs.run"), nullable=False),
    Column("about_run", Integer, nullable=False),
    Column("change", FingerprintText, nullable=False),
    Index("ix_postings_run", "run"),
)

schema_versions = Table(
    "schema_versions",
    metadata,
    Column("target", String(512), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("columns", JSON, nullable=False),
    Column("run", Integer, ForeignKey("runs.run"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

gate_results = Table(
    "gate_results",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", Integer, ForeignKey("runs.run"), nullable=False),
    Column("attempt", Integer, nullable=False),  # a held run is judged again, and every judgement stays
    Column("position", Integer, nullable=False),
    Column("gate", String(512), nullable=False),
    Column("dimension", String(32), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("rows", BigInteger, nullable=True),
    Column("offending", BigInteger, nullable=True),
    Column("measured", Float, nullable=True),
    Column("threshold", Text, nullable=False),
    Column("told", Text, nullable=False),
    Column("sample_file", String(255), nullable=True),
    Column("sample_sha256", String(64), nullable=True),
    Column("judged_at", UtcDateTime, nullable=False),
    Index("ix_gate_results_run_attempt", "run", "attempt"),
)

profiles = Table(
    "profiles",
    metadata,
    Column("run", Integer, ForeignKey("runs.run"), primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("file", String(255), nullable=False),  # sealed: a profile holds values
    Column("sha256", String(64), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
)

overrides = Table(
    "overrides",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", Integer, ForeignKey("runs.run"), nullable=False),
    Column("who", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("critical", Boolean, nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Index("ix_overrides_run", "run"),
)

exports = Table(
    "exports",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", Integer, ForeignKey("runs.run"), nullable=False),
    Column("who", String(255), nullable=False),
    Column("path", Text, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("exported_at", UtcDateTime, nullable=False),
    Index("ix_exports_run", "run"),
)

breakers = Table(
    "breakers",
    metadata,
    Column("host", String(255), primary_key=True),
    Column("operation", String(255), primary_key=True),
    Column("open_until", UtcDateTime, nullable=True),  # null: closed
    Column("openings", Integer, nullable=False),  # in a row
    Column("version", BigInteger, nullable=False),  # changes of this row, by whichever process
    Column("changed_at", UtcDateTime, nullable=False),
    Column("changed_by", String(255), nullable=False),
)

health_states = Table(
    "health_states",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("subject", String(600), primary_key=True),
    Column("part", String(64), nullable=False),  # of health, that said it
    Column("state", String(16), nullable=False),
    Column("told", Text, nullable=False),  # when the state began
    Column("since", UtcDateTime, nullable=False),
)

health_changes = Table(
    "health_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(64), nullable=False),
    Column("subject", String(600), nullable=False),
    Column("state", String(16), nullable=True),  # null: it is no more
    Column("told", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_health_changes_at", "at"),
)

health_figures = Table(
    "health_figures",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(64), nullable=False),
    Column("subject", String(600), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("value", Float, nullable=False),
    Index("ix_health_figures_name", "name", "subject"),
)

freshness_asked = Table(
    "freshness_asked",
    metadata,
    Column("pipeline", String(100), primary_key=True),
    Column("rule", String(255), primary_key=True),
    Column("target", String(512), nullable=False),
    Column("run", BigInteger, nullable=False),  # whose publish was the last before the table was asked
    Column("asked_at", UtcDateTime, nullable=False),
    Column("ask_after", UtcDateTime, nullable=True),  # the answer changes by itself then: an event of the future
    Column("days", JSON(none_as_null=True), nullable=True),  # that have rows, where the rule is about days
)

freshness_keys = Table(
    "freshness_keys",
    metadata,
    Column("pipeline", String(100), primary_key=True),
    Column("rule", String(255), primary_key=True),
    Column("key", String(200), primary_key=True),  # the column's value as text; empty: the whole table
    Column("newest", UtcDateTime, nullable=True),  # when rows of it were there last
    Column("ahead", BigInteger, nullable=False),  # rows whose event lay in the future
    Column("present", Boolean, nullable=False),  # rows of it were there when the table was asked last
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime, nullable=True),
)

schedules = Table(
    "schedules",
    metadata,
    Column("pipeline", String(100), primary_key=True),
    Column("file", Text, nullable=False),
    Column("schedule", String(200), nullable=False),
    Column("kept_until", UtcDateTime, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("try_after", UtcDateTime, nullable=True),
    Column("host", String(255), nullable=True),  # the process that answers now; null: none
    Column("pid", Integer, nullable=True),
    Column("process_started", Float, nullable=True),
    Column("started_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("outcome", String(32), nullable=False),
    Column("told", Text, nullable=False),
    Column("timing", JSON(none_as_null=True), nullable=True),  # null: of before there were any, by `schedule` alone
    Column("slot", Integer, nullable=True),  # that is answered now, or was last
    Column("publishes_seen", Integer, nullable=False, server_default="0"),  # up to this place in the order of publishes
    Column("published_until", UtcDateTime, nullable=True),  # when the last of those was
    Column("paused_at", UtcDateTime, nullable=True),  # null: it is not
    Column("paused_by", String(200), nullable=True),
    Column("paused_why", Text, nullable=True),
)

slots = Table(
    "slots",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("pipeline", String(100), nullable=False),
    Column("key", String(64), nullable=False),  # the instant at its end, or the publish that made it
    Column("cause", String(16), nullable=False),  # time, publish, backfill
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("run", Integer, nullable=True),  # that answered it
    Column("outcome", String(32), nullable=False),
    Column("told", Text, nullable=False),
    Column("ended_at", UtcDateTime, nullable=True),
    UniqueConstraint("pipeline", "key"),
    Index("ix_slots_state", "state", "pipeline"),
    sqlite_autoincrement=True,  # a slot's number is never given out again
)

answered_instants = Table(
    "answered_instants",
    metadata,
    Column("pipeline", String(100), primary_key=True),
    Column("first", UtcDateTime, primary_key=True),
    Column("last", UtcDateTime, nullable=False),
    Column("step_seconds", BigInteger, nullable=False),  # from each to the next; 0 of a single one
)

appointments = Table(
    "appointments",
    metadata,
    Column("name", String(100), primary_key=True),  # maintain, backup, backup prune, backup drill
    Column("kept_at", UtcDateTime, nullable=True),  # when what was done last, and came to a good end, was begun
    Column("kept_until", UtcDateTime, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("try_after", UtcDateTime, nullable=True),
    Column("begun_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("outcome", String(32), nullable=False),
    Column("told", Text, nullable=False),
    Column("publish_order", Integer, nullable=False),  # of the newest publish when it was kept last
)

audit_entries = Table(
    "audit_entries",
    metadata,
    # From 0, without gaps. In SQLite the row's own number: a BIGINT key would be a second tree to write and to search.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),  # canonical JSON, whose hash is a leaf of the tree
)

audit_tiles = Table(
    "audit_tiles",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),  # 256 of them: full tiles only
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: there is one
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),  # by which the tree is carried on
    Column("checkpoint", Text, nullable=False),  # signed
)

audit_people = Table(
    "audit_people",
    metadata,
    Column("id", String(64), primary_key=True),  # what entries hold in the place of a name
    Column("name", String(512), nullable=False, unique=True),
)

audit_reasons = Table(
    "audit_reasons",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # of the entry, which holds the hash
    Column("salt", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
)

audit_deliveries = Table(
    "audit_deliveries",
    metadata,
    Column("place", String(700), primary_key=True),  # a URL; of a witness with its key's name
    Column("size", BigInteger, nullable=False),  # entries that it knows of
    Column("note", Text, nullable=False),  # the checkpoint that it has
    Column("delivered_at", UtcDateTime, nullable=True),
    Column("failures", Integer, nullable=False),  # in a row
    Column("try_after", UtcDateTime, nullable=True),
    Column("told", Text, nullable=False),  # what went wrong last
)

users = Table(
    "users",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("kind", String(16), nullable=False),  # user or service
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime, nullable=True),
)

user_roles = Table(
    "user_roles",
    metadata,
    Column("user", ForeignKey("users.name"), primary_key=True),
    Column("role", String(100), primary_key=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("work", String(64), nullable=False),
    Column("pipeline", String(100), nullable=False),
    Column("run", Integer, nullable=True),  # that it is done to
    Column("options", JSON, nullable=False),
    Column("caller", String(200), nullable=False),
    Column("key", String(200), nullable=True),  # by which the caller asks for it once
    Column("state", String(16), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("outcome", JSON(none_as_null=True), nullable=True),
    Column("host", String(255), nullable=False),  # and the process: the server that sees to it
    Column("pid", Integer, nullable=False),
    Column("process_started", Float, nullable=False),
    UniqueConstraint("caller", "key"),
)

passwords = Table(
    "passwords",
    metadata,
    Column("user", ForeignKey("users.name"), primary_key=True),
    Column("hash", Text, nullable=False),  # Argon2id, with its parameters and salt
    Column("changed_at", UtcDateTime, nullable=False),
)

second_factors = Table(
    "second_factors",
    metadata,
    Column("user", ForeignKey("users.name"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # the TOTP secret
    Column("key_id", BigInteger, nullable=False),  # what it is sealed with
    Column("made_at", UtcDateTime, nullable=False),
    Column("confirmed_at", UtcDateTime, nullable=True),  # null: a first code is waited for
    Column("used_step", BigInteger, nullable=False),  # the newest time step whose code was used; none passes twice
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("user", ForeignKey("users.name"), nullable=False),
    Column("used_at", UtcDateTime, nullable=True),
    Index("ix_recovery_codes_user", "user"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),  # no secret: lists and the audit trail name it
    Column("hash", String(64), nullable=False, unique=True),
    Column("user", ForeignKey("users.name"), nullable=False),
    Column("roles", JSON, nullable=False),  # at its making: it does not outlive one of them
    Column("by", String(16), nullable=False),  # password, oidc
    Column("address", String(64), nullable=True),
    Column("made_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("ended_by", String(32), nullable=True),  # logout, revoked, password, role, disabled, ...
    Index("ix_sessions_user", "user"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("user", ForeignKey("users.name"), nullable=False),
    Column("label", String(100), nullable=False),
    Column("roles", JSON(none_as_null=True), nullable=True),  # null: all that the account has
    Column("actions", JSON(none_as_null=True), nullable=True),
    Column("pipelines", JSON(none_as_null=True), nullable=True),
    Column("made_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=True),
    Column("revoked_at", UtcDateTime, nullable=True),
    Index("ix_api_tokens_user", "user"),
)

throttles = Table(
    "throttles",
    metadata,
    Column("subject", String(80), primary_key=True),  # an account, an address or both, as a keyed hash
    Column("failures", Integer, nullable=False),
    Column("failed_at", UtcDateTime, nullable=False),
    Column("locked_until", UtcDateTime, nullable=True),
    Index("ix_throttles_failed_at", "failed_at"),  # those that are old are forgotten
)

known_addresses = Table(
    "known_addresses",
    metadata,
    Column("subject", String(80), primary_key=True),  # an account and an address, as a keyed hash
    Column("seen_at", UtcDateTime, nullable=False),
)

first_user_tokens = Table(
    "first_user_tokens",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: there is one
    Column("hash", String(64), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime, nullable=True),
)

oidc_attempts = Table(
    "oidc_attempts",
    metadata,
    Column("state", String(64), primary_key=True),  # a hash
    Column("browser", String(64), nullable=False),  # a hash of what the browser alone has
    Column("expires_at", UtcDateTime, nullable=False),
)

oidc_identities = Table(
    "oidc_identities",
    metadata,
    Column("issuer", String(512), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("user", ForeignKey("users.name"), nullable=False),
    Column("bound_at", UtcDateTime, nullable=False),
    Index("ix_oidc_identities_user", "user"),
)

client_certificates = Table(
    "client_certificates",
    metadata,
    Column("name", String(512), primary_key=True),  # spiffe:URI, cn:NAME, sha256:FINGERPRINT
    Column("user", ForeignKey("users.name"), nullable=False),
    Column("bound_at", UtcDateTime, nullable=False),
)

access_version = Table(
    "access_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: there is one
    Column("number", BigInteger, nullable=False),  # grows with each change of accounts, roles and grants
)

roles = Table(
    "roles",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("told", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

grants = Table(
    "grants",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("to_kind", String(16), nullable=False),  # user or role
    Column("to_name", String(100), nullable=False),
    Column("gives_kind", String(16), nullable=False),  # action or role
    Column("gives", String(100), nullable=False),
    Column("on_kind", String(16), nullable=False),  # pipeline, table, column, label, or * with * as its id
    Column("on_id", String(512), nullable=False),
    Column("purpose", String(100), nullable=True),  # null: for whatever purpose, or none
    Column("expires_at", UtcDateTime, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_grants_to_name", "to_name"),
    sqlite_autoincrement=True,  # the number of a grant that was taken back is not given again
)

drills = Table(
    "drills",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("backup", String(100), nullable=False),
    Column("run", Integer, nullable=False),  # that it went back to; 0 is before the first
    Column("started_at", UtcDateTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("tables", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),  # sealed ones that were opened
    Column("sound", Boolean, nullable=False),
    Column("told", Text, nullable=False),  # what was wrong; empty where nothing was
)

row_filters = Table(
    "row_filters",
    metadata,
    Column("role", String(100), primary_key=True),  # * is for everybody
    Column("table", String(512), primary_key=True),
    Column("condition", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("rule", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("told", Text, nullable=False),
    Column("mend", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("fired_at", UtcDateTime, nullable=True),  # null: it is pending
    Column("lost_at", UtcDateTime, nullable=True),
    Column("resolved_at", UtcDateTime, nullable=True, index=True),  # null: it is open
    Column("acked_at", UtcDateTime, nullable=True),
    Column("acked_by", String(200), nullable=False),
    Column("acked_note", Text, nullable=False),
    Column("silenced_by", String(100), nullable=False),
    Column("routes", JSON, nullable=False),  # by name: when it was told first, and last
)

alert_notices = Table(
    "alert_notices",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),  # a route's are delivered in this order
    Column("id", String(32), nullable=False, unique=True),
    Column("route", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("alert_group", JSON, nullable=False),
    Column("alerts", JSON, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("try_after", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True, index=True),  # null: it waits
    Column("outcome", String(16), nullable=False),  # delivered, given up; empty: it waits
)

alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("notice", String(32), nullable=False, index=True),
    Column("route", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("seconds", Float, nullable=False),
    Column("outcome", String(16), nullable=False),  # delivered, failed
    Column("told", Text, nullable=False),
)

alert_silences = Table(
    "alert_silences",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("matchers", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("who", String(200), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=True),
)

alert_rounds = Table(
    "alert_rounds",
    metadata,
    Column("name", String(16), primary_key=True),  # there is one row: the last
    Column("looked_at", UtcDateTime, nullable=False),
    Column("unseen", JSON, nullable=False),  # by rule: why it could not be looked at
)

run_performance = Table(
    "run_performance",
    metadata,
    Column("run", Integer, ForeignKey("runs.run", ondelete="CASCADE"), primary_key=True),
    Column("seconds", Float, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("peak_memory_bytes", BigInteger, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),  # that were checked so far
    Column("by_pydantic", BigInteger, nullable=False),  # and those of them that the columns did not decide
)

run_stages = Table(
    "run_stages",
    metadata,
    Column("run", Integer, ForeignKey("runs.run", ondelete="CASCADE"), primary_key=True),
    Column("stage", String(32), primary_key=True),
    Column("position", Integer, nullable=False),  # in the order in which they began
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("cpu_seconds", Float, nullable=False),
    Column("input_wait_seconds", Float, nullable=False),
    Column("room_wait_seconds", Float, nullable=False),
)

totals = Table(
    "totals",
    metadata,
    Column("family", String(100), primary_key=True),  # a metric
    Column("labels", String(1024), primary_key=True),  # a JSON object, its keys sorted
    Column("value", Float, nullable=False),
)
