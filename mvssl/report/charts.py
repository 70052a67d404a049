"""Curves of a page: SVG that is drawn once and read by the page's script when it is pointed at.

A chart is a little wider than a phone allows, so that its letters are of the size of the text
there, and beside others on a wide screen too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mvssl.engine.history import format_scalar
from mvssl.report.curves import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SMOOTHED_FROM,
    Curve,
    Panel,
    binned,
    smoothed,
)
from mvssl.report.html import Html, join, tag

__all__ = ["MINUS", "TONES", "chart", "charts", "last_value", "number"]

Array = NDArray[np.float64]

WIDTH, HEIGHT = 360, 208
LEFT, RIGHT, TOP, BOTTOM = 50, 10, 10, 26
MOST_POINTS = 360  # as many as there are places across
TONES = {BLUE: "t1", ORANGE: "t2", GREEN: "t3", GREY: "grey"}
"""Class of a colour in the page's style, which has one for light and one for dark."""
MINUS = "\N{MINUS SIGN}"


def chart(panel: Panel, end: float, legend: Html | None = None) -> Html:
    """A figure: title with unit, a legend, and the curves.

    Args:
        panel: with at least one curve; a colour may be the class of one in the page's style.
        end: of the axis of epochs.
        legend: by default each curve with its last value.
    """
    scale = _Scale(panel, end)
    drawn = [_path(curve, scale) for curve in panel.curves]
    axis = tag("text", "epoch", x=WIDTH - RIGHT, y=HEIGHT - 7, text_anchor="end")
    picture = tag(
        "svg",
        scale.grid(),
        axis,
        drawn,
        tag("line", class_="cursor", y1=TOP, y2=HEIGHT - BOTTOM, x1=-9, x2=-9),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{panel.title} over epochs",
    )
    unit = panel.unit and tag("span", panel.unit, class_="unit")
    caption = tag("figcaption", tag("h4", panel.title), unit)
    curves = [_data(curve, panel, scale) for curve in panel.curves]
    held = {"left": LEFT, "right": WIDTH - RIGHT, "end": end, "curves": curves}
    return tag(
        "figure", caption, legend or _legend(panel), picture, class_="chart card", data_chart=held
    )


def number(value: float, digits: int | None = None) -> str:
    """A value as people read it: with so many decimals, or about three digits."""
    if digits is not None:
        text = f"{value:.{digits}f}"
    else:
        text = f"{value:.3g}" if 1e-3 <= abs(value) < 100 else format_scalar(value)
    return text.replace("-", MINUS)


class _Scale:
    """From epochs and values to places in a chart."""

    def __init__(self, panel: Panel, end: float) -> None:
        shown = [_shown(curve) for curve in panel.curves]
        low = min([0.0] * panel.zero + [float(one.min()) for one in shown])
        high = max([0.0] * panel.zero + [float(one.max()) for one in shown])
        margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        self.low = low if panel.zero and low == 0 else low - margin
        self.high, self.end = high + margin, end

    def x(self, epochs: Array) -> Array:
        return np.asarray(LEFT + (WIDTH - LEFT - RIGHT) * epochs / self.end)

    def y(self, values: Array) -> Array:
        share = (np.clip(values, self.low, self.high) - self.low) / (self.high - self.low)
        return np.asarray(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share)

    def grid(self) -> Html:
        lines = []
        for value in _ticks(self.low, self.high, 5):
            y = round(float(self.y(np.array(value))), 1)
            lines.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
            text = _tick(value, self.high - self.low)
            lines.append(tag("text", text, x=LEFT - 6, y=y + 4, text_anchor="end"))
        for value in _ticks(0.0, self.end, 5, whole=self.end >= 3):
            x = round(float(self.x(np.array(value))), 1)
            if x < WIDTH - RIGHT - 44:  # where the axis is named
                lines.append(tag("text", f"{value:g}", x=x, y=HEIGHT - 7, text_anchor="middle"))
        return tag("g", lines)


def _ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    found = MaxNLocator(most, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high)
    return [float(value) for value in found if low <= value <= high]


def _tick(value: float, extent: float) -> str:
    """With as many decimals as neighbours differ by."""
    size = max(abs(value), extent)
    if size and not 1e-3 <= size < 1e6:
        return f"{value:.0e}".replace("-", MINUS) if value else "0"
    decimals = max(0, min(6, math.ceil(-math.log10(extent)) + 1))
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", MINUS)


def _is_rough(curve: Curve) -> bool:
    return not curve.reference and len(curve.y) >= SMOOTHED_FROM


def _line(curve: Curve) -> Array:
    """What is drawn strongly."""
    return smoothed(curve.y) if _is_rough(curve) else curve.y


def _shown(curve: Curve) -> Array:
    """What the axis has room for: the odd spike of a rough curve may be cut off."""
    if not _is_rough(curve):
        return curve.y
    line = smoothed(curve.y)
    return np.array([line.min(), line.max(), *np.percentile(curve.y, [1, 99])])


def _path(curve: Curve, scale: _Scale) -> Html:
    tone = TONES.get(curve.color, curve.color)
    if curve.reference:
        x = np.array([0.0, *curve.x, scale.end])
        y = np.array([curve.y[0], *curve.y, curve.y[-1]])
        return tag("path", d=_points(*binned(x, y, MOST_POINTS), scale), class_=f"reference {tone}")
    parts = []
    if _is_rough(curve):
        rough = _points(*binned(curve.x, curve.y, MOST_POINTS), scale)
        parts.append(tag("path", d=rough, class_=f"rough {tone}"))
    x, y = binned(curve.x, _line(curve), MOST_POINTS)
    parts.append(tag("path", d=_points(x, y, scale), class_=tone))
    if len(x) < SMOOTHED_FROM / 2:
        places = zip(scale.x(x), scale.y(y), strict=True)
        parts += [
            tag("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r=2.6, class_=tone) for a, b in places
        ]
    return join(parts)


def _points(x: Array, y: Array, scale: _Scale) -> str:
    places = zip(scale.x(x), scale.y(y), strict=True)
    return "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in places)


def last_value(curve: Curve) -> float:
    """Where its line ends."""
    return float(_line(curve)[-1])


def _legend(panel: Panel) -> Html:
    names = []
    for curve in panel.curves:
        tone = TONES.get(curve.color, curve.color)
        kind = f"swatch reference {tone}" if curve.reference else f"swatch {tone}"
        mark = tag("i", class_=kind) if curve.label else None
        last = tag("b", number(last_value(curve), panel.digits))
        names.append(tag("li", mark, curve.label, " " if curve.label else None, last))
    return tag("ul", names, class_="legend")


def _data(curve: Curve, panel: Panel, scale: _Scale) -> dict[str, Any]:
    """For the page's script: places across, and the values there as text."""
    x, y = binned(curve.x, _line(curve), MOST_POINTS)
    return {
        "label": curve.label or panel.title,
        "tone": TONES.get(curve.color, curve.color),
        "reference": curve.reference,
        "x": [round(float(value), 1) for value in scale.x(x)],
        "v": [number(float(value), panel.digits) for value in y],
    }


def charts(panels: Sequence[Panel], end: float) -> Html:
    """Charts beside each other, as many as there is room for."""
    return tag("div", [chart(panel, end) for panel in panels], class_="charts")
