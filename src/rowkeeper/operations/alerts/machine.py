"""What becomes of alerts when their rules have been looked at once more. Pure: times and ids come in.

    found -> pending -> firing <-> acknowledged, silenced -> resolved

What could not be looked at changes nothing: an alert is not over because nobody could see.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from rowkeeper.ledger.alerts import Alert
from rowkeeper.operations.alerts.rule import Finding, Rule

Silencer = Callable[[Mapping[str, str]], str]
"""Says which silence or window an alert of these labels falls under; empty if none."""
RULE_GONE = "its rule is no longer there"


@dataclasses.dataclass(frozen=True, slots=True)
class Looked:
    """What a rule found.

    Attributes:
        findings: of different subjects; None if it could not be seen.
    """

    rule: Rule
    findings: tuple[Finding, ...] | None


def advance(
    alerts: Sequence[Alert], looked: Sequence[Looked], now: datetime, *, silenced: Silencer, new_id: Callable[[], str]
) -> list[Alert]:
    """The alerts that are open after this look, and those that it ended, which have `resolved_at`.

    One that was pending, and is not found, is gone without a word.

    Args:
        alerts: the open ones.
    """
    of_rule: dict[str, dict[str, Alert]] = {}
    for alert in alerts:
        of_rule.setdefault(alert.rule, {})[alert.subject] = alert
    after: list[Alert] = []
    for each in looked:
        known = of_rule.pop(each.rule.name, {})
        if each.findings is None:
            after += known.values()
            continue
        found = {finding.subject: finding for finding in each.findings}
        after += [_found(each.rule, known.get(finding.subject), finding, now, new_id) for finding in found.values()]
        lost = [_lost(each.rule, alert, now) for subject, alert in known.items() if subject not in found]
        after += [alert for alert in lost if alert is not None]
    gone = [alert for alerts_left in of_rule.values() for alert in alerts_left.values() if alert.fired_at is not None]
    after += [dataclasses.replace(alert, told=RULE_GONE, resolved_at=now) for alert in gone]
    return [dataclasses.replace(each, silenced_by=silenced(each.labels)) for each in after]


def _found(rule: Rule, known: Alert | None, finding: Finding, now: datetime, new_id: Callable[[], str]) -> Alert:
    told = f"{rule.told} {finding.told}".strip()
    labels = rule.labels_of(finding)
    if known is None:
        known = Alert(new_id(), rule.name, finding.subject, rule.severity, labels, told, finding.mend, since=now)
    fired_at = known.fired_at
    if fired_at is None and now - known.since >= rule.holds_for:
        fired_at = now
    return dataclasses.replace(
        known,
        severity=rule.severity,
        labels=labels,
        told=told,
        mend=finding.mend,
        fired_at=fired_at,
        lost_at=None,
    )


def _lost(rule: Rule, alert: Alert, now: datetime) -> Alert | None:
    if alert.fired_at is None:
        return None
    lost_at = alert.lost_at or now
    over = now - lost_at >= rule.keeps_for
    return dataclasses.replace(alert, lost_at=lost_at, resolved_at=now if over else None)
