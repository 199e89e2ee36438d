"""What is measured beside attacks: each section of an evaluation, on as many images as its cost allows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hardener.evaluation.robust_accuracy import AttackPlan, RobustAccuracy
from hardener.evaluation.sample import Sample
from hardener.evaluation.subject import Subject
from hardener.evaluation.suite import DEFAULT
from hardener.measures.calibration import measure_calibration
from hardener.measures.certification import measure_certification
from hardener.measures.clever import measure_clever
from hardener.measures.corruption import measure_corruptions
from hardener.measures.eps_curve import measure_eps_curves
from hardener.measures.invariance import measure_invariances
from hardener.measures.landscape import measure_landscape
from hardener.progress import Reporter
from hardener.runtime.model_state import device_of

SECTIONS = {
    "invariance": 1000,
    "corruptions": 200,
    "certify": 100,
    "clever": 50,
    "curves": 200,
}
"""Section -> the most images that it is measured on."""


def measure_sections(
    subject: Subject,
    pixels: Tensor,
    images: Sample,
    result: RobustAccuracy,
    plans: Sequence[AttackPlan],
    asked: Collection[str],
    *,
    batch_size: int,
    seed: int,
    reporter: Reporter,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure the sections that were asked for, and calibration, which costs one pass.

    Each takes images drawn by the seed, the same for every model that is evaluated on these images.

    Returns:
        Fields of the evaluation's record, and arrays with a value an image (nan where it was not measured).
    """
    model, labels, threat = subject.model, images.labels, result.threat
    device = device_of(model)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))
    fields: dict[str, Any] = {
        "calibration": measure_calibration(model, pixels, labels, batch_size=batch_size),
    }
    arrays: dict[str, Any] = {}

    def draw(section: str) -> tuple[Tensor, Tensor, Tensor]:
        chosen = order[: SECTIONS[section]].sort().values
        return chosen, pixels[chosen], labels[chosen]

    def common() -> dict[str, Any]:
        return {"batch_size": batch_size, "generator": torch.Generator(device).manual_seed(seed)}

    def spread(values: Tensor, chosen: Tensor) -> Any:
        whole = np.full(len(pixels), np.nan)
        whole[chosen.numpy()] = values.double().cpu().numpy()
        return whole

    if "invariance" in asked:
        _, some, own = draw("invariance")
        with reporter.track("invariances", len(some), "images") as done:
            fields["invariances"] = measure_invariances(model, some, own, on_done=done, **common())
    if "corruptions" in asked:
        _, some, own = draw("corruptions")
        with reporter.track("corruptions", len(some), "images") as done:
            fields["corruptions"] = measure_corruptions(model, some, own, on_done=done, **common())
    if "certify" in asked:
        chosen, some, own = draw("certify")
        with reporter.track("certifying", len(some), "images") as done:
            fields["certification"], radius = measure_certification(
                model, some, own, noise_sigma=subject.noise_sigma, on_done=done, **common()
            )
        arrays["certified_radius"] = spread(radius, chosen)
    if "clever" in asked and subject.differentiable:
        chosen, some, own = draw("clever")
        with reporter.track("CLEVER scores", len(some), "images") as done:
            fields["clever"], scores = measure_clever(model, some, own, norm=threat.norm, on_done=done, **common())
        arrays["clever"] = spread(scores, chosen)
    if "curves" in asked:
        _, some, own = draw("curves")
        climbed = [plan for plan in plans if plan.entry.curve] or [DEFAULT]
        free = [AttackPlan(p.name, {k: v for k, v in p.settings.items() if k != "step_size"}) for p in climbed]
        if not subject.differentiable:
            free = [plan for plan in plans if "gradient-free" in plan.entry.families][:1]
        with reporter.track("eps curves", len(some) * len(free), "images") as done:
            fields["eps_curves"] = measure_eps_curves(
                model, some, own, free, norm=threat.norm, on_done=done, **common()
            )
        right = result.clean_correct.nonzero().flatten()
        if len(right) and subject.differentiable:
            index = int(right[0])
            fields["landscape"] = measure_landscape(
                model,
                pixels[index],
                int(labels[index]),
                path=images.paths[index],
                norm=threat.norm,
                eps=threat.eps,
                **common(),
            )
    return fields, arrays
