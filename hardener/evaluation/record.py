"""What an evaluation found -> its record, the results of each image, and the pictures of its report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hardener.config.data_findings import are_uneven
from hardener.config.data_path import lasting
from hardener.config.evaluation_record import (
    Balanced,
    Check,
    Distances,
    EvaluatedAttack,
    EvaluatedChange,
    EvaluatedData,
    EvaluatedThreat,
    Evaluation,
    PerClass,
)
from hardener.config.files import write_json, written_whole
from hardener.config.run_folder import now
from hardener.evaluation.asked import describe_request
from hardener.evaluation.audit import flags_of
from hardener.evaluation.failures import confusion_of
from hardener.evaluation.image_table import write_table
from hardener.evaluation.precision import Choice
from hardener.evaluation.robust_accuracy import AttackPlan, RobustAccuracy
from hardener.evaluation.sample import Sample
from hardener.evaluation.session import EvaluationSession
from hardener.evaluation.suite import GOES_ON, left_out
from hardener.evaluation.verdict import verdict
from hardener.reports.by_class import weak_classes
from hardener.reports.confusion import UNANSWERED
from hardener.reports.page import WorstImage
from hardener.runtime.answers import chosen_class, finite
from hardener.runtime.device import describe_hardware, describe_versions
from hardener.runtime.model_state import as_float, device_of
from hardener.statistics.interval import clopper_pearson
from hardener.threat import Threat, ThreatModel, norm_of
from hardener.threats import change_of, shape_of

SHOWN_EXAMPLES = 12


@dataclass(frozen=True)
class Findings:
    """What attacks, audit and measures found.

    Attributes:
        result: the worst case, what the audit broke included.
        choice: in which numbers attacks took gradients.
        copied: names of the attacks that asked a copy of the model.
        sections: fields of the record, one a measure.
        arrays: a value an image each, nan where it was not measured.
        because: questions of the audit after which the evaluation went on to another suite by itself.
    """

    result: RobustAccuracy
    checks: list[Check]
    choice: Choice
    copied: frozenset[str] = frozenset()
    sections: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    because: list[str] = field(default_factory=list)


def make_record(session: EvaluationSession, found: Findings) -> Evaluation:
    """Put on record what was found; `per_image` is left for whoever writes it."""
    subject, plan, sample, result = session.subject, session.plan, session.sample, found.result
    per_class = _describe_classes(subject.classes, sample.labels, result)
    balanced = _balanced(per_class, subject.images.labels)
    judged, reason = verdict(
        result,
        num_classes=len(subject.classes),
        checks=found.checks,
        largest_class=None if balanced is None else _largest_class(per_class, len(subject.classes)),
    )
    return Evaluation(
        created_at=now(),
        model=subject.described,
        data=EvaluatedData(
            root=_lasting(subject.images.root),
            split=subject.split,
            images_in_split=len(subject.images),
            skipped=len(sample.skipped),
            fingerprint=sample.fingerprint,
            found=subject.found,
            own=subject.own.known,
        ),
        threat=_describe_threat(result.threat),
        suite=plan.suite,
        went_on=GOES_ON[plan.suite] if found.because and plan.suite is not None else None,
        because=found.because,
        samples=result.samples,
        clean_accuracy=result.clean_accuracy,
        clean_interval=clopper_pearson(int(result.clean_correct.sum()), result.samples),
        robust_accuracy=result.robust_accuracy,
        interval=result.interval,
        verdict=judged,
        reason=reason,
        attacks=_describe_attacks(session, found),
        precision=found.choice.record(plan.attacks),
        not_run=left_out(plan.attacks, result.threat),
        per_class=per_class,
        confusion=confusion_of(result, sample.labels, subject.classes),
        weak_classes=[item.name for item in weak_classes(per_class)],
        balanced=balanced,
        per_image=None,
        flags=[*subject.flags, *flags_of(found.checks)],
        checks=found.checks,
        distances=None if norm_of(result.threat) is None else _describe_distances(result),
        request=describe_request(subject, plan),
        seconds=round(time.monotonic() - session.started, 3),
        seed=plan.request.seed,
        device=str(session.device),
        versions=describe_versions(),
        hardware=describe_hardware(session.device),
        **found.sections,
    )


def write_record(evaluation: Evaluation, arrays: dict[str, Any], target: Path) -> Evaluation:
    """Write the JSON and, beside it, the results of each image; return the record with the names of those files."""
    per_image = target.with_suffix(".npz")
    with written_whole(per_image) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays)
    table = target.with_suffix(".parquet")
    made = write_table(arrays, table)
    names = {"per_image": per_image.name, "per_image_table": table.name if made else None}
    evaluation = evaluation.model_copy(update=names)
    write_json(target, evaluation.model_dump(by_alias=True))
    return evaluation


def per_image(sample: Sample, classes: tuple[str, ...], found: Findings) -> dict[str, Any]:
    """Return the arrays that a record's file of images holds: a value an image each, as `COLUMNS` says."""
    result = found.result
    names_of = np.array([*classes, ""])  # -1 is not known
    names = [outcome.plan.name for outcome in result.outcomes]
    return {
        "index": np.arange(len(sample)),
        "path": np.array(sample.paths),
        "label": sample.labels.numpy(),
        "prediction": result.predictions.numpy(),
        "became": result.became.numpy(),
        "label_name": names_of[sample.labels.numpy()],
        "prediction_name": names_of[result.predictions.numpy()],
        "became_name": names_of[result.became.numpy()],
        "clean": result.clean_correct.numpy(),
        "robust": result.robust_correct.numpy(),
        "broken_by": result.broken_by.numpy(),
        "attack": np.array([names[place] if place >= 0 else "" for place in result.broken_by.tolist()]),
        "distance": result.distance.numpy() if norm_of(result.threat) else np.full(len(sample), np.nan),
    } | found.arrays


def _lasting(root: str) -> str:
    """Return where images lie as a path that means the same from any folder: two words for one place are one."""
    return str(lasting(Path(root))) if Path(root).exists() else root


@torch.no_grad()
def worst_images(session: EvaluationSession, result: RobustAccuracy) -> list[WorstImage]:
    """Return the images that fell to the smallest perturbations, of those whose adversarial image was kept."""
    nearest = sorted(result.examples, key=lambda index: float(result.distance[index]))[:SHOWN_EXAMPLES]
    subject, sample, device = session.subject, session.sample, device_of(session.model)
    pictures = []
    for index in nearest:
        adversarial = result.examples[index]
        logits = subject.model(adversarial[None].to(device))
        pictures.append(
            WorstImage(
                path=sample.paths[index],
                label=subject.classes[int(sample.labels[index])],
                became=[*subject.classes, UNANSWERED][int(chosen_class(logits))],
                confidence=finite(logits.softmax(dim=1).amax()),
                clean=as_float(sample.pixels[index]).cpu().numpy(),
                adversarial=adversarial.float().numpy(),
                distance=float(result.distance[index]),
                how=_how(result.threat, result.points.get(index), adversarial),
            )
        )
    return pictures


def _how(threat: Threat, point: Tensor | None, image: Tensor) -> str | None:
    """Say which values of a threat without a norm made an image (C, H, W)."""
    if isinstance(threat, ThreatModel) or point is None:
        return None
    return change_of(threat.kind, dict(threat.settings)).told(point, shape_of(image[None]))


def _describe_threat(threat: Threat) -> EvaluatedThreat | EvaluatedChange:
    if isinstance(threat, ThreatModel):
        return EvaluatedThreat(norm=threat.norm, eps=threat.eps)
    return EvaluatedChange(
        kind=threat.kind, settings=dict(threat.settings), given=list(threat.given), reach=threat.reach
    )


def _describe_attacks(session: EvaluationSession, found: Findings) -> list[EvaluatedAttack]:
    surrogate = session.plan.request.surrogate
    described = []
    for outcome in found.result.outcomes:
        settings = {**outcome.plan.settings, "restarts": outcome.plan.restarts, **_aim(outcome.plan)}
        if "surrogate" in settings:
            settings["surrogate"] = "" if surrogate is None else surrogate.path.name
        if outcome.plan.name in found.copied:
            settings["asked"] = "a copy in ONNX Runtime"
        described.append(
            EvaluatedAttack(
                name=outcome.plan.name,
                settings=settings,
                attacked=outcome.attacked,
                broken=outcome.broken,
                robust_accuracy=outcome.robust_accuracy,
                seconds=round(outcome.seconds, 3),
            )
        )
    return described


def _aim(plan: AttackPlan) -> dict[str, float | int | str]:
    """Tell which of the images that stood an attack went at, where not at all of them from its own start."""
    told: dict[str, float | int | str] = {} if plan.share == 1 else {"share": plan.share}
    if plan.sample is not None:
        told["sample"] = plan.sample
    return told | {"start": "nearest point"} if plan.warm else told


def _describe_classes(classes: tuple[str, ...], labels: Tensor, result: RobustAccuracy) -> list[PerClass]:
    described = []
    for label, name in enumerate(classes):
        own = labels == label
        count = int(own.sum())
        if count:
            clean, robust = int(result.clean_correct[own].sum()), int(result.robust_correct[own].sum())
            described.append(
                PerClass(
                    name=name,
                    samples=count,
                    clean_accuracy=clean / count,
                    robust_accuracy=robust / count,
                    clean_interval=clopper_pearson(clean, count),
                    robust_interval=clopper_pearson(robust, count),
                )
            )
    return described


def _balanced(per_class: list[PerClass], labels: Sequence[int]) -> Balanced | None:
    """Return the means over classes; None where the split, whose labels these are, has classes of similar size."""
    if not are_uneven(Counter(labels).values()):
        return None
    clean, robust = (
        sum(found) / len(per_class)
        for found in zip(*((item.clean_accuracy, item.robust_accuracy) for item in per_class), strict=True)
    )
    return Balanced(classes=len(per_class), clean_accuracy=clean, robust_accuracy=robust)


def _largest_class(per_class: list[PerClass], num_classes: int) -> float | None:
    """Return the share of the largest class, which is what a model that always names it gets right.

    None where the mean over classes is surely above 1 / num_classes, so that the model does more than that.
    """
    lows = [clopper_pearson(round(item.robust_accuracy * item.samples), item.samples)[0] for item in per_class]
    if sum(lows) / len(lows) > 1 / num_classes:
        return None
    return max(item.samples for item in per_class) / sum(item.samples for item in per_class)


def _describe_distances(result: RobustAccuracy) -> Distances:
    own = result.distance[result.clean_correct]
    found = own[own.isfinite()]
    quartiles = None
    if len(found):
        low, middle, high = torch.quantile(
            found.double(), torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        ).tolist()
        quartiles = (low, middle, high)
    return Distances(samples=len(own), found=len(found), quartiles=quartiles)
