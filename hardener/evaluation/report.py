"""An evaluation as a page that one would show to somebody who asks."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from hardener.config.evaluation_record import Evaluation
from hardener.config.files import write_text
from hardener.threat import ThreatModel, show_eps


def write_report(evaluation: Evaluation, path: Path, *, curves: Path | None = None) -> None:
    """Write one self-contained HTML file: no script, nothing from the network.

    Args:
        curves: a PNG of the training curves to put in, where there is one.
    """
    environment = Environment(
        loader=PackageLoader("hardener.evaluation", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    environment.filters["setting"] = show_setting
    picture = None
    if curves is not None and curves.is_file():
        picture = base64.b64encode(curves.read_bytes()).decode()
    page = environment.get_template("report.html.j2").render(
        evaluation=evaluation,
        threat=str(ThreatModel(evaluation.threat.norm, evaluation.threat.eps)),
        attack_names=", ".join(dict.fromkeys(attack.name for attack in evaluation.attacks)),
        curves=picture,
        limits=what_it_does_not_say(evaluation),
        command=repeat_command(evaluation),
    )
    write_text(path, page)


def what_it_does_not_say(evaluation: Evaluation) -> list[str]:
    """Return the sentences that every figure of an evaluation needs beside it."""
    names = list(dict.fromkeys(attack.name for attack in evaluation.attacks))
    threat = ThreatModel(evaluation.threat.norm, evaluation.threat.eps)
    said = [
        f"The figure is an upper bound: an attack that was not run may break more images. Run here: "
        f"{', '.join(names)}. Not run: AutoAttack, gradient-free, transfer and decision-based attacks.",
        f"It holds for {threat} on images like these, and says nothing of other changes to an image.",
    ]
    if names == ["fgsm"]:
        said.append("FGSM is a single step and the weakest attack there is; run --attack pgd before trusting this.")
    if evaluation.data.split == "validation":
        said.append("Measured on the validation split, which also chose the epoch that was kept: a little high.")
    if evaluation.data.skipped:
        said.append(f"{evaluation.data.skipped} images could not be read and were left out.")
    return said


def repeat_command(evaluation: Evaluation) -> str | None:
    """Return the command that makes the same evaluation of a run again."""
    if evaluation.model.run is None:
        return None
    parts = ["hardener", "eval", evaluation.model.run, "--data", evaluation.data.root]
    for attack in evaluation.attacks:
        parts += ["--attack", attack.name]
    parts += ["--norm", evaluation.threat.norm, "--eps", show_eps(evaluation.threat.eps)]
    settings = evaluation.attacks[-1].settings
    for key in ("steps", "step_size", "restarts"):
        if key in settings and not (key == "restarts" and settings[key] == 1):
            parts += ["--" + key.replace("_", "-"), show_setting(settings[key], key)]
    if settings.get("random_start") is False:
        parts.append("--no-random-start")
    parts += ["--samples", str(evaluation.samples + evaluation.data.skipped), "--seed", str(evaluation.seed)]
    return shlex.join(parts)


def show_setting(value: object, key: str = "") -> str:
    """Write a setting as a person would type it."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
