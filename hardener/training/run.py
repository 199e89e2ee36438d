"""Config -> trained model and a run folder."""

from __future__ import annotations

import shutil
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
from hardener.data.image_folder import ImageFolder, read_image_folder
from hardener.data.loader import DEFAULT_SIZE, Images, ImageShape, load_images, survey
from hardener.errors import Failure, HardenerError
from hardener.evaluation.device import choose_device, describe_hardware, describe_versions
from hardener.models.activation import replace_activations
from hardener.models.freeze import freeze
from hardener.models.load import LoadedModel, fingerprint
from hardener.models.normalize import ImageClassifier, normalization
from hardener.models.rebuild import build_for, fit_head
from hardener.models.trained import open_classifier
from hardener.progress import Reporter
from hardener.training.work import TrainReporter, Work, autocasts


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


def train(request: TrainRequest, reporter: TrainReporter) -> RunFolder:
    """Train a model by a recipe and return its run folder.

    Nothing is written before model, data and recipe are known to fit together.

    Raises:
        HardenerError: a mistake in what was asked for.
        Failure: the loss is no longer finite.
        Interrupted: a stop was asked for; the run can be resumed.
    """
    recipe = request.recipe
    device = choose_device(request.device)
    folder = read_image_folder(
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
    replace_activations(loaded.network, activation, channels=channels, height=height, width=width)
    freeze(loaded.network, frozen, num_classes=len(folder.classes))
    shape = ImageShape(height, width, channels)
    train_images, validation_images = _load(folder, shape, request.skip_bad_images, cache, reporter)
    mean, std = normalization(recipe.data.normalize, channels=channels, mean=train_images.mean, std=train_images.std)
    classifier = ImageClassifier(loaded.network, mean=mean, std=std, classes=folder.classes)

    run = _new_folder(request, loaded.name)
    try:
        record = RunRecord(
            name=run.path.name,
            status="training",
            created_at=now(),
            seed=request.seed,
            device=str(device),
            precision="bfloat16" if autocasts(recipe, device) else "float32",
            classes=list(folder.classes),
            model=_model_record(request, loaded, replaced, _copy_sources(loaded, run)),
            data=DataRecord(
                root=str(request.data.resolve()),
                validation_root=None if request.validation_root is None else str(request.validation_root.resolve()),
                skip_bad_images=request.skip_bad_images,
                splits={"train": _split_record(train_images), "validation": _split_record(validation_images)},
                listings=folder.listings(),
            ),
            input=InputRecord(height=height, width=width, channels=channels, mean=list(mean), std=list(std)),
            versions=describe_versions(),
            hardware=describe_hardware(device),
        )
        run.write_recipe(recipe)
        run.write_record(record)
        return Work(run, record, recipe, classifier, train_images, validation_images, device, reporter).go()
    except Failure:
        if not run.weights.is_file():  # it came to nothing, and would again
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    finally:
        if not run.checkpoint.is_file():  # it can neither be used nor resumed
            shutil.rmtree(run.path, ignore_errors=True)


def resume(run: RunFolder, reporter: TrainReporter, *, device: str = "auto") -> RunFolder:
    """Go on with a run from its last checkpoint, on the data and with the recipe that it names.

    Raises:
        HardenerError: the run is finished, has no checkpoint, or its data has changed.
    """
    record = run.read_record()
    recipe = run.read_recipe()
    if record.status == "finished":
        raise HardenerError(f"{run.path} is finished: {record.epochs_done} epochs are done.")
    chosen = choose_device(device)
    folder = read_image_folder(
        Path(record.data.root),
        validation_root=None if record.data.validation_root is None else Path(record.data.validation_root),
        seed=record.seed,
        val_fraction=recipe.data.val_fraction,
        test_fraction=recipe.data.test_fraction,
    )
    classifier = open_classifier(run, record, weights=False)
    freeze(classifier.network, recipe.network.freeze, num_classes=len(record.classes))
    shape = ImageShape(record.input.height, record.input.width, record.input.channels)
    cache = _pixel_cache(recipe, reporter)
    train_images, validation_images = _load(folder, shape, record.data.skip_bad_images, cache, reporter)
    for name, images in (("train", train_images), ("validation", validation_images)):
        if images.fingerprint != record.data.splits[name].fingerprint:
            raise HardenerError(
                f"{record.data.root} has changed since the run began ({name} split): a resumed run would not be "
                "the one that was started. Restore the images, or start a new run."
            )
    record.status = "training"
    work = Work(run, record, recipe, classifier, train_images, validation_images, chosen, reporter)
    work.resume()
    return work.go()


def _image_size(recipe: Recipe, sizes: set[tuple[int, int]]) -> tuple[int, int]:
    if recipe.data.image_size is not None:
        return recipe.data.image_size
    return next(iter(sizes)) if len(sizes) == 1 else (DEFAULT_SIZE, DEFAULT_SIZE)


def _pixel_cache(recipe: Recipe, reporter: Reporter) -> PixelCache | None:
    return PixelCache(recipe.data.cache_gb, reporter.warn) if recipe.data.cache else None


def _load(
    folder: ImageFolder, shape: ImageShape, skip_bad: bool, cache: PixelCache | None, reporter: Reporter
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
