"""Alert rules for Prometheus, from the same definitions as the metrics: what of them somebody has to see to.

Each has its section in docs/metrics.md, to which its runbook leads. `rowkeeper alerts` is the way without Prometheus.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

from rowkeeper.operations.metrics import catalogue
from rowkeeper.operations.metrics.family import Definition

JOB = "rowkeeper"
RUNBOOKS = "docs/metrics.md"
CRITICAL, WARNING = "critical", "warning"


@dataclasses.dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule.

    Attributes:
        expression: in PromQL; JOB stands for the name of the scrape job.
        holds_for: how long it has to be so: `5m`.
        summary, description: with Prometheus' templates.
        of: the metrics that it asks.
    """

    name: str
    expression: str
    holds_for: str
    severity: str
    summary: str
    description: str
    of: tuple[Definition, ...] = ()


RULES: tuple[AlertRule, ...] = (
    AlertRule(
        "RowkeeperDown",
        'up{job="JOB"} == 0 or absent(up{job="JOB"})',
        "5m",
        CRITICAL,
        "Rowkeeper is not scraped",
        "Prometheus has had no answer from {{ $labels.instance }} for 5 minutes: nobody knows how its pipelines are.",
    ),
    AlertRule(
        "RowkeeperNoSuccess",
        f"time() - {catalogue.SUCCESS_DUE.name} > 0",
        "1m",
        CRITICAL,
        "No success of {{ $labels.pipeline }} in time",
        "By its schedule {{ $labels.pipeline }} should have succeeded {{ $value | humanizeDuration }} ago.",
        (catalogue.SUCCESS_DUE,),
    ),
    AlertRule(
        "RowkeeperRunFailed",
        f"{catalogue.LAST_WELL.name} == 0",
        "1m",
        WARNING,
        "The last run of {{ $labels.pipeline }} failed",
        "It failed, was interrupted, or is held by its quality gates; nothing of it was published.",
        (catalogue.LAST_WELL,),
    ),
    AlertRule(
        "RowkeeperRunWaits",
        f'{catalogue.RUNS_OPEN.name}{{status=~"interrupted|held"}} > 0',
        "1h",
        WARNING,
        "{{ $value }} runs of {{ $labels.pipeline }} wait for somebody",
        "They are {{ $labels.status }} for an hour: resume, publish or abandon them.",
        (catalogue.RUNS_OPEN,),
    ),
    AlertRule(
        "RowkeeperSpoolWaits",
        f"{catalogue.SPOOLED.name} > 0",
        "1h",
        WARNING,
        "{{ $value }} runs wait in the spool",
        "Their destination has not taken them for an hour.",
        (catalogue.SPOOLED,),
    ),
    AlertRule(
        "RowkeeperScheduleLate",
        f"{catalogue.LATE.name} > 900",
        "5m",
        WARNING,
        "{{ $labels.pipeline }} is due, and nobody runs it",
        "It has been due for {{ $value | humanizeDuration }}: no worker serves it, or there is no room for it.",
        (catalogue.LATE,),
    ),
    AlertRule(
        "RowkeeperBreakerOpen",
        f"{catalogue.BREAKER.name} == 1",
        "10m",
        WARNING,
        "{{ $labels.host }} is left alone",
        "So many calls ({{ $labels.operation }}) failed that it has been left alone for 10 minutes.",
        (catalogue.BREAKER,),
    ),
    AlertRule(
        "RowkeeperQuarantineShare",
        f'sum by (job, instance, pipeline) (increase({catalogue.ROWS.name}{{line="quarantined"}}[1d]))'
        f" / sum by (job, instance, pipeline) (increase({catalogue.ROWS.name}[1d])) > 0.05",
        "0m",
        WARNING,
        "{{ $labels.pipeline }} rejects many rows",
        "{{ $value | humanizePercentage }} of its rows of the last day are in quarantine.",
        (catalogue.ROWS,),
    ),
    AlertRule(
        "RowkeeperDiskShort",
        f"{catalogue.DISK_FREE.name} < 1073741824",
        "5m",
        CRITICAL,
        "The disk of the state folder is nearly full",
        "{{ $value | humanize1024 }}B are left; runs stop before the last 256 MB (ROWKEEPER_DISK_FREE_MIN).",
        (catalogue.DISK_FREE,),
    ),
    AlertRule(
        "RowkeeperBackupStale",
        f'{catalogue.HEALTH.name}{{name=~"backup|drill"}} >= 1',
        "15m",
        CRITICAL,
        "The last good {{ $labels.name }} is too old",
        "rowkeeper health says how old it is, and by which limit.",
        (catalogue.HEALTH,),
    ),
    AlertRule(
        "RowkeeperHealthBad",
        f'{catalogue.HEALTH.name}{{name!~"backup|drill"}} == 2',
        "5m",
        CRITICAL,
        "{{ $labels.name }} {{ $labels.subject }} is bad",
        "rowkeeper health says what is wrong, since when, and what mends it.",
        (catalogue.HEALTH,),
    ),
    AlertRule(
        "RowkeeperHealthUnknown",
        f'{catalogue.HEALTH.name}{{name!~"backup|drill"}} == 3',
        "15m",
        WARNING,
        "{{ $labels.name }} {{ $labels.subject }} cannot be looked at",
        "It may be bad: rowkeeper health says why it could not be looked at.",
        (catalogue.HEALTH,),
    ),
    AlertRule(
        "RowkeeperDetection",
        f'increase({catalogue.SECURITY_EVENTS.name}{{class="detection_finding"}}[1h]) > 0',
        "0m",
        CRITICAL,
        "Something stands out in the audit trail",
        "rowkeeper events list --class detection_finding shows what.",
        (catalogue.SECURITY_EVENTS,),
    ),
    AlertRule(
        "RowkeeperMetricsIncomplete",
        f"{catalogue.COLLECTION_FAILED.name} == 1",
        "15m",
        WARNING,
        "Metrics of Rowkeeper are incomplete",
        "The part {{ $labels.part }} cannot be collected: its rules cannot fire. The log says why.",
        (catalogue.COLLECTION_FAILED,),
    ),
)
"""In the order in which they are told."""


def rules_text(*, job: str = JOB, runbooks: str = RUNBOOKS) -> str:
    """The file for Prometheus (`rule_files`).

    Args:
        job: the name of the scrape job, by which a target that is down is known.
        runbooks: where docs/metrics.md is, as a URL; each rule's runbook is a section of it.
    """
    return "\n".join(_lines(job, runbooks)) + "\n"


def _lines(job: str, runbooks: str) -> Iterator[str]:
    """YAML, of which JSON's strings are a part."""
    yield "# Alert rules of Rowkeeper for Prometheus, written by: rowkeeper metrics rules"
    yield "groups:"
    yield "- name: rowkeeper"
    yield "  rules:"
    for rule in RULES:
        yield f"  - alert: {rule.name}"
        yield f"    expr: {_quoted(rule.expression.replace('JOB', job))}"
        yield f"    for: {rule.holds_for}"
        yield "    labels:"
        yield f"      severity: {rule.severity}"
        yield "    annotations:"
        yield f"      summary: {_quoted(rule.summary)}"
        yield f"      description: {_quoted(rule.description)}"
        yield f"      runbook_url: {_quoted(f'{runbooks}#{rule.name.lower()}')}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
