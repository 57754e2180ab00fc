"""A notice in words, for mail and chat: no value of a row, no secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rowkeeper.ledger.alerts import Kind, Notice, Severity

TITLES = {
    Kind.FIRING: "firing",
    Kind.REPEAT: "still firing",
    Kind.RESOLVED: "resolved",
    Kind.WATCHDOG: "watchdog",
    Kind.TEST: "test",
}
SHOWN_MAX = 20
_RANK = [Severity.CRITICAL.value, Severity.WARNING.value, Severity.INFO.value]


def title(notice: Notice) -> str:
    """`[critical] no-success flights: firing`, or how many alerts it is about."""
    first = notice.alerts[0]
    if notice.kind in (Kind.WATCHDOG, Kind.TEST):
        return f"[rowkeeper] {TITLES[notice.kind]}"
    if len(notice.alerts) == 1:
        return f"[{first['severity']}] {first['rule']} {first['subject']}: {TITLES[notice.kind]}"
    named = " ".join(filter(None, notice.group.values())) or "alerts"
    return f"[{worst(notice)}] {named}: {len(notice.alerts)} {TITLES[notice.kind]}"


def body(notice: Notice, installation: str) -> str:
    """A paragraph for each alert, and by what the notice is known."""
    told = [_paragraph(alert) for alert in notice.alerts[:SHOWN_MAX]]
    left = len(notice.alerts) - SHOWN_MAX
    if left > 0:
        told.append(f"and {left} more: rowkeeper alerts list")
    return "\n\n".join([*told, f"rowkeeper {installation[:8]}, notice {notice.id}, route {notice.route}"])


def worst(notice: Notice) -> str:
    """The severity that matters most of those of its alerts."""
    return min((str(alert["severity"]) for alert in notice.alerts), key=_RANK.index)


def _paragraph(alert: Mapping[str, Any]) -> str:
    since = str(alert["since"])[:16].replace("T", " ")
    named = " ".join(filter(None, (alert["rule"], alert["subject"])))
    lines = [f"{named} ({alert['severity']}), since {since} UTC", str(alert["told"])]
    if alert["mend"]:
        lines.append(f"next: {alert['mend']}")
    return "\n".join(lines)
