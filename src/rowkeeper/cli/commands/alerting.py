"""`alerts`: what needs somebody, who is told, and what nobody wants to be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.markup import escape

from rowkeeper.cli import render
from rowkeeper.cli.door import ALERTING, DONE, FAILED, json_option, out, print_json, workspace
from rowkeeper.cli.moments import MOMENT
from rowkeeper.errors import SilenceUnfit
from rowkeeper.ledger.alerts import Alert, Severity, State
from rowkeeper.operations import alerts as alerting
from rowkeeper.operations.alerts.sending import Sent
from rowkeeper.operations.alerts.spans import FORM, span, spoken

COLOURS = {
    State.FIRING: "red",
    State.ACKNOWLEDGED: "yellow",
    State.SILENCED: "dim",
    State.PENDING: "magenta",
    State.RESOLVED: "green",
}
LOOKS_MISSED = 5  # after so many nobody looks


@click.group()
def alerts() -> None:
    """What needs somebody, and who is told: list, check, silence, acknowledge, test."""


@alerts.command("list")
@click.option("--all", "over", is_flag=True, help="Those that are over, too.")
@json_option
def list_alerts(over: bool, as_json: bool) -> None:
    """Open alerts and silences, as they were at the last look."""
    with workspace() as space:
        found, every = alerting.list_alerts(space, over=over), timedelta(seconds=space.settings.alerts_seconds)
    if as_json:
        print_json(found.as_dict())
        return
    _show(found.alerts)
    for each in found.silences:
        told = f"{', '.join(each.matchers)}, until {each.until:%Y-%m-%d %H:%M} UTC: {each.reason}"
        out.print(f"[dim]silence {each.number}[/]  {escape(told)}  [dim]{escape(each.who)}[/]")
    for route, since, count, why in found.backlog:
        told = f"{count:,} notices wait since {since:%Y-%m-%d %H:%M} UTC: {why}"
        out.print(f"[red]route {escape(route)}[/]: {escape(told)}")
    for rule, why in found.unseen.items():
        out.print(f"[yellow]rule {escape(rule)}[/] could not be looked at: {escape(why)}")
    out.print(_told_of_looks(found.looked_at, every))


def _told_of_looks(looked_at: datetime | None, every: timedelta) -> str:
    """When somebody looked last; and whether that is so long ago that nobody does."""
    mend = "rowkeeper alerts check looks now; rowkeeper worker and rowkeeper serve do by themselves"
    if looked_at is None:
        return f"[yellow]nobody has looked at the rules yet[/]: {mend}"
    ago, when = datetime.now(UTC) - looked_at, f"{looked_at:%Y-%m-%d %H:%M:%S} UTC"
    if ago > LOOKS_MISSED * every:
        return f"[yellow]nobody looks at the rules[/]: the last look was {spoken(ago)} ago, at {when}; {mend}"
    return f"[dim]last look: {when}[/]"


def _show(found: tuple[Alert, ...]) -> None:
    if not found:
        out.print("no alert")
        return
    table = render.grid("alert", "state", "severity", "rule", "subject", "since", "told")
    for each in found:
        state = f"[{COLOURS[each.state]}]{each.state}[/]"
        since = f"{each.since:%Y-%m-%d %H:%M}"
        table.add_row(each.id[:8], state, each.severity, each.rule, escape(each.subject), since, escape(each.told))
    out.print(table)


@alerts.command("show")
@click.argument("alert", required=False)
@json_option
def show(alert: str | None, as_json: bool) -> None:
    """One alert, by its id; without one, the rules, routes and maintenance windows, and the newest deliveries."""
    with workspace() as space:
        if alert is not None:
            document = alerting.show_alert(space, alert).as_dict()
        else:
            document = alerting.show_rules(space).as_dict()
    if as_json:
        print_json(document)
    elif alert is not None:
        for name, value in document.items():
            told = ", ".join(f"{key}={text}" for key, text in value.items()) if isinstance(value, dict) else value
            if told not in (None, ""):
                out.print(f"{name:<16} {escape(str(told))}")
    else:
        _show_rules(document)


def _show_rules(document: dict[str, Any]) -> None:
    out.print(f"file: {escape(document['file'] or 'none; the built-in rules')}")
    rules = render.grid("rule", "looks for", "severity", "for")
    for each in document["rules"]:
        rules.add_row(each["name"], each["condition"], each["severity"], _span_of(each["for_seconds"]))
    out.print(rules)
    if not document["routes"]:
        out.print("[yellow]nobody is told[/]: no route is declared, in rowkeeper-alerts.toml")
    for each in document["routes"]:
        match = "what is escalated to it" if each["match"] is None else ", ".join(each["match"]) or "everything"
        out.print(f"route [bold]{each['name']}[/]  {escape(each['to'])}  [dim]{escape(match)}[/]")
    for each in document["windows"]:
        out.print(f"window [bold]{each['name']}[/]  {escape(each['begins'])}  {_span_of(each['lasts_seconds'])}")
    for each in document["deliveries"]:
        told = f"{each['at'][:19]}  {each['route']}  {each['outcome']}  {each['told']}"
        out.print(f"[dim]{escape(told)}[/]")


def _span_of(seconds: float) -> str:
    return spoken(timedelta(seconds=seconds)) if seconds else "at once"


@alerts.command("check")
@click.option("--no-send", is_flag=True, help="Look, and leave what is to be told in the outbox.")
@click.option(
    "--fail-on",
    type=click.Choice([each.value for each in Severity]),
    help="Exit with 4 if an alert of this severity, or worse, fires that nobody has acknowledged or silenced.",
)
@click.option("--automatic", is_flag=True, help="Only if nobody has looked for a while, as workers and servers ask.")
@json_option
def check(no_send: bool, fail_on: str | None, automatic: bool, as_json: bool) -> int:
    """Look at every rule now, and tell whom it concerns: what workers and servers do by themselves, for cron.

    Exit status: 1 if a rule could not be looked at, or a notice could not be delivered; 4 if --fail-on finds an alert;
    otherwise alerts are no failure.
    """
    with workspace() as space:
        found = alerting.check_alerts(space, send=not no_send, automatic=automatic)
        stands = found.step.alerts if found.step is not None else ()
        if found.busy and fail_on is not None:
            stands = alerting.list_alerts(space).alerts
    if as_json:
        print_json(found.as_dict())
    elif found.step is None:
        out.print("another process looks now, or has just looked")
    else:
        _show(found.step.alerts)
        for rule, why in found.step.unseen.items():
            out.print(f"[yellow]rule {escape(rule)}[/] could not be looked at: {escape(why)}")
        for sent in found.sent:
            _show_sent(sent)
    unseen = found.step.unseen if found.step is not None else {}
    if unseen or any(sent.error is not None for sent in found.sent):
        return FAILED
    return ALERTING if fail_on is not None and _fires(stands, Severity(fail_on)) else DONE


def _fires(stands: tuple[Alert, ...], least: Severity) -> bool:
    return any(each.state is State.FIRING and each.severity.is_at_least(least) for each in stands)


@alerts.command("test")
@click.argument("routes", metavar="[ROUTE ...]", nargs=-1)
@json_option
def test(routes: tuple[str, ...], as_json: bool) -> int:
    """Send a test notice to every route, or to these, and tell what happened.

    Exit status: 1 if one was not taken, or there is no route.
    """
    with workspace() as space:
        found = alerting.send_tests(space, routes)
    if as_json:
        print_json({"sent": [each.as_dict() for each in found]})
    else:
        for each in found:
            _show_sent(each)
        if not found:
            out.print("[yellow]nobody is told[/]: no route is declared, in rowkeeper-alerts.toml")
    return FAILED if not found or any(each.error is not None for each in found) else DONE


def _show_sent(sent: Sent) -> None:
    what = f"{sent.notice.kind} to [bold]{escape(sent.notice.route)}[/]"
    if sent.error is None:
        out.print(f"{what}: [green]delivered[/] in {sent.seconds:.2f} s")
    else:
        out.print(f"{what}: [red]{escape(sent.error.what)}[/] ({sent.error.code})")
        out.print(f"  [dim]next[/] {escape(sent.error.hint)}") if sent.error.hint else None


@alerts.command("silence")
@click.argument("match", metavar="MATCHER ...", nargs=-1)
@click.option("--for", "length", metavar="SPAN", help="How long: 90m, 2h, 3d.")
@click.option("--until", type=MOMENT, help="Or until when: 2026-11-27T08:00.")
@click.option("--reason", required=True, help="Why: kept with the silence, and in the audit trail.")
@json_option
def silence(match: tuple[str, ...], length: str | None, until: datetime | None, reason: str, as_json: bool) -> None:
    """Tell nobody of alerts that match (pipeline=flights, severity!=critical; all of them) for some time."""
    with workspace() as space:
        made = alerting.silence(space, match, _end(length, until), reason)
    if as_json:
        print_json(made.as_dict())
    else:
        out.print(
            f"silence {made.number} until {made.until:%Y-%m-%d %H:%M} UTC; rowkeeper alerts unsilence {made.number}"
        )


def _end(length: str | None, until: datetime | None) -> datetime:
    if (length is None) is (until is None):
        ends = "no end" if until is None else "two ends"
        raise SilenceUnfit(f"the silence has {ends}", hint="give --for 2h, or --until 2026-11-27T08:00")
    if until is not None:
        return until.astimezone(UTC)
    found = span(length or "")
    if found is None:
        raise SilenceUnfit(f"{length!r} is no span of time", hint=FORM)
    return datetime.now(UTC) + found


@alerts.command("unsilence")
@click.argument("number", type=int)
@json_option
def unsilence(number: int, as_json: bool) -> None:
    """Take a silence back."""
    with workspace() as space:
        alerting.unsilence(space, number)
    print_json({"silence": number, "ended": True}) if as_json else out.print(f"silence {number} is taken back")


@alerts.command("ack")
@click.argument("alert")
@click.option("--note", default="", help="What is done about it.")
@json_option
def ack(alert: str, note: str, as_json: bool) -> None:
    """Say that you see to an alert: it is neither repeated nor escalated until it is over."""
    with workspace() as space:
        found = alerting.acknowledge(space, alert, note)
    if as_json:
        print_json(found.as_dict())
    else:
        out.print(f"{found.rule} {escape(found.subject)} is acknowledged by {escape(found.acked_by)}")
