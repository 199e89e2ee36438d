"""A new run's folder, and the record that it begins with."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hardener.config.bundle import sha256_of
from hardener.config.data_path import lasting
from hardener.config.files import check_writable
from hardener.config.run_folder import (
    DataRecord,
    InputRecord,
    ModelRecord,
    RunFolder,
    RunRecord,
    SplitRecord,
    now,
)
from hardener.config.run_lock import LOCK, holder
from hardener.config.run_name import check_run_name, fitting_name
from hardener.data.contact_sheet import crop_sheet
from hardener.data.loader import LoadedImages
from hardener.errors import Failure, HardenerError
from hardener.models.load import LoadedModel, fingerprint
from hardener.progress import rank_and_world
from hardener.runtime.device import describe_hardware, describe_versions
from hardener.training.build import autocasts
from hardener.training.files_around_a_run import outside_files
from hardener.training.launch import launch_name
from hardener.training.prepare import Prepared
from hardener.training.request import TrainRequest
from hardener.words import plain


def new_folder(request: TrainRequest, model_name: str) -> RunFolder:
    """Make the run's folder, under the name that was asked for or one of its own.

    Raises:
        HardenerError: the name is taken.
    """
    if request.name is not None:
        path = request.out / request.name
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            _check_free(path)
        return RunFolder(path)
    stem = fitting_name(f"{model_name}-{request.recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    for attempt in range(1, 1000):
        path = request.out / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return RunFolder(path)
    raise Failure(f"no free name for a run below {request.out}.")


def check_name(request: TrainRequest) -> None:
    """Refuse a name that no run may have, or that one has, and a place that takes no run.

    Raises:
        HardenerError: see above.
    """
    check_writable(request.out / (request.name or "NAME") / "run.json")
    for place in (lasting(request.data), request.out.resolve()):
        if plain(str(place)) != str(place):
            told = "is not UTF-8, and records hold UTF-8 alone. Rename the folder, or make a link to it: ln -s"
            raise HardenerError(f"{plain(str(place))} {told}")
    if request.name is None:
        return
    check_run_name(request.name)
    if os.path.lexists(request.out / request.name):
        _check_free(request.out / request.name)


def _check_free(path: Path) -> None:
    """Refuse a folder that holds more than what a run begins with, or that another process works on."""
    run = RunFolder(path)
    by = holder(path)
    if by is not None:
        raise HardenerError(f"{path} is being trained by {by}. Choose another --name.")
    run.tidy()
    begun = {run.record_file.name, run.recipe_file.name, run.model_files.name, run.checkpoint.parent.name, LOCK}
    if path.is_dir() and {left.name for left in path.iterdir()} <= begun and not any(run.checkpoint.parent.glob("*")):
        return
    advice = f", or go on with it: {run.going_on}" if run.checkpoint.is_file() else ""
    with suppress(HardenerError):
        advice = "" if run.read_record().status in {"finished", "failed"} else advice
    raise HardenerError(f"{path} exists. Choose another --name{advice}{'' if advice else '.'}")


@contextmanager
def removed_if_useless(run: RunFolder) -> Iterator[None]:
    """Remove the folder again where nothing came of the run that could be used or resumed; the first process does."""
    rank = rank_and_world()[0]
    try:
        yield
    except Failure:
        if rank == 0 and not run.weights.is_file():  # it came to nothing, and would again
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    finally:
        if rank == 0 and not run.checkpoint.is_file():
            shutil.rmtree(run.path, ignore_errors=True)


def write_beginning(run: RunFolder, request: TrainRequest, prepared: Prepared) -> RunRecord:
    """Describe a run that begins; of several processes the first writes.

    Returns:
        Its record. The folder then holds recipe, record, and a copy of the model file and what it imports.
    """
    rank, world = rank_and_world()
    device = prepared.material.device
    record = RunRecord(
        name=run.path.name,
        status="training",
        created_at=now(),
        seed=request.seed,
        device=str(device),
        precision="bfloat16" if autocasts(request.recipe, device) else "float32",
        processes=world,
        launch=launch_name(),
        classes=list(prepared.folder.classes),
        model=_model_record(request, prepared, _copy_sources(prepared.loaded, run) if rank == 0 else {}),
        data=_data_record(request, prepared),
        input=_input_record(prepared),
        versions=describe_versions(),
        hardware=describe_hardware(device),
        asks_evenly=request.recipe.data.balance != "none",
    )
    if rank == 0:
        run.write_recipe(request.recipe)
        record.recipe_sha256 = run.recipe_sha256()
        run.write_record(record)
        run.write_prints({name: found.rows for name, found in prepared.looked.prints.items()})
        if prepared.cut is not None:
            shape = prepared.material.train_images.shape
            worst = crop_sheet(prepared.folder.train, prepared.cut.worst, (shape.height, shape.width), shape.rule)
            worst.save(run.cropped)
    return record


def _model_record(request: TrainRequest, prepared: Prepared, files: dict[str, str]) -> ModelRecord:
    loaded = prepared.loaded
    return ModelRecord(
        spec=request.model,
        name=loaded.name,
        file=next(iter(files), None),
        entry=loaded.entry,
        fingerprint=fingerprint(loaded),
        parameters=sum(p.numel() for p in loaded.network.parameters()),
        init=None if request.init is None else str(request.init),
        weights=prepared.which,
        pretrained=bool(request.pretrained),
        replaced_head=prepared.replaced_head,
        activation=request.recipe.network.activation,
        arguments=dict(request.model_args),
        replace_head=request.replace_head,
        unfetched=request.pretrained is False,
        files=files,
        outside=outside_files(loaded),
    )


def _data_record(request: TrainRequest, prepared: Prepared) -> DataRecord:
    material, own_validation, own_test = prepared.material, request.validation_root, request.test_root
    return DataRecord(
        root=str(lasting(request.data)),
        validation_root=None if own_validation is None else str(lasting(own_validation)),
        test_root=None if own_test is None else str(lasting(own_test)),
        skip_bad_images=request.skip_bad_images,
        splits={
            "train": _split_record(material.train_images),
            "validation": _split_record(material.validation_images),
        },
        listings=prepared.folder.listings(),
        reading=request.reading,
        drawn=prepared.folder.drawn,
        found=prepared.looked.found,
    )


def _split_record(images: LoadedImages) -> SplitRecord:
    return SplitRecord(images=len(images), skipped=len(images.skipped), fingerprint=images.fingerprint)


def _input_record(prepared: Prepared) -> InputRecord:
    shape, taught = prepared.material.train_images.shape, prepared.material.classifier.way_in_training
    return InputRecord(
        height=shape.height,
        width=shape.width,
        channels=shape.channels,
        mean=list(prepared.mean),
        std=list(prepared.std),
        layout="contiguous" if prepared.material.classifier.contiguous else "channels_last",
        copied=prepared.material.classifier.writes,
        paired=prepared.material.classifier.paired,
        taught=None if taught is None else list(taught),
        exit="deepest",
        pixels=shape.rule,
    )


def _copy_sources(loaded: LoadedModel, run: RunFolder) -> dict[str, str]:
    """Copy the model file, and what it imports and reads from around it, into the run.

    Returns:
        Where each went, the model file first, and its sha256.
    """
    files = (*loaded.sources, *loaded.data)
    targets = [run.model_files / source.resolve().relative_to(loaded.root) for source in files]
    for source, target in zip(files, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return {str(target.relative_to(run.path)): sha256_of(target) for target in targets}
