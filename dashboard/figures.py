"""Charts as plain plotly figures.

Text, grid and background take their colours from the style sheet, so a chart is right in light and dark.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import polars as pl

POINTS = 500
PAUSE = timedelta(hours=1)
_LINE = "#5b8ac9"
_AREA = "rgba(91, 138, 201, 0.12)"


@dataclass(frozen=True, slots=True)
class Series:
    """One chart: a column of the `account` table, what it is called and how its values are written."""

    column: str
    name: str
    form: str


NLV = Series("nlv_usd", "Net liquidation value", "$,.2f")
GREEKS = (
    Series("book_delta_usd", "Book delta", "$,.2f"),
    Series("book_gamma_usd", "Book gamma", "$,.2f"),
    Series("book_theta_usd", "Book theta per day", "$,.2f"),
    Series("book_vega_usd", "Book vega per vol point", "$,.2f"),
)


def chart(history: pl.DataFrame, series: Series) -> dict[str, Any]:
    """The series over New York time. Unknown values are gaps in the line."""
    points = _broken(thin(history.select("time", series.column)))
    local = points["time"].dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
    trace = {
        "type": "scatter",
        "mode": "lines" if points.height > 1 else "markers",
        "x": local.dt.to_string("%Y-%m-%d %H:%M:%S").to_list(),
        "y": points[series.column].to_list(),
        "line": {"color": _LINE, "width": 1.75},
        "fill": "none",
        "connectgaps": False,
        "hovertemplate": f"%{{x|%-d %b %H:%M:%S}}<br><b>%{{y:{series.form}}}</b><extra></extra>",
    }
    return {"data": [trace], "layout": _layout(series)}


def _broken(points: pl.DataFrame) -> pl.DataFrame:
    """An unknown point after every pause longer than `PAUSE`, so that no line is drawn across a night."""
    paused = points.filter(pl.col("time").diff() > PAUSE)
    gaps = paused.with_columns(pl.col("time") - pl.duration(seconds=1), pl.lit(None).alias(points.columns[1]))
    return pl.concat([points, gaps], how="vertical_relaxed").sort("time")


def thin(points: pl.DataFrame) -> pl.DataFrame:
    """At most about `POINTS` rows, evenly chosen, the newest always kept."""
    step = -(-points.height // POINTS)
    return points if step <= 1 else points.reverse().gather_every(step).reverse()


def _layout(series: Series) -> dict[str, Any]:
    axis = {
        "fixedrange": True,
        "zeroline": False,
        "automargin": True,
        "tickfont": {"size": 11},
        "ticklabelstandoff": 6,
    }
    return {
        "margin": {"l": 8, "r": 8, "t": 6, "b": 4},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
        "hovermode": "x",
        "xaxis": {**axis, "showgrid": False, "nticks": 5, "type": "date"},
        "yaxis": {
            **axis,
            "nticks": 4,
            "tickformat": "$~s" if series is not NLV else "$,.0f",
            "side": "right",
        },
        "uirevision": "kept",
    }
