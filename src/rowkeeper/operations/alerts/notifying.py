"""Who is told what now. Pure: what was told before stands in the alerts, what still waits comes in.

An alert is told to a route once, then again after `repeat` for as long as it fires. Alerts of one group are told
together. What is over is told to whoever was told that it fires, silenced or not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime

from rowkeeper.ledger.alerts import Alert, Kind, Notice, State, Told
from rowkeeper.operations.alerts.route import Route

Waiting = Collection[tuple[str, str]]
"""Route and group key of notices that are still to be delivered: of those nothing is repeated."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Time:
    """When this is, and what is needed to tell it."""

    now: datetime
    waiting: Waiting
    new_id: Callable[[], str]


def notices(
    alerts: Sequence[Alert], routes: Sequence[Route], waiting: Waiting, now: datetime, new_id: Callable[[], str]
) -> tuple[list[Alert], list[Notice]]:
    """The alerts, with who was told of them, and the notices that tell it.

    Args:
        alerts: the open ones, and those that are over now.
    """
    by_id = {alert.id: alert for alert in alerts}
    time = _Time(now, waiting, new_id)
    made: list[Notice] = []
    for route in routes:
        for notice, told in _of_route(route, routes, list(by_id.values()), time):
            made.append(notice)
            for alert in told:
                former = alert.routes.get(route.name)
                when = Told(former.first_at if former else now, now)
                by_id[alert.id] = dataclasses.replace(alert, routes={**alert.routes, route.name: when})
    return list(by_id.values()), made


def _of_route(
    route: Route, routes: Sequence[Route], alerts: Sequence[Alert], time: _Time
) -> Iterator[tuple[Notice, Sequence[Alert]]]:
    """Its notices, each with the alerts that it says are firing."""
    groups: dict[tuple[str, ...], list[Alert]] = {}
    for alert in alerts:
        over = alert.resolved_at is not None and route.name in alert.routes
        if over or _is_told(route, routes, alert, time.now):
            groups.setdefault(route.group_of(alert), []).append(alert)
    for values, members in groups.items():
        group = dict(zip(route.group_by, values, strict=True))
        over_now = [alert for alert in members if alert.state is State.RESOLVED]
        firing = [alert for alert in members if alert.state is not State.RESOLVED]
        if over_now and route.resolved:
            yield _notice(route, Kind.RESOLVED, group, over_now, time), ()
        if any(route.name not in alert.routes for alert in firing):
            yield _notice(route, Kind.FIRING, group, firing, time), firing
        elif firing and _repeats(route, firing, time.now):
            again = _notice(route, Kind.REPEAT, group, firing, time)
            if (route.name, again.group_key) not in time.waiting:
                yield again, firing


def _notice(route: Route, kind: Kind, group: Mapping[str, str], told: Sequence[Alert], time: _Time) -> Notice:
    return Notice(time.new_id(), route.name, kind, group, tuple(alert.as_dict() for alert in told), time.now)


def _repeats(route: Route, firing: Sequence[Alert], now: datetime) -> bool:
    return now - max(alert.routes[route.name].last_at for alert in firing) >= route.repeat


def _is_told(route: Route, routes: Sequence[Route], alert: Alert, now: datetime) -> bool:
    """Whether it is a route's business that an alert fires: it matches, or another route has waited for too long."""
    return route.tells(alert) and (route.concerns(alert) or _is_escalated(route, routes, alert, now))


def _is_escalated(route: Route, routes: Sequence[Route], alert: Alert, now: datetime) -> bool:
    if alert.state is State.ACKNOWLEDGED:
        return route.name in alert.routes  # to who keeps alerts by itself, and was told before
    return any(
        other.escalation is not None
        and other.escalation.to == route.name
        and other.name in alert.routes
        and now - alert.routes[other.name].first_at >= other.escalation.after
        for other in routes
    )
