"""Grafana's JSON for the few kinds of panels that the dashboards have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH = 24  # columns of Grafana's grid
_HEIGHT = 8


@dataclass(frozen=True)
class Panel:
    """One graph. ``queries`` are (legend, PromQL); ``unit`` is Grafana's name of one."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    description: str = ""
    width: int = WIDTH // 3
    stacked: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """Panels under a heading, from left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """``variables`` are (name, label, PromQL of its values): each can be chosen above the panels."""

    uid: str
    title: str
    rows: Sequence[Row]
    variables: Sequence[tuple[str, str, str]] = ()


def grafana(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana reads it from a file."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["lookalike"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {"type": "dashboards", "tags": ["lookalike"], "title": "Lookalike", "asDropdown": False, "keepTime": True}
        ],
        "templating": {"list": [_variable(*one) for one in dashboard.variables]},
        "annotations": {"list": []},
        "panels": list(_placed(dashboard.rows)),
    }


def expressions(dashboard: Dashboard) -> list[str]:
    """Every PromQL expression in it."""
    panels = [query for row in dashboard.rows for panel in row.panels for _, query in panel.queries]
    return [*panels, *(query for _, _, query in dashboard.variables)]


def _placed(rows: Iterable[Row]) -> Iterable[dict[str, Any]]:
    number, y = 0, 0
    for row in rows:
        number += 1
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + _HEIGHT
            number += 1
            yield _graph(number, panel, {"x": x, "y": y, "w": panel.width, "h": _HEIGHT})
            x += panel.width
        y += _HEIGHT


def _graph(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
    if panel.stacked:
        custom |= {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 40}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom, **panel.options}, "overrides": []},
        "options": {
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": query, "legendFormat": legend}
            for index, (legend, query) in enumerate(panel.queries)
        ],
    }


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": f"query_result({query})", "refId": name},
        "regex": f'/{name}="([^"]+)"/',
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }
