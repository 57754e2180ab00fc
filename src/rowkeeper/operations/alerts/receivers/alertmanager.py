"""Prometheus' Alertmanager: POST /api/v2/alerts. It groups, silences and tells by itself; here it is told the state.

What it is not told again it takes for over at `endsAt`: that is three times as late as the next notice, so that a
Rowkeeper that died does not keep an alert alive for ever.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rowkeeper.endpoints import Endpoint, place_of_url
from rowkeeper.ledger.alerts import Kind, Notice
from rowkeeper.operations.alerts.receivers.posting import post
from rowkeeper.operations.alerts.receivers.receiver import Outlet
from rowkeeper.operations.alerts.receivers.templates import filled, plain, text_filled
from rowkeeper.operations.alerts.receivers.webhook import WHY

PATH = "/api/v2/alerts"
LABELS = ("severity", "condition", "subject", "pipeline", "check", "gate", "metric")
LIVES = 3  # times the repeat


@dataclasses.dataclass(frozen=True, slots=True)
class Alertmanager:
    """An Alertmanager.

    Attributes:
        url: of its front, with references in braces: `https://alertmanager.example.com:9093`.
        headers: more, with references in braces.
        plaintext: it may be reached without TLS.
    """

    url: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    plaintext: bool = False

    keeps_state = True

    @property
    def told(self) -> str:
        """Implements Address."""
        return f"alertmanager+{self.url}"

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Implements Address."""
        return (Endpoint(*place_of_url(plain(self.url))[1:], private=True, why=WHY),)

    def deliver(self, notice: Notice, outlet: Outlet) -> None:
        """Implements Address."""
        body = json.dumps(alerts(notice, outlet)).encode()
        headers = {"content-type": "application/json"}
        headers |= {name: text_filled(value) for name, value in self.headers.items()}
        post(filled(self.url).rstrip("/") + PATH, body, headers, outlet, plaintext=self.plaintext)


def alerts(notice: Notice, outlet: Outlet) -> list[dict[str, Any]]:
    """The alerts as it takes them. What fires ends when nobody has said so again; what is over has ended."""
    ends = (notice.made_at + LIVES * max(outlet.repeat, timedelta(minutes=1))).isoformat()
    found = []
    for alert in notice.alerts:
        labels = {name: alert["labels"][name] for name in LABELS if alert["labels"].get(name)}
        over = notice.kind is Kind.RESOLVED
        found.append(
            {
                "labels": {"alertname": alert["rule"], **labels, "installation": outlet.installation},
                "annotations": {"summary": alert["told"], "mend": alert["mend"], "notice": notice.id},
                "startsAt": alert["fired_at"] or notice.made_at.isoformat(),
                "endsAt": alert["resolved_at"] if over else ends,
            }
        )
    return found
