"""Charts and pictures of the report: inline SVG whose colours the page sets, for light, dark and print.

No chart says anything by colour alone: lines differ in dash and marker too, bars and heights carry the rest.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from hardener.config.evaluation_record import CalibrationBin, CurvePoint

PICTURE_SIDE = 96
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "12 3 2 3 2 3")
_MARKERS = 6
_COLOURS = 6
_LEFT, _RIGHT, _TOP, _BOTTOM = 36.0, 14.0, 38.0, 42.0
_FINEST_SURFACE = 41
_SURFACE_STOPS = ((68, 84, 152), (52, 128, 160), (64, 165, 140), (142, 190, 92), (240, 205, 70))


@dataclass(frozen=True)
class Line:
    """One line of a chart; `style` picks its colour, dash and marker, the same as in `legend_key`."""

    points: Sequence[CurvePoint]
    style: int = 0
    band: bool = False


def line_chart(
    lines: Sequence[Line],
    *,
    description: str,
    x_label: str,
    show_x: Callable[[float], str],
    reference: tuple[float, str] | None = None,
    logarithmic: bool = False,
    width: int = 440,
    height: int = 280,
) -> Markup:
    """Draw accuracies, 0 to 100 %, against a parameter.

    Args:
        lines: each with at least one point; a band is drawn between its points' intervals.
        description: what a reader who sees no picture is told.
        show_x: a parameter as the axis writes it.
        reference: a parameter to mark by an upright line, and its name.
        logarithmic: spread small parameters, log(1 + x / the smallest positive one).
    """
    values = sorted({point.parameter for line in lines for point in line.points})
    place = _log_place(values) if logarithmic else float
    shown = [*values, reference[0]] if reference else values
    low, high = min(map(place, shown)), max(map(place, shown))
    right, bottom = width - _RIGHT, height - _BOTTOM

    def x_of(value: float) -> float:
        share = (place(value) - low) / (high - low) if high > low else 0.5
        return _LEFT + share * (right - _LEFT)

    def y_of(accuracy: float) -> float:
        return bottom - accuracy * (bottom - _TOP)

    parts = [_frame(description, width, height, right, y_of)]
    room = 7.0 * max(len(show_x(value)) for value in values) + 8
    for value in _spaced(values, x_of, room, None if reference is None else reference[0]):
        x = x_of(value)
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom:.1f}v4"/>')
        parts.append(_text(x, bottom + 16, show_x(value), "middle"))
    parts.append(_text((_LEFT + right) / 2, height - 6, x_label, "middle"))
    if reference is not None:
        x = x_of(reference[0])
        parts.append(f'<path class="mark" d="M{x:.1f} {_TOP - 16:.1f}V{bottom:.1f}"/>')
        anchor = "end" if x > (_LEFT + right) / 2 else "start"
        parts.append(_text(x + (-4 if anchor == "end" else 4), _TOP - 9, reference[1], anchor))
    for line in lines:
        points = sorted(line.points, key=lambda point: point.parameter)
        at = [(x_of(point.parameter), y_of(point.accuracy)) for point in points]
        colour = f"c{line.style % _COLOURS}"
        if line.band:
            edge = [(x_of(point.parameter), y_of(point.interval[1])) for point in points]
            edge += [(x_of(point.parameter), y_of(point.interval[0])) for point in reversed(points)]
            parts.append(f'<path class="band {colour}" d="{_path(edge)}Z"/>')
        parts.append(f'<path class="line {colour}"{_dash(line.style)} d="{_path(at)}"/>')
        parts.append("".join(_marker(line.style, x, y) for x, y in at))
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - every text in it went through escape


def legend_key(style: int) -> Markup:
    """Draw the sample of a line that stands before its name in a legend."""
    inside = f'<path class="line c{style % _COLOURS}"{_dash(style)} d="M1 8H39"/>{_marker(style, 20, 8)}'
    return Markup(f'<svg class="chart key" viewBox="0 0 40 16" aria-hidden="true">{inside}</svg>')  # noqa: S704


def reliability_chart(
    bins: Sequence[CalibrationBin], *, description: str, width: int = 440, height: int = 400
) -> Markup:
    """Draw accuracy against confidence, a bar a bin, and below it how many images each bin holds."""
    right, bottom, strip = width - _RIGHT, height - _BOTTOM - 62, 40.0
    floor = bottom + 20 + strip

    def x_of(confidence: float) -> float:
        return _LEFT + confidence * (right - _LEFT)

    def y_of(accuracy: float) -> float:
        return bottom - accuracy * (bottom - _TOP)

    most = max((item.count for item in bins), default=0)
    parts = [_frame(description, width, height, right, y_of)]
    for item in bins:
        x, wide = x_of(item.low) + 1, x_of(item.high) - x_of(item.low) - 2
        if item.count:
            top, tall = y_of(item.accuracy), strip * item.count / most
            parts.append(
                f'<rect class="fill c0" x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{bottom - top:.1f}"/>'
            )
            parts.append(
                f'<rect class="count" x="{x:.1f}" y="{floor - tall:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'
            )
    parts.append(f'<path class="mark" d="M{_LEFT:.1f} {bottom:.1f}L{right:.1f} {_TOP:.1f}"/>')
    parts += [_marker(3, x_of(item.confidence), y_of(item.accuracy), "c1") for item in bins if item.count]
    parts.append(f'<path class="axis" d="M{_LEFT:.1f} {floor:.1f}H{right:.1f}"/>')
    parts.append(_text(_LEFT, bottom + 15, f"images in each bin, at most {most}", "start"))
    parts += [_text(x_of(tick), floor + 16, f"{100 * tick:.0f}", "middle") for tick in (0, 0.25, 0.5, 0.75, 1)]
    parts.append(_text((_LEFT + right) / 2, height - 6, "confidence, %", "middle"))
    return Markup("".join(parts) + "</svg>")  # noqa: S704


def surface_chart(
    steps: Sequence[float],
    loss: Sequence[Sequence[float]],
    *,
    description: str,
    show_step: Callable[[float], str],
    width: int = 440,
    height: int = 350,
) -> Markup:
    """Draw the loss as a surface seen from above: rows of `loss` run to the back right, columns to the front right.

    A fine grid is thinned; a loss that is no number is drawn as the highest.
    """
    stride = math.ceil((max(len(steps), 2) - 1) / (_FINEST_SURFACE - 1))
    rows = np.array(loss, dtype=float)[::stride, ::stride]
    finite = rows[np.isfinite(rows)]
    lowest, highest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    span = highest - lowest or 1.0
    tall = np.nan_to_num((rows - lowest) / span, nan=1.0, posinf=1.0, neginf=0.0)
    many, across = tall.shape
    centre_x, base, half, depth, lift = width / 2 + 14, height - 112.0, width / 2 - 58, 74.0, 150.0

    def at(row: float, column: float, z: float) -> tuple[float, float]:
        """Rows run along v, columns along u, both from 0 to 1."""
        v, u = row / max(many - 1, 1), column / max(across - 1, 1)
        return centre_x + half * (u + v - 1), base + depth * (u - v) - lift * z

    parts = [
        f'<svg class="chart surface" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(description)}">'
    ]
    left, front, right, back = at(0, 0, 0), at(0, across - 1, 0), at(many - 1, across - 1, 0), at(many - 1, 0, 0)
    parts.append(f'<path class="grid" d="{_path([left, front, right, back])}Z"/>')
    parts.append(f'<path class="axis" d="M{left[0]:.1f} {left[1]:.1f}v{-lift:.1f}"/>')
    for z, value in ((0.0, lowest), (1.0, highest)):
        parts.append(_text(left[0] - 5, left[1] - lift * z, f"{value:.3g}", "end"))
    parts.append(_text(left[0] - 5, left[1] - lift - 14, "loss", "middle"))
    for row in range(many - 2, -1, -1):  # from the back to the front, so that what is near covers what is far
        for column in range(across - 1):
            corners = ((row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column))
            outline = [at(r, c, tall[r, c]) for r, c in corners]
            colour = _ramp(float(np.mean([tall[r, c] for r, c in corners])))
            parts.append(f'<path fill="{colour}" stroke="#1b2530" stroke-width=".25" d="{_path(outline)}Z"/>')
    middle = min(range(len(steps)), key=lambda index: abs(steps[index])) / stride if steps else 0
    if steps and min(steps) <= 0 <= max(steps):
        near = min(round(middle), many - 1), min(round(middle), across - 1)
        x, y = at(*near, tall[near])
        parts.append(f'<circle class="here" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
    ends = [show_step(steps[place]) for place in (0, -1)] if steps else ["", ""]
    parts.append(_text((left[0] + front[0]) / 2 - 30, (left[1] + front[1]) / 2 + 26, "random direction", "middle"))
    parts.append(_text((right[0] + front[0]) / 2 + 34, (right[1] + front[1]) / 2 + 26, "gradient", "middle"))
    parts.append(_text(left[0] + 16, left[1] + 25, ends[0], "end"))
    parts.append(_text(front[0] - 8, front[1] + 16, ends[1], "end"))
    parts.append(_text(front[0] + 8, front[1] + 16, ends[0], "start"))
    parts.append(_text(right[0], right[1] + 18, ends[1], "middle"))
    return Markup("".join(parts) + "</svg>")  # noqa: S704


def picture(pixels: NDArray[np.float32], *, smooth: bool = False) -> str:
    """Turn an image into a PNG data URI whose longer side is about `PICTURE_SIDE` pixels.

    A small image is repeated a whole number of times, a large one is reduced: by its nearest pixels, or averaged.

    Args:
        pixels: (C, H, W) in [0, 1]; one channel or three.
        smooth: average where the image is reduced.
    """
    grey_or_colour = np.moveaxis((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8), 0, -1)
    image = Image.fromarray(grey_or_colour[:, :, 0] if grey_or_colour.shape[2] == 1 else grey_or_colour[:, :, :3])
    longer = max(image.size)
    if longer <= PICTURE_SIDE:
        factor = PICTURE_SIDE // longer
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    else:
        how = Image.Resampling.BOX if smooth else Image.Resampling.NEAREST
        width, height = (max(round(side * PICTURE_SIDE / longer), 1) for side in image.size)
        image = image.resize((width, height), how)
    stream = io.BytesIO()
    image.save(stream, format="PNG", compress_level=9)
    return png_uri(stream.getvalue())


def png_uri(content: bytes) -> str:
    """Return a PNG file's content as a data URI."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _frame(description: str, width: float, height: float, right: float, y_of: Callable[[float], float]) -> str:
    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(description)}">']
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = y_of(share)
        kind = "grid" if share else "axis"
        parts.append(f'<path class="{kind}" d="M{_LEFT:.1f} {y:.1f}H{right:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{100 * share:.0f}", "end"))
    parts.append(_text(2, 11, "accuracy, %", "start"))
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _dash(style: int) -> str:
    # past the last colour the dashes shift by one, so that no two of the first 36 lines look the same
    dash = _DASHES[(style + style // _COLOURS) % len(_DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _marker(style: int, x: float, y: float, colour: str | None = None) -> str:
    shapes = (
        f"M{x - 3:.1f} {y:.1f}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0Z",
        f"M{x - 3:.1f} {y - 3:.1f}h6v6h-6Z",
        f"M{x:.1f} {y - 4:.1f}l4 7h-8Z",
        f"M{x:.1f} {y - 4.5:.1f}l4.5 4.5l-4.5 4.5l-4.5 -4.5Z",
        f"M{x:.1f} {y + 4:.1f}l4 -7h-8Z",
        f"M{x - 1:.1f} {y - 4:.1f}h2v3h3v2h-3v3h-2v-3h-3v-2h3Z",
    )
    return f'<path class="dot {colour or f"c{style % _COLOURS}"}" d="{shapes[style % _MARKERS]}"/>'


def _log_place(values: Sequence[float]) -> Callable[[float], float]:
    unit = min((value for value in values if value > 0), default=1.0)
    return lambda value: math.log1p(max(value, 0.0) / unit)


def _spaced(values: Sequence[float], x_of: Callable[[float], float], room: float, start: float | None) -> list[float]:
    """Choose from ascending values some at least `room` apart, `start` among them; both ends too where that goes."""
    first = values.index(start) if start in values else 0
    choices = []
    for more in (1.0, 1.25, 1.5, 2.0):
        kept = [values[first]]
        for value in values[first + 1 :]:
            if x_of(value) - x_of(kept[-1]) >= room * more:
                kept.append(value)
        for value in reversed(values[:first]):
            if x_of(kept[0]) - x_of(value) >= room * more:
                kept.insert(0, value)
        choices.append(kept)
    return next((kept for kept in choices if {values[0], values[-1]} <= set(kept)), choices[0])


def _ramp(share: float) -> str:
    place = min(max(share, 0.0), 1.0) * (len(_SURFACE_STOPS) - 1)
    index = min(int(place), len(_SURFACE_STOPS) - 2)
    mixed = (
        a + (place - index) * (b - a) for a, b in zip(_SURFACE_STOPS[index], _SURFACE_STOPS[index + 1], strict=True)
    )
    return "#" + "".join(f"{round(value):02x}" for value in mixed)
