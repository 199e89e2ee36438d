"""What a network is and how it behaves, found out by building and asking it: `hardener inspect`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from hardener.config.network_record import NetworkRecord, Speed
from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import read_data_set
from hardener.data.input_rule import DEFAULT_SIZE, bulk_size
from hardener.data.survey import survey
from hardener.errors import Failure, HardenerError
from hardener.evaluation.plan import EvaluateRequest, make_plan
from hardener.evaluation.precision import choose_precision
from hardener.evaluation.suite import most_seconds
from hardener.models.answer import show_way
from hardener.models.build import USUAL_SIZES, Built, build_for, fit_head
from hardener.models.checkpoints.weights import Start
from hardener.models.conditions import Conditions, Remark, noise
from hardener.models.dry_run import dry_run
from hardener.models.features import gives_features
from hardener.models.head import count_outputs
from hardener.models.load import ModelChoice
from hardener.models.normalize import ImageClassifier
from hardener.models.onnx.program import batch_of, onnx_program
from hardener.models.own_normalization import normalization_of
from hardener.progress import Reporter
from hardener.runtime.device import choose_device
from hardener.runtime.model_state import in_eval_mode, lay_out, left_as_found, same_draws
from hardener.threat import norm_of

EPOCHS, CLASSES = 30, 10
_BATCH, _LONGEST_S, _ROUNDS = 16, 3.0, 3


@dataclass(frozen=True)
class InspectRequest:
    """What `hardener inspect` was asked for.

    `classes`: for networks that are built for a number of classes, where no `data` tells it.
    """

    choice: ModelChoice
    data: Path | None = None
    init: Path | None = None
    image_size: tuple[int, int] | None = None
    classes: int | None = None
    device: str = "auto"
    allow_pickle: bool = False
    weights: str | None = None
    reading: Reading = AS_FOUND


def inspect_model(request: InspectRequest, reporter: Reporter) -> NetworkRecord:
    """Build a network, ask it, and say what it is. What it fails at is part of the answer.

    Raises:
        HardenerError: it cannot be built or takes no images, or the weights or the data cannot be read.
    """
    device = choose_device(request.device)
    with reporter.track("inspecting", 6, "questions") as advance:
        material = _Data.of(request)
        built = _built(request, material)
        start = None if request.init is None else Start(request.init, request.allow_pickle, request.weights, False)
        outputs = _classes(request, material) if built.answer.averaged else built.outputs
        built, _, began = fit_head(built, outputs, replace=bool(built.answer.averaged), start=start)
        names = tuple(map(str, range(outputs)))
        classifier = ImageClassifier(built.network, mean=(), std=(), classes=names)
        classifier.way = built.way
        advance(1)
        own = [built.height] if built.height == built.width else []
        sizes = [size for size in sorted({*USUAL_SIZES, *own}) if _takes(built, size, outputs)]
        advance(1)
        remarks, trains = _dry_run(classifier, built, device)
        advance(1)
        images = noise(1, built.channels, built.height, built.width)
        facts = {**_parts(built, images), "flops": _flops(classifier, images), **_exports(classifier, built)}
        advance(1)
        classifier.to(device)
        memory = None if trains else _memory(classifier, built, device)
        advance(1)
        speed = _speed(classifier, built, device, material, trains=not trains)
        advance(1)
    shape = f"{built.height} x {built.width}"
    answer = f"logits and probabilities of {outputs} classes"
    return NetworkRecord(
        name=built.loaded.name,
        spec=request.choice.spec,
        entry=built.loaded.found or request.choice.spec,
        sources=[str(path) for path in built.loaded.sources],
        parameters=sum(p.numel() for p in built.network.parameters()),
        learning=sum(p.numel() for p in built.network.parameters() if p.requires_grad),
        channels=built.channels,
        height=built.height,
        width=built.width,
        sizes=sizes,
        layout="contiguous" if classifier.contiguous else "channels_last",
        outputs=outputs,
        output="logits" if built.way is None else f"several tensors, of which {show_way(built.way)} holds the logits",
        head=list(built.answer.heads),
        batch_bytes=memory,
        speed=speed,
        trains=trains,
        served="" if facts["exports"] else f"uint8 images of any size, brought to {shape} → {answer}",
        remarks=[
            *built.loaded.notes[1:],
            *built.remarks,
            *began.findings,
            *(remark.text for remark in remarks),
            *_of_classes(built, outputs, material),
        ],
        **facts,
    )


def _of_classes(built: Built, outputs: int, data: _Data | None) -> list[str]:
    if built.answer.averaged:
        told = f"the network gives features, {built.answer.averaged}: train with --replace-head"
        return [f"{told}, which puts a linear layer with {outputs} outputs behind their average, as here"]
    if data is None or data.classes == outputs:
        return []
    told = f"the data has {data.classes} classes, the network {built.outputs} outputs: train with --replace-head"
    behind = gives_features(built.network, built.answer)
    return [f"{told}, which puts a linear layer behind these" if behind else told]


@dataclass(frozen=True)
class _Data:
    """What the images say: how many are trained on, their classes, size and channels."""

    images: int
    classes: int
    size: tuple[int, int]
    channels: tuple[int, ...]

    @classmethod
    def of(cls, request: InspectRequest) -> _Data | None:
        if request.data is None:
            return None
        found = read_data_set(request.data, reading=request.reading)
        seen = survey(found.train)
        return cls(len(found.train), len(found.classes), bulk_size(seen), (3, 1) if seen.color else (1, 3))


def _classes(request: InspectRequest, data: _Data | None) -> int:
    return request.classes or (CLASSES if data is None else data.classes)


def _built(request: InspectRequest, data: _Data | None) -> Built:
    """Build the network for the images that are given, else for the first of the usual ones that it takes."""
    classes = _classes(request, data)
    asked = request.image_size or (None if data is None else data.size)
    channels = (3, 1) if data is None else data.channels
    tried = [asked] if asked else [(size, size) for size in dict.fromkeys([DEFAULT_SIZE, 32, 28, *USUAL_SIZES])]
    faults = []
    for height, width in tried:
        try:
            return build_for(
                request.choice, num_classes=classes, channels=channels, height=height, width=width, advises=bool(asked)
            )
        except HardenerError as error:
            faults.append(error)
            if not str(error).startswith("the model fails on images"):
                break
    raise faults[-1] if len(faults) == 1 else faults[0]


def _takes(built: Built, size: int, outputs: int) -> bool:
    try:
        found = count_outputs(built.network, channels=built.channels, height=size, width=size, num_classes=outputs)
        return found == outputs
    except HardenerError:
        return False


def _dry_run(classifier: ImageClassifier, built: Built, device: torch.device) -> tuple[list[Remark], str]:
    conditions = Conditions(built.channels, built.height, built.width, device, batch=4)
    try:
        return dry_run(classifier, conditions), ""
    except HardenerError as error:
        return [], str(error)


def _flops(classifier: ImageClassifier, images: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad(), in_eval_mode(classifier):
        classifier(images)
    return int(counter.get_total_flops())


def _parts(built: Built, images: Tensor) -> dict[str, Any]:
    """Say what of a network normalises its input, as train finds it, what depends on the batch, and what is random."""
    modules = dict(built.network.named_modules())
    own = normalization_of(built.network, images)
    normalising = [] if own is None else [f"{own.told}: --normalize {own.normalize}"]
    first = _first_called(built.network, images)
    if first is not None and isinstance(modules[first], nn.modules.batchnorm._BatchNorm):
        normalising.append(f"{first} ({type(modules[first]).__name__} at the input)")
    random = [f"{name} ({type(module).__name__})" for name, module in modules.items() if _is_random(module)]
    return {
        "normalisation": normalising,
        "batch_norms": sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in modules.values()),
        "random": random,
    }


def _is_random(module: nn.Module) -> bool:
    name = type(module).__name__.lower()
    drops = isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
    return drops or any(word in name for word in ("stochasticdepth", "droppath", "dropblock", "noise", "rrelu"))


def _first_called(network: nn.Module, images: Tensor) -> str | None:
    """Return the first module without modules inside that a pass goes through."""
    called: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, __, name=name: called.append(name))
        for name, module in network.named_modules()
        if name and not any(True for _ in module.children()) and not isinstance(module, torch.jit.ScriptModule)
    ]
    try:
        with torch.no_grad(), in_eval_mode(network):
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return called[0] if called else None


def _exports(classifier: ImageClassifier, built: Built) -> dict[str, Any]:
    """Say why the network cannot become an ONNX file, or how many images that would take at once."""
    example = noise(2, built.channels, built.height, built.width)
    try:
        with in_eval_mode(classifier), same_draws(example.device):
            model = onnx_program(_Named(classifier), example, outputs=["logits"])
    except Failure as error:
        return {"exports": str(error)}
    return {"exports": "", "export_batch": batch_of(model)}


class _Named(nn.Module):
    """A classifier whose input is called `images`, whatever its own is."""

    def __init__(self, classifier: ImageClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.classifier(images)
        return found


def _memory(classifier: ImageClassifier, built: Built, device: torch.device) -> int:
    """Return the bytes of a training step: weights, gradients, momentum, and what a batch keeps for the way back."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    few = 2
    with (
        left_as_found(classifier),
        same_draws(device),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        classifier.train()
        logits = classifier(noise(few, built.channels, built.height, built.width, device))
        for parameter in classifier.parameters():
            kept.pop(parameter.untyped_storage().data_ptr(), None)
        del logits
    weights = sum(p.nbytes + 2 * p.nbytes * p.requires_grad for p in classifier.parameters())
    return weights + sum(kept.values()) * _BATCH // few


def _speed(
    classifier: ImageClassifier, built: Built, device: torch.device, data: _Data | None, *, trains: bool
) -> Speed:
    images = noise(_BATCH, built.channels, built.height, built.width, device)
    order = torch.contiguous_format if classifier.contiguous else torch.channels_last
    images = images.contiguous(memory_format=order)
    training = None
    if trains:
        with left_as_found(classifier), same_draws(device):
            lay_out(classifier, order)
            classifier.train()
            training = _BATCH / _seconds(lambda: _train_step(classifier, images))
    plan, outputs = make_plan(EvaluateRequest()), len(classifier.classes)
    timing = choose_precision("float32", classifier, images, batch_size=_BATCH).timing
    samples = plan.request.samples
    seconds = most_seconds(plan.attacks, timing, images=samples, num_classes=outputs, norm=norm_of(plan.threat))
    return Speed(
        device=str(device),
        batch=_BATCH,
        training_images_per_s=training,
        attack_images_per_s=1 / timing.gradient,
        training_s=None if data is None or training is None else EPOCHS * data.images / training,
        evaluation_s=seconds,
        evaluation_images=samples,
    )


def _train_step(classifier: ImageClassifier, images: Tensor) -> None:
    classifier.zero_grad()
    logits = classifier(images).float()
    cross_entropy(logits, torch.arange(len(images), device=images.device) % logits.shape[1]).backward()
    if images.device.type == "cuda":
        torch.cuda.synchronize()


def _seconds(work: Callable[[], None]) -> float:
    """Time some work: the fastest of a few times, because other work only ever adds to it."""
    began = time.monotonic()
    times = []
    for _ in range(1 + _ROUNDS):
        started = time.monotonic()
        work()
        times.append(time.monotonic() - started)
        if time.monotonic() - began > _LONGEST_S:
            break
    return max(min(times), 1e-9)
