"""An evaluation as a page that one would show to an auditor."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from torch import Tensor

from hardener.config.evaluation_record import CorruptionKind, CurvePoint, Evaluation, Landscape
from hardener.config.files import write_text
from hardener.config.quantity import parse_quantity
from hardener.reports._plots import (
    Line,
    legend_key,
    line_chart,
    picture,
    png_uri,
    reliability_chart,
    surface_chart,
)
from hardener.threat import NORMS, ThreatModel, show_distance, show_eps

MANY_CLASSES = 20
_SECTION_OPTIONS = {
    "--invariance": "invariances",
    "--corruptions": "corruptions",
    "--certify": "certification",
    "--clever": "clever",
}
_AUDIT = "audit"  # what the audit's own attacks broke stands among the attacks under this name


@dataclass(frozen=True)
class WorstImage:
    """An image that an attack broke.

    Attributes:
        label, became: the names of its class and of the class that the model took the adversarial image for.
        clean, adversarial: (C, H, W) in [0, 1].
        distance: norm of the smallest adversarial perturbation that was found for it, in the threat model's norm.
        confidence: the probability that the model gave `became` on the adversarial image, where known.
    """

    path: str
    label: str
    became: str
    clean: Tensor
    adversarial: Tensor
    distance: float
    confidence: float | None = None


def write_report(
    evaluation: Evaluation, path: Path, *, curves: Path | None = None, pictures: Sequence[WorstImage] = ()
) -> None:
    """Write one self-contained HTML file: no script, nothing from the network. What was not measured is left out.

    Args:
        curves: a PNG of the training curves to put in, where there is one.
        pictures: images that fell, to be shown in this order.
    """
    norm = evaluation.threat.norm
    environment = Environment(
        loader=PackageLoader("hardener.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "setting": show_setting,
        "code": _code,
        "number": _number,
        "distance": _show_distance,
        "eps": show_eps,
        "seconds": _show_seconds,
    }
    classes = sorted(evaluation.per_class, key=lambda item: (item.robust_accuracy, item.clean_accuracy))
    many = len(classes) > MANY_CLASSES
    page = environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        threat=str(ThreatModel(norm, evaluation.threat.eps)),
        threat_in_words=_threat_in_words(evaluation),
        attack_names=_attack_names(evaluation),
        limits=what_it_does_not_say(evaluation),
        charts=_charts(evaluation),
        raised=[check for check in evaluation.checks if check.raised],
        severities=_severity_means(evaluation),
        families=_families(evaluation),
        classes=classes[: MANY_CLASSES // 2] if many else evaluation.per_class,
        more_classes=classes[MANY_CLASSES // 2 :] if many else [],
        pictures=[_show_picture(item, norm) for item in pictures],
        curves=png_uri(curves.read_bytes()) if curves is not None and curves.is_file() else None,
        command=repeat_command(evaluation),
    )
    write_text(path, page)


def what_it_does_not_say(evaluation: Evaluation) -> list[str]:
    """Return the sentences that every figure of an evaluation needs beside it."""
    names = {attack.name for attack in evaluation.attacks} - {_AUDIT}
    threat = ThreatModel(evaluation.threat.norm, evaluation.threat.eps)
    not_run = f" Not run: {', '.join(evaluation.not_run)}." if evaluation.not_run else ""
    said = [
        f"The figure is an upper bound: an attack that was not run may break more images. Run here: "
        f"{_attack_names(evaluation) or 'none'}.{not_run}",
        f"It holds for {threat} on images like these, and says nothing of other changes to an image.",
    ]
    if names == {"fgsm"}:
        said.append("FGSM is a single step and the weakest attack there is; run --attack pgd before trusting this.")
    if evaluation.data.split == "validation":
        said.append("Measured on the validation split, which also chose the epoch that was kept: a little high.")
    if evaluation.data.split == "all":
        said.append("The folder has no splits: nothing here shows that the model was not trained on these images.")
    if evaluation.data.skipped:
        said.append(f"{evaluation.data.skipped} images could not be read and were left out.")
    return said


def repeat_command(evaluation: Evaluation) -> str | None:
    """Return the command that makes the same evaluation of a run again."""
    if evaluation.model.run is None:
        return None
    parts = ["hardener", "eval", evaluation.model.run, "--data", evaluation.data.root]
    if evaluation.suite is not None:
        parts += ["--suite", evaluation.suite]
    else:
        for attack in evaluation.attacks:
            parts += [] if attack.name == _AUDIT else ["--attack", attack.name]
    parts += ["--norm", evaluation.threat.norm, "--eps", _exactly(evaluation.threat.eps)]
    if evaluation.suite is None:
        parts += _setting_options(evaluation)
    surrogates = [
        str(attack.settings["surrogate"]) for attack in evaluation.attacks if attack.settings.get("surrogate")
    ]
    if surrogates:
        parts += ["--surrogate", surrogates[0]]
    parts += [option for option, section in _SECTION_OPTIONS.items() if getattr(evaluation, section)]
    if evaluation.eps_curves or evaluation.landscape:
        parts.append("--curves")
    if any("bf16" in attack.settings for attack in evaluation.attacks):
        rough = any(attack.settings.get("bf16") for attack in evaluation.attacks)
        copied = any("asked" in attack.settings for attack in evaluation.attacks)
        parts += ["--precision", "bfloat16" if rough else "auto" if copied else "float32"]
    parts += ["--samples", str(evaluation.samples + evaluation.data.skipped), "--seed", str(evaluation.seed)]
    return shlex.join(parts)


def show_setting(value: object, key: str = "") -> str:
    """Write a setting as a person would type it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return show_eps(value) if key in {"eps", "step_size"} else f"{value:.5g}"
    return str(value)


def _setting_options(evaluation: Evaluation) -> list[str]:
    """Options of the settings that all attacks share; where they differ, each has its own default."""
    options = []
    for key in ("steps", "step_size", "random_start"):
        values = {attack.settings[key] for attack in evaluation.attacks if key in attack.settings}
        value = values.pop() if len(values) == 1 else None
        if key == "random_start":
            options += ["--no-random-start"] if value is False else []
        elif value is not None and not (key == "step_size" and _is_default_step(evaluation, value)):
            options += ["--" + key.replace("_", "-"), _exactly(value) if isinstance(value, float) else str(value)]
    restarts = max((int(attack.settings.get("restarts", 1)) for attack in evaluation.attacks), default=1)
    return [*options, "--restarts", str(restarts)] if restarts > 1 else options


def _is_default_step(evaluation: Evaluation, step_size: float) -> bool:
    return all(
        step_size == 2.5 * evaluation.threat.eps / attack.settings["steps"]
        for attack in evaluation.attacks
        if "step_size" in attack.settings
    )


def _exactly(value: float) -> str:
    """Write a number so that the same one is read back, as `8/255` where that is exact."""
    return show_eps(value) if parse_quantity(show_eps(value)) == value else repr(value)


def _attack_names(evaluation: Evaluation) -> str:
    """Name each attack once, with its losses where it was run with several."""
    found: dict[str, list[str]] = {}
    for attack in evaluation.attacks:
        losses = found.setdefault("the audit's own attacks" if attack.name == _AUDIT else attack.name, [])
        if "loss" in attack.settings and str(attack.settings["loss"]) not in losses:
            losses.append(str(attack.settings["loss"]))
    return ", ".join(f"{name} ({', '.join(losses)})" if len(losses) > 1 else name for name, losses in found.items())


def _curve_names(evaluation: Evaluation) -> list[str]:
    """Tell curves of one attack apart by the loss, or else by number: curves come in the order of the attacks."""
    names = []
    seen: dict[str, int] = {}
    for curve in evaluation.eps_curves:
        place = seen[curve.attack] = seen.get(curve.attack, -1) + 1
        runs = [attack for attack in evaluation.attacks if attack.name == curve.attack]
        many = sum(other.attack == curve.attack for other in evaluation.eps_curves)
        told = runs[place].settings.get("loss", place + 1) if len(runs) == many else place + 1
        names.append(f"{curve.attack} ({told})" if many > 1 else curve.attack)
    return names


def _threat_in_words(evaluation: Evaluation) -> str:
    return NORMS[evaluation.threat.norm].reach.format(eps=show_eps(evaluation.threat.eps))


def _charts(evaluation: Evaluation) -> dict[str, Any]:
    """Draw what was measured."""
    in_levels = NORMS[evaluation.threat.norm].in_levels
    charts: dict[str, Any] = {"keys": [legend_key(style) for style in range(len(evaluation.eps_curves))]}
    if evaluation.eps_curves:
        names = charts["eps_names"] = _curve_names(evaluation)
        charts["eps"] = line_chart(
            [Line(curve.points, style) for style, curve in enumerate(evaluation.eps_curves)],
            description="Robust accuracy against eps, a line an attack: "
            + "; ".join(
                f"{name}: {_summary(curve.points, show_eps)}"
                for name, curve in zip(names, evaluation.eps_curves, strict=True)
            ),
            x_label="eps in 1/255, wider near 0" if in_levels else "eps, wider near 0",
            show_x=lambda eps: f"{255 * eps:.3g}" if in_levels else f"{eps:.3g}",
            reference=(evaluation.threat.eps, f"the threat model, {show_eps(evaluation.threat.eps)}"),
            logarithmic=True,
        )
        charts["eps_rows"] = sorted({point.parameter for curve in evaluation.eps_curves for point in curve.points})
        charts["eps_at"] = [{point.parameter: point for point in curve.points} for curve in evaluation.eps_curves]
    charts["invariances"] = [
        line_chart(
            [Line(curve.points, band=True)],
            description=f"Accuracy against {curve.name}: {_summary(curve.points, _number)}",
            x_label=f"{curve.name}, {curve.unit}" if curve.unit else curve.name,
            show_x=_number,
            reference=(curve.identity, "unchanged"),
            width=320,
            height=230,
        )
        for curve in evaluation.invariances
    ]
    if evaluation.certification is not None and evaluation.certification.points:
        charts["certification"] = line_chart(
            [Line(evaluation.certification.points, band=True)],
            description="Certified accuracy against the l2 radius: "
            + _summary(evaluation.certification.points, _number),
            x_label="certified l2 radius",
            show_x=_number,
        )
    if evaluation.calibration is not None:
        charts["calibration"] = reliability_chart(
            evaluation.calibration.bins,
            description="Accuracy against confidence: "
            + "; ".join(
                f"at confidence {_percent(item.confidence)} accuracy {_percent(item.accuracy)}"
                for item in evaluation.calibration.bins
                if item.count
            ),
        )
    if evaluation.landscape is not None:
        charts["landscape"], charts["losses"] = _landscape(evaluation.landscape, evaluation.threat.norm)
    return charts


def _landscape(landscape: Landscape, norm: str) -> tuple[object, dict[str, float]]:
    values = [value for row in landscape.loss for value in row if math.isfinite(value)] or [math.nan]
    centre = min(range(len(landscape.steps)), key=lambda index: abs(landscape.steps[index]))
    losses = {"centre": landscape.loss[centre][centre], "low": min(values), "high": max(values)}
    chart = surface_chart(
        landscape.steps,
        landscape.loss,
        description=f"Loss around one image: {_number(losses['centre'])} at the image, from {_number(losses['low'])} "
        f"to {_number(losses['high'])} around it",
        show_step=lambda step: _show_distance(step, norm),
    )
    return chart, losses


def _summary(points: Sequence[CurvePoint], show: Callable[[float], str]) -> str:
    """Say a curve in words: its ends and its lowest point."""
    if not points:
        return "no points"
    ordered = sorted(points, key=lambda point: point.parameter)
    named = [ordered[0], min(ordered, key=lambda point: point.accuracy), ordered[-1]]
    return ", ".join(dict.fromkeys(f"{_percent(point.accuracy)} at {show(point.parameter)}" for point in named))


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


def _show_picture(item: WorstImage, norm: str) -> dict[str, Any]:
    clean, adversarial = item.clean.detach().cpu().float(), item.adversarial.detach().cpu().float()
    delta = adversarial - clean
    largest = float(delta.abs().max())
    factor = 0.5 / largest if largest > 0 else 1.0
    return {
        "path": item.path,
        "label": item.label,
        "became": item.became,
        "confidence": item.confidence,
        "distance": _show_distance(item.distance, norm),
        "factor": f"{factor:.2g}" if factor < 10 else f"{factor:.0f}",
        "clean": picture(clean.numpy(), smooth=True),
        "change": picture((0.5 + factor * delta).numpy()),
        "adversarial": picture(adversarial.numpy(), smooth=True),
    }


def _show_distance(value: float, norm: str) -> str:
    if not math.isfinite(value):
        return "none found"
    return show_distance(value, norm).replace("-", "\u2212")


def _code(sentence: str) -> Markup:
    """Set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704 - escaped first


def _show_seconds(value: float) -> str:
    if value < 120:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"  # a no-break space: figure and sign stay on one line


def _number(value: float) -> str:
    return "infinite" if math.isinf(value) else f"{value:.4g}".replace("-", "\u2212")
