"""Every combination of SPROUT's three modules, trained and evaluated alike: what each of them gives."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

from hardener.config.ablation_record import (
    MODULES,
    Ablation,
    Asked,
    Change,
    Combination,
    Effect,
    Module,
    read_ablation,
    write_ablation,
)
from hardener.config.bundle import sha256_of
from hardener.config.evaluation_record import Evaluation, Threat
from hardener.config.run_folder import RunFolder, now
from hardener.config.schema import Recipe
from hardener.errors import HardenerError, Interrupted
from hardener.evaluation.run import EvaluateRequest, Paused, evaluate_run, planned_attacks, planned_threat
from hardener.models.load import REGISTRIES
from hardener.progress import rank_and_world
from hardener.reports.ablation_figure import draw_ablation
from hardener.runtime.device import choose_device, describe_versions
from hardener.statistics.paired import Outcomes, adjusted_interval, mean_differences, read_outcomes
from hardener.training.metrics import TrainReporter
from hardener.training.run import TrainRequest, resume, train

NATURAL = "natural"
RECORD, FIGURE = "ablation.json", "ablation.png"
_SWITCHES: dict[Module, str] = {
    "noise": "vicinity.noise_sigma=0.1",
    "mixup": "vicinity.mixup_alpha=0.2",
    "labels": "vicinity.labels.law=budget",
}


@dataclass(frozen=True)
class AblateRequest:
    """What `hardener ablate` was asked for. `recipe` has all three modules on.

    `attacks`, else `suite`, with `norm`, `eps`, `samples` and `precision`: as of an evaluation. Not `auto`: what is
    faster would be chosen for each model anew, and the eight would not be attacked alike.
    """

    model: str
    data: Path
    recipe: Recipe
    entry: str | None = None
    skip_bad_images: bool = False
    seed: int = 0
    suite: str = "standard"
    attacks: tuple[str, ...] = ()
    norm: str = "linf"
    eps: float | None = None
    samples: int = 1000
    precision: str = "float32"
    device: str = "auto"
    out: Path = Path("runs")
    name: str | None = None
    json_file: Path | None = None


def module_sets() -> list[tuple[Module, ...]]:
    """Return the eight combinations, from none to all."""
    return [chosen for size in range(len(MODULES) + 1) for chosen in combinations(MODULES, size)]


def name_of(modules: Sequence[Module]) -> str:
    """Return what a combination and its run are called."""
    return "+".join(modules) or NATURAL


def recipe_with(base: Recipe, modules: Sequence[Module]) -> Recipe:
    """Return the recipe with these modules as they are and the others switched off."""
    vicinity = base.vicinity
    off: dict[str, Any] = {}
    if "noise" not in modules:
        off["noise_sigma"] = 0.0
    if "mixup" not in modules:
        off["mixup_alpha"] = 0.0
    if "labels" not in modules:
        off["labels"] = vicinity.labels.model_copy(update={"law": "one-hot"})
    name = base.name if len(modules) == len(MODULES) else f"{base.name}: {name_of(modules)}"
    return base.model_copy(update={"name": name, "vicinity": vicinity.model_copy(update=off)})


def ablate(request: AblateRequest, reporter: TrainReporter) -> tuple[Ablation, Path]:
    """Train and evaluate the eight combinations that are not done yet, and say what each module gives.

    Returns:
        The record and its folder, which holds it as ablation.json, with a figure and a run for each combination.
    Raises:
        HardenerError: a mistake in what was asked for.
        Interrupted: a stop was asked for; the same request, with the folder's name, goes on.
    """
    asked = _check(request)
    folder = _folder(request, asked)
    ablation = _taken_up(folder, asked, reporter)
    sets = module_sets()
    for place, modules in enumerate(sets):
        name = name_of(modules)
        if any(done.name == name for done in ablation.combinations):
            continue
        head = f"{place + 1} of {len(sets)}, {name}"
        with _pausing(head, folder):
            run = RunFolder(folder / name)
            if not _is_trained(run):
                reporter.say(f"{head}: training")
                run = _trained(request, modules, run, reporter)
            _check_alike(run, folder)
            reporter.say(f"{head}: attacking")
            made = evaluate_run(run, _evaluation(request, folder), reporter)
        assert made is not None, "one process evaluates"
        _put_on_record(ablation, modules, run, *made)
        write_ablation(ablation, folder / RECORD)
        found = made[0]
        reporter.say(
            f"{head}: clean {100 * found.clean_accuracy:.1f} %, worst case {100 * found.robust_accuracy:.1f} %"
        )
    _compare_costs(ablation)
    ablation.effects = _effects(ablation, folder)
    ablation.status = "finished"
    draw_ablation(ablation, folder / FIGURE)
    write_ablation(ablation, folder / RECORD)
    if request.json_file is not None:
        write_ablation(ablation, request.json_file)
    return ablation, folder


def _check(request: AblateRequest) -> Asked:
    """Find what can be known to be wrong before anything is trained."""
    if rank_and_world()[1] > 1:
        raise HardenerError("hardener ablate works in one process: start it without torchrun.")
    _check_modules(request.recipe)
    if request.json_file is not None and not request.json_file.parent.is_dir():
        raise HardenerError(f"no such folder: {request.json_file.parent}, for --json {request.json_file}.")
    choose_device(request.device)
    assert request.precision != "auto", "the eight are attacked alike"
    evaluation = _evaluation(request, request.out)
    attacks, threat = planned_attacks(evaluation), planned_threat(evaluation)
    registry = request.model.partition(":")[0] in REGISTRIES
    file = None if registry else Path(request.model)
    if file is not None and not file.is_file():
        raise HardenerError(f"no model file {request.model}.")
    return Asked(
        model=request.model if file is None else str(file.resolve()),
        model_sha256=None if file is None else sha256_of(file),
        entry=request.entry,
        data=str(request.data.resolve()),
        skip_bad_images=request.skip_bad_images,
        recipe=request.recipe.model_dump(mode="json"),
        seed=request.seed,
        suite=None if request.attacks else request.suite,
        attacks=attacks,
        threat=Threat(norm=threat.norm, eps=threat.eps),
        samples=request.samples,
        precision=request.precision,
    )


def _check_modules(recipe: Recipe) -> None:
    vicinity, labels = recipe.vicinity, recipe.vicinity.labels
    sharp = labels.law == "one-hot" or (labels.law in {"uniform", "budget"} and labels.smoothing == 0)
    is_off = {"noise": vicinity.noise_sigma == 0, "mixup": vicinity.mixup_alpha == 0, "labels": sharp}
    off = [module for module in MODULES if is_off[module]]
    if off:
        verb = "is" if len(off) == 1 else "are"
        turned = " ".join(f"--set {_SWITCHES[module]}" for module in off)
        raise HardenerError(
            f"an ablation switches noise, mixup and labels off, and in the recipe {recipe.name} {', '.join(off)} "
            f"{verb} off already. Take --recipe sprout, or turn {'it' if len(off) == 1 else 'them'} on, such as by "
            f"{turned}."
        )


def _evaluation(request: AblateRequest, folder: Path) -> EvaluateRequest:
    """Return how each run is evaluated; transfer attacks come from the natural one."""
    return EvaluateRequest(
        attacks=request.attacks,
        suite=None if request.attacks else request.suite,
        norm=request.norm,
        eps=request.eps,
        samples=request.samples,
        device=request.device,
        seed=request.seed,
        precision=request.precision,
        skip_bad_images=request.skip_bad_images,
        surrogate=RunFolder(folder / NATURAL),
    )


def _folder(request: AblateRequest, asked: Asked) -> Path:
    """Return the folder of the ablation, new or of this very request."""
    stem = Path(request.model).stem if asked.model_sha256 else request.model.partition(":")[2]
    own = f"{stem}-{request.recipe.name}-ablation-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = request.out / (request.name or own)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return folder
    if not (folder / RECORD).is_file():
        raise HardenerError(f"{folder} exists and holds no ablation: choose another --name.")
    before = read_ablation(folder / RECORD).asked
    changed = _first_change(before.model_dump(), asked.model_dump())
    if changed is not None:
        field, was, is_now = changed
        raise HardenerError(
            f"{folder} belongs to another ablation: there {field} is {_shown(was)}, now it is {_shown(is_now)}. Choose "
            "another --name, or ask for the same."
        )
    return folder


def _first_change(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> tuple[str, Any, Any] | None:
    """Return the name of the first field that differs, with its two values."""
    for key in dict.fromkeys([*before, *after]):
        was, is_now = before.get(key), after.get(key)
        if isinstance(was, dict) and isinstance(is_now, dict):
            inner = _first_change(was, is_now, f"{prefix}{key}.")
            if inner is not None:
                return inner
        elif was != is_now:
            return f"{prefix}{key}", was, is_now
    return None


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 64 else f"{text[:12]}…"


def _taken_up(folder: Path, asked: Asked, reporter: TrainReporter) -> Ablation:
    """Return the record to go on with, of which only what still stands is kept, or a new one."""
    if not (folder / RECORD).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        ablation = Ablation(status="running", created_at=now(), asked=asked, versions=describe_versions())
        write_ablation(ablation, folder / RECORD)
        return ablation
    ablation = read_ablation(folder / RECORD)
    ablation.combinations = [done for done in ablation.combinations if _stands(done, folder)]
    ablation.status, ablation.effects = "running", []
    reporter.say(f"going on with {folder}: {len(ablation.combinations)} of {len(module_sets())} are done")
    return ablation


def _stands(done: Combination, folder: Path) -> bool:
    run = RunFolder(folder / done.run)
    files = (run.weights, run.path / done.evaluation, (run.path / done.evaluation).with_suffix(".npz"))
    return all(file.is_file() for file in files) and sha256_of(run.weights) == done.fingerprint


@contextmanager
def _pausing(head: str, folder: Path) -> Iterator[None]:
    """Say, when work is stopped, how the whole goes on."""
    try:
        yield
    except (Interrupted, Paused, KeyboardInterrupt):
        raise Interrupted(f"at {head}. The same command with --name {folder.name} goes on from here.") from None
    except HardenerError:
        if {path.name for path in folder.iterdir()} == {RECORD} and not read_ablation(folder / RECORD).combinations:
            shutil.rmtree(folder)  # nothing came of it
        raise


def _is_trained(run: RunFolder) -> bool:
    return run.weights.is_file() and run.record_file.is_file() and run.read_record().status == "finished"


def _trained(request: AblateRequest, modules: Sequence[Module], run: RunFolder, reporter: TrainReporter) -> RunFolder:
    """Train a combination, from where it was stopped or from the start."""
    unfinished = run.record_file.is_file() and run.read_record().status != "finished"
    if unfinished and run.checkpoint.is_file():
        return resume(run, reporter, device=request.device)
    if run.path.is_dir():  # it fell before there was anything to go on from, or its weights are gone
        shutil.rmtree(run.path)
    return train(
        TrainRequest(
            model=request.model,
            data=request.data,
            recipe=recipe_with(request.recipe, modules),
            entry=request.entry,
            skip_bad_images=request.skip_bad_images,
            device=request.device,
            seed=request.seed,
            out=run.path.parent,
            name=run.path.name,
        ),
        reporter,
    )


def _check_alike(run: RunFolder, folder: Path) -> None:
    """See that a run has the model and the images of the first."""
    record, first = run.read_record(), RunFolder(folder / NATURAL).read_record()
    for what, own, other in (
        ("model", record.model.fingerprint, first.model.fingerprint),
        ("images", record.data.splits, first.data.splits),
    ):
        if own != other:
            raise HardenerError(
                f"the {what} changed since {folder} was begun: {run.path} has others than {NATURAL}. Begin anew with "
                f"another --name, or restore the {what} and remove {run.path}."
            )


def _put_on_record(
    ablation: Ablation, modules: tuple[Module, ...], run: RunFolder, found: Evaluation, file: Path
) -> None:
    """Add a combination that is trained and evaluated."""
    record = run.read_record()
    assert record.best is not None, "a finished run has a best epoch"
    if ablation.data_fingerprint not in {None, found.data.fingerprint}:
        raise HardenerError(
            f"the images changed since the ablation was begun: {run.path} was evaluated on others. Restore them, or "
            "begin anew with another --name."
        )
    ablation.split, ablation.samples = found.data.split, found.samples
    ablation.data_fingerprint, ablation.hardware = found.data.fingerprint, record.hardware
    rows = [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]
    ablation.combinations.append(
        Combination(
            name=name_of(modules),
            modules=list(modules),
            run=run.path.name,
            evaluation=str(file.relative_to(run.path)),
            fingerprint=found.model.fingerprint,
            device=str(record.hardware.get("gpu", record.device)),
            best_epoch=record.best.epoch,
            clean_accuracy=found.clean_accuracy,
            clean_interval=found.clean_interval,
            robust_accuracy=found.robust_accuracy,
            interval=found.interval,
            verdict=found.verdict,
            flags=[flag.id for flag in found.flags],
            seconds=record.seconds,
            epoch_seconds=record.data.splits["train"].images / median(row["images_per_s"] for row in rows),
        )
    )


def _compare_costs(ablation: Ablation) -> None:
    """Bring the combinations in order, and relate what their training took to natural's."""
    order = [name_of(modules) for modules in module_sets()]
    ablation.combinations.sort(key=lambda done: order.index(done.name))
    natural = ablation.combinations[0]
    for done in ablation.combinations:
        done.cost = done.epoch_seconds / natural.epoch_seconds if done.device == natural.device else None


def _effects(ablation: Ablation, folder: Path) -> list[Effect]:
    """Return each module's effect, from the results of each image."""
    outcomes: dict[frozenset[Module], Outcomes] = {
        frozenset(done.modules): read_outcomes((folder / done.run / done.evaluation).with_suffix(".npz"))
        for done in ablation.combinations
    }
    effects = []
    for module in MODULES:
        pairs = [(found, outcomes[without | {module}]) for without, found in outcomes.items() if module not in without]
        clean, robust = (mean_differences(pairs, which) for which in ("clean", "robust"))
        effects.append(
            Effect(
                module=module,
                clean=Change(difference=float(clean.mean()), interval=adjusted_interval(clean)),
                robust=Change(difference=float(robust.mean()), interval=adjusted_interval(robust)),
            )
        )
    return effects
