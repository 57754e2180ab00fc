"""Every metric there is. A name stays what it is: whoever asks for it has it in rules and dashboards.

docs/metrics.md has the same as a table, written by `python -m tools.metrics`; a test compares both, and the names with
a list of its own.
"""

from __future__ import annotations

from rowkeeper.ledger.totals import Total
from rowkeeper.operations.metrics.family import Definition, Kind

_COUNTER, _GAUGE, _HISTOGRAM = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_PIPELINE, _STAGE = ("pipeline",), ("pipeline", "stage")

# ------------------------------------------------------------------------- what runs came to, kept in the ledger

RUNS = Definition(
    Total.RUNS,
    _COUNTER,
    "Runs that ended, by how; one that goes on ends again.",
    ("pipeline", "kind", "status"),
)
ERRORS = Definition(Total.ERRORS, _COUNTER, "Runs that ended with an error, by its code.", ("pipeline", "code"))
ROWS = Definition(
    Total.ROWS,
    _COUNTER,
    "Rows of published runs, by line of the account; what was read is their sum.",
    ("pipeline", "line"),
    unit="rows",
)
BY_PYDANTIC = Definition(
    Total.BY_PYDANTIC, _COUNTER, "Rows of published runs that Pydantic decided, as the columns could not.", _PIPELINE
)
RETRIES = Definition(Total.RETRIES, _COUNTER, "Calls of runs to other machines that were tried again.", _PIPELINE)
RUN_SECONDS = Definition(
    Total.RUN_SECONDS, _HISTOGRAM, "How long runs took, from open to their end.", _PIPELINE, unit="seconds"
)
RUN_CPU = Definition(
    Total.RUN_CPU,
    _COUNTER,
    "Processor time of the processes of runs.",
    _PIPELINE,
    unit="seconds",
)
RUN_PEAK = Definition(
    Total.RUN_PEAK, _GAUGE, "The most memory that the process of the last run had.", _PIPELINE, unit="bytes"
)
STAGE_SECONDS = Definition(
    Total.STAGE_SECONDS, _HISTOGRAM, "How long each stage of a run worked; some overlap.", _STAGE, unit="seconds"
)
STAGE_CPU = Definition(
    Total.STAGE_CPU,
    _COUNTER,
    "Processor time of a stage's own threads.",
    _STAGE,
    "seconds",
)
STAGE_ROWS = Definition(Total.STAGE_ROWS, _COUNTER, "Rows that a stage took.", _STAGE, unit="rows")
STAGE_BYTES = Definition(Total.STAGE_BYTES, _COUNTER, "Bytes that a stage took, in memory.", _STAGE, unit="bytes")
STAGE_WAITS = Definition(
    Total.STAGE_WAITS,
    _COUNTER,
    "How long a stage waited for input from the one before, or for room at the one after.",
    (*_STAGE, "wait"),
    unit="seconds",
)
LAST_SUCCESS = Definition(
    Total.LAST_SUCCESS, _GAUGE, "When a load last was published or found nothing new.", _PIPELINE, unit="seconds"
)
LAST_WELL = Definition(
    Total.LAST_WELL,
    _GAUGE,
    "0 if the last load to end failed, was stopped or is held, else 1.",
    _PIPELINE,
)
LAST_PUBLISHED = Definition(Total.LAST_PUBLISHED, _GAUGE, "When a run last was published.", _PIPELINE, unit="seconds")

# ------------------------------------------------------------------------- how it stands now

BUILD = Definition("rowkeeper_build_info", _GAUGE, "1, with the version of Rowkeeper.", ("version",))
RUNS_OPEN = Definition(
    "rowkeeper_runs_open", _GAUGE, "Runs that are neither published nor closed, by status.", ("pipeline", "status")
)
IN_FLIGHT = Definition("rowkeeper_runs_in_flight", _GAUGE, "Runs under way, in a live process.", _PIPELINE)
SPOOLED = Definition("rowkeeper_spooled_runs", _GAUGE, "Runs that wait in the spool.")
LEASES = Definition("rowkeeper_leases", _GAUGE, "Leases that are held.")
BREAKER = Definition(
    "rowkeeper_breaker_open", _GAUGE, "1 while a host is left alone for this operation.", ("host", "operation")
)
BREAKERS_OPEN = Definition("rowkeeper_breakers_open", _GAUGE, "Hosts that are left alone, by operation.")
QUARANTINE = Definition(
    "rowkeeper_quarantine_rows", _GAUGE, "Rejected rows of published runs, without those replayed.", _PIPELINE, "rows"
)
DISK_FREE = Definition("rowkeeper_disk_free_bytes", _GAUGE, "Free space below the state folder.", unit="bytes")
AUDIT = Definition("rowkeeper_audit_entries_total", _COUNTER, "Entries of the audit trail.")
FORMER_KEYS = Definition(
    "rowkeeper_former_keys", _GAUGE, "Keys of a keyset that were rotated away and still read.", ("purpose",)
)
FORMER_KEY_THINGS = Definition(
    "rowkeeper_former_key_files",
    _GAUGE,
    "Files that are still sealed with former keys of a keyset; of login second factors, of audit checkpoints.",
    ("purpose",),
)
NEXT = Definition(
    "rowkeeper_schedule_next_timestamp_seconds", _GAUGE, "When a pipeline is tried next.", _PIPELINE, "seconds"
)
LATE = Definition(
    "rowkeeper_schedule_late_seconds",
    _GAUGE,
    "How long a due pipeline has been waiting; 0 if it is not.",
    _PIPELINE,
    "seconds",
)
SCHEDULE_FAILURES = Definition(
    "rowkeeper_schedule_failures", _GAUGE, "Attempts of a scheduled pipeline in a row that came to nothing.", _PIPELINE
)
PAUSED = Definition("rowkeeper_schedule_paused", _GAUGE, "1 while a schedule is paused.", _PIPELINE)
SUCCESS_DUE = Definition(
    "rowkeeper_success_due_timestamp_seconds",
    _GAUGE,
    "By when a scheduled pipeline should have succeeded again: when it is due, and the time that runs take.",
    _PIPELINE,
    "seconds",
)
HEALTH = Definition(
    "rowkeeper_health_state",
    _GAUGE,
    "How health finds something: 0 good, 1 warning, 2 bad, 3 unknown.",
    ("name", "subject"),
)
FRESHNESS = Definition(
    "rowkeeper_freshness_timestamp_seconds",
    _GAUGE,
    "The newest event of a table, or of its key that is most behind, by rule of freshness.",
    ("pipeline", "rule"),
    "seconds",
)
ALERTS = Definition(
    "rowkeeper_alerts_firing", _GAUGE, "Alerts of Rowkeeper's own rules that fire.", ("rule", "severity", "state")
)
ALERTS_LOOKED = Definition(
    "rowkeeper_alerts_looked_timestamp_seconds",
    _GAUGE,
    "When somebody looked last whether alerts fire.",
    unit="seconds",
)
BACKUP = Definition("rowkeeper_backup_timestamp_seconds", _GAUGE, "When the newest backup was made.", unit="seconds")
DRILL = Definition(
    "rowkeeper_drill_timestamp_seconds",
    _GAUGE,
    "When a backup last was restored to try it, and was sound.",
    unit="seconds",
)
COLLECTION_FAILED = Definition(
    "rowkeeper_collection_failed", _GAUGE, "1 if a part of these metrics could not be collected.", ("part",)
)

# ------------------------------------------------------------------------- of a server alone

SECURITY_EVENTS = Definition(
    "rowkeeper_security_events_total",
    _COUNTER,
    "Security events since the trail began, by OCSF's class and by outcome.",
    ("class", "outcome"),
    served=True,
)
JOBS = Definition("rowkeeper_jobs_under_way", _GAUGE, "Jobs of the server that wait or run.", served=True)
MEMORY = Definition(
    "process_resident_memory_bytes", _GAUGE, "Memory of the server's process.", unit="bytes", served=True
)
CPU = Definition(
    "process_cpu_seconds_total", _COUNTER, "Processor time of the server's process.", unit="seconds", served=True
)
STARTED = Definition(
    "process_start_time_seconds", _GAUGE, "When the server's process started.", unit="seconds", served=True
)

FAMILIES: tuple[Definition, ...] = (
    *(RUNS, ERRORS, ROWS, BY_PYDANTIC, RETRIES, RUN_SECONDS, RUN_CPU, RUN_PEAK),
    *(STAGE_SECONDS, STAGE_CPU, STAGE_ROWS, STAGE_BYTES, STAGE_WAITS, LAST_SUCCESS, LAST_PUBLISHED, LAST_WELL),
    *(BUILD, RUNS_OPEN, IN_FLIGHT, SPOOLED, LEASES, BREAKER, BREAKERS_OPEN, QUARANTINE, DISK_FREE, AUDIT),
    *(FORMER_KEYS, FORMER_KEY_THINGS),
    *(NEXT, LATE, SCHEDULE_FAILURES, PAUSED, SUCCESS_DUE, HEALTH, FRESHNESS, ALERTS, ALERTS_LOOKED),
    *(BACKUP, DRILL, COLLECTION_FAILED),
    *(SECURITY_EVENTS, JOBS, MEMORY, CPU, STARTED),
)
"""In the order in which they are told."""
