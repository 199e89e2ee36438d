"""Config -> trained model and a run folder."""

from __future__ import annotations

import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from hardener.config.run_folder import (
    DataRecord,
    InputRecord,
    ModelRecord,
    RunFolder,
    RunRecord,
    SplitRecord,
    now,
)
from hardener.config.schema import Recipe
from hardener.data.cache import PixelCache
from hardener.data.data_set import DataSet, read_data_set
from hardener.data.loader import DEFAULT_SIZE, Images, ImageShape, load_images, survey
from hardener.errors import Failure, HardenerError
from hardener.models.activation import replace_activations
from hardener.models.freeze import freeze
from hardener.models.load import LoadedModel, fingerprint
from hardener.models.normalize import ImageClassifier, normalization
from hardener.models.rebuild import build_for, fit_head
from hardener.models.trained import open_classifier
from hardener.progress import Reporter, rank_and_world
from hardener.runtime.device import choose_device, describe_hardware, describe_versions
from hardener.runtime.processes import from_first, local_device, meet, together
from hardener.training.metrics import SilentTraining, TrainReporter
from hardener.training.work import Work, autocasts


@dataclass(frozen=True)
class TrainRequest:
    """What `hardener train` was asked for."""

    model: str
    data: Path
    recipe: Recipe
    entry: str | None = None
    init: Path | None = None
    pretrained: bool = False
    replace_head: bool = False
    allow_pickle: bool = False
    validation_root: Path | None = None
    skip_bad_images: bool = False
    device: str = "auto"
    seed: int = 0
    out: Path = Path("runs")
    name: str | None = None


@dataclass(frozen=True)
class _Ready:
    """What a run needs, read and known to fit together."""

    device: torch.device
    folder: DataSet
    loaded: LoadedModel
    replaced: str | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_images: Images
    validation_images: Images


def train(request: TrainRequest, reporter: TrainReporter) -> RunFolder:
    """Train a model by a recipe and return its run folder.

    Nothing is written before model, data and recipe are known to fit together. Of the processes of one torchrun all
    must call this; the first writes and speaks. Where torchrun starts them again, they go on with their run.

    Raises:
        HardenerError: a mistake in what was asked for.
        Failure: the loss is no longer finite.
        Interrupted: a stop was asked for; the run can be resumed.
        Lost: another process ended; the run can be resumed.
        Told: on all processes but the first, where that one has said what happened.
    """
    meet()
    rank, world = rank_and_world()
    if rank != 0:
        reporter = SilentTraining()
    with together():
        begun = _begun_by_this_launch(request) if rank == 0 else None
    going = from_first(begun or "")
    if going:
        reporter.say(f"going on with {going}, which this launch began")
        return resume(RunFolder(Path(going)), reporter, device=request.device)
    with together():
        ready = _prepare(request, reporter)
    recipe, shape = request.recipe, ready.train_images.shape
    classifier = ImageClassifier(ready.loaded.network, mean=ready.mean, std=ready.std, classes=ready.folder.classes)
    with together():
        made = str(_new_folder(request, ready.loaded.name).path) if rank == 0 else None
    run = RunFolder(Path(from_first(made)))
    try:
        record = RunRecord(
            name=run.path.name,
            status="training",
            created_at=now(),
            seed=request.seed,
            device=str(ready.device),
            precision="bfloat16" if autocasts(recipe, ready.device) else "float32",
            processes=world,
            launch=_launch(),
            classes=list(ready.folder.classes),
            model=_model_record(
                request, ready.loaded, ready.replaced, _copy_sources(ready.loaded, run) if rank == 0 else None
            ),
            data=DataRecord(
                root=str(request.data.resolve()),
                validation_root=None if request.validation_root is None else str(request.validation_root.resolve()),
                skip_bad_images=request.skip_bad_images,
                splits={
                    "train": _split_record(ready.train_images),
                    "validation": _split_record(ready.validation_images),
                },
                listings=ready.folder.listings(),
            ),
            input=InputRecord(
                height=shape.height,
                width=shape.width,
                channels=shape.channels,
                mean=list(ready.mean),
                std=list(ready.std),
            ),
            versions=describe_versions(),
            hardware=describe_hardware(ready.device),
        )
        if rank == 0:
            run.write_recipe(recipe)
            run.write_record(record)
        _announce(run, recipe, reporter)
        return Work(
            run, record, recipe, classifier, ready.train_images, ready.validation_images, ready.device, reporter
        ).go()
    except Failure:
        if rank == 0 and not run.weights.is_file():  # it came to nothing, and would again
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    finally:
        if rank == 0 and not run.checkpoint.is_file():  # it can neither be used nor resumed
            shutil.rmtree(run.path, ignore_errors=True)


def resume(run: RunFolder, reporter: TrainReporter, *, device: str = "auto") -> RunFolder:
    """Go on with a run from its last checkpoint, on the data and with the recipe that it names.

    The number of processes may be another than before: each epoch's images come in the same order all the same.

    Raises:
        HardenerError: the run is finished, has no checkpoint, or its data has changed.
    """
    meet()
    rank, world = rank_and_world()
    if rank != 0:
        reporter = SilentTraining()
    with together():
        record = run.read_record()
        recipe = run.read_recipe()
        if record.status == "finished" and not _restarted():
            raise HardenerError(f"{run.path} is finished: {record.epochs_done} epochs are done.")
    if from_first(record.status) == "finished":  # torchrun has started all anew because one fell after the end
        return run
    with together():
        chosen = _own_device(device)
        folder = read_data_set(
            Path(record.data.root),
            validation_root=None if record.data.validation_root is None else Path(record.data.validation_root),
            seed=record.seed,
            val_fraction=recipe.data.val_fraction,
            test_fraction=recipe.data.test_fraction,
        )
        classifier = open_classifier(run, record, weights=False)
        freeze(classifier.network, recipe.network.freeze, num_classes=len(record.classes))
        shape = ImageShape(record.input.height, record.input.width, record.input.channels)
        train_images, validation_images = _load(
            folder, shape, record.data.skip_bad_images, _pixel_cache(recipe, reporter), reporter
        )
        for name, images in (("train", train_images), ("validation", validation_images)):
            if images.fingerprint != record.data.splits[name].fingerprint:
                raise HardenerError(
                    f"{record.data.root} has changed since the run began ({name} split): a resumed run would not be "
                    "the one that was started. Restore the images, or start a new run."
                )
        _check_enough(train_images)
    before, record.processes = record.processes, world
    record.status, record.launch = "training", _launch()
    work = Work(run, record, recipe, classifier, train_images, validation_images, chosen, reporter)
    with together():
        work.resume()
    if before != world:
        reporter.say(f"{before} → {world} processes: the run goes on at the same image, with other minibatches")
    _announce(run, recipe, reporter)
    return work.go()


def _prepare(request: TrainRequest, reporter: Reporter) -> _Ready:
    """Read model and data, and see that they fit together and the recipe; nothing is written."""
    recipe = request.recipe
    device = _own_device(request.device)
    folder = read_data_set(
        request.data,
        validation_root=request.validation_root,
        seed=request.seed,
        val_fraction=recipe.data.val_fraction,
        test_fraction=recipe.data.test_fraction,
    )
    cache = _pixel_cache(recipe, reporter)
    sizes, color = survey(folder.train, cache=cache)
    height, width = _image_size(recipe, sizes)
    torch.manual_seed(request.seed)
    loaded, channels, outputs = build_for(
        request.model,
        num_classes=len(folder.classes),
        channels=[recipe.data.channels] if recipe.data.channels != "auto" else [3, 1] if color else [1, 3],
        height=height,
        width=width,
        entry=request.entry,
        pretrained=request.pretrained,
    )
    if color and channels == 1:
        reporter.warn("the images hold colour and the model takes one channel: they are turned to gray")
    replaced, extra = fit_head(
        loaded,
        outputs,
        len(folder.classes),
        replace=request.replace_head,
        init=request.init,
        allow_pickle=request.allow_pickle,
    )
    if replaced:
        reporter.say(f"final layer {replaced} replaced: {outputs} → {len(folder.classes)} outputs")
    if extra:
        reporter.warn(f"{request.init} holds {len(extra)} tensors that the model has no place for, such as {extra[0]}")
    activation, frozen = recipe.network.activation, recipe.network.freeze
    smooth = replace_activations(loaded.network, activation, channels=channels, height=height, width=width)
    if smooth:
        reporter.say(f"{smooth} ReLUs replaced by {activation}")
    still = freeze(loaded.network, frozen, num_classes=len(folder.classes))
    if still:
        learning = sum(p.numel() for p in loaded.network.parameters() if p.requires_grad)
        reporter.say(f"frozen: {', '.join(still)}; {learning:,} parameters learn")
    shape = ImageShape(height, width, channels)
    train_images, validation_images = _load(folder, shape, request.skip_bad_images, cache, reporter)
    _check_enough(train_images)
    mean, std = normalization(recipe.data.normalize, channels=channels, mean=train_images.mean, std=train_images.std)
    return _Ready(device, folder, loaded, replaced, mean, std, train_images, validation_images)


def _own_device(name: str) -> torch.device:
    """Return the device of this process: of several on a machine, each has a GPU of its own.

    Raises:
        HardenerError: no such device here, or fewer than there are processes.
    """
    device = choose_device(name)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.type != "cuda" or rank_and_world()[1] == 1:
        return device
    if device.index is not None and local > 1:
        raise HardenerError(f"--device {name} is one GPU, and {local} processes would share it: leave --device out.")
    if local > torch.cuda.device_count():
        raise HardenerError(
            f"{local} processes, and {torch.cuda.device_count()} GPUs on {socket.gethostname()}: start one process a "
            f"GPU, by --nproc-per-node {torch.cuda.device_count()}."
        )
    own = local_device(device)
    torch.cuda.set_device(own)
    return own


def _check_enough(images: Images) -> None:
    world = rank_and_world()[1]
    if world > 1 and len(images) < 2 * world:
        raise HardenerError(f"{len(images)} training images are too few for {world} processes: each needs two.")


def _announce(run: RunFolder, recipe: Recipe, reporter: Reporter) -> None:
    world = rank_and_world()[1]
    if world > 1:
        reporter.say(
            f"{world} processes, {recipe.batch_size} images a step each: {world * recipe.batch_size} together. Should "
            f"one end early, the run can go on: start torchrun again, with: hardener train --resume {run.path}"
        )


def _launch() -> str | None:
    """Return what torchrun calls the job that this process belongs to, the same when it starts the job again.

    Where it has no name of its own, as with --master-addr, torchrun's own process on the first machine stands for it.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"{socket.gethostname()}:{os.getppid()}" if name == "none" else name


def _restarted() -> bool:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def _begun_by_this_launch(request: TrainRequest) -> str | None:
    """Return the run that torchrun began by this very request, before it started its processes again."""
    launch = _launch()
    if launch is None:
        return None
    for run in [RunFolder(path.parent) for path in request.out.glob("*/run.json")]:
        try:
            record = run.read_record()
        except HardenerError:  # another version's
            continue
        same = (record.launch, record.model.spec, record.seed) == (launch, request.model, request.seed)
        if not same or record.data.root != str(request.data.resolve()) or run.read_recipe() != request.recipe:
            continue
        if request.name not in {None, record.name} or (record.status == "finished" and not _restarted()):
            continue
        if run.checkpoint.is_file():
            return str(run.path)
        shutil.rmtree(run.path)  # it fell before there was anything to go on from
    return None


def _image_size(recipe: Recipe, sizes: set[tuple[int, int]]) -> tuple[int, int]:
    if recipe.data.image_size is not None:
        return recipe.data.image_size
    return next(iter(sizes)) if len(sizes) == 1 else (DEFAULT_SIZE, DEFAULT_SIZE)


def _pixel_cache(recipe: Recipe, reporter: Reporter) -> PixelCache | None:
    return PixelCache(recipe.data.cache_gb, reporter.warn) if recipe.data.cache else None


def _load(
    folder: DataSet, shape: ImageShape, skip_bad: bool, cache: PixelCache | None, reporter: Reporter
) -> tuple[Images, Images]:
    with reporter.track("reading images", len(folder.train) + len(folder.validation), "images") as advance:
        train_images, validation_images = (
            load_images(files, shape, skip_bad=skip_bad, cache=cache, on_decoded=advance)
            for files in (folder.train, folder.validation)
        )
    skipped = train_images.skipped + validation_images.skipped
    if skipped:
        named = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
        reporter.warn(
            f"{len(skipped)} images cannot be read and are left out: {named}{' …' if len(skipped) > 3 else ''}"
        )
    return train_images, validation_images


def _new_folder(request: TrainRequest, model_name: str) -> RunFolder:
    if request.name is not None:
        path = request.out / request.name
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise HardenerError(
                f"{path} exists. Choose another --name, or go on with it: hardener train --resume {path}"
            ) from None
        return RunFolder(path)
    stem = f"{model_name}-{request.recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for attempt in range(1, 1000):
        path = request.out / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return RunFolder(path)
    raise Failure(f"no free name for a run below {request.out}.")


def _copy_sources(loaded: LoadedModel, run: RunFolder) -> str | None:
    """Copy the model file, and what it imports from beside it, into the run; return where the model file went."""
    if not loaded.sources:
        return None
    main, *beside = loaded.sources
    for source in (main, *beside):
        target = run.model_files / source.resolve().relative_to(main.resolve().parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return str((run.model_files / main.name).relative_to(run.path))


def _model_record(request: TrainRequest, loaded: LoadedModel, replaced: str | None, file: str | None) -> ModelRecord:
    return ModelRecord(
        spec=request.model,
        name=loaded.name,
        file=file,
        entry=request.entry,
        fingerprint=fingerprint(loaded),
        parameters=sum(p.numel() for p in loaded.network.parameters()),
        init=None if request.init is None else str(request.init),
        pretrained=request.pretrained,
        replaced_head=replaced,
        activation=request.recipe.network.activation,
    )


def _split_record(images: Images) -> SplitRecord:
    return SplitRecord(images=len(images), skipped=len(images.skipped), fingerprint=images.fingerprint)
