"""Accuracy by class, as terminal, page and card show it."""

from __future__ import annotations

from collections.abc import Sequence

from hardener.config.data_findings import FEW
from hardener.config.evaluation_record import Evaluation, PerClass
from hardener.reports._markdown import cell, text
from hardener.statistics.interval import clopper_pearson
from hardener.threat import ThreatModel
from hardener.words import ends, percent

UNEVEN = (
    "The largest class has more than three times the images of the smallest, so accuracy is mostly that of the large "
    "classes."
)
_NAMED, _SHOWN = 5, 20


def weakest_first(evaluation: Evaluation) -> list[PerClass]:
    """Return the classes, those with the lowest robust accuracy first."""
    return sorted(evaluation.per_class, key=lambda item: (item.robust_accuracy, item.clean_accuracy))


def robust_interval(found: PerClass) -> tuple[float, float]:
    """Return the exact 95 % interval of a class's robust accuracy."""
    return clopper_pearson(round(found.robust_accuracy * found.samples), found.samples)


def few_images(classes: Sequence[PerClass]) -> str:
    """Say which classes have so few images that their figures say next to nothing; empty where none has."""
    few = [f"{item.name} {item.samples}" for item in classes if item.samples < FEW]
    if not few or len(few) == len(classes):  # of all, the intervals of the whole say it
        return ""
    more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
    these = "this class" if len(few) == 1 else "these"
    return (
        f"Very few images: {', '.join(few[:_NAMED])}{more}. Figures of {these} say next to nothing: see how wide the "
        "intervals are."
    )


def classes_of(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return the model card's section of classes."""
    lines = ["## By class", ""]
    for item in evaluations:
        threat, many = ThreatModel(item.threat.norm, item.threat.eps), len(item.per_class) > _SHOWN
        if item.balanced is not None:
            lines += [
                f"Under {threat}, balanced (the mean over {item.balanced.classes} classes): clean "
                f"{percent(item.balanced.clean_accuracy)}, robust {percent(item.balanced.robust_accuracy)}. {UNEVEN}",
                "",
            ]
        shown = weakest_first(item)[:_SHOWN] if many else item.per_class
        lines += [
            f"Robust accuracy under {threat}" + (f", the {_SHOWN} weakest of {len(item.per_class)}:" if many else ":"),
            "",
            "| class | images | clean accuracy | robust accuracy |",
            "| --- | --- | --- | --- |",
            *(
                f"| {cell(row.name)} | {row.samples} | {percent(row.clean_accuracy)} "
                f"| {percent(row.robust_accuracy)} {ends(robust_interval(row))} |"
                for row in shown
            ),
            "",
        ]
        few = few_images(item.per_class)
        lines += [text(few), ""] if few else []
    return lines[:-1] if evaluations else []
