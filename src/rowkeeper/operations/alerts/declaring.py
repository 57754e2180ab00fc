"""The alerts file: rules, routes, maintenance windows and the watchdog, beside rowkeeper.toml.

disable = ["run-slow"]                          # built-in rules that are not wanted

[watchdog]                                      # always firing: who hears nothing knows that nobody looks
every = "5m"
to = ["dead-man"]

[[rule]]
name = "flights-late"
no_success = { pipeline = "flights", within = "26h" }
severity = "critical"
for = "10m"

[[route]]
name = "ops"
to = "mailtos://alerts:{env:SMTP_PASSWORD}@mail.example.com?to=ops@example.com"
match = ["severity!=info"]
group_by = ["rule"]
repeat = "4h"

[[window]]
name = "sunday"
begins = "0 2 * * 0 Europe/Berlin"
lasts = "3h"
match = ["pipeline=flights"]
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import AlertsUnusable, ConfigurationError
from rowkeeper.ledger.alerts import NAMES, Severity
from rowkeeper.nearest import one_of
from rowkeeper.operations.alerts.builtin import BUILT_IN
from rowkeeper.operations.alerts.conditions import CONDITIONS
from rowkeeper.operations.alerts.matching import Matcher, Unmatched
from rowkeeper.operations.alerts.receivers import address_of
from rowkeeper.operations.alerts.route import REPEAT, REPEAT_STATE, Escalation, Route
from rowkeeper.operations.alerts.rule import Rule
from rowkeeper.operations.alerts.tables import Table, tables_of
from rowkeeper.operations.alerts.windows import Window
from rowkeeper.schedule import Schedule
from rowkeeper.security.egress.settled import by_way_of, proxy_of
from rowkeeper.settings import Settings

FILE = "rowkeeper-alerts.toml"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
KNOWN = ("disable", "watchdog", "rule", "route", "window")


@dataclasses.dataclass(frozen=True, slots=True)
class Watchdog:
    """The alert that always fires: each of these routes is sent it every so often."""

    every: timedelta
    to: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Declared:
    """What the file and the built-in rules say together.

    Attributes:
        path: of the file; None if there is none.
    """

    rules: tuple[Rule, ...] = BUILT_IN
    routes: tuple[Route, ...] = ()
    windows: tuple[Window, ...] = ()
    watchdog: Watchdog | None = None
    path: Path | None = None

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where its routes lead to."""
        return tuple(dict.fromkeys(each for route in self.routes for each in route.address.endpoints))

    @classmethod
    def load(cls, path: Path | None) -> Declared:
        """Reads the alerts file.

        Args:
            path: as it was set; None takes the file of that name in the working folder, if there is one.

        Raises AlertsUnusable, or SecretLiteral.
        """
        if path is None and not Path(FILE).is_file():
            return cls()
        where = path or Path(FILE)
        try:
            text = where.read_text(encoding="utf-8")
            document = tomllib.loads(text)
        except OSError as error:
            raise AlertsUnusable(
                f"the alerts file {where} cannot be read: {error.strerror}",
                hint="put it back, or point ROWKEEPER_ALERTS_FILE at it",
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            told = error if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
            raise AlertsUnusable(f"the alerts file {where} is no TOML: {told}", hint="correct it") from error
        return cls.of(document, text, where)

    @classmethod
    def of(cls, document: Mapping[str, Any], text: str, where: Path) -> Declared:
        """What a file says of which these are the parts and the text. Raises AlertsUnusable, or SecretLiteral."""
        top = Table({name: value for name, value in document.items() if name not in KNOWN}, str(where))
        for name in KNOWN:
            top.has(name)
        top.done("an alerts file")
        tables = {kind: list(tables_of(document, text, str(where), kind)) for kind in ("rule", "route", "window")}
        rules = [_rule(table) for table in tables["rule"]]
        routes = [_route(table) for table in tables["route"]]
        windows = [_window(table) for table in tables["window"]]
        for kind, names in (("rule", rules), ("route", routes), ("window", windows)):
            _refuse_twice(kind, [each.name for each in names], tables[kind])
        routes = _escalating(routes, tables["route"])
        watchdog = _watchdog(document.get("watchdog"), routes, str(where))
        return cls(
            _all_rules(document.get("disable", []), rules, str(where)), tuple(routes), tuple(windows), watchdog, where
        )


def reached_by(settings: Settings) -> tuple[Endpoint, ...]:
    """Where the routes of the alerts file lead to, with the proxy by which public ones are reached.

    Raises AlertsUnusable, or SecretLiteral.
    """
    proxy = proxy_of(settings)
    return tuple(by_way_of(each, proxy) for each in Declared.load(settings.alerts_file).endpoints)


def _all_rules(disabled: object, own: list[Rule], where: str) -> tuple[Rule, ...]:
    built_in = {each.name: each for each in BUILT_IN}
    if not isinstance(disabled, list):
        raise AlertsUnusable(f"{where}: disable is no list of rules", hint='disable = ["run-slow"]')
    for name in disabled:
        if name not in built_in:
            raise AlertsUnusable(f"{where}: disable: {name!r} is no built-in rule", hint=one_of(name, built_in))
    replaced = {*disabled, *(each.name for each in own)}
    return (*(each for each in BUILT_IN if each.name not in replaced), *own)


def _refuse_twice(kind: str, names: list[str], tables: list[Table]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise tables[number].wrong(f"there is another {kind} {name}", "give it a name of its own", "name")


def _name(table: Table) -> str:
    name = table.text("name")
    if not NAME.fullmatch(name):
        raise table.wrong(f"{name!r} is no name", "lower-case letters, digits, - and _; at most 64", "name")
    return name


def _rule(table: Table) -> Rule:
    name = _name(table)
    words = [word for word in CONDITIONS if table.has(word)]
    severity = table.choice("severity", tuple(each.value for each in Severity), Severity.WARNING.value)
    holds_for, keeps_for = table.span("for", timedelta()), table.span("keep", timedelta())
    told = table.text("told", "")
    table.done("a rule")
    if len(words) != 1:
        what = f"has {len(words)} conditions" if words else "has no condition"
        raise table.wrong(f"rule {name} {what}", f"give it one of {', '.join(CONDITIONS)}: {CONDITION_FORM}")
    inner = table.inner(words[0])
    condition = CONDITIONS[words[0]](inner)
    inner.done(words[0])
    return Rule(name, condition, Severity(severity), holds_for, keeps_for, told)


CONDITION_FORM = 'run_failed = { pipeline = "flights" }, or = {} for all'


def _matchers(table: Table, name: str = "match") -> tuple[Matcher, ...]:
    try:
        return tuple(Matcher.parse(each) for each in table.texts(name))
    except Unmatched as fault:
        raise table.wrong(f"{name}: {fault}", fault.hint, name) from None


def _route(table: Table) -> Route:
    name = _name(table)
    address = address_of(name, table)
    matchers = _matchers(table)
    group_by = table.texts("group_by", ("rule",))
    for each in group_by:
        if each not in NAMES:
            raise table.wrong(f"group_by: an alert is not known by {each!r}", one_of(each, NAMES), "group_by")
    repeat = table.span("repeat", REPEAT_STATE if address.keeps_state else REPEAT)
    resolved = table.flag("resolved", True)
    escalation = None
    if table.has("escalate"):
        inner = table.inner("escalate")
        escalation = Escalation(inner.span("after", timedelta(minutes=30)), inner.text("to"))
        inner.done("escalate")
    table.done("a route")
    return Route(name, address, matchers, group_by, repeat, resolved, escalation)


def _escalating(routes: list[Route], tables: list[Table]) -> list[Route]:
    """A route that another escalates to gets nothing else, unless it has matchers of its own."""
    names = [each.name for each in routes]
    for route, table in zip(routes, tables, strict=True):
        if route.escalation is not None and (route.escalation.to not in names or route.escalation.to == route.name):
            raise table.wrong(
                f"escalate: there is no other route {route.escalation.to!r}",
                one_of(route.escalation.to, [each for each in names if each != route.name]),
                "escalate",
            )
    targets = {each.escalation.to for each in routes if each.escalation is not None}
    return [
        dataclasses.replace(each, matchers=None) if each.name in targets and not table.has("match") else each
        for each, table in zip(routes, tables, strict=True)
    ]


def _window(table: Table) -> Window:
    name = _name(table)
    try:
        begins = Schedule.parse(table.text("begins"))
    except ConfigurationError as error:
        raise table.wrong(f"begins: {error.what}", 'such as "0 2 * * 0 Europe/Berlin"', "begins") from error
    lasts = table.span("lasts", None)
    if lasts is None:
        raise table.wrong("lasts is missing", 'lasts = "2h"')
    matchers = _matchers(table)
    table.done("a window")
    return Window(name, begins, lasts, matchers)


def _watchdog(values: Any, routes: Iterable[Route], where: str) -> Watchdog | None:
    if values is None:
        return None
    if not isinstance(values, dict):
        raise AlertsUnusable(f"{where}: watchdog is no table", hint="[watchdog]")
    table = Table(values, where)
    every, to = table.span("every", timedelta(minutes=5)), table.texts("to")
    table.done("the watchdog")
    names = [each.name for each in routes]
    for each in to:
        if each not in names:
            raise AlertsUnusable(f"{where}: watchdog: there is no route {each!r}", hint=one_of(each, names))
    if not to:
        raise AlertsUnusable(f"{where}: the watchdog names no route", hint='to = ["dead-man"]')
    return Watchdog(every, to)
