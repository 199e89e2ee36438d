"""`train.png`: what happened during a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hardener.config.files import written_whole
from hardener.threat import NORMS


def draw_curves(rows: Sequence[dict[str, Any]], path: Path, *, title: str, threat: str, norm: str = "") -> None:
    """Draw the loss and the validation accuracies over epochs; the mean target mass and eps where they changed.

    An epoch that training was taken back from is a cross beside the curve, which shows what was kept of the others.

    Args:
        rows: the lines of metrics.jsonl, at least one.
        threat: what the quick robust accuracy was measured against, such as `linf 8/255`.
        norm: of the eps in `rows`; by default that of `threat`.
    """
    from matplotlib.figure import Figure

    taken_back = [row for row in rows if row.get("rolled_back")]
    rows = kept(rows)
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) < 30 else None
    figure = Figure(figsize=(10, 3.8))
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.065, right=0.94, bottom=0.135, top=0.85, wspace=0.3)
    left.plot(epochs, [row["loss"] for row in rows], color="#1f4e79", marker=marker, markersize=3)
    left.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    left.yaxis.label.set_color("#1f4e79")
    if any(row["target_mass"] != 1 for row in rows):  # some of each label was given to other classes
        mass = left.twinx()
        mass.plot(epochs, [row["target_mass"] for row in rows], color="#b8500f", linestyle="--")
        mass.set(ylabel="mean target mass", ylim=(0, 1.05))
        mass.yaxis.label.set_color("#b8500f")
    right.plot(
        epochs,
        [100 * row["clean_accuracy"] for row in rows],
        color="#1f4e79",
        marker=marker,
        markersize=3,
        label="clean",
    )
    right.plot(
        epochs,
        [100 * row["robust_accuracy"] for row in rows],
        color="#b8500f",
        marker=marker,
        markersize=3,
        label=f"quick PGD, {threat}",
    )
    if taken_back:
        fallen = [100 * row["robust_accuracy"] for row in taken_back]
        right.plot([row["epoch"] for row in taken_back], fallen, "x", color="#b8500f", label="collapsed, taken back")
    if len({row.get("eps") for row in rows}) > 1:  # it rose: the accuracies are read beside it
        eps, levels = right.twinx(), 255 if NORMS[norm or threat.partition(" ")[0]].in_levels else 1
        eps.step(epochs, [levels * (row.get("eps") or 0.0) for row in rows], where="mid", color="#888888", linewidth=1)
        eps.set(ylabel="eps of training" + (", levels of 255" if levels > 1 else ""), ylim=(0, None))
        eps.yaxis.label.set_color("#666666")
    right.set(xlabel="epoch", ylabel="validation accuracy, %", ylim=(0, 102))
    right.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 0.985), ncols=3, fontsize=9)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title)
    with written_whole(path) as beside:
        figure.savefig(beside, format="png", dpi=130)


def kept(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a line for each epoch, ascending: of those that were trained twice, since training went back, the last.

    A run of which every line was taken back has them all.
    """
    stood = [row for row in rows if not row.get("rolled_back")] or rows
    return list({row["epoch"]: row for row in stood}.values())
