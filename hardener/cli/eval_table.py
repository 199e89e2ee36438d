"""An evaluation in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardener.cli.console import literal, out, percent
from hardener.threat import norm_of
from hardener.words import ends, one_line

if TYPE_CHECKING:
    from hardener.config.evaluation_record import Evaluation

_STYLES = {"robust": "green", "partly robust": "yellow", "not robust": "red", "inconclusive": "magenta"}
_CLASSES, _WEAKEST = 12, 5


def show(evaluation: Evaluation) -> None:
    """Print an evaluation as a table with its one figure below."""
    _show_attacks(evaluation)
    low, high = evaluation.interval
    many = len(evaluation.attacks)
    style = _STYLES[evaluation.verdict]
    out.print(f"[bold {style}]{evaluation.verdict}[/]: {literal(evaluation.reason)}", soft_wrap=True)
    out.print(
        f"[bold]robust accuracy {percent(evaluation.robust_accuracy)}[/] (95 % interval {percent(low)} to "
        f"{percent(high)}, n = {evaluation.samples}): the worst case over {many} attack{'s' if many > 1 else ''}, "
        f"image by image. An attack that was not run may lower it.",
        soft_wrap=True,
    )
    if evaluation.went_on is not None:
        from hardener.reports.page import went_on

        out.print(literal(went_on(evaluation)), soft_wrap=True)
    if evaluation.not_run:
        out.print(f"[dim]not run: {', '.join(evaluation.not_run)}[/]", soft_wrap=True)
    _show_classes(evaluation)
    _show_sections(evaluation)
    for flag in evaluation.flags:
        out.print(f"[yellow]flag {flag.id}[/]: {literal(flag.message)} ({flag.page})", soft_wrap=True)


def _show_attacks(evaluation: Evaluation) -> None:
    from rich.table import Table

    from hardener.reports.attack_lists import settings_in_words

    threat = evaluation.threat.model
    table = Table(
        title=f"{literal(evaluation.model.name)}: {evaluation.samples} images of the "
        f"{evaluation.data.split} split, {threat}",
        title_justify="left",
    )
    for heading in ("attack", "how"):
        table.add_column(heading)
    for heading in ("attacked", "broken", "accuracy left", "seconds"):
        table.add_column(heading, justify="right")
    table.add_row("none (clean)", "", "", "", percent(evaluation.clean_accuracy), "")
    for attack in evaluation.attacks:
        table.add_row(
            attack.name,
            settings_in_words(attack, numbers=False),  # a line above the table has said it
            str(attack.attacked),
            str(attack.broken),
            percent(attack.robust_accuracy),
            f"{attack.seconds:.1f}",
        )
    out.print(table)


def _show_classes(evaluation: Evaluation) -> None:
    """Print accuracy by class, of many the weakest; and its mean over classes where they are of unequal size."""
    from rich import box
    from rich.table import Table

    from hardener.reports.by_class import far_below, few_images, robust_interval, weakest_first
    from hardener.reports.confusion import confused_lines

    many = len(evaluation.per_class) > _CLASSES
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(f"the {_WEAKEST} weakest of {len(evaluation.per_class)} classes" if many else "class")
    for heading in ("images", "clean", "robust (95 %)"):
        table.add_column(heading, justify="right")
    for row in weakest_first(evaluation)[:_WEAKEST] if many else evaluation.per_class:
        robust = f"{percent(row.robust_accuracy)} {ends(robust_interval(row))}"
        table.add_row(literal(one_line(row.name)), str(row.samples), percent(row.clean_accuracy), robust)
    if evaluation.balanced is not None:
        mean = evaluation.balanced
        table.add_row("[bold]balanced: mean[/]", "", percent(mean.clean_accuracy), percent(mean.robust_accuracy))
    out.print(table)
    for said in (far_below(evaluation.per_class), few_images(evaluation.per_class)):
        if said:
            out.print(f"[yellow]{literal(said)}[/]", soft_wrap=True)
    for line in confused_lines(evaluation):
        out.print(line, markup=False, soft_wrap=True)


def _show_sections(evaluation: Evaluation) -> None:
    """Print a line for each further section that was measured."""
    from hardener.reports.measured_lines import (
        calibration_interval,
        corruption_line,
        measured_lines,
        told_draws,
        told_noise,
    )

    norm = norm_of(evaluation.threat.model)
    if norm is not None and evaluation.distances is not None and evaluation.distances.quartiles is not None:
        low, middle, high = evaluation.distances.quartiles
        out.print(
            f"smallest perturbation found ({norm}): median {middle:.4g}, quartiles {low:.4g} to "
            f"{high:.4g}, over the {evaluation.distances.found} of {evaluation.distances.samples} images with one"
        )
    for curve in evaluation.invariances:
        worst = min(curve.points, key=lambda point: point.accuracy)
        out.print(f"{curve.name}: at worst {percent(worst.accuracy)}, at {worst.parameter:g} {curve.unit}".rstrip())
    if evaluation.corruptions is not None:
        out.print(corruption_line(evaluation.corruptions), markup=False, soft_wrap=True)
    if evaluation.certification is not None:
        certified = evaluation.certification
        shown = ", ".join(f"{percent(p.accuracy)} {ends(p.interval)} to {p.parameter:g}" for p in certified.points)
        out.print(
            f"certified in l2, noise {told_noise(certified)}, confidence {certified.confidence:g}, "
            f"n = {certified.samples}, {told_draws(certified)} draws: {shown}",
            soft_wrap=True,
        )
    if evaluation.clever is not None:
        out.print(
            f"CLEVER ({evaluation.clever.norm}): mean {evaluation.clever.mean:.4g} (n = {evaluation.clever.samples})"
        )
    if evaluation.calibration is not None:
        found = evaluation.calibration
        low, high = calibration_interval(found)
        out.print(
            f"calibration: expected error {percent(found.expected_error)} (95 % interval {percent(low)} to "
            f"{percent(high)}, n = {found.samples})",
            soft_wrap=True,
        )
    for line in measured_lines(evaluation):
        out.print(line, markup=False, soft_wrap=True)
