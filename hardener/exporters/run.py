"""A trained run -> a bundle that was compared with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardener import __version__
from hardener.config.bundle import (
    Bundle,
    ChangedRobustness,
    HeldRequirement,
    InputSpec,
    OfflineRobustness,
    ServedThreat,
    TrainingImages,
)
from hardener.config.data_findings import SEEN
from hardener.config.data_path import is_there
from hardener.config.evaluation_record import Evaluation, read_evaluations
from hardener.config.files import written_whole
from hardener.config.reading import Reading
from hardener.config.run_folder import InputRecord, RunFolder, RunRecord, now, unfinished
from hardener.config.run_lock import locked
from hardener.config.schema import Recipe
from hardener.data.class_names import refuse_unserved
from hardener.data.data_set import DataSet
from hardener.data.statistics import training_statistics
from hardener.errors import HardenerError
from hardener.exporters._bundle import describe_file, write_description
from hardener.exporters._images import draw_images, read_images
from hardener.exporters.onnx import export_onnx
from hardener.exporters.parity import compare
from hardener.models.trained import changed_code, open_with_fingerprint
from hardener.progress import Reporter
from hardener.reports.command import fresh_command
from hardener.reports.dossier.evidence import held_requirements
from hardener.reports.own_images import other_data, precedence
from hardener.threat import ChangeThreat, ThreatModel, norm_of
from hardener.words import one_line

MODEL_FILE = "model.onnx"
_MEASURED = 2000  # training images: about 20 lie beyond a quantile of 1 %


def export(
    run: RunFolder,
    reporter: Reporter,
    *,
    data: Path | None = None,
    samples: int = 128,
    reading: Reading | None = None,
    skip_bad: bool = False,
) -> Bundle:
    """Write a run's bundle: the ONNX file, its description, and a model card.

    The ONNX file is compared with the network on real images first; the bundle appears whole or not at all.

    Args:
        data: the images to compare on; by default those of the run.
        samples: how many.
        reading: how they are read, if not as the run read its own.
        skip_bad: leave out those that cannot be read, also where the run did not.
    Raises:
        HardenerError: the run has no weights, or its images are gone.
        Failure: the network cannot be exported, or the file disagrees with it.
    """
    with locked(run.path, "exported", reporter.warn, name=".export.lock"):
        run.tidy()
        images = ComparedOn(data, samples, reading, skip_bad)
        return _export(run, reporter, images)


@dataclass(frozen=True)
class ComparedOn:
    """The images that the file is compared on; see `export`."""

    data: Path | None
    samples: int
    reading: Reading | None
    skip_bad: bool


def _export(run: RunFolder, reporter: Reporter, asked: ComparedOn) -> Bundle:
    record, recipe = run.read_record(), run.read_recipe()
    refuse_unserved(record.classes)  # those of a run of version 0.2 or before may be so
    if (changed := changed_code(run, record)) is not None:
        reporter.warn(changed)
    classifier, fingerprint = open_with_fingerprint(run, record)
    if record.status != "finished":
        reporter.warn(f"{run.path} {unfinished(run, record, recipe.epochs)}")
    image_folder = _image_folder(record, asked, recipe)
    files = image_folder.test or image_folder.validation
    images = draw_images(files, record, asked.samples, skip_bad=asked.skip_bad)
    found = [item for item in read_evaluations(run.evaluations) if item.model.fingerprint == fingerprint]
    figures = _figures(found, record)
    _tell_figures(run, figures, reporter)
    chosen = figures.chosen
    training_images = _training_images(image_folder, record, reporter)
    shape = record.input
    with written_whole(run.bundle) as folder:
        folder.mkdir()
        model = folder / MODEL_FILE
        with reporter.track("exporting to ONNX", 1, "model") as advance:
            batch = export_onnx(
                classifier,
                model,
                height=shape.height,
                width=shape.width,
                channels=shape.channels,
                metadata=_metadata(record, fingerprint, chosen),
            )
            advance(1)
        if batch is not None:
            reporter.warn(
                f"the file takes {batch} image{'s' if batch > 1 else ''} at once and no other number: the model's code "
                "makes a constant of the number of images. hardener splits and fills batches by itself; others who run "
                "the file must too"
            )
        parity = compare(classifier, model, images)
        bundle = Bundle(
            name=record.name,
            created_at=now(),
            hardener_version=__version__,
            recipe=one_line(recipe.name),
            fingerprint=fingerprint,
            model=describe_file(model),
            input=_input(shape, batch),
            classes=[one_line(name) for name in record.classes],
            noise_sigma=recipe.vicinity.noise_sigma or None,
            parity=parity,
            evaluation=chosen,
            evaluations=figures.under_norms,
            changed=figures.changed,
            threat=threat_of(chosen, recipe),
            training_images=training_images,
            requirements=_requirements(run, found, reporter),
        )
        write_description(folder, bundle, record, recipe, found)
    return bundle


@dataclass(frozen=True)
class _Figures:
    """What a bundle carries of a run's evaluations; `chosen` is the one that counts of those under a norm."""

    under_norms: list[OfflineRobustness]
    changed: list[ChangedRobustness]
    chosen: OfflineRobustness | None


def _figures(found: list[Evaluation], record: RunRecord) -> _Figures:
    names = other_data(found, record.data.root)
    balls = [item for item in found if norm_of(item.threat.model) is not None]
    return _Figures(
        [offline(item, names.get(item.created_at)) for item in balls],
        [_changed(item, names.get(item.created_at)) for item in found if norm_of(item.threat.model) is None],
        worst([offline(item, names.get(item.created_at)) for item in leading(balls)]),
    )


def _tell_figures(run: RunFolder, figures: _Figures, reporter: Reporter) -> None:
    """Warn where the bundle's figures are none, or are not of the images that the run held out."""
    chosen, again = figures.chosen, f"Run `{fresh_command(run.path)}` and export again"
    if chosen is None and figures.changed:
        asked = ", ".join(dict.fromkeys(item.threat for item in figures.changed))
        reporter.warn(
            f"{run.path} has not been evaluated under a norm: the bundle will say so, and how it did under {asked}. "
            f"{again}"
        )
    elif chosen is None:
        reporter.warn(f"{run.path} has not been evaluated: the bundle will say so. {again}")
    elif chosen.data is not None:
        reporter.warn(
            f"the bundle's figures are of other images than {run.path} held out, those of {chosen.data}: bundle, card "
            f"and reports name it. {again}"
        )


def _requirements(run: RunFolder, found: list[Evaluation], reporter: Reporter) -> list[HeldRequirement]:
    """Judge what the owner asks, and warn of what is not met."""
    held = held_requirements(run, found)
    for item in held:
        if item.state != "met":
            reporter.warn(f"{item.about}, {item.asked}: {item.state}. The bundle and the service's /model say so")
    return held


def _input(shape: InputRecord, batch: int | None) -> InputSpec:
    return InputSpec(
        height=shape.height,
        width=shape.width,
        channels=shape.channels,
        resize=shape.pixels.resize,
        pixels=shape.pixels,
        batch=batch,
    )


def _metadata(record: RunRecord, fingerprint: str, chosen: OfflineRobustness | None) -> dict[str, str]:
    """Return the texts inside the ONNX file, for whoever has nothing but it."""
    shape = record.input
    return {
        "name": record.name,
        "classes": json.dumps(record.classes),
        "input_size": json.dumps([shape.height, shape.width, shape.channels]),
        "resize": shape.pixels.resize,
        "pixels": shape.pixels.model_dump_json(),
        "fingerprint": fingerprint,
        "hardener_version": __version__,
        "clean_accuracy": "" if chosen is None else f"{chosen.clean_accuracy:.6f}",
        "robust_accuracy": "" if chosen is None else f"{chosen.robust_accuracy:.6f}",
        "evaluation": "" if chosen is None else chosen.model_dump_json(),
    }


def offline(evaluation: Evaluation, data: str | None = None) -> OfflineRobustness:
    """Return what a bundle carries of an evaluation under a norm.

    Args:
        data: the name of its data, where it is not the run's own.
    """
    threat = evaluation.threat.model
    assert isinstance(threat, ThreatModel), "the service knows balls alone"
    return OfflineRobustness(norm=threat.norm, eps=threat.eps, data=data, **_shared(evaluation))


def _changed(evaluation: Evaluation, data: str | None) -> ChangedRobustness:
    threat = evaluation.threat.model
    assert isinstance(threat, ChangeThreat), "it has no norm"
    return ChangedRobustness(
        threat=one_line(str(threat)), reach=one_line(threat.reach), data=data, **_shared(evaluation)
    )


def _shared(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "split": evaluation.data.split,
        "samples": evaluation.samples,
        "clean_accuracy": evaluation.clean_accuracy,
        "robust_accuracy": evaluation.robust_accuracy,
        "interval": evaluation.interval,
        "attacks": [attack.name for attack in evaluation.attacks],
        "evaluated_at": evaluation.created_at,
        "flags": list(dict.fromkeys(one_line(flag.id) for flag in evaluation.flags)),
    }


def leading(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return those that a bundle's headline is chosen from: of the images that the run held out before other data.

    One of images that the run has seen comes after all of images that it has not.
    """

    def rank(item: Evaluation) -> tuple[bool, int]:
        return any(flag.id == SEEN for flag in item.flags), precedence(item)

    first = min(map(rank, evaluations), default=None)
    return [item for item in evaluations if rank(item) == first]


def worst(evaluations: list[OfflineRobustness]) -> OfflineRobustness | None:
    """Return the lowest figure under the threat and on the split of the newest evaluation; None without any."""
    if not evaluations:
        return None
    newest = max(evaluations, key=lambda item: item.evaluated_at)
    alike = [e for e in evaluations if (e.norm, e.eps, e.split) == (newest.norm, newest.eps, newest.split)]
    return min(alike, key=lambda item: item.robust_accuracy)


def threat_of(evaluation: OfflineRobustness | None, recipe: Recipe) -> ServedThreat | None:
    """Return what an attack on a served image may do: as the newest evaluation had it, else the run's validation.

    None where the service knows the norm of neither.
    """
    measured = None if evaluation is None else ServedThreat.of(evaluation.norm, evaluation.eps)
    return measured or ServedThreat.of(recipe.validation.norm, recipe.validation.eps)


def _image_folder(record: RunRecord, asked: ComparedOn, recipe: Recipe) -> DataSet:
    root = Path(record.data.root) if asked.data is None else asked.data
    if not is_there(root):
        raise HardenerError(
            f"the run's images are no longer at {root}, and the ONNX file is compared on real images. Name a folder "
            "of class folders with --data DIR."
        )
    return read_images(root, record, recipe, own=asked.data is None, reading=asked.reading)


def _training_images(folder: DataSet, record: RunRecord, reporter: Reporter) -> TrainingImages | None:
    """Measure the training images, if it is they that lie in the folder."""
    if folder.listings()["train"] != record.data.listings["train"]:
        reporter.warn(
            "the files of the training split are not those of the training: the bundle says nothing of its images, "
            "and a report cannot say whether an image is unlike them"
        )
        return None
    samples = min(len(folder.train), _MEASURED)
    shape = record.input
    with reporter.track("measuring training images", samples, "image") as advance:
        return training_statistics(
            folder.train,
            height=shape.height,
            width=shape.width,
            channels=shape.channels,
            rule=shape.pixels,
            samples=samples,
            seed=record.seed,
            on_done=advance,
        )
