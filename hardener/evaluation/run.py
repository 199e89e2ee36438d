"""A run, or a model from elsewhere, and images -> how robust it is."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hardener.attacks import ATTACKS
from hardener.catalog import resolve
from hardener.config.bundle import sha256_of
from hardener.config.evaluation_record import (
    EvaluatedAttack,
    EvaluatedData,
    EvaluatedModel,
    Evaluation,
    Flag,
    PerClass,
    Threat,
)
from hardener.config.files import write_text, written_whole
from hardener.config.run_folder import RunFolder, RunRecord, now
from hardener.data.image_folder import ImageFiles, read_evaluation_folder, read_image_folder
from hardener.data.loader import DEFAULT_SIZE, Images, ImageShape, load_images, survey
from hardener.errors import HardenerError
from hardener.evaluation.device import choose_device, describe_hardware, describe_versions
from hardener.evaluation.interval import clopper_pearson
from hardener.evaluation.report import write_report
from hardener.evaluation.robust_accuracy import AttackPlan, RobustAccuracy, robust_accuracy
from hardener.models.normalize import ImageClassifier, normalization
from hardener.models.rebuild import build_for, fit_head
from hardener.models.trained import open_classifier
from hardener.progress import Reporter
from hardener.threat import ThreatModel

DEFAULT_EPS = {"linf": 8 / 255, "l2": 0.5}
Split = Literal["test", "validation", "all"]


@dataclass(frozen=True)
class EvaluateRequest:
    """What `hardener eval` was asked for. `settings` go to every attack that takes them."""

    attacks: tuple[str, ...] = ("pgd",)
    norm: str = "linf"
    eps: float | None = None
    settings: Mapping[str, Any] | None = None
    restarts: int = 1
    samples: int = 1000
    data: Path | None = None
    batch_size: int = 128
    device: str = "auto"
    seed: int = 0
    skip_bad_images: bool = False
    json_file: Path | None = None


@dataclass(frozen=True)
class ForeignModel:
    """A model that was not trained here: its code, its weights, and how its inputs are normalised."""

    spec: str
    init: Path
    normalize: str
    entry: str | None = None
    image_size: tuple[int, int] | None = None
    allow_pickle: bool = False


def evaluate_run(run: RunFolder, request: EvaluateRequest, reporter: Reporter) -> tuple[Evaluation, Path]:
    """Attack a run's model on images that it was not trained on, and write the result into the run.

    Returns:
        The evaluation, and the JSON file that holds it.
    Raises:
        HardenerError: a mistake in what was asked for.
    """
    threat, plans = _plan(request)
    record = run.read_record()
    classifier = open_classifier(run, record)
    files, split, root, flags = _held_out(run, record, request, reporter)
    shape = ImageShape(record.input.height, record.input.width, record.input.channels)
    model = EvaluatedModel(
        name=record.name, run=record.name, recipe=run.read_recipe().name, fingerprint=sha256_of(run.weights)
    )
    result, images = _attack(classifier, files, shape, threat, plans, request, reporter)
    evaluation = _describe(model, root, split, files, images, result, plans, request, classifier.classes, flags)
    stamp = evaluation.created_at.replace(":", "").replace("-", "").partition("+")[0].replace(".", "-")
    run.evaluations.mkdir(exist_ok=True)
    target = run.evaluations / f"{stamp}.json"
    evaluation = _write(evaluation, result, images, target)
    if request.json_file is not None:
        _write(evaluation, result, images, request.json_file)
    write_report(evaluation, run.report, curves=run.curves)
    return evaluation, target


def evaluate_foreign(
    model: ForeignModel, request: EvaluateRequest, reporter: Reporter
) -> tuple[Evaluation, Path | None]:
    """Attack a model that was not trained here; the result is written only where `json_file` says so.

    Raises:
        HardenerError: a mistake in what was asked for.
    """
    threat, plans = _plan(request)
    if request.data is None:
        raise HardenerError("a model that was not trained here needs --data DIR, the images to evaluate it on.")
    classes, files, found = read_evaluation_folder(request.data)
    split: Split = "test" if found == "test" else "validation" if found == "validation" else "all"
    sizes, color = survey(files)
    height, width = model.image_size or (next(iter(sizes)) if len(sizes) == 1 else (DEFAULT_SIZE, DEFAULT_SIZE))
    if model.normalize == "data":
        raise HardenerError(
            "--normalize data is for training; say how this model was trained: none, imagenet or MEAN/STD."
        )
    loaded, channels, outputs = build_for(
        model.spec,
        num_classes=len(classes),
        channels=[3, 1] if color else [1, 3],
        height=height,
        width=width,
        entry=model.entry,
        pretrained=False,
    )
    fit_head(loaded, outputs, len(classes), replace=False, init=model.init, allow_pickle=model.allow_pickle)
    mean, std = normalization(model.normalize, channels=channels, mean=(), std=())
    classifier = ImageClassifier(loaded.network, mean=mean, std=std, classes=classes).eval()
    described = EvaluatedModel(name=loaded.name, run=None, recipe=None, fingerprint=sha256_of(model.init))
    shape = ImageShape(height, width, channels)
    result, images = _attack(classifier, files, shape, threat, plans, request, reporter)
    evaluation = _describe(described, request.data, split, files, images, result, plans, request, classes, [])
    if request.json_file is not None:
        evaluation = _write(evaluation, result, images, request.json_file)
    return evaluation, request.json_file


def _plan(request: EvaluateRequest) -> tuple[ThreatModel, list[AttackPlan]]:
    """Check threat, attacks and their settings before anything is loaded."""
    default = DEFAULT_EPS.get(request.norm, 0.0)
    threat = ThreatModel(request.norm, default if request.eps is None else request.eps)
    given = {key: value for key, value in (request.settings or {}).items() if value is not None}
    used: set[str] = set()
    plans = []
    for name in request.attacks:
        parameters = inspect.signature(resolve(ATTACKS, name, "attack")).parameters
        settings = {
            key: parameter.default
            for key, parameter in parameters.items()
            if parameter.default is not inspect.Parameter.empty and key != "generator"
        }
        settings |= {key: value for key, value in given.items() if key in parameters}
        used |= set(settings)
        if "step_size" in settings and settings["step_size"] is None:
            settings["step_size"] = 2.5 * threat.eps / settings["steps"]  # pgd's default, written out for the record
        restarts = request.restarts if settings.get("random_start") else 1
        plans.append(AttackPlan(name, settings, restarts))
    unused = sorted(set(given) - used)
    if unused:
        option = "--" + unused[0].replace("_", "-")
        raise HardenerError(f"{option} is for no attack that was asked for ({', '.join(request.attacks)}).")
    if request.restarts > 1 and all(plan.restarts == 1 for plan in plans):
        raise HardenerError("--restarts needs an attack with a random start; none was asked for.")
    return threat, plans


def _held_out(
    run: RunFolder, record: RunRecord, request: EvaluateRequest, reporter: Reporter
) -> tuple[ImageFiles, Split, Path, list[Flag]]:
    """Find the run's test split, or its validation split where there is no other; or the folder that was asked for."""
    own = Path(record.data.root)
    if request.data is not None and request.data.resolve() != own:
        classes, files, found = read_evaluation_folder(request.data)
        if list(classes) != record.classes:
            differing = sorted(set(classes) ^ set(record.classes))[:5]
            raise HardenerError(
                f"{request.data} has other classes than {run.path} was trained on; they differ in "
                f"{', '.join(differing)}."
            )
        return (
            files,
            "test" if found == "test" else "validation" if found == "validation" else "all",
            request.data,
            [],
        )
    recipe = run.read_recipe()
    folder = read_image_folder(
        own,
        validation_root=None if record.data.validation_root is None else Path(record.data.validation_root),
        seed=record.seed,
        val_fraction=recipe.data.val_fraction,
        test_fraction=recipe.data.test_fraction,
    )
    flags = []
    if list(folder.classes) != record.classes:
        raise HardenerError(f"the class folders below {own} have changed since {run.path} was trained on them.")
    listings = folder.listings()
    changed = [name for name, digest in record.data.listings.items() if listings.get(name) != digest]
    if changed:
        message = (
            f"the files below {own} have changed since the run was trained ({', '.join(changed)} split): images "
            "evaluated here may have been trained on"
        )
        reporter.warn(message)
        flags.append(Flag(id="data-changed", message=message, page="docs/flags.md#data-changed"))
    if folder.test is not None:
        return folder.test, "test", own, flags
    reporter.say(
        "no test split below the data folder: evaluating on the validation split, which also chose the epoch that "
        "was kept, so the figures may be a little high"
    )
    return folder.validation, "validation", own, flags


def _attack(
    classifier: ImageClassifier,
    files: ImageFiles,
    shape: ImageShape,
    threat: ThreatModel,
    plans: list[AttackPlan],
    request: EvaluateRequest,
    reporter: Reporter,
) -> tuple[RobustAccuracy, Images]:
    device = choose_device(request.device)
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(request.seed))
    chosen = files.pick(sorted(order[: request.samples].tolist()))
    with reporter.track("reading images", len(chosen), "images") as advance:
        images = load_images(chosen, shape, skip_bad=request.skip_bad_images, on_decoded=advance)
    if images.skipped:
        reporter.warn(f"{len(images.skipped)} images cannot be read and are left out, such as {images.skipped[0].path}")
    pixels, labels = images.take(range(len(images)))
    passes = sum(plan.restarts for plan in plans)
    with reporter.track(
        f"attacking with {', '.join(p.name for p in plans)}", len(images) * passes, "images"
    ) as advance:
        result = robust_accuracy(
            classifier.to(device),
            pixels,
            labels,
            plans,
            threat,
            batch_size=request.batch_size,
            generator=torch.Generator(device).manual_seed(request.seed),
            on_attacked=advance,
        )
    return result, images


def _describe(
    model: EvaluatedModel,
    root: Path,
    split: Split,
    files: ImageFiles,
    images: Images,
    result: RobustAccuracy,
    plans: list[AttackPlan],
    request: EvaluateRequest,
    classes: tuple[str, ...],
    flags: list[Flag],
) -> Evaluation:
    device = choose_device(request.device)
    per_class = []
    for label, name in enumerate(classes):
        own = images.labels == label
        count = int(own.sum())
        if count:
            clean, robust = int(result.clean_correct[own].sum()), int(result.robust_correct[own].sum())
            per_class.append(
                PerClass(name=name, samples=count, clean_accuracy=clean / count, robust_accuracy=robust / count)
            )
    return Evaluation(
        created_at=now(),
        model=model,
        data=EvaluatedData(
            root=str(root),
            split=split,
            images_in_split=len(files),
            skipped=len(images.skipped),
            fingerprint=images.fingerprint,
        ),
        threat=Threat(norm=result.threat.norm, eps=result.threat.eps),
        samples=result.samples,
        clean_accuracy=result.clean_accuracy,
        clean_interval=clopper_pearson(int(result.clean_correct.sum()), result.samples),
        robust_accuracy=result.robust_accuracy,
        interval=result.interval,
        attacks=[
            EvaluatedAttack(
                name=outcome.plan.name,
                settings={**outcome.plan.settings, "restarts": outcome.plan.restarts},
                attacked=outcome.attacked,
                broken=outcome.broken,
                robust_accuracy=outcome.robust_accuracy,
                seconds=round(outcome.seconds, 3),
            )
            for outcome in result.outcomes
        ],
        per_class=per_class,
        per_image=None,
        flags=flags,
        seed=request.seed,
        device=str(device),
        versions=describe_versions(),
        hardware=describe_hardware(device),
    )


def _write(evaluation: Evaluation, result: RobustAccuracy, images: Images, target: Path) -> Evaluation:
    """Write the JSON and, beside it, the results of each image."""
    if not target.parent.is_dir():
        raise HardenerError(f"no such folder: {target.parent}, for --json {target}.")
    per_image = target.with_suffix(".npz")
    with written_whole(per_image) as beside, beside.open("wb") as file:
        np.savez_compressed(
            file,
            path=np.array(images.files.paths),
            label=images.labels.numpy(),
            prediction=result.predictions.numpy(),
            clean=result.clean_correct.numpy(),
            robust=result.robust_correct.numpy(),
            broken_by=result.broken_by.numpy(),
        )
    evaluation = evaluation.model_copy(update={"per_image": per_image.name})
    write_text(target, json.dumps(evaluation.model_dump(by_alias=True), indent=2) + "\n")
    return evaluation
