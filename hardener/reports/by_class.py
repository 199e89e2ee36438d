"""Accuracy by class, as terminal, page and card show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardener.config.data_findings import FEW
from hardener.config.evaluation_record import Evaluation, PerClass
from hardener.reports._markdown import cell, text
from hardener.reports.confusion import confused_lines
from hardener.reports.own_images import under
from hardener.statistics.interval import clopper_pearson
from hardener.words import ends, in_list, percent

UNEVEN = (
    "The largest class has more than three times the images of the smallest, so accuracy is mostly that of the large "
    "classes."
)
FAR = 0.8
"""A class below this share of the mean over classes is far below it."""
_NAMED, _SHOWN = 5, 20


def weakest_first(evaluation: Evaluation) -> list[PerClass]:
    """Return the classes, those with the lowest robust accuracy first."""
    return sorted(evaluation.per_class, key=lambda item: (item.robust_accuracy, item.clean_accuracy))


def robust_interval(found: PerClass, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a class's robust accuracy."""
    return clopper_pearson(round(found.robust_accuracy * found.samples), found.samples, confidence)


def few_images(classes: Sequence[PerClass]) -> str:
    """Say which classes have so few images that their figures say next to nothing; empty where none has."""
    few = [f"{in_list(item.name)} ({item.samples})" for item in classes if item.samples < FEW]
    if not few or len(few) == len(classes):  # of all, the intervals of the whole say it
        return ""
    more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
    these = "this class" if len(few) == 1 else "these"
    return (
        f"Very few images: {', '.join(few[:_NAMED])}{more}. Figures of {these} say next to nothing: see how wide the "
        "intervals are."
    )


def weak_classes(classes: Sequence[PerClass]) -> list[PerClass]:
    """Return the classes that are surely far less robust than the mean over classes, the weakest first.

    The exact interval of each, at 95 % for all classes together (Bonferroni), ends below `FAR` of the mean.
    """
    if len(classes) < 2:
        return []
    mean, confidence = mean_robust(classes), 1 - 0.05 / len(classes)
    weak = [item for item in classes if robust_interval(item, confidence)[1] < FAR * mean]
    return sorted(weak, key=lambda item: (item.robust_accuracy, item.clean_accuracy))


def mean_robust(classes: Sequence[PerClass]) -> float:
    """Return the mean over classes of robust accuracy."""
    return sum(item.robust_accuracy for item in classes) / len(classes)


def far_below(classes: Sequence[PerClass]) -> str:
    """Say which classes are far below the mean over classes; empty where none is."""
    weak = [
        f"{in_list(item.name)} {percent(item.robust_accuracy)} {ends(robust_interval(item))}"
        for item in weak_classes(classes)
    ]
    if not weak:
        return ""
    more = f" and {len(weak) - _NAMED} more" if len(weak) > _NAMED else ""
    named = ", ".join(weak[:_NAMED]) + more
    return (
        f"Far below the mean over classes, {percent(mean_robust(classes))} under attack: {named}. The mean hides "
        f"{'it' if len(weak) == 1 else 'them'}: there the model is weaker than the figure says."
    )


def classes_of(evaluations: Sequence[Evaluation], names: Mapping[str, str]) -> list[str]:
    """Return the model card's section of classes.

    Args:
        names: of other data than the run's own, by when it was evaluated.
    """
    lines = ["## By class", ""]
    for item in evaluations:
        threat, many = text(under(item, names)), len(item.per_class) > _SHOWN
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
        for said in (far_below(item.per_class), few_images(item.per_class), *confused_lines(item)):
            lines += [text(said), ""] if said else []
    return lines[:-1] if evaluations else []
