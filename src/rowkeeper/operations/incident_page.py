"""An incident as a page of its own: HTML, nothing fetched, light and dark, no script, and no value of a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from rowkeeper.ledger import RunStatus
from rowkeeper.logs.secrets import scrubbed
from rowkeeper.operations.incident import Incident
from rowkeeper.quality.page import STYLE

PARTITIONS_SHOWN = 200
OF_A_STATUS = {
    RunStatus.PUBLISHED: "passed",
    RunStatus.UNCHANGED: "passed",
    RunStatus.FAILED: "failed",
    RunStatus.HELD: "failed",
    RunStatus.ROLLED_BACK: "unknown",
}
MORE_STYLE = """
.lead { border-left: 4px solid var(--bad); background: var(--card); padding: .75rem 1rem; margin: 1rem 0; }
.lead.passed { border-color: var(--good); } .lead.warned { border-color: var(--warn); }
.lead.unknown { border-color: var(--unknown); }
.lead p { color: var(--ink); margin: 0; overflow-wrap: anywhere; }
.lead p + p { color: var(--soft); margin-top: .25rem; }
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
    title = f"Run {run.run} of {run.pipeline}: {run.status.value.replace('_', ' ')}"
    body = "".join(
        (
            _lead(incident),
            _section("What to do now", _listed(incident.steps, "ol") or "<p>Nothing: it is well.</p>"),
            _section("What was done about it", _listed(incident.done, "ul")),
            _section("The account", _account(incident)),
            _section("Where", _partitions(incident)),
            _section("Why rows were rejected", _reasons(incident)),
            _section("Quality gates", _gates(incident)),
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
    run, error = incident.run, incident.run.error
    if error is None:
        rejected = run.account.quarantined
        told = f"{rejected:,} of {run.account.read:,} rows were rejected." if rejected else "No row was rejected."
        kind = "warned" if rejected else OF_A_STATUS.get(run.status, "warned")
        return f'<div class="lead {kind}"><p>{told}</p>{_note(incident)}</div>\n'
    kind = "failed" if run.status in (RunStatus.FAILED, RunStatus.HELD) else "warned"
    facts = [str(error[key]) for key in ("code", "type", "category") if error.get(key)]
    if "retryable" in error:
        facts.append("the same command may help" if error["retryable"] else "the same command will not help")
    return (
        f'<div class="lead {kind}"><p>{escape(str(error.get("what", "it failed")))}</p>'
        f"<p>{escape(', '.join(facts))}</p>{_note(incident)}</div>\n"
    )


def _note(incident: Incident) -> str:
    return f"<p>{escape(incident.run.note)}</p>" if incident.run.note else ""


def _account(incident: Incident) -> str:
    rows = [(escape(name), f"{count:,}") for name, count in incident.account.items()]
    return _table(("rows", "how many"), rows, numbers={1})


def _partitions(incident: Incident) -> str:
    if not incident.partitions:
        return ""
    stopped = next((each.ordinal for each in incident.partitions if not each.complete), None)
    heads = ("partition", "rows read", "committed", "quarantined", "duplicate", "filtered", "")
    rows = []
    # Those with something to see first: the one where it stopped, then those with the most rejected rows.
    ordered = sorted(incident.partitions, key=lambda each: (each.ordinal != stopped, -each.account.quarantined))
    for each in ordered[:PARTITIONS_SHOWN]:
        account = each.account
        counts = (each.next_row, account.committed, account.quarantined, account.duplicate, account.filtered)
        where = "it stopped here" if each.ordinal == stopped else ("" if each.complete else "not reached")
        rows.append((f"<code>{escape(each.partition.key)}</code>", *(f"{count:,}" for count in counts), where))
    more = len(incident.partitions) - len(rows)
    note = f"<p>and {more:,} more: rowkeeper show {incident.run.run}</p>" if more > 0 else ""
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
        )
        for each in incident.gates
    ]
    return _table(("gate", "severity", "status", "found"), rows) if rows else ""


def _often(incident: Incident) -> str:
    if not incident.former:
        return "<p>It is the first run of this pipeline.</p>"
    runs = [incident.run, *incident.former]
    strip = "".join(
        f'<li class="{OF_A_STATUS.get(each.status, "warned")}{" now" if each is incident.run else ""}">'
        f"{each.run} {escape(each.status.value.replace('_', ' '))}</li>"
        for each in reversed(runs)
    )
    failed = sum(each.error is not None for each in incident.former)
    told = f"Runs of this pipeline before it: {len(incident.former):,}; with an error: {failed:,}"
    told += f"; with this error: {incident.same_error:,}." if incident.run.error else "."
    return f'<p>{told}</p><ul class="strip">{strip}</ul>'


HIDDEN = {"time", "level", "area", "event", "session", "pid", "run", "pipeline", "target", "command", "trace", "note"}


def _lines(incident: Incident) -> str:
    rows = []
    for line in incident.lines:
        level = {"error": "failed", "warning": "warned"}.get(str(line.get("level")), "")
        facts = ", ".join(f"{key} {value}" for key, value in line.items() if key not in HIDDEN)
        event = f'<span class="{level}">{escape(str(line.get("event")))}</span>'
        rows.append((f"<code>{escape(str(line.get('time'))[:23])}</code>", event, escape(facts)))
    return _table(("time (UTC)", "event", "facts"), rows) if rows else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A table; the cells are HTML already."""
    right = set(numbers)
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="number">{cell}</td>' if n in right else f"<td>{cell}</td>" for n, cell in enumerate(row))
        + "</tr>\n"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{top}</tr>\n{body}</table></div>'
