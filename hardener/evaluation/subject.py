"""What is evaluated: a run, a model from elsewhere, an ONNX file or a module, with the images that it is judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hardener.config.bundle import holds_bundle, read_bundle, sha256_of
from hardener.config.data_findings import DataFound
from hardener.config.evaluation_record import EvaluatedModel, Flag
from hardener.config.pixels import PixelRule
from hardener.config.reading import AS_FOUND, Reading
from hardener.config.run_folder import RunFolder, RunRecord, unfinished
from hardener.data.class_names import doubt_of_order
from hardener.data.data_set import HeldOut, read_held_out
from hardener.data.describe import describe
from hardener.data.image_files import ImageFiles
from hardener.data.input_rule import bulk_size, choose_range, cut_by_crop, tell_cut, tell_depth, tell_pixels, tell_size
from hardener.data.loader import ImageShape, shape_of
from hardener.data.survey import Size, Survey, survey
from hardener.errors import HardenerError
from hardener.evaluation.held_out import Split, held_out
from hardener.evaluation.other_size import check_size
from hardener.evaluation.sample import Held, HeldInFiles, HeldInMemory
from hardener.evaluation.seen import HeldOutBy, Seen, seen_by
from hardener.models.borrowed_gradient import BorrowedGradient
from hardener.models.build import Built, build_for, fit_head
from hardener.models.checkpoints.doubt import refuse
from hardener.models.checkpoints.left_over import beside
from hardener.models.checkpoints.weights import Loaded, Start, file_of
from hardener.models.conditions import Conditions, noise, tell
from hardener.models.dry_run import dry_run, settle_order
from hardener.models.load import ModelChoice
from hardener.models.normalize import ImageClassifier, normalization
from hardener.models.onnx.model import OnnxClassifier, open_onnx
from hardener.models.origin import other_normalization, other_size, settle_origin
from hardener.models.own_normalization import fault_of_normalization
from hardener.models.trained import changed_code, open_with_fingerprint
from hardener.progress import Reporter
from hardener.runtime.model_state import as_float, device_of, measuring
from hardener.words import listed

DEFAULT_NOISE_SIGMA = 0.1


@dataclass(frozen=True)
class ForeignModel:
    """A model that was not trained here: its code, its weights, and how its inputs are normalised.

    `range`: the levels of deep pixels that become 0 and 255; None: those of the images it is evaluated on. `weights`:
    the name of one of several sets of weights in `init`.
    """

    spec: str
    init: Path
    normalize: str
    entry: str | None = None
    image_size: tuple[int, int] | None = None
    allow_pickle: bool = False
    model_args: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None
    range: tuple[float, float] | None = None
    weights: str | None = None


@dataclass(frozen=True)
class Subject:
    """A model that takes images in [0, 1], and the images to draw those from that are attacked.

    `differentiable`: has gradients, its own or those of the run that an ONNX file was exported from.
    `noise_sigma` is the noise of training, or a default where it had none, for randomized smoothing. `asked` are the
    fields of `EvaluationRequest` that name the model. `found` is what was found where the images lie, and `seen` what
    the run has seen of its images. `dedupe`: the run was trained without copies, and is judged without them. `own`:
    whether the run held the images out.
    """

    model: nn.Module
    described: EvaluatedModel
    classes: tuple[str, ...]
    images: Held
    split: Split
    flags: list[Flag] = field(default_factory=list)
    differentiable: bool = True
    noise_sigma: float = DEFAULT_NOISE_SIGMA
    noise_is_default: bool = True
    asked: Mapping[str, Any] = field(default_factory=dict)
    found: DataFound | None = None
    seen: Seen | None = None
    dedupe: bool = False
    own: HeldOutBy = field(default_factory=HeldOutBy)


def run_subject(
    run: RunFolder,
    data: Path | None,
    reporter: Reporter,
    reading: Reading | None = None,
    size: tuple[int, int] | None = None,
) -> Subject:
    """Return a run's model with its test split, its validation split where there is no other, or the images below
    `data`.

    Args:
        size: height and width of the images; None: as the run was trained.
    Raises:
        HardenerError: the run has no weights, its data is gone, `data` has other classes, or the network does not take
            images of that size.
    """
    record, recipe = run.read_record(), run.read_recipe()
    changed = changed_code(run, record)
    if changed is not None:  # said first: the weights may fit no more
        reporter.warn(changed)
    classifier, weights = open_with_fingerprint(run, record)
    trained = shape_of(record.input)
    shape = trained if size is None else replace(trained, height=size[0], width=size[1])
    other = None if shape == trained else check_size(classifier, shape, trained, str(run.path))
    held = held_out(run, record, data, reading, reporter)
    flags = held.flags
    if other is not None:
        reporter.warn(other.message)
        flags.append(other)
    if data is not None:
        tell_depth(survey(held.files), held.files, record.input.pixels, reporter)
    if changed is not None:
        flags.append(Flag(id="code-changed", message=changed, page="docs/flags.md#code-changed"))
    if record.status != "finished":
        flags.append(_unfinished(run, record, recipe.epochs, reporter))
    return Subject(
        classifier,
        EvaluatedModel(name=record.name, run=record.name, recipe=recipe.name, fingerprint=weights),
        classifier.classes,
        HeldInFiles(held.files, held.root, shape),
        held.split,
        flags,
        noise_sigma=recipe.vicinity.noise_sigma or DEFAULT_NOISE_SIGMA,
        noise_is_default=not recipe.vicinity.noise_sigma,
        asked={"target": str(run.path)} | ({} if other is None else {"image_size": (shape.height, shape.width)}),
        found=describe(held.brought, {held.split: (held.files, held.source)}, record.classes),
        seen=held.seen,
        dedupe=record.data.reading.dedupe,
        own=held.own,
    )


def _unfinished(run: RunFolder, record: RunRecord, epochs: int, reporter: Reporter) -> Flag:
    message = f"{run.path} {unfinished(run, record, epochs)}"
    reporter.warn(message)
    return Flag(id="unfinished", message=message, page="docs/flags.md#unfinished")


def foreign_subject(
    model: ForeignModel, data: Path | None, reporter: Reporter, reading: Reading | None = None
) -> Subject:
    """Return a model that was not trained here with the images below `data`.

    Raises:
        HardenerError: no `data`, or weights that do not fit the model or its classes.
    """
    if data is None:
        raise HardenerError("a model that was not trained here needs --data DIR, the images to evaluate it on.")
    held = read_held_out(data, reading or AS_FOUND)
    classes, files = held.classes, held.files
    if (doubt := doubt_of_order(classes)) is not None:
        reporter.warn(doubt)
    seen, (height, width), rule = _look(files, model.image_size, model.range, reporter)
    if model.normalize == "data":
        raise HardenerError(
            "--normalize data is for training; say how this model was trained: none, imagenet or MEAN/STD."
        )
    built = build_for(
        ModelChoice(model.spec, model.entry, model.model_args, model.root, False if model.init else None),
        num_classes=len(classes),
        channels=[3, 1] if seen.color else [1, 3],
        height=height,
        width=width,
    )
    began = _give_weights(built, model, classes, reporter)
    channels, loaded = built.channels, built.loaded
    mean, std = normalization(model.normalize, channels=channels, mean=(), std=())
    classifier = ImageClassifier(loaded.network, mean=mean, std=std, classes=classes)
    classifier.way = built.way
    for remark in built.remarks:
        reporter.say(remark)
    tell(dry_run(classifier, Conditions(channels, height, width)), reporter)
    return Subject(
        classifier.eval(),
        EvaluatedModel(name=loaded.name, run=None, recipe=None, fingerprint=sha256_of(file_of(model.init))),
        classes,
        HeldInFiles(files, data, ImageShape(height, width, channels, rule)),
        held.split,
        _normalization_flags(built, model, began, reporter),
        found=_found(held, seen),
        seen=seen_by(began.told.run),
        asked={
            "target": model.spec,
            "init": str(model.init),
            "weights": began.which if model.weights is None else model.weights,
            "normalize": model.normalize,
            "entry": model.entry,
            "image_size": model.image_size,
            "range": model.range,
            "allow_pickle": model.allow_pickle,
            "model_args": dict(model.model_args),
            "root": None if model.root is None else str(model.root),
        },
    )


def _give_weights(built: Built, model: ForeignModel, classes: Sequence[str], reporter: Reporter) -> Loaded:
    """Load a model's weights, and say what was done; end where they are of another network or of other classes."""
    start = Start(model.init, model.allow_pickle, model.weights, trains=False)
    _, _, began = fit_head(built, len(classes), replace=False, start=start)
    remarks, doubts = settle_origin(built, began, model.spec, model.init, classes)
    refuse(doubts, reporter)
    for remark in (*built.loaded.notes, *began.remarks, *remarks):
        reporter.say(remark)
    if (told := other_size(began.told, built.height, built.width)) is not None:
        reporter.warn(told)
    if began.extra:
        reporter.warn(beside(model.init, began.extra))
    return began


def _normalization_flags(built: Built, model: ForeignModel, began: Loaded, reporter: Reporter) -> list[Flag]:
    images = noise(2, built.channels, built.height, built.width)
    fault = fault_of_normalization(built.network, model.normalize, began.normalization, images)
    fault = fault or other_normalization(built, began.told, model.init, model.normalize)
    if fault is None:
        return []
    reporter.warn(fault)
    return [Flag(id="normalization", message=fault, page="docs/flags.md#normalization")]


def onnx_subject(
    path: Path,
    data: Path | None,
    gradients: RunFolder | None,
    normalize: str,
    reporter: Reporter,
    *,
    reading: Reading | None = None,
    ends: tuple[float, float] | None = None,
) -> Subject:
    """Return an ONNX file with the images below `data`, or those of the run that lends it gradients.

    Args:
        gradients: a run of the same network. Gradient attacks then climb its gradients, and what counts is what the
            file answers; without it only gradient-free attacks can be run. The images are read as that run reads them.
        normalize: what is done to images before the file sees them: `none` for hardener's own, which do it inside.
        ends: the levels of deep pixels that become 0 and 255, where the file does not say.
    Raises:
        HardenerError: no such file, no images, or classes that differ.
    """
    if holds_bundle(path.parent):
        read_bundle(path.parent)
    network = open_onnx(path)
    if gradients is None and data is None:
        raise HardenerError(f"{path} needs --data DIR, the images to evaluate it on.")
    if gradients is not None:
        lender = run_subject(gradients, data, reporter, reading)
        _same_classes(path, network.classes, lender.classes)
        reporter.say(f"gradients from {gradients.path}; what counts is what {path.name} answers")
        own = _normalized(network, normalize, lender.images.shape.channels)
        model: nn.Module = BorrowedGradient(own, lender.model)
        images, split, classes = lender.images, lender.split, lender.classes
        found, seen, dedupe = lender.found, lender.seen, lender.dedupe
    else:
        assert data is not None, "checked above"
        held = read_held_out(data, reading or AS_FOUND, known=network.classes)
        classes, files = held.classes, held.files
        if not network.classes and (doubt := doubt_of_order(classes)) is not None:
            reporter.warn(doubt)
        height, width, channels = network.image_shape
        known = (height, width) if height and width else None
        told, size, rule = _look(files, known, ends, reporter, network.pixels)
        shape = ImageShape(height or size[0], width or size[1], channels or (3 if told.color else 1), rule)
        images, split = HeldInFiles(files, data, shape), held.split
        found, seen, dedupe = _found(held, told), None, False
        model = _normalized(network, normalize, shape.channels)
        reporter.say(f"{path.name} gives no gradients: only gradient-free attacks are run (--surrogate RUN lends some)")
    described = EvaluatedModel(name=str(path), run=None, recipe=None, fingerprint=network.fingerprint)
    return Subject(
        model, described, classes, images, split,
        differentiable=gradients is not None, asked={"target": str(path), "normalize": normalize, "range": ends},
        found=found, seen=seen, dedupe=dedupe,
    )  # fmt: skip


def memory_subject(
    module: nn.Module, held: HeldInMemory, *, classes: Sequence[str] | None = None, name: str | None = None
) -> Subject:
    """Return a module that somebody holds, with the images that they hold.

    Args:
        module: (N, C, H, W) in [0, 1] -> logits (N, K).
        held: images and labels, as `hold` checks them.
        classes: a name for each of the K classes; by default their numbers.
        name: what the record calls the module; by default its class's name.
    Raises:
        HardenerError: the module does not answer (N, K) logits, `classes` has another number of names, or a label
            lies outside [0, K).
    """
    outputs = _outputs(module, held)
    names = tuple(map(str, range(outputs) if classes is None else classes))
    if len(names) != outputs:
        raise HardenerError(f"the model answers {outputs} logits an image, and {len(names)} classes are named.")
    low, high = int(held.truth.min()), int(held.truth.max())
    if low < 0 or high >= outputs:
        raise HardenerError(f"labels must lie in [0, {outputs}), the model's classes; got {low} to {high}.")
    described = EvaluatedModel(
        name=name or type(module).__name__, run=None, recipe=None, fingerprint=_fingerprint(module)
    )
    classifier = ImageClassifier(module, mean=(), std=(), classes=names)
    channels, height, width = held.images.shape[1:]
    settle_order(classifier, Conditions(channels, height, width, device_of(module)))
    classifier.training = module.training
    return Subject(classifier, described, names, held, "all")


@torch.no_grad()
def _outputs(module: nn.Module, held: HeldInMemory) -> int:
    """Ask a module about two images, and count what it answers."""
    with measuring(module) as device:
        few = as_float(held.images[:2].to(device)).clone()  # the module may change its input in place
        found = module(few)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(few) or found.shape[1] < 2:
        told = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise HardenerError(
            f"the model must answer {len(few)} images of {tuple(few.shape[1:])} with logits of the shape "
            f"({len(few)}, number of classes); it answered {told}. Wrap it in a module that does."
        )
    return found.shape[1]


def _fingerprint(module: nn.Module) -> str:
    """Return the sha256 over a module's parameters and buffers."""
    told = hashlib.sha256()
    for name, value in module.state_dict().items():
        told.update(name.encode())
        if isinstance(value, Tensor):  # extra state may be anything
            told.update(f"{tuple(value.shape)} {value.dtype}".encode())
            told.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return told.hexdigest()


def _look(
    files: ImageFiles,
    asked_size: Size | None,
    asked_range: tuple[float, float] | None,
    reporter: Reporter,
    known: PixelRule | None = None,
) -> tuple[Survey, Size, PixelRule]:
    """Return what the headers say, and the size and rule that they are brought to.

    Args:
        known: the rule that comes with the model.
    """
    seen = survey(files)
    size = asked_size or bulk_size(seen)
    if asked_size is None:
        tell_size(seen, files, size, reporter)
    if known is not None:
        tell_depth(seen, files, known, reporter)
        return seen, size, known
    rule = PixelRule(range=choose_range(files, seen, asked_range, None, reporter))
    tell_pixels(seen, files, rule, reporter, training=False)
    advice = "--image-size HEIGHTxWIDTH names another shape, if the model was trained on one"
    tell_cut(cut_by_crop(seen, size), files, size, rule.fit, advice, reporter)
    return seen, size, rule


def _found(held: HeldOut, seen: Survey) -> DataFound:
    return describe(held.brought, {held.split: (held.files, held.source)}, held.classes, seen=seen)


def exported_from(model: Path) -> RunFolder | None:
    """Return the run whose bundle holds an ONNX file, where it lies in one and comes from its present weights."""
    run = RunFolder(model.resolve().parent.parent)
    if not (run.record_file.is_file() and (model.parent / "bundle.json").is_file() and run.weights.is_file()):
        return None
    return run if read_bundle(model.parent).fingerprint == sha256_of(run.weights) else None


def _normalized(network: OnnxClassifier, normalize: str, channels: int) -> nn.Module:
    mean, std = normalization(normalize, channels=channels, mean=(), std=())
    return ImageClassifier(network, mean=mean, std=std, classes=network.classes) if mean else network


def _same_classes(path: Path, own: tuple[str, ...], found: tuple[str, ...]) -> None:
    if own and own != found:
        differing = sorted(set(own) ^ set(found))[:5] or ["their order"]
        raise HardenerError(f"{path} knows other classes than the images show; they differ in {listed(differing)}.")
