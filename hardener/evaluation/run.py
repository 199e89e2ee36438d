"""A model and images -> how robust it is, written where it was asked for."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hardener.attacks import ATTACKS
from hardener.catalog import resolve
from hardener.config.evaluation_record import (
    Distances,
    EvaluatedAttack,
    EvaluatedData,
    Evaluation,
    PerClass,
    Threat,
)
from hardener.config.files import write_text, written_whole
from hardener.config.run_folder import RunFolder, now
from hardener.data.loader import Images, load_images
from hardener.errors import HardenerError
from hardener.evaluation.audit import audit, flags_of
from hardener.evaluation.faster_answers import FasterAnswers
from hardener.evaluation.joined import join
from hardener.evaluation.precision import Choice, check_precision, choose_precision
from hardener.evaluation.robust_accuracy import AttackPlan, RobustAccuracy, Standing, robust_accuracy
from hardener.evaluation.sections import measure_sections
from hardener.evaluation.subject import ForeignModel, Subject, foreign_subject, onnx_subject, run_subject
from hardener.evaluation.suite import GRADIENT_FREE, Timing, left_out, most_seconds, suite_plans
from hardener.evaluation.verdict import verdict
from hardener.models.trained import open_classifier
from hardener.progress import Reporter, Silent, rank_and_world
from hardener.reports.page import WorstImage, write_report
from hardener.runtime.device import choose_device, describe_hardware, describe_versions
from hardener.runtime.model_state import as_float, device_of
from hardener.runtime.processes import from_first, local_device, own_share
from hardener.statistics.interval import clopper_pearson
from hardener.threat import NORMS, ThreatModel

KEPT_EXAMPLES, SHOWN_EXAMPLES = 48, 12
SAVE_EVERY_S = 30.0
EXTRAS = {"hopskipjump": ("foolbox", "decision"), "corruptions": ("imagecorruptions", "corruptions")}


@dataclass(frozen=True)
class EvaluateRequest:
    """What `hardener eval` was asked for. `settings` go to every attack that takes them; a suite brings its own.

    `surrogate`: a run to transfer attacks from, or the one that lends an ONNX file its gradients.
    `sections`: of SECTIONS, what is measured beside attacks.
    `precision`: of PRECISIONS, what attacks take gradients in.
    """

    attacks: tuple[str, ...] = ()
    suite: str | None = None
    norm: str = "linf"
    eps: float | None = None
    settings: Mapping[str, Any] | None = None
    restarts: int = 1
    samples: int = 1000
    data: Path | None = None
    batch_size: int = 128
    device: str = "auto"
    seed: int = 0
    precision: str = "auto"
    skip_bad_images: bool = False
    json_file: Path | None = None
    surrogate: RunFolder | None = None
    sections: frozenset[str] = frozenset()


class Paused(HardenerError):
    """Ctrl-C; the same command goes on."""

    exit_code = 130


def evaluate_run(run: RunFolder, request: EvaluateRequest, reporter: Reporter) -> tuple[Evaluation, Path] | None:
    """Attack a run's model on images that it was not trained on, and write the result into the run.

    Returns:
        The evaluation, and the JSON file that holds it; None on every process of torchrun's but the first.
    Raises:
        HardenerError: a mistake in what was asked for.
        Paused: interrupted; the same request goes on.
    """
    reporter = _speaking(reporter)
    plans = _plan(request)
    subject = run_subject(run, request.data, reporter)
    found = _evaluate(subject, plans, request, reporter, partial=run.evaluations)
    if found is None:
        return None
    stamp = found.evaluation.created_at.replace(":", "").replace("-", "").partition("+")[0].replace(".", "-")
    run.evaluations.mkdir(exist_ok=True)
    target = run.evaluations / f"{stamp}.json"
    evaluation = _write(found, target)
    if request.json_file is not None:
        _write(found, request.json_file)
    write_report(evaluation, run.report, curves=run.curves, pictures=found.pictures)
    if found.partial is not None:
        found.partial.unlink(missing_ok=True)  # only now: until all is written, the same command can go on
    return evaluation, target


def evaluate_foreign(
    model: ForeignModel, request: EvaluateRequest, reporter: Reporter
) -> tuple[Evaluation, Path | None] | None:
    """Attack a model that was not trained here; JSON and report are written where `json_file` says, if it does.

    Raises:
        HardenerError: a mistake in what was asked for.
    """
    plans = _plan(request)
    return _evaluate_elsewhere(foreign_subject(model, request.data), plans, request, _speaking(reporter))


def evaluate_onnx(
    path: Path, request: EvaluateRequest, reporter: Reporter, *, normalize: str = "none"
) -> tuple[Evaluation, Path | None] | None:
    """Attack an ONNX file: gradient-free, or by the gradients of the run `request.surrogate`.

    Raises:
        HardenerError: a mistake in what was asked for.
    """
    reporter = _speaking(reporter)
    plans = _plan(request)
    subject = onnx_subject(path, request.data, request.surrogate, normalize, reporter)
    if not subject.differentiable:
        with_gradients = [plan.name for plan in plans if plan.name not in GRADIENT_FREE]
        if with_gradients and request.suite is None:
            raise HardenerError(
                f"{path} gives no gradients for {', '.join(with_gradients)}. Lend it a run's with --surrogate RUN, or "
                f"choose from {', '.join(sorted(GRADIENT_FREE))}."
            )
        plans = [plan for plan in plans if plan.name in GRADIENT_FREE]
        if not plans:
            raise HardenerError(
                f"the suite {request.suite} has only gradient attacks, and {path} gives no gradients. Lend it a run's "
                "with --surrogate RUN, or use --suite standard."
            )
    return _evaluate_elsewhere(subject, plans, request, reporter)


def planned_attacks(request: EvaluateRequest) -> list[str]:
    """Return the names of the attacks that a request means, before anything is loaded.

    Raises:
        HardenerError: a mistake in what was asked for.
    """
    return list(dict.fromkeys(plan.name for plan in _plan(request)))


def planned_threat(request: EvaluateRequest) -> ThreatModel:
    """Return the threat model that a request means, its default written out."""
    return _threat(request)


@dataclass(frozen=True)
class _Found:
    evaluation: Evaluation
    arrays: dict[str, Any]
    pictures: list[WorstImage]
    partial: Path | None = None


def _evaluate_elsewhere(
    subject: Subject, plans: list[AttackPlan], request: EvaluateRequest, reporter: Reporter
) -> tuple[Evaluation, Path | None] | None:
    found = _evaluate(subject, plans, request, reporter, partial=None)
    if found is None:
        return None
    if request.json_file is None:
        return found.evaluation, None
    evaluation = _write(found, request.json_file)
    write_report(evaluation, request.json_file.with_suffix(".html"), pictures=found.pictures)
    return evaluation, request.json_file


def _speaking(reporter: Reporter) -> Reporter:
    return reporter if rank_and_world()[0] == 0 else Silent()


def _suite_of(request: EvaluateRequest) -> str | None:
    """Name the suite whose attacks are run, None where attacks are chosen one by one."""
    if request.attacks or request.restarts > 1 or any(value is not None for value in (request.settings or {}).values()):
        return None
    return request.suite or "quick"


def _threat(request: EvaluateRequest) -> ThreatModel:
    default = NORMS[request.norm].default_eps if request.norm in NORMS else 0.0  # of no norm: refused as such
    return ThreatModel(request.norm, default if request.eps is None else request.eps)


def _plan(request: EvaluateRequest) -> list[AttackPlan]:
    """Check threat, attacks and their settings before anything is loaded."""
    threat = _threat(request)
    check_precision(request.precision)
    given = {key: value for key, value in (request.settings or {}).items() if value is not None}
    if request.attacks and request.suite is not None:
        raise HardenerError("choose --attack or --suite, not both.")
    if request.suite is not None and (given or request.restarts > 1):
        option = "--" + next(iter(given), "restarts").replace("_", "-")
        raise HardenerError(f"{option} is for attacks named by --attack; a suite brings its own settings.")
    suite = _suite_of(request)
    if suite is not None:
        plans = [_complete(plan, threat) for plan in suite_plans(suite, threat.norm)]
    else:
        plans = _plans_by_name(request.attacks or ("pgd",), given, request.restarts, threat)
    wanted = {plan.name for plan in plans} | set(request.sections)
    for name, (module, extra) in EXTRAS.items():
        if name in wanted and importlib.util.find_spec(module) is None:
            raise HardenerError(f"{name} needs {module}, which is not installed: pip install 'hardener[{extra}]'")
    if "transfer" in wanted and request.surrogate is None:
        raise HardenerError("the attack transfer needs --surrogate RUN, the run to transfer from.")
    if request.json_file is not None and not request.json_file.parent.is_dir():
        raise HardenerError(f"no such folder: {request.json_file.parent}, for --json {request.json_file}.")
    return plans


def _plans_by_name(
    names: Sequence[str], given: Mapping[str, Any], restarts: int, threat: ThreatModel
) -> list[AttackPlan]:
    used: set[str] = set()
    plans = []
    for name in names:
        plan = _complete(AttackPlan(name, given), threat)
        used |= set(plan.settings)
        plans.append(replace(plan, restarts=restarts if plan.settings.get("random_start") else 1))
    unused = sorted(set(given) - used)
    if unused:
        option = "--" + unused[0].replace("_", "-")
        raise HardenerError(f"{option} is for no attack that was asked for ({', '.join(names)}).")
    if restarts > 1 and all(plan.restarts == 1 for plan in plans):
        raise HardenerError("--restarts needs an attack with a random start; none was asked for.")
    return plans


def _complete(plan: AttackPlan, threat: ThreatModel) -> AttackPlan:
    """Write out every setting that the attack takes, for the record; settings that it does not take are dropped."""
    parameters = inspect.signature(resolve(ATTACKS, plan.name, "attack")).parameters
    settings = {
        key: parameter.default
        for key, parameter in parameters.items()
        if parameter.default is not inspect.Parameter.empty and key not in {"generator", "surrogate"}
    }
    settings |= {key: value for key, value in plan.settings.items() if key in parameters}
    if plan.name == "pgd" and settings["step_size"] is None:
        settings["step_size"] = 2.5 * threat.eps / settings["steps"]  # its default, written out for the record
    return AttackPlan(plan.name, settings, plan.restarts, plan.everywhere)


def _evaluate(
    subject: Subject, plans: list[AttackPlan], request: EvaluateRequest, reporter: Reporter, *, partial: Path | None
) -> _Found | None:
    started = time.monotonic()
    device = local_device(choose_device(request.device))
    order = torch.randperm(len(subject.files), generator=torch.Generator().manual_seed(request.seed))
    chosen = subject.files.pick(sorted(order[: request.samples].tolist()))
    with reporter.track("reading images", len(chosen), "images") as advance:
        images = load_images(chosen, subject.shape, skip_bad=request.skip_bad_images, on_decoded=advance)
    if images.skipped:
        reporter.warn(f"{len(images.skipped)} images cannot be read and are left out, such as {images.skipped[0].path}")
    pixels, labels = images.take(range(len(images)))
    model = subject.model.to(device).eval()
    if request.surrogate is not None and any(plan.name == "transfer" for plan in plans):
        plans = _with_surrogate(plans, request.surrogate, subject, device)
    store = (
        None if partial is None else _Partial.of(partial, subject, plans, request, images.fingerprint, reporter.warn)
    )
    before = None if store is None else store.load()
    choice = None if before is None else before.choice
    if choice is None and rank_and_world()[0] == 0:
        choice = choose_precision(request.precision, model, pixels, batch_size=request.batch_size)
    choice = from_first(choice)
    plans = choice.apply(plans)
    _announce(subject, len(pixels), plans, choice, request, reporter)
    faster = None
    if request.precision != "float32" and subject.differentiable:
        faster = FasterAnswers(model, reporter.say, copied=choice.copied)
    part = _attack(subject, pixels, labels, plans, choice, request, reporter, store, before, faster)
    result = join(part, len(images))
    if result is None:
        return None
    with _pausing(store):
        found = _examine(subject, pixels, images, plans, choice, faster, result, request, reporter, started)
    return replace(found, partial=None if store is None else store.file)


def _examine(
    subject: Subject,
    pixels: Tensor,
    images: Images,
    plans: list[AttackPlan],
    choice: Choice,
    faster: FasterAnswers | None,
    result: RobustAccuracy,
    request: EvaluateRequest,
    reporter: Reporter,
    started: float,
) -> _Found:
    """Audit what the attacks found, measure the sections, and put all of it on record."""
    model, labels = subject.model, images.labels
    generator = torch.Generator(device_of(model)).manual_seed(request.seed)
    with reporter.track("auditing", 100, "%") as advance:
        audited = audit(
            model, pixels, labels, result,
            batch_size=request.batch_size, generator=generator, differentiable=subject.differentiable, on_done=advance,
        )  # fmt: skip
    checks, result = audited.checks, audited.result
    unasked = [check.id for check in checks if check.raised is None]
    if unasked and not subject.differentiable:
        reporter.say(f"the audit asked what answers alone can tell; not asked: {', '.join(unasked)}")
    sections, arrays = measure_sections(
        subject, pixels, images, result, plans, request.sections,
        batch_size=request.batch_size, seed=request.seed, reporter=reporter,
    )  # fmt: skip
    flags = [*subject.flags, *flags_of(checks)]
    judged, reason = verdict(result, num_classes=len(subject.classes), checks=checks)
    evaluation = Evaluation(
        created_at=now(),
        model=subject.described,
        data=EvaluatedData(
            root=str(subject.root),
            split=subject.split,
            images_in_split=len(subject.files),
            skipped=len(images.skipped),
            fingerprint=images.fingerprint,
        ),
        threat=Threat(norm=result.threat.norm, eps=result.threat.eps),
        suite=_suite_of(request),
        samples=result.samples,
        clean_accuracy=result.clean_accuracy,
        clean_interval=clopper_pearson(int(result.clean_correct.sum()), result.samples),
        robust_accuracy=result.robust_accuracy,
        interval=result.interval,
        verdict=judged,
        reason=reason,
        attacks=_describe_attacks(result, request.surrogate, set() if faster is None else faster.used),
        precision=choice.record(plans),
        not_run=left_out(plans),
        per_class=_describe_classes(subject.classes, images.labels, result),
        per_image=None,
        flags=flags,
        checks=checks,
        distances=_describe_distances(result),
        seconds=round(time.monotonic() - started, 3),
        seed=request.seed,
        device=str(device_of(model)),
        versions=describe_versions(),
        hardware=describe_hardware(device_of(model)),
        **sections,
    )
    return _Found(evaluation, _per_image(images, result) | arrays, _worst(subject, images, pixels, result))


def _with_surrogate(
    plans: list[AttackPlan], surrogate: RunFolder, subject: Subject, device: torch.device
) -> list[AttackPlan]:
    """Load the run to transfer from and hand it to the attack."""
    record = surrogate.read_record()
    if tuple(record.classes) != subject.classes:
        raise HardenerError(f"the surrogate {surrogate.path} knows other classes than the model under attack.")
    shape = subject.shape
    if (record.input.height, record.input.width, record.input.channels) != (shape.height, shape.width, shape.channels):
        raise HardenerError(f"the surrogate {surrogate.path} takes images of another size than the model under attack.")
    network = open_classifier(surrogate, record).to(device).eval()
    return [
        AttackPlan(plan.name, {**plan.settings, "surrogate": network}, plan.restarts, plan.everywhere)
        if plan.name == "transfer"
        else plan
        for plan in plans
    ]


def _announce(
    subject: Subject,
    images: int,
    plans: Sequence[AttackPlan],
    choice: Choice,
    request: EvaluateRequest,
    reporter: Reporter,
) -> None:
    seconds = most_seconds(
        plans, choice.timing, images=images, num_classes=len(subject.classes), norm=_threat(request).norm
    )
    seconds /= rank_and_world()[1]
    shown = (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
    reporter.say(
        f"{len(plans)} attacks on {images} images: at most about {shown}, if every image stood to the end; "
        "what falls leaves early"
    )
    rough = [plan for plan in plans if plan.settings.get("bf16")]
    if rough:
        reporter.say(
            f"{_names(rough)} take gradients in bfloat16, and every success is checked in float32: {choice.reason} "
            "(--precision float32 for none)"
        )


@dataclass(frozen=True)
class _Interrupted:
    """An evaluation to go on with."""

    standing: Standing
    choice: Choice


def _attack(
    subject: Subject,
    pixels: Tensor,
    labels: Tensor,
    plans: list[AttackPlan],
    choice: Choice,
    request: EvaluateRequest,
    reporter: Reporter,
    store: _Partial | None,
    before: _Interrupted | None,
    faster: FasterAnswers | None,
) -> RobustAccuracy:
    share = own_share(len(pixels))
    rank, world = rank_and_world()
    standing = None if before is None else before.standing
    if standing is not None:
        at = plans[standing.place].name if standing.place < len(plans) else "the audit"
        reporter.say(f"going on with the evaluation that was interrupted at {at}")
    generator = torch.Generator(device_of(subject.model)).manual_seed(request.seed + rank)
    passes = sum(plan.restarts for plan in plans)
    with reporter.track(f"attacking with {_names(plans)}", len(share) * passes, "images") as advance:
        if standing is not None:
            advance(len(share) * (sum(p.restarts for p in plans[: standing.place]) + standing.restart))
        with _pausing(store):
            return robust_accuracy(
                subject.model,
                pixels[share] if world > 1 else pixels,
                labels[share] if world > 1 else labels,
                plans,
                _threat(request),
                batch_size=request.batch_size,
                generator=generator,
                on_attacked=advance,
                keep_examples=KEPT_EXAMPLES,
                standing=standing,
                on_batch=None
                if store is None
                else lambda found: store.keep(found, replace(choice, copied=None if faster is None else faster.copied)),
                asked=faster,
            )


@contextmanager
def _pausing(store: _Partial | None) -> Iterator[None]:
    """Turn Ctrl-C into a pause where there is something to go on from."""
    try:
        yield
    except KeyboardInterrupt:
        if store is None or not store.save():
            raise
        raise Paused("nothing is lost: the same command goes on from here.") from None


class _Partial:
    """The file beside a run's evaluations that an interrupted evaluation goes on from."""

    def __init__(self, file: Path, warn: Callable[[str], None]) -> None:
        self.file = file
        self._warn = warn
        self._latest: _Interrupted | None = None
        self._saved = time.monotonic()

    @classmethod
    def of(
        cls,
        folder: Path,
        subject: Subject,
        plans: list[AttackPlan],
        request: EvaluateRequest,
        fingerprint: str,
        warn: Callable[[str], None],
    ) -> _Partial:
        """Name the file after everything that decides the result."""
        asked = [
            (p.name, sorted((k, str(v)) for k, v in p.settings.items() if k not in {"surrogate", "bf16"}), p.restarts)
            for p in plans
        ]
        surrogate = None if request.surrogate is None else str(request.surrogate.path)
        told = (
            asked, request.precision, _threat(request), request.seed, request.samples, request.batch_size, fingerprint,
            surrogate, subject.described.fingerprint, rank_and_world(), describe_versions()["torch"],
        )  # fmt: skip
        return cls(folder / f".partial-{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}.pt", warn)

    def load(self) -> _Interrupted | None:
        """Return what to go on with, or None."""
        if not self.file.is_file():
            return None
        try:
            held = torch.load(self.file, weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError):
            raise HardenerError(
                f"{self.file}, where an evaluation was interrupted, is damaged. Remove it, and the evaluation starts "
                "anew."
            ) from None
        return _Interrupted(
            Standing.from_state(held["standing"]), Choice(**{**held["choice"], "timing": Timing(**held["timing"])})
        )

    def keep(self, standing: Standing, choice: Choice) -> None:
        """Remember the state, and write it down now and then."""
        self._latest = _Interrupted(standing, choice)
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            try:
                self.save()
            except (OSError, RuntimeError) as error:  # torch.save hides a full disk in a RuntimeError
                self._saved = time.monotonic()
                self._warn(f"the evaluation goes on, but where it stands cannot be written down: {error}")

    def save(self) -> bool:
        """Write the state down; False where there is none yet."""
        if self._latest is None:
            return False
        choice = dict(vars(self._latest.choice))
        held = {
            "standing": self._latest.standing.state(),
            "timing": dict(vars(choice.pop("timing"))),
            "choice": choice,
        }
        self.file.parent.mkdir(exist_ok=True)
        with written_whole(self.file) as beside, beside.open("wb") as file:
            torch.save(held, file)
        self._saved = time.monotonic()
        return True


def _names(plans: Sequence[AttackPlan]) -> str:
    return ", ".join(dict.fromkeys(plan.name for plan in plans))


def _describe_attacks(result: RobustAccuracy, surrogate: RunFolder | None, copied: set[str]) -> list[EvaluatedAttack]:
    described = []
    for outcome in result.outcomes:
        settings = {**outcome.plan.settings, "restarts": outcome.plan.restarts}
        if "surrogate" in settings:
            settings["surrogate"] = "" if surrogate is None else surrogate.path.name
        if outcome.plan.name in copied:
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


def _describe_classes(classes: tuple[str, ...], labels: Tensor, result: RobustAccuracy) -> list[PerClass]:
    described = []
    for label, name in enumerate(classes):
        own = labels == label
        count = int(own.sum())
        if count:
            clean, robust = int(result.clean_correct[own].sum()), int(result.robust_correct[own].sum())
            described.append(
                PerClass(name=name, samples=count, clean_accuracy=clean / count, robust_accuracy=robust / count)
            )
    return described


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


def _per_image(images: Images, result: RobustAccuracy) -> dict[str, Any]:
    names = [outcome.plan.name for outcome in result.outcomes]
    return {
        "index": np.arange(len(images)),
        "path": np.array(images.files.paths),
        "label": images.labels.numpy(),
        "prediction": result.predictions.numpy(),
        "clean": result.clean_correct.numpy(),
        "robust": result.robust_correct.numpy(),
        "broken_by": result.broken_by.numpy(),
        "attack": np.array([names[place] if place >= 0 else "" for place in result.broken_by.tolist()]),
        "distance": result.distance.numpy(),
    }


@torch.no_grad()
def _worst(subject: Subject, images: Images, pixels: Tensor, result: RobustAccuracy) -> list[WorstImage]:
    """Return the images that fell to the smallest perturbations, of those whose adversarial image was kept."""
    nearest = sorted(result.examples, key=lambda index: float(result.distance[index]))[:SHOWN_EXAMPLES]
    device = device_of(subject.model)
    pictures = []
    for index in nearest:
        adversarial = result.examples[index]
        confidence, became = subject.model(adversarial[None].to(device)).softmax(dim=1).max(dim=1)
        pictures.append(
            WorstImage(
                path=images.files.paths[index],
                label=subject.classes[int(images.labels[index])],
                became=subject.classes[int(became)],
                confidence=float(confidence),
                clean=as_float(pixels[index]).cpu(),
                adversarial=adversarial,
                distance=float(result.distance[index]),
            )
        )
    return pictures


def _write(found: _Found, target: Path) -> Evaluation:
    """Write the JSON and, beside it, the results of each image."""
    per_image = target.with_suffix(".npz")
    with written_whole(per_image) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **found.arrays)
    evaluation = found.evaluation.model_copy(update={"per_image": per_image.name})
    write_text(target, json.dumps(evaluation.model_dump(by_alias=True), indent=2) + "\n")
    return evaluation
