"""The dashboard for Grafana, as the JSON that it imports: the panels laid out, with variables to choose by.

The form is Grafana's classic one, of one JSON document with `panels`; a Grafana that is newer brings it up to date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rowkeeper.operations.metrics import catalogue
from rowkeeper.operations.metrics.panels import ROWS, Look, Panel

SCHEMA_VERSION = 41
UID = "rowkeeper"
WIDTH = 24  # of the screen, in Grafana's units
SIZES: Mapping[Look, tuple[int, int]] = {Look.FIGURE: (4, 4), Look.TABLE: (8, 8)}
SIZE = (8, 8)
STEP_LEAST = "1m"  # in a shorter step there are not always two scrapes
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WINDOWS = ("1h", "6h", "1d", "7d")


def dashboard(title: str = "Rowkeeper") -> dict[str, Any]:
    """The document."""
    return {
        "uid": UID,
        "title": title,
        "description": "Runs, rows and health of a Rowkeeper, written by: rowkeeper metrics dashboard",
        "tags": ["rowkeeper"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,  # one crosshair for all
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": list(_variables())},
        "annotations": {"list": []},
        "panels": list(_laid_out()),
    }


def dashboard_text(title: str = "Rowkeeper") -> str:
    """The file that Grafana imports."""
    return json.dumps(dashboard(title), indent=2, ensure_ascii=False) + "\n"


def _variables() -> Iterator[dict[str, Any]]:
    build = catalogue.BUILD.name
    yield {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus", "refresh": 1}
    yield _values("job", f"label_values({build}, job)")
    yield _values("instance", f'label_values({build}{{job="$job"}}, instance)')
    runs = f'{catalogue.RUNS.name}{{job="$job",instance="$instance"}}'
    yield {
        **_values("pipeline", f"label_values({runs}, pipeline)"),
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": "All", "value": "$__all"},
    }
    options = [{"selected": each == "1d", "text": each, "value": each} for each in WINDOWS]
    yield {
        "type": "interval",
        "name": "window",
        "label": "over",
        "query": ",".join(WINDOWS),
        "options": options,
        "current": {"selected": True, "text": "1d", "value": "1d"},
    }


def _values(name: str, query: str) -> dict[str, Any]:
    """A variable whose values Prometheus knows."""
    asked = {"query": query, "refId": name}
    return {"type": "query", "name": name, "datasource": SOURCE, "query": asked, "refresh": 2, "sort": 1}


def _laid_out() -> Iterator[dict[str, Any]]:
    """Rows with their panels, from left to right and on."""
    below, number = 0, 0
    for row in ROWS:
        number += 1
        at = {"x": 0, "y": below, "w": WIDTH, "h": 1}
        yield {"type": "row", "id": number, "title": row.title, "collapsed": False, "gridPos": at, "panels": []}
        x, y, below = 0, below + 1, below + 1
        for panel in row.panels:
            number += 1
            width, height = SIZES.get(panel.look, SIZE)
            if x + width > WIDTH:
                x, y = 0, below
            yield {**_panel(panel), "id": number, "gridPos": {"x": x, "y": y, "w": width, "h": height}}
            x, below = x + width, max(below, y + height)


def _panel(panel: Panel) -> dict[str, Any]:
    newest = panel.look in (Look.FIGURE, Look.TABLE)
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": SOURCE,
            "expr": query.expression,
            "legendFormat": query.legend or "__auto",
            "instant": newest,
            "range": not newest,
            **({"format": "table"} if panel.look is Look.TABLE else {}),
        }
        for place, query in enumerate(panel.queries)
    ]
    kind = "timeseries" if panel.look in (Look.LINES, Look.BARS) else panel.look.value
    return {
        "type": kind,
        "title": panel.title,
        "description": panel.told,
        "datasource": SOURCE,
        "interval": STEP_LEAST,
        "targets": targets,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        **_more(panel),
    }


def _field(panel: Panel) -> dict[str, Any]:
    """How values are shown."""
    shown: dict[str, Any] = {"unit": panel.unit}
    if panel.unit == "percentunit":
        shown |= {"min": 0, "max": 1}
    if panel.look is Look.FIGURE:
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        if panel.bad_from is not None:
            steps.append({"color": "red", "value": panel.bad_from})
        shown["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.look is Look.BARS:
        shown["custom"] = {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"mode": "normal", "group": "A"}}
    return shown


def _more(panel: Panel) -> dict[str, Any]:
    """What is a kind of panel's own."""
    if panel.look is Look.FIGURE:
        reduced = {"calcs": ["lastNotNull"], "values": False}
        text = "name" if panel.queries[0].legend else "auto"
        return {"options": {"reduceOptions": reduced, "colorMode": "value", "textMode": text}}
    if panel.look is Look.TABLE:
        hidden = dict.fromkeys(("Time", "__name__", "job", "instance"), True)
        return {"transformations": [{"id": "organize", "options": {"excludeByName": hidden}}]}
    return {"options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}}}
