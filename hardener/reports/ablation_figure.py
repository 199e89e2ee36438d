"""`ablation.png`: the eight combinations side by side, and what each module changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hardener.config.ablation_record import MODULES, Ablation, Combination, Effect, weakest_first
from hardener.config.files import written_whole
from hardener.threat import NORMS, show_eps

_CLEAN, _ROBUST = "#1f4e79", "#b8500f"
_INK, _SOFT, _STRIPE, _EMPTY = "#1b2530", "#5d6975", "#f4f6f8", "#d3d9df"
_OFFSET = 0.13  # of the clean and the robust dot from a column's or a row's middle


def draw_ablation(ablation: Ablation, path: Path) -> None:
    """Draw accuracies over combinations, weakest first, above the matrix of their modules; beside it, the effects.

    Args:
        ablation: one that is finished.
    """
    from matplotlib.figure import Figure

    asked = ablation.asked
    norm = NORMS[asked.threat.norm].symbol
    figure = Figure(figsize=(11.5, 6.4), facecolor="white")
    grid = figure.add_gridspec(
        2, 2, height_ratios=(3.1, 1), width_ratios=(3, 1), left=0.075, right=0.975, top=0.83, bottom=0.105,
        hspace=0.06, wspace=0.06,
    )  # fmt: skip
    above, matrix, effects, beside = (figure.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (1, 1), (0, 1)))
    shown = weakest_first(ablation)
    _draw_accuracies(above, shown)
    _draw_matrix(matrix, shown)
    _draw_effects(effects, ablation.effects)
    attacks = f"suite {asked.suite}" if asked.suite else ", ".join(asked.attacks)
    _draw_legend(beside, f"worst case, {norm} {show_eps(asked.threat.eps)}\n({attacks})")
    title = f"What each module of {asked.recipe['name']} gives"
    epochs = asked.recipe["epochs"]
    below = (
        f"{_model(asked.model)}, {ablation.samples} images of the {ablation.split} split, seed {asked.seed}, "
        f"{epochs} epoch{'s' if epochs > 1 else ''} each; lines: 95 % intervals over images, not over trainings"
    )
    figure.text(0.018, 0.945, title, color=_INK, fontsize=16, fontweight="bold")
    figure.text(0.018, 0.898, below, color=_SOFT, fontsize=10)
    with written_whole(path) as beside_path:
        figure.savefig(beside_path, format="png", dpi=150, facecolor="white")


def _model(spec: str) -> str:
    return Path(spec).name if spec.endswith(".py") else spec


def _plain(axes: Any) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, colors=_SOFT, labelsize=10)
    axes.set_axisbelow(True)


def _draw_accuracies(axes: Any, shown: list[Combination]) -> None:
    from matplotlib.patheffects import withStroke

    _plain(axes)
    for column in range(0, len(shown), 2):
        axes.axvspan(column - 0.5, column + 0.5, color=_STRIPE, linewidth=0, zorder=0)
    for side, color, marker in ((-_OFFSET, _CLEAN, "o"), (_OFFSET, _ROBUST, "D")):
        for column, done in enumerate(shown):
            clean = color == _CLEAN
            value, ends = (done.clean_accuracy, done.clean_interval) if clean else (done.robust_accuracy, done.interval)
            x = column + side
            axes.plot([x, x], [100 * end for end in ends], color=color, linewidth=2, alpha=0.55, solid_capstyle="butt")
            axes.plot(
                x,
                100 * value,
                marker,
                color=color,
                markersize=7 if clean else 6,
                markeredgecolor="white",
                markeredgewidth=0.8,
            )
            axes.annotate(
                f"{100 * value:.1f}",
                (x, 100 * (ends[1] if clean else ends[0])),
                xytext=(0, 4 if clean else -4),
                textcoords="offset points",
                ha="center",
                va="bottom" if clean else "top",
                fontsize=9.5,
                color=color,
                path_effects=[withStroke(linewidth=2.5, foreground=_STRIPE if column % 2 == 0 else "white")],
            )
    axes.set(xlim=(-0.5, len(shown) - 0.5), ylim=(-7, 109), xticks=[])
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_ylabel("accuracy, %", color=_SOFT, fontsize=10)
    axes.grid(axis="y", color=_EMPTY, linewidth=0.8)


def _draw_matrix(axes: Any, shown: list[Combination]) -> None:
    _plain(axes)
    for column in range(0, len(shown), 2):
        axes.axvspan(column - 0.5, column + 0.5, color=_STRIPE, linewidth=0, zorder=0)
    for column, done in enumerate(shown):
        rows = [row for row, module in enumerate(MODULES) if module in done.modules]
        if rows:
            axes.plot([column, column], [min(rows), max(rows)], color=_INK, linewidth=2.5, zorder=2)
        for row in range(len(MODULES)):
            axes.plot(column, row, "o", color=_INK if row in rows else _EMPTY, markersize=11, zorder=3)
    axes.set(xlim=(-0.5, len(shown) - 0.5), ylim=(len(MODULES) - 0.45, -0.55), xticks=[])
    axes.set_yticks(range(len(MODULES)), labels=MODULES)
    axes.tick_params(axis="y", labelsize=11, labelcolor=_INK)


def _draw_effects(axes: Any, effects: list[Effect]) -> None:
    from matplotlib.ticker import MaxNLocator

    _plain(axes)
    for row in range(0, len(effects), 2):
        axes.axhspan(row - 0.42, row + 0.42, color=_STRIPE, linewidth=0, zorder=0)
    axes.axvline(0, color=_SOFT, linewidth=1)
    for row, effect in enumerate(effects):
        for side, change, color, marker in (
            (-_OFFSET, effect.clean, _CLEAN, "o"),
            (_OFFSET, effect.robust, _ROBUST, "D"),
        ):
            ends = [100 * end for end in change.interval]
            axes.plot(ends, [row + side] * 2, color=color, linewidth=2, alpha=0.55, solid_capstyle="butt")
            axes.plot(100 * change.difference, row + side, marker, color=color, markersize=6, markeredgecolor="white")
    reach = 100 * max(
        abs(end) for effect in effects for change in (effect.clean, effect.robust) for end in change.interval
    )
    axes.set(xlim=(-1.08 * reach, 1.08 * reach), ylim=(len(MODULES) - 0.45, -0.55), yticks=[])
    axes.grid(axis="x", color=_EMPTY, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("mean change by the module, points", color=_SOFT, fontsize=10)


def _draw_legend(axes: Any, robust: str) -> None:
    axes.axis("off")
    axes.plot([], [], "o", color=_CLEAN, markersize=8, label="clean")
    axes.plot([], [], "D", color=_ROBUST, markersize=7, label=robust)
    axes.plot([], [], "o", color=_INK, markersize=10, label="module on")
    axes.plot([], [], "o", color=_EMPTY, markersize=10, label="module off")
    axes.legend(loc="upper left", frameon=False, fontsize=11, labelcolor=_INK, labelspacing=0.9, borderaxespad=0.5)
