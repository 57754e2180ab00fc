"""A profile as a page of its own: HTML with inline SVG, nothing fetched, light and dark, readable without the plots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from rowkeeper.ledger import GateResult, RunRecord
from rowkeeper.quality.changes import changes, figure, share
from rowkeeper.quality.profile import TIMES, ColumnProfile, Profile

WIDTH, HEIGHT = 320, 96
SECONDS_A_DAY = 86_400
Subject = tuple[RunRecord, Profile, Profile | None, Sequence[GateResult]]

STYLE = """
:root { color-scheme: light dark; --ground: #fbfaf8; --card: #ffffff; --ink: #1d2228; --soft: #5a6470; --line: #dcdfe3;
  --bar: #2f6f8f; --shade: #d5e5ec; --good: #1f7a45; --bad: #b3261e; --warn: #8a5a00; --unknown: #4b5f9e; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --card: #1b2127; --ink: #e8ebee; --soft: #a3adb8;
  --line: #303840; --bar: #6fb6d6; --shade: #24404e; --good: #6fce96; --bad: #ff8a80; --warn: #f0c060;
  --unknown: #a8b8f0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .25rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p, .soft { color: var(--soft); margin: .25rem 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
caption { text-align: left; color: var(--soft); padding: .5rem 0; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th[scope=col] { font-weight: 600; color: var(--soft); white-space: nowrap; } td.number { text-align: right; }
.passed { color: var(--good); } .failed { color: var(--bad); } .warned { color: var(--warn); }
.unknown { color: var(--unknown); } .status { font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(21.5rem, 1fr)); gap: 1rem; margin-top: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; min-width: 0; }
.card svg { display: block; width: 100%; height: auto; margin: .75rem 0 .25rem; }
.card dl { display: grid; grid-template-columns: auto 1fr auto 1fr; font-variant-numeric: tabular-nums;
  gap: .15rem .75rem; margin: .5rem 0 0; }
dt { color: var(--soft); } dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
.kind { color: var(--soft); font: 12px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.change { color: var(--warn); font-size: .85rem; margin: .5rem 0 0; }
.plot { fill: var(--bar); } .back { fill: var(--shade); } .axis { stroke: var(--line); }
text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.value { fill: var(--ink); }
"""


def page(subjects: Sequence[Subject]) -> str:
    """The whole document, a section for each profile."""
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    title = "Profile of " + ", ".join(run.pipeline for run, *_ in subjects)
    sections = "".join(_section(*subject) for subject in subjects)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n<p>Made by Rowkeeper, {made}. It holds values of the table.</p>\n"
        f"{sections}</main>\n</body>\n</html>\n"
    )


def _section(run: RunRecord, profile: Profile, former: Profile | None, gates: Sequence[GateResult]) -> str:
    sampled = (
        f" Distinct values, quantiles and plots are from {profile.sampled:,} rows spread over all of them."
        if profile.sampled < profile.rows
        else ""
    )
    shaded = " The shaded part of a plot holds the middle half of the values."
    against = f" The load before had {former.rows:,} rows." if former else ""
    cards = "".join(_card(column, former) for column in profile.columns)
    title = f"{run.pipeline}, run {run.run}: {profile.rows:,} rows, {run.status.value}"
    return (
        f"<section>\n<h2>{escape(title)}</h2>\n"
        f"<p>{escape(run.target)}, {run.started_at:%Y-%m-%d %H:%M} UTC.{against}{sampled}{shaded}</p>\n"
        f'{_gates(gates)}<div class="cards">\n{cards}</div>\n</section>\n'
    )


def _gates(gates: Sequence[GateResult]) -> str:
    if not gates:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(each.gate)}</th><td>{escape(each.dimension)}</td><td>{escape(each.severity)}</td>'
        f'<td class="status {escape(each.status)}">{escape(each.status)}</td><td>{escape(each.told)}</td></tr>\n'
        for each in gates
    )
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("gate", "dimension", "severity", "status", "found"))
    return f'<div class="wide"><table><caption>Quality gates</caption>\n<tr>{heads}</tr>\n{rows}</table></div>\n'


def _card(column: ColumnProfile, former: Profile | None) -> str:
    pairs = [("null", share(column.null_share))]
    if column.distinct is not None:
        pairs.append(("distinct", f"{column.distinct:,}"))
    for word, found in (("least", column.minimum), ("greatest", column.maximum), ("mean", column.mean)):
        if found is not None:
            pairs.append((word, figure(found)))
    if column.quantiles:
        pairs += [("median", figure(column.quantiles[2]))]
        pairs += [("5th percentile", figure(column.quantiles[0])), ("95th percentile", figure(column.quantiles[4]))]
    facts = "".join(f"<dt>{word}</dt><dd>{escape(found)}</dd>" for word, found in pairs)
    told = changes(column, former)
    change = f'<p class="change">changed: {escape(", ".join(told))}</p>' if told else ""
    return (
        f'<article class="card"><h3>{escape(column.name)}</h3><div class="kind">{escape(column.kind[:120])}</div>'
        f"{_plot(column)}<dl>{facts}</dl>{change}</article>\n"
    )


def _plot(column: ColumnProfile) -> str:
    if column.classified:
        return "<p>classified: no values are shown</p>"
    if column.long_text:
        return "<p>long text: no values are shown</p>"
    if column.bins and (not column.top or len(column.top) < (column.distinct or 0)):
        return _histogram(column)
    return _top(column) if column.top else ""


def _histogram(column: ColumnProfile) -> str:
    """Bars over the range, the middle half of the values shaded behind them."""
    most = max(each.count for each in column.bins) or 1
    low, high = column.bins[0].low, column.bins[-1].high
    last = high - 1 if "Int" in column.kind and len(column.bins) > 1 else high  # of whole numbers, the last one in it
    step, plot_height = WIDTH / len(column.bins), HEIGHT - 16
    shade = ""
    if column.quantiles and high > low:
        left, right = ((column.quantiles[n] - low) / (high - low) * WIDTH for n in (1, 3))
        shade = f'<rect class="back" x="{left:.1f}" y="0" width="{max(right - left, 1):.1f}" height="{plot_height}"/>'
    bars = []
    for number, each in enumerate(column.bins):
        tall = each.count / most * (plot_height - 4)
        tall = max(tall, 1.0) if each.count else 0.0
        bars.append(
            f'<rect class="plot" x="{number * step + 0.5:.1f}" y="{plot_height - tall:.1f}" '
            f'width="{max(step - 1, 1):.1f}" height="{tall:.1f}"><title>{escape(_range(column, each.low, each.high))}: '
            f"{each.count:,}</title></rect>"
        )
    label = f"Histogram of {column.name} from {_bound(column, low)} to {_bound(column, last)}"
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {HEIGHT}">{shade}{"".join(bars)}'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="{plot_height}" y2="{plot_height}"/>'
        f'<text x="0" y="{HEIGHT - 3}">{escape(_bound(column, low))}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 3}" text-anchor="end">{escape(_bound(column, last))}</text></svg>'
    )


def _range(column: ColumnProfile, low: float, high: float) -> str:
    return f"{_bound(column, low)} to {_bound(column, high)}"


def _bound(column: ColumnProfile, at: float) -> str:
    bare = column.kind.replace("LowCardinality(", "").replace("Nullable(", "")
    if not bare.startswith(TIMES):
        return figure(at)
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}" if abs(at) < SECONDS_A_DAY * 365 * 7000 else ""


def _top(column: ColumnProfile) -> str:
    """A bar for each of the values that are met most often."""
    line = 20
    tall = line * len(column.top)
    rows = []
    for number, (value, part) in enumerate(column.top):
        y = number * line
        shown = value if len(value) <= 26 else value[:25] + "…"
        rows.append(
            f'<rect class="back" x="0" y="{y + 2}" width="{max(part * WIDTH, 1):.1f}" height="{line - 4}" rx="2"/>'
            f'<text class="value" x="6" y="{y + 14}">{escape(shown)}</text>'
            f'<text x="{WIDTH}" y="{y + 14}" text-anchor="end">{share(part)}</text>'
        )
    told = ", ".join(f"{value} {share(part)}" for value, part in column.top)
    label = f"Most frequent values of {column.name}: {told}"
    return f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {tall}">{"".join(rows)}</svg>'
