"""An incident as a page of its own: HTML, nothing fetched, light and dark, no script, and no value of a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from rowkeeper.ledger import RunStatus
from rowkeeper.logs.secrets import scrubbed
from rowkeeper.operations.incident import Incident, Reached
from rowkeeper.operations.sentences import how_much, how_often
from rowkeeper.quality.page import STYLE

PARTITIONS_SHOWN = 200
OF_A_STATUS = {
    RunStatus.PUBLISHED: "passed",
    RunStatus.UNCHANGED: "passed",
    RunStatus.FAILED: "failed",
    RunStatus.HELD: "failed",
    RunStatus.ROLLED_BACK: "unknown",
}
OF_A_PLACE = {Reached.FAILED: "failed", Reached.STOPPED: "failed", Reached.NOT_YET: "unknown"}
MORE_STYLE = """
.lead { border-left: 4px solid var(--bad); background: var(--card); padding: .75rem 1rem; margin: 1rem 0; }
.lead.passed { border-color: var(--good); } .lead.warned { border-color: var(--warn); }
.lead p { color: var(--ink); margin: 0; overflow-wrap: anywhere; } .lead p:first-child { font-weight: 600; }
table { width: auto; } th, td { padding-right: 1.5rem; } th.number { text-align: right; }
.when { white-space: nowrap; font: 13px/1.4 ui-monospace, monospace; }
.lead p + p { margin-top: .25rem; } .lead .note { color: var(--soft); }
ol, ul { padding-left: 1.25rem; } li { margin: .35rem 0; overflow-wrap: anywhere; }
code { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.strip { display: flex; flex-wrap: wrap; gap: 3px; margin: .5rem 0; padding: 0; list-style: none; }
.strip li { margin: 0; padding: .1rem .45rem; border: 1px solid var(--line); border-radius: 4px; font-size: .85rem; }
.strip .now { border-color: var(--ink); }
td { overflow-wrap: anywhere; }
"""


def incident_page(incident: Incident) -> str:
    """The whole document."""
    run = incident.run
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    title = f"Run {run.run} of {run.pipeline}: {incident.ended}"
    body = "".join(
        (
            _lead(incident),
            _section("What to do now", _listed(incident.steps, "ol") or "<p>Nothing: it is well.</p>"),
            _section("What was done about it", _listed(incident.done, "ul")),
            _section("Partitions that failed", _failed(incident)),
            _section("What was degraded", _listed(run.degraded, "ul")),
            _section("The account", _account(incident)),
            _section("Where", _partitions(incident)),
            _section("Why rows were rejected", _reasons(incident)),
            _section("Quality gates", _gates(incident)),
            _section("What it took", _performance(incident)),
            _section("How often", _often(incident)),
            _section("What happened, from the log", _lines(incident)),
        )
    )
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{MORE_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(run.target)}, started {run.started_at:%Y-%m-%d %H:%M:%S} UTC. "
        f"Made by Rowkeeper, {made}. It holds names, places and counts, and no value of a row.</p>\n"
        f"{body}</main>\n</body>\n</html>\n"
    )
    return scrubbed(text)


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>\n" if content else ""


def _listed(items: Sequence[str], kind: str) -> str:
    return f"<{kind}>{''.join(f'<li>{escape(item)}</li>' for item in items)}</{kind}>" if items else ""


def _lead(incident: Incident) -> str:
    told = "".join(f"<p>{escape(sentence)}</p>" for sentence in incident.told)
    note = f'<p class="note">{escape(incident.run.note)}</p>' if incident.run.note else ""
    return f'<div class="lead {incident.level.value}">{told}{note}</div>\n'


def _failed(incident: Incident) -> str:
    """The partitions that the run went on without, and why."""
    rows = [
        (f"<code>{escape(each['key'])}</code>", escape(f"{each['what']} ({each['code']})"), escape(str(each["hint"])))
        for each in incident.failed
    ]
    return _table(("partition", "why", "next"), rows) if rows else ""


def _account(incident: Incident) -> str:
    rows = [(escape(name), f"{count:,}") for name, count in incident.account.items()]
    return _table(("rows", "how many"), rows, numbers={1})


def _partitions(incident: Incident) -> str:
    if not incident.partitions:
        return ""
    heads = ("partition", "rows read", "committed", "quarantined", "duplicate", "filtered", "")
    rows = []
    for each, reached in incident.partitions[:PARTITIONS_SHOWN]:
        account = each.account
        counts = (each.next_row, account.committed, account.quarantined, account.duplicate, account.filtered)
        where = "" if reached is Reached.READ else f'<span class="{OF_A_PLACE[reached]}">{reached.value}</span>'
        rows.append((f"<code>{escape(each.partition.key)}</code>", *(f"{count:,}" for count in counts), where))
    more = len(incident.partitions) - len(rows)
    note = f"<p>and {more:,} more: rowkeeper show {incident.run.run} --json</p>" if more > 0 else ""
    return _table(heads, rows, numbers={1, 2, 3, 4, 5}) + note


def _reasons(incident: Incident) -> str:
    if not incident.reasons:
        return ""
    rows = [
        (
            escape(each.reason),
            f"{each.rows:,}",
            f"{each.partitions:,}",
            "<br>".join(f"<code>{escape(place)}</code>" for place in each.places),
        )
        for each in incident.reasons
    ]
    note = f"<p>The values are sealed: rowkeeper quarantine show {incident.run.run}</p>"
    return _table(("field: reason", "rows", "partitions", "such as"), rows, numbers={1, 2}) + note


def _gates(incident: Incident) -> str:
    rows = [
        (
            escape(each.gate),
            escape(each.severity),
            f'<span class="status {escape(each.status)}">{escape(each.status)}</span>',
            escape(each.told),
            "<br>".join(f"<code>{escape(place)}</code>" for place in places),
        )
        for each, places in incident.gates
    ]
    against = ""
    if incident.override is not None:
        decided = incident.override
        against = f"<p>Published against them by {escape(decided.who)}: {escape(decided.reason)}</p>"
    return against + _table(("gate", "severity", "status", "found", "such as"), rows) if rows else ""


def _performance(incident: Incident) -> str:
    found = incident.performance
    if found is None:
        return ""
    heads = ("stage", "seconds", "CPU seconds", "waited for input", "waited for room", "rows", "bytes")
    rows = [
        (
            escape(each.stage),
            f"{each.seconds:,.3f}",
            f"{each.cpu_seconds:,.3f}",
            f"{each.input_wait_seconds:,.3f}",
            f"{each.room_wait_seconds:,.3f}",
            f"{each.rows:,}" if each.rows else "",
            f"{each.bytes:,}" if each.bytes else "",
        )
        for each in found.stages
    ]
    return f"<p>{escape(how_much(found))}</p>" + _table(heads, rows, numbers={1, 2, 3, 4, 5, 6})


def _often(incident: Incident) -> str:
    told = f"<p>{how_often(incident.often, has_error=incident.run.error is not None)}</p>"
    if not incident.former:
        return told
    strip = "".join(
        f'<li class="{OF_A_STATUS.get(each.status, "warned")}{" now" if each is incident.run else ""}">'
        f"{each.run} {escape(each.status.value.replace('_', ' '))}</li>"
        for each in reversed([incident.run, *incident.former])
    )
    return f'{told}<ul class="strip">{strip}</ul>'


HIDDEN = {"time", "level", "area", "event", "session", "pid", "run", "pipeline", "target", "command", "trace", "note"}


def _lines(incident: Incident) -> str:
    rows = []
    for line in incident.lines:
        level = {"error": "failed", "warning": "warned"}.get(str(line.get("level")), "")
        facts = ", ".join(f"{key} {value}" for key, value in line.items() if key not in HIDDEN)
        event = f'<span class="{level}">{escape(str(line.get("event")))}</span>'
        when = str(line.get("time"))[:23].replace("T", " ")
        rows.append((f'<span class="when">{escape(when)}</span>', event, escape(facts)))
    return _table(("time (UTC)", "event", "facts"), rows) if rows else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A table; the cells are HTML already."""
    right = set(numbers)
    top = "".join(
        f'<th scope="col"{" class=number" if n in right else ""}>{escape(head)}</th>' for n, head in enumerate(heads)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td class="number">{cell}</td>' if n in right else f"<td>{cell}</td>" for n, cell in enumerate(row))
        + "</tr>\n"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{top}</tr>\n{body}</table></div>'
