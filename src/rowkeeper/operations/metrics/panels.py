"""What the dashboard for Grafana shows: its panels, made from the same definitions as the metrics.

Every query is of one target (`$job`, `$instance`): servers of one ledger tell the same totals, which would count twice.
What runs add to is shown for each step of the screen (`$__interval`), what is judged of them over `$window`.
"""

from __future__ import annotations

import dataclasses
import enum

from rowkeeper.operations.metrics import catalogue
from rowkeeper.operations.metrics.family import Definition


class Look(enum.StrEnum):
    """How a panel shows its queries."""

    FIGURE = "stat"  # the newest value, large; where there is a legend, that
    LINES = "lines"
    BARS = "bars"  # on top of each other, one for each step
    TABLE = "table"  # the newest value of each series


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Attributes:
        expression: in PromQL, with Grafana's variables.
        legend: what a series is called, with its labels in double braces.
    """

    expression: str
    legend: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        unit: of its values, as Grafana has it: s, bytes, short, percentunit.
        bad_from: the value from which a figure is red; None: it never is.
    """

    title: str
    told: str
    queries: tuple[Query, ...]
    unit: str = "short"
    look: Look = Look.LINES
    bad_from: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """Panels with a heading."""

    title: str
    panels: tuple[Panel, ...]


def _of(definition: Definition, *more: str, part: str = "") -> str:
    """The series of a metric that the variables choose.

    Args:
        more: other matchers.
        part: of a histogram: `_bucket`, `_sum`, `_count`.
    """
    chosen = ('pipeline=~"$pipeline"',) if "pipeline" in definition.labels else ()
    matchers = ",".join(('job="$job"', 'instance="$instance"', *chosen, *more))
    return f"{definition.name}{part}{{{matchers}}}"


def _added(by: str, definition: Definition, *more: str, part: str = "", over: str = "$__interval") -> str:
    """By how much a counter grew, by labels."""
    return f"sum by ({by}) (increase({_of(definition, *more, part=part)}[{over}]))"


def _for_each(by: str, definition: Definition, other: Definition, part: str = "") -> str:
    """How much of the one there was, over the window, for each of the other."""
    parts = f" / ({_added(by, other, part=part, over='$window')} > 0)"
    return _added(by, definition, over="$window") + parts


def _mean(by: str, definition: Definition) -> str:
    """The mean of a histogram, over the window."""
    total, count = (_added(by, definition, part=part, over="$window") for part in ("_sum", "_count"))
    return f"{total} / ({count} > 0)"


def _age(definition: Definition) -> str:
    return f"time() - {_of(definition)}"


def _figure(title: str, told: str, expression: str, *, unit: str = "short", bad_from: float | None = None) -> Panel:
    return Panel(title, told, (Query(expression),), unit, Look.FIGURE, bad_from)


def _lines(title: str, told: str, expression: str, legend: str, unit: str = "short") -> Panel:
    return Panel(title, told, (Query(expression, legend),), unit)


def _bars(title: str, told: str, expression: str, legend: str, unit: str = "short") -> Panel:
    return Panel(title, told, (Query(expression, legend),), unit, Look.BARS)


def _or_none(expression: str) -> str:
    """Nothing to count is none."""
    return f"{expression} or vector(0)"


_REJECTED = _added("pipeline", catalogue.ROWS, 'line="quarantined"', over="$window")
_FIRING = _of(catalogue.ALERTS, 'state="firing"')
_WAITING = _of(catalogue.RUNS_OPEN, 'status=~"interrupted|held"')
_PIPELINE, _STAGE = "{{pipeline}}", "{{stage}}"

ROWS: tuple[Row, ...] = (
    Row(
        "Now",
        (
            _figure(
                "Alerts that fire",
                "Those of Rowkeeper's own rules that nobody has acknowledged or silenced: rowkeeper alerts list.",
                _or_none(f"sum({_FIRING})"),
                bad_from=1,
            ),
            _figure(
                "Pipelines whose last load did not end well",
                "It failed, was interrupted, or is held: rowkeeper runs.",
                _or_none(f"count({_of(catalogue.LAST_WELL)} == 0)"),
                bad_from=1,
            ),
            _figure(
                "Runs under way",
                "In a live process.",
                _or_none(f"sum({_of(catalogue.IN_FLIGHT)})"),
            ),
            _figure(
                "Runs that wait for somebody",
                "Interrupted, or held by their quality gates: rowkeeper runs --parked.",
                _or_none(f"sum({_WAITING})"),
                bad_from=1,
            ),
            _figure(
                "Free disk",
                "Below the state folder; runs stop before the last of it.",
                _of(catalogue.DISK_FREE),
                unit="bytes",
            ),
            Panel("Version", "Of Rowkeeper.", (Query(_of(catalogue.BUILD), "{{version}}"),), look=Look.FIGURE),
        ),
    ),
    Row(
        "Rows, by line of the account",
        (
            _bars(
                "Rows that were read, by what became of them",
                "The lines of the accounts of published runs; together they are what was read.",
                _added("line", catalogue.ROWS),
                "{{line}}",
            ),
            _bars(
                "Rows that were read, by pipeline", "Of published runs.", _added("pipeline", catalogue.ROWS), _PIPELINE
            ),
            _lines(
                "Share of rows that was rejected",
                "Over the window.",
                f"{_REJECTED} / ({_added('pipeline', catalogue.ROWS, over='$window')} > 0)",
                _PIPELINE,
                "percentunit",
            ),
            _lines(
                "Rows in quarantine",
                catalogue.QUARANTINE.told,
                _of(catalogue.QUARANTINE),
                _PIPELINE,
            ),
        ),
    ),
    Row(
        "Runs",
        (
            _bars("Runs that ended, by how", catalogue.RUNS.told, _added("status", catalogue.RUNS), "{{status}}"),
            _bars("Errors, by code", catalogue.ERRORS.told, _added("code", catalogue.ERRORS), "{{code}}"),
            _lines(
                "Runs that are open, by status",
                catalogue.RUNS_OPEN.told,
                f"sum by (status) ({_of(catalogue.RUNS_OPEN)})",
                "{{status}}",
            ),
            Panel(
                "How long runs take",
                "Half of them, and 95 of 100, are done in that time; over the window.",
                tuple(
                    Query(
                        f"histogram_quantile({share}, "
                        f"{_added('le', catalogue.RUN_SECONDS, part='_bucket', over='$window')})",
                        f"{share:.0%}",
                    )
                    for share in (0.5, 0.95)
                ),
                "s",
            ),
            _lines("Since the last success", catalogue.LAST_SUCCESS.told, _age(catalogue.LAST_SUCCESS), _PIPELINE, "s"),
            _lines(
                "Since the last publish", catalogue.LAST_PUBLISHED.told, _age(catalogue.LAST_PUBLISHED), _PIPELINE, "s"
            ),
            _bars("Calls tried again", catalogue.RETRIES.told, _added("pipeline", catalogue.RETRIES), _PIPELINE),
        ),
    ),
    Row(
        "Freshness",
        (
            _lines(
                "Age of the newest event",
                catalogue.FRESHNESS.told,
                _age(catalogue.FRESHNESS),
                "{{pipeline}} {{rule}}",
                "s",
            ),
        ),
    ),
    Row(
        "Schedules",
        (
            _lines("Late", catalogue.LATE.told, _of(catalogue.LATE), _PIPELINE, "s"),
            _lines(
                "Until a success is due",
                "Below zero it is missed: the pipeline has silently stopped.",
                f"{_of(catalogue.SUCCESS_DUE)} - time()",
                _PIPELINE,
                "s",
            ),
            _lines("Until the next try", catalogue.NEXT.told, f"{_of(catalogue.NEXT)} - time()", _PIPELINE, "s"),
            _lines("Failures in a row", catalogue.SCHEDULE_FAILURES.told, _of(catalogue.SCHEDULE_FAILURES), _PIPELINE),
            _lines("Paused", catalogue.PAUSED.told, _of(catalogue.PAUSED), _PIPELINE),
        ),
    ),
    Row(
        "Breakers, leases and the spool",
        (
            _lines("Open breakers", catalogue.BREAKER.told, _of(catalogue.BREAKER), "{{host}} {{operation}}"),
            _figure("Hosts left alone", catalogue.BREAKERS_OPEN.told, _of(catalogue.BREAKERS_OPEN), bad_from=1),
            _lines("Runs in the spool", catalogue.SPOOLED.told, _of(catalogue.SPOOLED), "runs"),
            _lines("Leases", catalogue.LEASES.told, _of(catalogue.LEASES), "leases"),
        ),
    ),
    Row(
        "Backups and drills",
        (
            _lines("Age of the newest backup", catalogue.BACKUP.told, _age(catalogue.BACKUP), "backup", "s"),
            _lines("Age of the last good drill", catalogue.DRILL.told, _age(catalogue.DRILL), "drill", "s"),
            _lines(
                "How health finds both",
                "0 good, 1 warning, 2 bad, 3 unknown; by the limits that are set.",
                _of(catalogue.HEALTH, 'name=~"backup|drill"'),
                "{{name}}",
            ),
        ),
    ),
    Row(
        "Alerts and health",
        (
            _bars(
                "Alerts, by rule",
                catalogue.ALERTS.told,
                f"sum by (rule, state) ({_of(catalogue.ALERTS)})",
                "{{rule}} {{state}}",
            ),
            _lines(
                "Since somebody looked at the rules",
                "A minute or two, while a worker or a server is up.",
                _age(catalogue.ALERTS_LOOKED),
                "last look",
                "s",
            ),
            Panel(
                "Health",
                catalogue.HEALTH.told,
                (Query(f"sort_desc({_of(catalogue.HEALTH)})", "{{name}} {{subject}}"),),
                look=Look.TABLE,
            ),
            _bars(
                "Security events",
                "By OCSF's class and by outcome.",
                _added("class, outcome", catalogue.SECURITY_EVENTS),
                "{{class}} {{outcome}}",
            ),
            _bars(
                "Entries of the audit trail",
                "That were added.",
                f"increase({_of(catalogue.AUDIT)}[$__interval])",
                "entries",
            ),
            _lines(
                "Former keys, by keyset",
                catalogue.FORMER_KEYS.told,
                _of(catalogue.FORMER_KEYS),
                "{{purpose}}",
            ),
            _lines(
                "Sealed with former keys",
                catalogue.FORMER_KEY_THINGS.told,
                _of(catalogue.FORMER_KEY_THINGS),
                "{{purpose}}",
            ),
            _lines(
                "Metrics that are missing",
                catalogue.COLLECTION_FAILED.told,
                _of(catalogue.COLLECTION_FAILED),
                "{{part}}",
            ),
        ),
    ),
    Row(
        "Performance, by stage",
        (
            _lines(
                "Seconds of each stage, for each run",
                catalogue.STAGE_SECONDS.told,
                _mean("stage", catalogue.STAGE_SECONDS),
                _STAGE,
                "s",
            ),
            _lines(
                "Rows a second, while the stage works",
                catalogue.STAGE_ROWS.told,
                _for_each("stage", catalogue.STAGE_ROWS, catalogue.STAGE_SECONDS, "_sum"),
                _STAGE,
            ),
            _lines(
                "Bytes a second, while the stage works",
                catalogue.STAGE_BYTES.told,
                _for_each("stage", catalogue.STAGE_BYTES, catalogue.STAGE_SECONDS, "_sum"),
                _STAGE,
                "bytes",
            ),
            _bars(
                "What stages wait for",
                catalogue.STAGE_WAITS.told,
                _added("stage, wait", catalogue.STAGE_WAITS),
                "{{stage}}: {{wait}}",
                "s",
            ),
            _bars(
                "Processor time of stages", catalogue.STAGE_CPU.told, _added("stage", catalogue.STAGE_CPU), _STAGE, "s"
            ),
            _bars(
                "Processor time of runs", catalogue.RUN_CPU.told, _added("pipeline", catalogue.RUN_CPU), _PIPELINE, "s"
            ),
            _lines("Peak memory of runs", catalogue.RUN_PEAK.told, _of(catalogue.RUN_PEAK), _PIPELINE, "bytes"),
            _lines(
                "Share of rows that Pydantic decided",
                "Over the window; the others were decided by columns, which is much faster.",
                _for_each("pipeline", catalogue.BY_PYDANTIC, catalogue.ROWS),
                _PIPELINE,
                "percentunit",
            ),
        ),
    ),
    Row(
        "The server",
        (
            _lines("Memory", catalogue.MEMORY.told, _of(catalogue.MEMORY), "memory", "bytes"),
            _lines(
                "Processor", "How many it keeps busy.", f"rate({_of(catalogue.CPU)}[$__rate_interval])", "processors"
            ),
            _lines("Jobs", catalogue.JOBS.told, _of(catalogue.JOBS), "jobs"),
            _lines("Since its start", catalogue.STARTED.told, _age(catalogue.STARTED), "up", "s"),
        ),
    ),
)
"""In the order in which they are shown. Every metric of the catalogue is in one of them."""
