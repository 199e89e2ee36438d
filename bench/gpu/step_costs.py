"""What a training step costs: recipes on networks, compiled, by CUDA graphs and neither; and a plain loop beside."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torchvision
from cifar_networks import resnet18, vgg16
from common import Stepper, clock, random_batch
from item import Item, Place, Row
from resnet50 import matrix_rate
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

WAYS = {
    "compile off": ["compile=off"],
    "compile on": ["compile=on"],
    "CUDA graphs": ["compile=on", "cuda_graphs=true"],
}
COMPILED = {  # one attack step inside tells about more of them; two passes of the network a step
    "natural": ["compile off", "compile on"],
    "sprout": ["compile off", "compile on"],
    "n-fgsm": list(WAYS),
}
RECIPES = ("natural", "sprout", "n-fgsm", "hardened", "free-at", "pgd-at", "trades", "trades-awp")
ROUNDS, STEPS = 3, 6


def _toy(classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    )


class _WideBlock(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
        )
        self.skip = nn.Conv2d(inputs, width, 1, stride, bias=False) if inputs != width or stride > 1 else None

    def forward(self, images: Tensor) -> Tensor:
        ready = self.first(images)
        found: Tensor = self.body(ready) + (images if self.skip is None else self.skip(ready))
        return found


def wrn_28_10(classes: int) -> nn.Module:
    """WRN-28-10 of Zagoruyko and Komodakis (BMVC 2016), table 1: three groups of four blocks, 36.5 M parameters."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False)]
    inputs = 16
    for width, stride in ((160, 1), (320, 2), (640, 2)):
        for place in range(4):
            layers.append(_WideBlock(inputs, width, stride if place == 0 else 1))
            inputs = width
    layers += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)]
    return nn.Sequential(*layers)


def _of_torchvision(name: str) -> Callable[[int], nn.Module]:
    def build(classes: int) -> nn.Module:
        network: nn.Module = torchvision.models.get_model(name, num_classes=classes)
        return network

    return build


# name -> (builder, pixels, minibatch, classes)
NETWORKS: dict[str, tuple[Callable[[int], nn.Module], int, int, int]] = {
    "resnet18": (resnet18, 32, 128, 10),
    "vgg16": (vgg16, 32, 128, 10),
    "wrn-28-10": (wrn_28_10, 32, 128, 10),
    "resnet50": (_of_torchvision("resnet50"), 224, 128, 1000),
    "convnext_tiny": (_of_torchvision("convnext_tiny"), 224, 128, 1000),
}
TOY = {"toy": (_toy, 16, 4, 3)}


def items(place: Place) -> Iterator[Item]:
    """Return the card's rate, then each network: the plain loop and all recipes, compiled and not."""
    yield Item("matrix rate", _matrix_rate)
    for name in TOY if place.toy else NETWORKS:
        yield Item(f"{name}, plain loop", partial(_plain, name))
        for recipe in RECIPES[:2] if place.toy else RECIPES:
            for way in ["compile off"] if place.toy else COMPILED.get(recipe, ["compile off"]):
                yield Item(f"{name}, {recipe}, {way}", partial(_recipe, name, recipe, way))


def _matrix_rate(place: Place) -> Row:
    return {"tflops_bfloat16": matrix_rate(place.device, 256 if place.toy else 8192) / 1e12}


def _plain(name: str, place: Place) -> Row:
    """A loop as torchvision's reference has it: autocast, SGD, channels_last, no compile, data on the device."""
    build, size, count, classes = (TOY if place.toy else NETWORKS)[name]
    network = build(classes).to(place.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    drawn, labels = random_batch(count, size, classes, place.device)

    def steps() -> None:
        for _ in range(STEPS):
            images = ((drawn.float() / 255 - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)
            with torch.autocast(place.device.type, dtype=torch.bfloat16):
                loss = cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return _timed(steps, count, place)


def _recipe(name: str, recipe: str, way: str, place: Place) -> Row:
    """A step as `hardener train` takes it, augmentation of the minibatch included."""
    build, size, count, classes = (TOY if place.toy else NETWORKS)[name]
    torch.compiler.reset()
    stepper = Stepper(build(classes), recipe, place.device, classes=classes, sets=WAYS[way])
    batch = random_batch(count, size, classes, place.device)
    found = _timed(lambda: stepper.run([batch] * STEPS), count, place)
    if way != "compile off":
        found["graph_breaks"] = sum(torch._dynamo.utils.counters["graph_break"].values())
    return found


def _timed(steps: Callable[[], None], count: int, place: Place) -> Row:
    on_gpu = place.device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(place.device)
    steps()  # compiles, and chooses its kernels
    times = [clock(steps, place.device) / STEPS for _ in range(1 if place.toy else ROUNDS)]
    middle = statistics.median(times)
    row: Row = {
        "step_ms": 1000 * middle,
        "least_ms": 1000 * min(times),
        "most_ms": 1000 * max(times),
        "images_per_s": count / middle,
    }
    if on_gpu:
        row["peak_bytes"] = torch.cuda.max_memory_allocated(place.device)
    return row
