"""Config -> trained model and a run folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from hardener.config.data_path import lasting
from hardener.config.run_folder import DataRecord, RunFolder
from hardener.config.run_lock import locked
from hardener.errors import HardenerError
from hardener.progress import Reporter, SilentTraining, TrainReporter, rank_and_world
from hardener.runtime.model_state import same_draws
from hardener.runtime.processes import from_first, meet, together
from hardener.training.build import check_optimizer, check_prior
from hardener.training.ending import TimeLimit
from hardener.training.finishing import finish_up, lacks
from hardener.training.launch import begun_by_this_launch, launch_name, was_restarted
from hardener.training.new_run import check_name, new_folder, removed_if_useless, write_beginning
from hardener.training.prepare import prepare, prepare_again
from hardener.training.rehearsal import rehearse
from hardener.training.request import TrainRequest
from hardener.training.session import TrainingSession
from hardener.training.taking_up import check_recipe_kept, take_up
from hardener.training.tracking import check_tracker

__all__ = ["TrainRequest", "resume", "train"]


@same_draws(torch.device("cpu"))
def train(request: TrainRequest, reporter: TrainReporter) -> RunFolder:
    """Train a model by a recipe and return its run folder.

    Nothing is written before model, data and recipe are known to fit together. Of the processes of one torchrun all
    must call this; the first writes and speaks. Where torchrun starts them again, they go on with their run. What the
    calling program draws at random afterwards is as without this.

    Raises:
        HardenerError: a mistake in what was asked for.
        Failure: the loss is no longer finite.
        Interrupted: a stop was asked for; the run can be resumed.
        Lost: another process ended; the run can be resumed.
        Told: on all processes but the first, where that one has said what happened.
    """
    limit = TimeLimit(request.time_limit_s)
    meet()
    is_first = rank_and_world()[0] == 0
    reporter = reporter if is_first else SilentTraining()
    with together():
        begun = begun_by_this_launch(request) if is_first else None
    going = from_first(begun or "")
    if going:
        reporter.say(f"going on with {going}, which this launch began")
        return resume(RunFolder(Path(going)), reporter, device=request.device, time_limit_s=request.time_limit_s)
    with together():
        check_optimizer(request.recipe.optimizer)
        check_tracker(request.recipe)
        if is_first:
            check_name(request)
    with together():
        prepared = prepare(request, reporter)
        check_prior(prepared.recipe, prepared.material.train_images)
    request = replace(request, recipe=prepared.recipe)
    with together():
        made = str(new_folder(request, prepared.loaded.name).path) if is_first else None
    run = RunFolder(Path(from_first(made)))
    with _alone_with(run, reporter), removed_if_useless(run):
        record = write_beginning(run, request, prepared)
        with together():
            if is_first and request.rehearse:
                rehearse(run, record, request.recipe, prepared.material, reporter)
        _announce(run, request.recipe.batch_size, reporter)
        return TrainingSession(run, record, request.recipe, prepared.material, reporter).go(limit)


@same_draws(torch.device("cpu"))
def resume(
    run: RunFolder,
    reporter: TrainReporter,
    *,
    device: str = "auto",
    data: Path | None = None,
    validation_root: Path | None = None,
    images_root: Path | None = None,
    test_root: Path | None = None,
    time_limit_s: float | None = None,
) -> RunFolder:
    """Go on with a run from its last checkpoint, on the data and with the recipe that it names.

    The number of processes may be another than before: each epoch's images come in the same order all the same.

    A run that is finished gets what it lacks of its page and its curves.

    Args:
        data, validation_root, test_root, images_root: where the images lie now, if they moved; they must be the same.
        time_limit_s: for this sitting, from reading the data on; None: as long as it takes.
    Raises:
        HardenerError: the run is finished and lacks nothing, another process trains it, it has no checkpoint, or its
            data or recipe has changed.
    """
    limit = TimeLimit(time_limit_s)
    meet()
    rank, world = rank_and_world()
    reporter = reporter if rank == 0 else SilentTraining()
    with _alone_with(run, reporter):
        with together():
            record, recipe = run.read_record(), run.read_recipe()
            is_whole = world > 1 or not lacks(run, record, recipe)
            if record.status == "finished" and is_whole and not was_restarted():
                further = f"A new run begins with its weights by --init {shlex.quote(str(run.path))}."
                raise HardenerError(f"{run.path} is finished: {record.epochs_done} epochs are done. {further}")
            _move(record.data, data, validation_root, test_root, images_root)
        if from_first(record.status) == "finished":  # or torchrun has started all anew because one fell after the end
            if world == 1:
                finish_up(run, record, recipe, device, reporter)
            return run
        with together():
            check_recipe_kept(run, record)
            check_tracker(recipe)
            material = prepare_again(run, record, recipe, device, reporter)
            check_prior(recipe, material.train_images)
        before, record.processes = record.processes, world
        record.status, record.launch = "training", launch_name()
        session = TrainingSession(run, record, recipe, material, reporter)
        with together():
            take_up(run, record, session.state, reporter.warn)
        if before != world:
            reporter.say(f"{before} → {world} processes: the run goes on at the same image, with other minibatches")
        _announce(run, recipe.batch_size, reporter)
        return session.go(limit)


def _move(
    told: DataRecord, data: Path | None, validation_root: Path | None, test_root: Path | None, images_root: Path | None
) -> None:
    """Put on record where the images lie now, as far as they moved."""
    told.root = told.root if data is None else str(lasting(data))
    if validation_root is not None:
        told.validation_root = str(lasting(validation_root))
    if test_root is not None:
        told.test_root = str(lasting(test_root))
    if images_root is not None:
        told.reading = told.reading.model_copy(update={"images_root": str(images_root.resolve())})


@contextmanager
def _alone_with(run: RunFolder, reporter: Reporter) -> Iterator[None]:
    """Hold the run's lock, the first process for all; clean what a killed one left."""
    with ExitStack() as held:
        with together():
            if rank_and_world()[0] == 0:
                held.enter_context(locked(run.path, "trained", reporter.warn))
                run.tidy()
        yield


def _announce(run: RunFolder, batch_size: int, reporter: Reporter) -> None:
    world = rank_and_world()[1]
    if world > 1:
        reporter.say(
            f"{world} processes, {batch_size} images a step each: {world * batch_size} together. Should one end early, "
            f"the run can go on: start torchrun again, with: {run.going_on}"
        )
