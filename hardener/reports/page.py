"""An evaluation as a page that one would show to an auditor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup, escape
from numpy.typing import NDArray

from hardener.config.evaluation_record import CorruptionKind, Evaluation
from hardener.config.files import write_text
from hardener.reports._charts import charts_of, show_distance
from hardener.reports._plots import picture, png_uri
from hardener.reports._templates import page_environment
from hardener.reports.attack_lists import settings_in_words
from hardener.reports.by_class import UNEVEN, far_below, few_images, robust_interval, weakest_first
from hardener.reports.command import AUDIT, eval_command, request_of
from hardener.reports.confusion import confusion_tables
from hardener.reports.measured_lines import calibration_interval, standing_out
from hardener.threat import ThreatModel, norm_of, show_eps
from hardener.words import NO_BREAK, figure, number

MANY_CLASSES = 20


@dataclass(frozen=True)
class WorstImage:
    """An image that an attack broke.

    Attributes:
        label, became: the names of its class and of the class that the model took the adversarial image for.
        clean, adversarial: (C, H, W), float32 in [0, 1].
        distance: norm of the smallest adversarial perturbation that was found for it, in the threat model's norm; of a
            threat without a norm it says nothing.
        confidence: the probability that the model gave `became` on the adversarial image, where known.
        how: of a threat without a norm, the values that broke it.
    """

    path: str
    label: str
    became: str
    clean: NDArray[np.float32]
    adversarial: NDArray[np.float32]
    distance: float
    confidence: float | None = None
    how: str | None = None


@dataclass(frozen=True)
class ShownImage:
    """An untouched image, (C, H, W) float32 in [0, 1], its class, the model's answer, and why it is shown.

    `confidence` is None where the answer is no number.
    """

    path: str
    label: str
    answer: str
    confidence: float | None
    score: str
    pixels: NDArray[np.float32]


@dataclass(frozen=True)
class Gallery:
    """Images of one kind, in the order to be looked at."""

    title: str
    words: str
    images: list[ShownImage]


def write_report(
    evaluation: Evaluation,
    path: Path,
    *,
    curves: Path | None = None,
    pictures: Sequence[WorstImage] = (),
    galleries: Sequence[Gallery] = (),
) -> None:
    """Write one self-contained HTML file: no script, nothing from the network. What was not measured is left out.

    Args:
        curves: a PNG of the training curves to put in, where there is one.
        pictures: images that fell, to be shown in this order.
        galleries: untouched images that a person should look at.
    """
    norm = norm_of(evaluation.threat.model)
    classes = weakest_first(evaluation)
    many = len(classes) > MANY_CLASSES
    asked = request_of(evaluation)
    page = (
        page_with_figures()
        .get_template("report.html.j2")
        .render(
            evaluation=evaluation,
            threat=str(evaluation.threat.model),
            threat_in_words=_threat_in_words(evaluation),
            attack_names=_attack_names(evaluation),
            limits=what_it_does_not_say(evaluation),
            charts=charts_of(evaluation),
            raised=[check for check in evaluation.checks if check.raised],
            **corruption_tables(evaluation),
            classes=classes[: MANY_CLASSES // 2] if many else evaluation.per_class,
            uneven=UNEVEN,
            weak=[said for said in (far_below(evaluation.per_class), few_images(evaluation.per_class)) if said],
            galleries=[(item, [picture(image.pixels, smooth=True) for image in item.images]) for item in galleries],
            **confusion_tables(evaluation),
            more_classes=classes[MANY_CLASSES // 2 :] if many else [],
            pictures=[_show_picture(item, norm) for item in pictures],
            curves=png_uri(curves.read_bytes()) if curves is not None and curves.is_file() else None,
            command=None if asked is None else eval_command(asked),
        )
    )
    write_text(path, page)


@cache
def page_with_figures() -> Environment:
    """Return what renders a page with an evaluation's figures; one for all, so that a template is read once."""
    environment = page_environment()
    environment.filters |= {
        "figure": lambda value, unit: figure(value, unit, NO_BREAK),
        "setting": show_setting,
        "settings_in_words": settings_in_words,
        "code": _code,
        "css_text": lambda text: Markup(re.sub(r"[^\w .,-]", "", text)),  # noqa: S704 - nothing is left that CSS reads
        "robust_interval": robust_interval,
        "number": number,
        "standing_out": standing_out,
        "calibration_interval": calibration_interval,
        "distance": show_distance,
        "eps": show_eps,
        "seconds": _show_seconds,
    }
    return environment


def corruption_tables(evaluation: Evaluation) -> dict[str, Any]:
    """Return what the template shows of common corruptions: means by severity, and the kinds by family."""
    return {"severities": _severity_means(evaluation), "families": _families(evaluation)}


def what_it_does_not_say(evaluation: Evaluation) -> list[str]:
    """Return the sentences that every figure of an evaluation needs beside it."""
    names = {attack.name for attack in evaluation.attacks} - {AUDIT}
    threat = evaluation.threat.model
    not_run = f" Not run: {', '.join(evaluation.not_run)}." if evaluation.not_run else ""
    said = [
        f"The figure is an upper bound: an attack that was not run may break more images. Run here: "
        f"{_attack_names(evaluation) or 'none'}.{not_run}",
        f"It holds for {threat} on images like these, and says nothing of other changes to an image.",
    ]
    if evaluation.went_on is not None:
        said.append(went_on(evaluation))
    if names == {"fgsm"}:
        said.append("FGSM is a single step and the weakest attack there is; run --attack pgd before trusting this.")
    if evaluation.data.split == "validation":
        said.append("Measured on the validation split, which also chose the epoch that was kept: a little high.")
    if evaluation.data.split == "all":
        said.append("The folder has no splits: nothing here shows that the model was not trained on these images.")
    if evaluation.data.own is False:
        said.append(f"The images are not those that the run held out: they lie at {evaluation.data.root}.")
    if evaluation.data.skipped:
        said.append(f"{evaluation.data.skipped} images could not be read and were left out.")
    return said


def went_on(evaluation: Evaluation) -> str:
    """Say which suite an evaluation went on to by itself, and why."""
    raised = ", ".join(evaluation.because)
    return (
        f"After the suite {evaluation.suite} the audit raised {raised}, so the evaluation went on to "
        f"{evaluation.went_on} by itself."
    )


def show_setting(value: object, key: str = "") -> str:
    """Write a setting as a person would type it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return show_eps(value) if key in {"eps", "step_size"} else f"{value:.5g}"
    return str(value)


def _attack_names(evaluation: Evaluation) -> str:
    """Name each attack once, with its losses where it was run with several."""
    found: dict[str, list[str]] = {}
    for attack in evaluation.attacks:
        losses = found.setdefault("the audit's own attacks" if attack.name == AUDIT else attack.name, [])
        if "loss" in attack.settings and str(attack.settings["loss"]) not in losses:
            losses.append(str(attack.settings["loss"]))
    return ", ".join(f"{name} ({', '.join(losses)})" if len(losses) > 1 else name for name, losses in found.items())


def _threat_in_words(evaluation: Evaluation) -> str:
    threat = evaluation.threat.model
    return threat.entry.reach.format(eps=show_eps(threat.eps)) if isinstance(threat, ThreatModel) else threat.reach


def _severity_means(evaluation: Evaluation) -> list[float]:
    """Mean accuracy over the kinds of corruption, a severity each."""
    if evaluation.corruptions is None or not evaluation.corruptions.kinds:
        return []
    columns = zip(*(kind.accuracies for kind in evaluation.corruptions.kinds), strict=False)
    return [sum(column) / len(column) for column in columns]


def _families(evaluation: Evaluation) -> dict[str, list[CorruptionKind]]:
    """The kinds of corruption by family, in the order they were measured."""
    found: dict[str, list[CorruptionKind]] = {}
    for kind in evaluation.corruptions.kinds if evaluation.corruptions else ():
        found.setdefault(kind.family, []).append(kind)
    return found


def _show_picture(item: WorstImage, norm: str | None) -> dict[str, Any]:
    clean, adversarial = np.asarray(item.clean, np.float32), np.asarray(item.adversarial, np.float32)
    delta = adversarial - clean
    largest = float(np.abs(delta).max())
    factor = 0.5 / largest if largest > 0 else 1.0
    return {
        "path": item.path,
        "label": item.label,
        "became": item.became,
        "confidence": item.confidence,
        "distance": show_distance(item.distance, norm) if norm is not None else None,
        "how": item.how,
        "factor": f"{factor:.2g}" if factor < 10 else f"{factor:.0f}",
        "clean": picture(clean, smooth=True),
        "change": picture((0.5 + factor * delta).astype(np.float32)),
        "adversarial": picture(adversarial, smooth=True),
    }


def _code(sentence: str) -> Markup:
    """Set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704 - escaped first


def _show_seconds(value: float) -> str:
    if value < 120:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
