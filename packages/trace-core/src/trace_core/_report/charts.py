"""The report's charts, in the language of Vega-Lite. The page gives them data and draws them."""

from __future__ import annotations

from typing import Any, Final

Spec = dict[str, Any]

SERIES: Final = 8
"""How many series have a colour of their own; the last is for all others together."""
_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"  # a name; nothing loads it
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_HEIGHT: Final = 190
_DURATION: Final = (
    "datum.value < 1 ? format(datum.value * 1000, '~g') + ' ms'"
    " : datum.value < 60 ? format(datum.value, '~g') + ' s'"
    " : format(datum.value / 60, '.3~g') + ' min'"
)
_DURATION_TICKS: Final = [
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
]
_TIMES: Final = {
    "yearmonthdatehoursminutes": "%H:%M",
    "yearmonthdatehours": "%a %H:%M",
    "yearmonthdate": "%-d %b",
    "yearweek": "%-d %b %Y",
    "yearmonth": "%b %Y",
}
"""How the time axis is labelled, by what there is a bar for."""
_CONFIG: Final[Spec] = {
    "background": "transparent",
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "gridColor": "var(--grid)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelOverlap": True,
        "labelSeparation": 8,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False, "ticks": False, "tickCount": 4},
}

MONEY: Final = "datum.value ? '$' + datum.label : '$0'"
COUNT: Final = "datum.value % 1 ? '' : format(datum.value, datum.value < 1000 ? '~r' : '.3~s')"


def _colour(name: str) -> Spec:
    """Colour the series by the page's own variables, which differ in the dark and in print."""
    names = [f"var(--{name}{number})" for number in range(SERIES)]
    scale = {"domain": list(range(SERIES)), "range": names}
    return {"field": "s", "type": "nominal", "scale": scale, "legend": None}


def _chart(**parts: Any) -> Spec:
    return {
        "$schema": _SCHEMA,
        "width": "container",
        "height": _HEIGHT,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": _CONFIG,
        **parts,
    }


def _shown() -> Spec:
    """Let the page hide series: it sets ``hidden`` to their numbers."""
    return {"params": [{"name": "hidden", "value": []}]}


_NOT_HIDDEN: Final = {"filter": "indexof(hidden, datum.s) < 0"}


def over_time(value: str, unit: str, ticks: str, *, colours: str = "s") -> Spec:
    """Draw sums over time, stacked by series.

    Args:
        value: The field to add up; rows in which it is not known are left out.
        unit: What there is a bar for, such as ``yearmonthdate``, in the viewer's time zone.
        ticks: An expression for the labels of the vertical axis.
        colours: The first letter of the colours' names.
    """
    when = {"unit": unit, "step": 5} if unit.endswith("minutes") else {"unit": unit}
    known = {"filter": f"isValid(datum.{value})"}
    return _chart(
        **_shown(),
        data={"name": "rows"},
        transform=[_NOT_HIDDEN, known],
        mark={"type": "bar", "tooltip": True},
        encoding={
            "x": {
                "field": "t",
                "type": "temporal",
                "timeUnit": when,
                "title": None,
                "axis": {"format": _TIMES[unit]},
            },
            "y": {
                "field": value,
                "type": "quantitative",
                "aggregate": "sum",
                "title": None,
                "axis": {"labelExpr": ticks},
            },
            "color": _colour(colours),
            "order": {"field": "s"},
        },
    )


def distribution() -> Spec:
    """Draw how often which durations were, with lines at the percentiles."""
    bars = {
        "data": {"name": "rows"},
        "transform": [
            _NOT_HIDDEN,
            {"stack": "n", "groupby": ["lo"], "sort": [{"field": "s"}], "as": ["y0", "y1"]},
        ],
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "x": _durations("lo"),
            "x2": {"field": "hi"},
            "y": {
                "field": "y0",
                "type": "quantitative",
                "title": "calls",
                "axis": {"labelExpr": COUNT},
            },
            "y2": {"field": "y1"},
            "color": _colour("s"),
        },
    }
    place = {"field": "v", "type": "quantitative", "scale": {"type": "log"}}
    lines = {
        "data": {"name": "marks"},
        "mark": {"type": "rule", "color": "var(--ink)", "strokeDash": [3, 3]},
        "encoding": {"x": place},
    }
    names = {
        "data": {"name": "marks"},
        "mark": {"type": "text", "color": "var(--ink)", "align": "center", "baseline": "bottom"},
        "encoding": {"x": place, "text": {"field": "name"}, "y": {"value": -3}},
    }
    return _chart(**_shown(), layer=[bars, lines, names])


def _durations(field: str) -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "title": None,
        "scale": {"type": "log", "nice": False},
        "axis": {"labelExpr": _DURATION, "values": _DURATION_TICKS, "grid": False},
    }


def charts(unit: str) -> dict[str, Spec]:
    """Return all charts by the names of their places on the page.

    Args:
        unit: What the charts over time have a bar for.
    """
    return {
        "cost": over_time("cost", unit, MONEY),
        "tokens": over_time("tokens", unit, COUNT),
        "latency": distribution(),
        "first": distribution(),
        "errors": over_time("n", unit, COUNT, colours="e"),
    }
