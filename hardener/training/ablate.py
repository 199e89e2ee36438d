"""Every combination of SPROUT's three modules, trained and evaluated alike: what each of them gives."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hardener.config.ablation_record import (
    Ablation,
    Asked,
    Combination,
    Module,
    read_ablation,
    write_ablation,
)
from hardener.config.bundle import sha256_of
from hardener.config.data_path import lasting
from hardener.config.evaluation_record import EvaluatedThreat
from hardener.config.files import check_writable, tidy
from hardener.config.reading import AS_FOUND, Reading
from hardener.config.recipe import check_recipe
from hardener.config.run_folder import RunFolder, now
from hardener.config.run_lock import LOCK, locked
from hardener.config.run_name import check_run_name, fitting_name
from hardener.config.schema import Recipe
from hardener.errors import HardenerError, Interrupted, Paused
from hardener.evaluation.plan import EvaluateRequest, planned_attacks, planned_threat
from hardener.evaluation.run import evaluate_run
from hardener.models.naming import named
from hardener.models.registry import REGISTRIES
from hardener.progress import TrainReporter, rank_and_world
from hardener.reports.ablation_figure import draw_ablation
from hardener.runtime.device import choose_device, describe_versions
from hardener.threat import ThreatModel
from hardener.training.ablation_findings import compare_costs, effects_of, put_on_record
from hardener.training.module_sets import NATURAL, check_modules, module_sets, name_of, recipe_with
from hardener.training.run import TrainRequest, resume, train
from hardener.training.stop import stopping_after

RECORD, FIGURE = "ablation.json", "ablation.png"


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
    model_args: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None
    validation_root: Path | None = None
    test_root: Path | None = None
    skip_bad_images: bool = False
    reading: Reading = AS_FOUND
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


def ablate(request: AblateRequest, reporter: TrainReporter) -> tuple[Ablation, Path]:
    """Train and evaluate the eight combinations that are not done yet, and say what each module gives.

    Returns:
        The record and its folder, which holds it as ablation.json, with a figure and a run for each combination.
    Raises:
        HardenerError: a mistake in what was asked for.
        Interrupted: a stop was asked for; the same request, with the folder's name, goes on.
    """
    request = _mirroring_as_before(request)
    asked = _check(request)
    folder = _folder(request, asked)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "worked on", reporter.warn):
        tidy(folder)
        return _go(request, folder, _taken_up(folder, asked, reporter), reporter), folder


def _go(request: AblateRequest, folder: Path, ablation: Ablation, reporter: TrainReporter) -> Ablation:
    """Do what is not done yet."""
    sets = module_sets()
    for place, modules in enumerate(sets):
        name = name_of(modules)
        if any(done.name == name for done in ablation.combinations):
            continue
        head = f"{place + 1} of {len(sets)}, {name}"
        with _pausing(head, folder):
            with stopping_after():
                run = _trained(request, modules, RunFolder(folder / name), f"{head}: training", reporter)
            _check_alike(run, folder)
            reporter.say(f"{head}: attacking")
            made = evaluate_run(run, _evaluation(request, folder), reporter)
            assert made is not None, "one process evaluates"
            found, file = made
            put_on_record(ablation, modules, run, found, file)
            write_ablation(ablation, folder / RECORD)
        reporter.say(
            f"{head}: clean {100 * found.clean_accuracy:.1f} %, worst case {100 * found.robust_accuracy:.1f} %"
        )
    compare_costs(ablation)
    ablation.effects = effects_of(ablation, folder)
    ablation.status = "finished"
    draw_ablation(ablation, folder / FIGURE)
    write_ablation(ablation, folder / RECORD)
    if request.json_file is not None:
        write_ablation(ablation, request.json_file)
    return ablation


def _mirroring_as_before(request: AblateRequest) -> AblateRequest:
    """Return the request with mirroring as the ablation of that name has it, where the recipe leaves it open.

    Version 0.1 mirrored nothing unless it was asked to, and wrote that down: what it began ends alike.
    """
    file = None if request.name is None else request.out / request.name / RECORD
    if request.recipe.augment.flip != "auto" or file is None or not file.is_file():
        return request
    flip = check_recipe(read_ablation(file).asked.recipe, str(file)).augment.flip
    augment = request.recipe.augment.model_copy(update={"flip": flip})
    return replace(request, recipe=request.recipe.model_copy(update={"augment": augment}))


def _check(request: AblateRequest) -> Asked:
    """Find what can be known to be wrong before anything is trained."""
    if rank_and_world()[1] > 1:
        raise HardenerError("hardener ablate works in one process: start it without torchrun.")
    check_modules(request.recipe)
    if request.name is not None:
        check_run_name(request.name)
    if request.json_file is not None and not request.json_file.parent.is_dir():
        raise HardenerError(f"no such folder: {request.json_file.parent}, for --json {request.json_file}.")
    check_writable(
        request.out / (request.name or "NAME") / RECORD, *([] if request.json_file is None else [request.json_file])
    )
    choose_device(request.device)
    assert request.precision != "auto", "the eight are attacked alike"
    evaluation = _evaluation(request, request.out)
    attacks, threat = planned_attacks(evaluation), planned_threat(evaluation)
    assert isinstance(threat, ThreatModel), "it asks for a norm"
    registry = request.model.partition(":")[0] in REGISTRIES
    named_file = None if registry else named(request.model, request.root).path
    file = named_file / "__init__.py" if named_file is not None and named_file.is_dir() else named_file
    return Asked(
        model=request.model if file is None else str(file.resolve()),
        model_sha256=None if file is None else sha256_of(file),
        entry=request.entry,
        model_args=dict(request.model_args),
        data=str(lasting(request.data)),
        val=None if request.validation_root is None else str(lasting(request.validation_root)),
        test=None if request.test_root is None else str(lasting(request.test_root)),
        skip_bad_images=request.skip_bad_images,
        reading=request.reading,
        recipe=request.recipe.model_dump(mode="json"),
        seed=request.seed,
        suite=None if request.attacks else request.suite,
        attacks=attacks,
        threat=EvaluatedThreat(norm=threat.norm, eps=threat.eps),
        samples=request.samples,
        precision=request.precision,
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
        reading=request.reading,
        dedupe=request.reading.dedupe,
        surrogate=RunFolder(folder / NATURAL),
    )


def _folder(request: AblateRequest, asked: Asked) -> Path:
    """Return the folder of the ablation, new or of this very request."""
    stem = Path(request.model).stem if asked.model_sha256 else request.model.partition(":")[2]
    own = f"{stem}-{request.recipe.name}-ablation-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = request.out / (request.name or fitting_name(own))
    if not folder.exists() or (folder.is_dir() and {left.name for left in folder.iterdir()} <= {LOCK}):
        return folder
    if not (folder / RECORD).is_file():
        raise HardenerError(f"{folder} exists and holds no ablation: choose another --name.")
    before = read_ablation(folder / RECORD).asked
    told = {"fine_tuning": asked.recipe["fine_tuning"]} | before.recipe  # the first version did not know this section
    before.recipe = check_recipe(told, str(folder / RECORD)).model_dump(mode="json")  # in today's words
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
        again = f"--name {shlex.quote(folder.name)}"
        raise Interrupted(f"at {head}. The same command with {again} goes on from here.") from None
    except HardenerError:
        if {path.name for path in folder.iterdir()} == {RECORD, LOCK} and not read_ablation(
            folder / RECORD
        ).combinations:
            shutil.rmtree(folder)  # nothing came of it
        raise


def _is_trained(run: RunFolder) -> bool:
    return run.weights.is_file() and run.record_file.is_file() and run.read_record().status == "finished"


def _trained(
    request: AblateRequest, modules: Sequence[Module], run: RunFolder, head: str, reporter: TrainReporter
) -> RunFolder:
    """Train a combination unless it is trained, from where it was stopped or from the start; `head` says so."""
    if _is_trained(run):
        return run
    reporter.say(head)
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
            model_args=request.model_args,
            root=request.root,
            validation_root=request.validation_root,
            test_root=request.test_root,
            skip_bad_images=request.skip_bad_images,
            reading=request.reading,
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
