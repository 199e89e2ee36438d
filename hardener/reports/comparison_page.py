"""A comparison as a table, a radar chart and a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardener.config.files import write_text, written_whole
from hardener.errors import HardenerError
from hardener.reports._templates import shown
from hardener.reports.by_class import UNEVEN
from hardener.reports.command import compare_command
from hardener.reports.comparison_record import ComparedMeasure, ComparedThreat, Comparison, RadarAxis
from hardener.statistics.paired import Difference
from hardener.threat import NORMS, show_eps
from hardener.words import ends, figure, percent, points

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7f7f7f")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class Row:
    """A line of the table; a minor one belongs to the line above it, and its cells may hold several lines."""

    label: str
    cells: list[str]
    minor: bool = False


@dataclass(frozen=True)
class Block:
    """Rows under a title of their own."""

    title: str
    rows: list[Row]


def table_blocks(comparison: Comparison) -> list[Block]:
    """Return the table, a column for each run, as text: the terminal and the page show the same."""
    first = comparison.runs[0].name
    shown: list[Block] = []
    seen: set[str] = set()
    for threat in comparison.threats:
        shown.append(_threat_block(threat, first, with_clean=threat.fingerprint not in seen))
        seen.add(threat.fingerprint)
    beyond = _beyond(comparison)
    if beyond:
        rows = [Row(item.label, [figure(value, item.unit) for value in item.values]) for item in beyond]
        shown.append(Block("beyond attacks", rows))
    runs = comparison.runs
    rows = [
        Row("recipe", [run.recipe for run in runs]),
        Row("training", ["unknown" if run.seconds is None else _duration(run.seconds) for run in runs]),
        Row("parameters", [f"{run.parameters:,}" for run in runs]),
    ]
    return [*shown, Block("cost", rows)]


def _threat_block(threat: ComparedThreat, first: str, *, with_clean: bool) -> Block:
    """What the runs showed under one threat model; the clean figures once for the same images."""
    rows = []
    uneven = any(r.clean_balanced is not None for r in threat.results)
    if with_clean:
        rows.append(Row("clean accuracy", [_with_ends(r.clean_accuracy, r.clean_interval) for r in threat.results]))
        rows.append(Row(f"minus {first}", [_difference(r.clean_difference) for r in threat.results], minor=True))
        if uneven:
            rows.append(Row("clean, balanced", [percent(r.clean_balanced) for r in threat.results]))
    rows.append(Row("robust accuracy", [_with_ends(r.robust_accuracy, r.interval) for r in threat.results]))
    rows.append(Row(f"minus {first}", [_difference(r.robust_difference) for r in threat.results], minor=True))
    if uneven:
        rows.append(Row("robust, balanced", [percent(r.robust_balanced) for r in threat.results]))
    for attack in threat.attacks:
        label = f"left after {attack.label}" + ("" if attack.alike else " *")
        rows.append(Row(label, [percent(value) for value in attack.accuracies]))
    rows.append(Row("verdict", [result.verdict for result in threat.results]))
    if any(result.flags for result in threat.results):
        rows.append(Row("flags", [", ".join(result.flags) or "none" for result in threat.results]))
    where = "" if threat.data is None else f", {threat.images}"
    return Block(f"{threat.name}, n = {threat.samples}{where}", rows)


def _beyond(comparison: Comparison) -> list[ComparedMeasure]:
    own = (comparison.invariance, comparison.corruption, *comparison.certified)
    return [item for item in (*own, *comparison.measured) if item is not None]


def remarks(comparison: Comparison) -> list[str]:
    """Return how to read the table."""
    said = [
        "Robust accuracy is the worst case over the attacks that were run, image by image: an upper bound, which an "
        "attack that was not run may lower. In brackets: the exact 95 % interval.",
        "Differences are of the same images, in percentage points, with the 95 % interval of Newcombe (1998, method "
        "10), the p value of McNemar's exact test, and how many images only this run, and only the first, gets right.",
        "An attack goes only at images that still stand: 'left after' counts it and all attacks before it.",
    ]
    if any(r.clean_balanced is not None for threat in comparison.threats for r in threat.results):
        said.append(f"{UNEVEN} Balanced is the mean over classes.")
    told = (comparison.invariance, comparison.corruption, *comparison.certified[:1], *comparison.measured)
    said += [f"{item.label}: {item.detail}.{_direction(item)}" for item in told if item is not None]
    if any(not attack.alike for threat in comparison.threats for attack in threat.attacks):
        said.append("* ran with other settings, or after other attacks, in some of the runs.")
    return said


def _direction(item: ComparedMeasure) -> str:
    """Say which way is good where the reader cannot know it."""
    return "" if item.unit == "share" or item.better == "none" else f" {item.better.capitalize()} is better."


def _with_ends(share: float, interval: tuple[float, float]) -> str:
    return f"{percent(share)}\n{ends(interval)}"


def _difference(item: Difference | None) -> str:
    if item is None:
        return "–"
    low, high = (points(end, sign=True) for end in item.interval)
    chance = "p < 0.001" if item.p_value < 0.001 else f"p = {item.p_value:.2g}"
    told = f"{item.only_second} : {item.only_first} images"
    return f"{points(item.difference, sign=True)}\n({low} to {high})\n{chance}\n{told}"


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def draw_radar(comparison: Comparison, *, dark: bool = False) -> bytes:
    """Draw the radar chart as a PNG: farther out is better on every axis; a run has a gap where it has no value.

    Accuracies keep their own scale, 0 to 100 %, so that the best of several poor models looks poor; only the training
    cost is relative, cheapest / own.
    Source: after the chart of Cheng et al., "Self-Progressing Robust Training", AAAI 2021.
    """
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib.figure import Figure

    ink, soft, paper = ("#e8edf2", "#55606b", "#14191f") if dark else ("#1b2530", "#c9d0d7", "#ffffff")
    angles = np.linspace(0, 2 * np.pi, len(comparison.radar), endpoint=False).tolist()
    figure_ = Figure(figsize=(7, 7), facecolor=paper)
    plot: Any = figure_.add_axes((0.2, 0.2, 0.6, 0.6), projection="polar", facecolor=paper)
    _draw_web(plot, comparison.radar, angles, ink=ink, soft=soft, paper=paper)
    for place, run in enumerate(comparison.runs):
        _draw_run(plot, place, run.name, [axis.values[place] for axis in comparison.radar], angles)
    threat = comparison.threats[0]
    plot.set_title(f"{threat.samples} images of {threat.images}; farther out is better", color=ink, fontsize=11, y=1.12)
    plot.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=min(3, len(comparison.runs)),
        frameon=False,
        labelcolor=ink,
        fontsize=10,
        handlelength=3,
    )
    picture = io.BytesIO()
    figure_.savefig(picture, format="png", dpi=150, facecolor=paper, bbox_inches="tight", pad_inches=0.2)
    return picture.getvalue()


def _draw_web(
    plot: Any, axes: Sequence[RadarAxis], angles: Sequence[float], *, ink: str, soft: str, paper: str
) -> None:
    """Draw rings from 0 to 100 % and the names of the axes."""
    plot.set_theta_offset(math.pi / 2)
    plot.set_theta_direction(-1)
    plot.set(ylim=(0, 1), xticks=angles, xticklabels=[])
    plot.set_yticks([0.25, 0.5, 0.75, 1.0], labels=[])
    plot.grid(color=soft, linewidth=0.8)
    plot.spines["polar"].set_color(soft)
    between = math.pi / len(axes)
    for ring in (25, 50, 75, 100):
        plot.text(between, ring / 100, f"{ring} %", color=ink, fontsize=8, ha="center", va="center", zorder=4,
                  bbox={"facecolor": paper, "alpha": 0.8, "linewidth": 0, "pad": 0.8})  # fmt: skip
    for angle, axis in zip(angles, axes, strict=True):
        side, height = math.sin(angle), math.cos(angle)
        ha = "center" if abs(side) < 0.1 else "left" if side > 0 else "right"
        va = "center" if abs(height) < 0.5 else "bottom" if height > 0 else "top"
        plot.text(angle, 1.07, _with_symbols(axis.label), color=ink,
                  fontsize=11, ha=ha, va=va, clip_on=False)  # fmt: skip


def _draw_run(plot: Any, place: int, name: str, values: Sequence[float | None], angles: Sequence[float]) -> None:
    """Draw a run's line, told from others by colour, dash and marker; None is a gap."""
    heights = [math.nan if value is None else value for value in values]
    color = _COLORS[place % len(_COLORS)]
    plot.plot(
        [*angles, angles[0]],
        [*heights, heights[0]],
        color=color,
        linestyle=_DASHES[place // len(_COLORS) % len(_DASHES)] if place >= len(_COLORS) else _DASHES[place % 4],
        marker=_MARKERS[place % len(_MARKERS)],
        markersize=5,
        linewidth=2,
        label=_short(name),
        clip_on=False,
        zorder=3,
    )
    if None not in values:
        plot.fill(angles, heights, color=color, alpha=0.08)


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"{name[:15]}…{name[-16:]}"


def write_comparison(comparison: Comparison, folder: Path) -> tuple[Path, Path]:
    """Write `compare.png` and a self-contained `compare.html` into a folder, which is made where there is none.

    Returns:
        The two files.
    Raises:
        HardenerError: a file stands where the folder would be.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    if folder.exists() and not folder.is_dir():
        raise HardenerError(f"{folder} is a file; --to takes a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    picture, page = folder / "compare.png", folder / "compare.html"
    light = draw_radar(comparison)
    with written_whole(picture) as beside:
        beside.write_bytes(light)
    environment = Environment(
        loader=PackageLoader("hardener.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=shown,
    )
    environment.filters |= {"percent": percent, "eps": show_eps}
    names = [run.name for run in comparison.runs]
    text = environment.get_template("compare.html.j2").render(
        comparison=comparison,
        title=", ".join(names) if len(names) < 4 else f"{len(names)} runs",
        blocks=table_blocks(comparison),
        remarks=remarks(comparison),
        light=base64.b64encode(light).decode(),
        dark=base64.b64encode(draw_radar(comparison, dark=True)).decode(),
        command=compare_command([Path(run.path) for run in comparison.runs]),
    )
    write_text(page, text)
    return picture, page


def _with_symbols(label: str) -> str:
    """Set the names of norms in a label as formulas."""
    for name, entry in NORMS.items():
        label = label.replace(name, entry.symbol)
    return label
