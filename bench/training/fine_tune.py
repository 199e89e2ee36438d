"""Fine-tuning from ImageNet weights: natural training here, against the trainers that people use.

Same network, weights, folder, size, minibatch, epochs, machine and one thread, and the same start of the final layer.
Each peer gets three learning rates, its own and a third and three times it, in its own unit, and more where the best is
at an end; the one with the best validation accuracy at the first seed is kept, and hardener has its recipe's alone.
What is done is left alone, so that the same command goes on:

    python bench/training/fine_tune.py --data clothes --weights efficientnet-lite0-57934424.pth --out work

Each training is timed from the start of its process, and all validate after each epoch, as their own scripts do.

timm: the parts that its train.py is made of, with its defaults (SGD by `--lr-base`, cosine, label smoothing 0.1, random
resized crop, flip, colour jitter). torchvision: the defaults of references/classification (SGD, steps, random resized
crop, flip). fastai: `fine_tune`, one epoch of the head and the rest of all. A peer that is not installed is said and
left out. `--quick` does it with a tiny network of random weights, and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from fine_tune_recipes import NETWORK, RESIZE, renamed, robust_correct
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from hardener.config.run_folder import RunFolder
from hardener.data.data_set import read_data_set
from hardener.data.loader import load_images, shape_of
from hardener.models.trained import open_classifier

TINY = "resnet10t"
MEAN = STD = (0.5, 0.5, 0.5)
"""By which the published weights were trained."""


@dataclass(frozen=True)
class Found:
    """Validation and test accuracy, shares; seconds of an epoch by the clock, and of all from start to answers.

    `whole` is by the clock, `processor` by the processor, which other work on the machine changes less.
    """

    validation: float
    test: float
    seconds: float
    whole: float = 0.0
    processor: float = 0.0


@dataclass(frozen=True)
class Peer:
    """A trainer: the package that it needs, its own learning rate, and what trains (asked, seed, rate) -> Found."""

    package: str
    rate: float
    train: Callable[[argparse.Namespace, int, float], Found]


def network_of(asked: argparse.Namespace, classes: int) -> nn.Module:
    """Build timm's network with the published tensors, but for a fresh final layer, which starts as torch starts it.

    timm's own start is 11 times as wide here, and a few epochs do not get over it; `--own-head` leaves it.
    """
    import timm

    model: nn.Module = timm.create_model(TINY if asked.quick else NETWORK, num_classes=classes)
    if not asked.quick:
        own = model.state_dict()
        given = load_file(renamed(asked.weights, asked.out))
        model.load_state_dict({k: v if v.shape == own[k].shape else own[k] for k, v in given.items()})
    if not asked.own_head:
        final_layer(model).reset_parameters()
    return model.to(memory_format=torch.channels_last)


def final_layer(model: Any) -> nn.Linear:
    """Return the final layer of one of timm's networks."""
    layer = model.get_classifier()
    assert isinstance(layer, nn.Linear), "these networks end in a linear layer"
    return layer


def folder(asked: argparse.Namespace, split: str, transform: Callable[[Any], Tensor]) -> ImageFolder:
    return ImageFolder(str(asked.data / split), transform)


def answers(asked: argparse.Namespace, model: nn.Module, split: str) -> float:
    """Return the share of a split that is classified right, images cut as here: the shorter side, then the middle.

    The loader has a generator of its own, so that validating changes no later draw of training.
    """
    steps = [v2.PILToTensor(), v2.Resize(asked.size, antialias=True), v2.CenterCrop(asked.size)]
    whole = v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    right, count = 0, 0
    model.eval()
    with torch.no_grad():
        for images, labels in DataLoader(folder(asked, split, rgb_first(whole)), 64, generator=torch.Generator()):
            right += int((model(images).argmax(dim=1) == labels).sum())
            count += len(labels)
    return right / count


def rgb_first(then: Callable[[Any], Tensor]) -> Callable[[Any], Tensor]:
    return lambda picture: then(picture.convert("RGB"))


def plain_loop(
    asked: argparse.Namespace,
    model: nn.Module,
    data: ImageFolder,
    loss_of: nn.Module,
    optimizer: torch.optim.Optimizer,
    after: Callable[[int, int], None],
) -> Found:
    """Train and validate each epoch by the loop that both references are; `after` gets epochs and steps done."""
    began, steps, validation = time.monotonic(), 0, 0.0
    for epoch in range(asked.epochs):
        model.train()
        for images, labels in DataLoader(data, batch_size=asked.batch_size, shuffle=True, drop_last=True):
            optimizer.zero_grad()
            loss_of(model(images.contiguous(memory_format=torch.channels_last)), labels).backward()
            optimizer.step()
            steps += 1
            after(epoch, steps)
        after(epoch + 1, steps)
        validation = answers(asked, model, "validation")
    took = (time.monotonic() - began) / asked.epochs
    return Found(validation, answers(asked, model, "test"), took)


def by_timm(asked: argparse.Namespace, seed: int, rate: float) -> Found:
    """Train by the parts of timm's train.py; `rate` is of 256 images, and goes with the minibatch."""
    from timm.data import create_transform
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2
    from timm.utils import random_seed

    random_seed(seed)  # Python's generator too, by which its transforms draw
    transform = create_transform(
        asked.size, is_training=True, color_jitter=0.4, hflip=0.5, interpolation="random", mean=MEAN, std=STD
    )
    data = folder(asked, "train", rgb_first(transform))
    model = network_of(asked, len(data.classes))
    lr = rate * asked.batch_size / 256
    optimizer = create_optimizer_v2(model, opt="sgd", lr=lr, weight_decay=2e-5, momentum=0.9)
    warmup = min(5, asked.epochs // 2)
    schedule, _ = create_scheduler_v2(
        optimizer, "cosine", num_epochs=asked.epochs, warmup_epochs=warmup, warmup_lr=1e-5, min_lr=0
    )

    def after(epochs: int, steps: int) -> None:
        schedule.step(epochs)

    schedule.step(0)
    return plain_loop(asked, model, data, LabelSmoothingCrossEntropy(0.1), optimizer, after)


def by_torchvision(asked: argparse.Namespace, seed: int, rate: float) -> Found:
    """Train by the defaults of torchvision's references/classification; its steps at 1/3 and 2/3 of the epochs."""
    torch.manual_seed(seed)
    transform = v2.Compose(
        [
            v2.PILToTensor(),
            v2.RandomResizedCrop(asked.size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    data = folder(asked, "train", rgb_first(transform))
    model = network_of(asked, len(data.classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=1e-4)

    def after(epochs: int, steps: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.1 ** (3 * epochs // asked.epochs)

    return plain_loop(asked, model, data, nn.CrossEntropyLoss(), optimizer, after)


def by_fastai(asked: argparse.Namespace, seed: int, rate: float) -> Found:
    """Train by fastai's `fine_tune`: the head alone for one epoch, then all."""
    from fastai.vision.all import (
        ImageDataLoaders,
        Learner,
        Normalize,
        RandomResizedCrop,
        accuracy,
        aug_transforms,
        params,
        set_seed,
    )

    set_seed(seed, reproducible=True)
    loaders = ImageDataLoaders.from_folder(
        asked.data, train="train", valid="validation", bs=asked.batch_size, num_workers=0, device=torch.device("cpu"),
        item_tfms=RandomResizedCrop(asked.size, min_scale=0.35),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(MEAN, STD)],
    )  # fmt: skip
    model = network_of(asked, len(loaders.vocab))
    head = final_layer(model)

    def split(whole: nn.Module) -> list[list[nn.Parameter]]:
        last = set(params(head))
        return [[p for p in params(whole) if p not in last], list(last)]

    learner = Learner(loaders, model, metrics=accuracy, splitter=split, path=asked.out)
    began = time.monotonic()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(max(asked.epochs - 1, 1), base_lr=rate, freeze_epochs=1)
    took = (time.monotonic() - began) / asked.epochs
    return Found(answers(asked, model, "validation"), answers(asked, model, "test"), took)


def by_hardener(asked: argparse.Namespace, seed: int, rate: float, keys: Sequence[str] = ()) -> Found:
    """Train by `hardener train --recipe natural`, whose seconds hold its validation, as those of the others do."""
    out, name = asked.out / "runs", f"natural-{seed}{'-set' * bool(keys)}"
    words = ["train", f"timm:{TINY if asked.quick else NETWORK}", "--data", str(asked.data), "--recipe", "natural"]
    words += ["--image-size", str(asked.size), "--batch-size", str(asked.batch_size), "--epochs", str(asked.epochs)]
    words += ["--seed", str(seed), "--precision", "float32", "--no-rehearsal", "--out", str(out), "--name", name]
    sets = ["validation.samples=16", "validation.steps=1", "validation.select=clean", f"optimizer.lr={rate}", *keys]
    words += [word for key in sets for word in ("--set", key)]
    words += ["--normalize", "0.5,0.5,0.5/0.5,0.5,0.5"]
    if not asked.quick:
        words += ["--init", str(renamed(asked.weights, asked.out)), "--replace-head"]
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "hardener", *words], check=True, env=os.environ | one_thread)
    run = RunFolder(out / name)
    record = run.read_record()
    assert record.best is not None, "a finished run has a best epoch"
    loaded = load_images(read_data_set(asked.data).splits["test"], shape_of(record.input))
    right = robust_correct(open_classifier(run, record), *loaded.take(range(len(loaded))), 0.0)
    return Found(record.best.clean_accuracy, float(right.float().mean()), record.seconds / record.epochs_done)


PEERS = {
    "hardener": Peer("hardener", 0.03, by_hardener),
    "hardener, resize": Peer("hardener", 0.03, partial(by_hardener, keys=RESIZE)),
    "timm": Peer("timm", 0.1, by_timm),
    "torchvision": Peer("torchvision", 0.1, by_torchvision),
    "fastai": Peer("fastai", 2e-3, by_fastai),
}


def in_own_process(asked: argparse.Namespace, name: str, seed: int, rate: float) -> Found:
    """Train by a peer from the start of its process on, as hardener is, which starts one of its own."""
    if PEERS[name].package == "hardener":
        return PEERS[name].train(asked, seed, rate)
    begin = partial(torch.set_num_threads, 1)
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=begin) as pool:
        return pool.submit(PEERS[name].train, asked, seed, rate).result()


def measured(asked: argparse.Namespace, name: str, seed: int, rate: float) -> Found:
    """Return what a file of an earlier call holds, or train and write it."""
    path = asked.out / "found" / f"{name.replace(', ', '-')}-{seed}-{rate:g}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        began, worked = time.monotonic(), sum(os.times()[:4])
        found = vars(in_own_process(asked, name, seed, rate))
        times = {"whole": time.monotonic() - began, "processor": sum(os.times()[:4]) - worked}
        path.write_text(json.dumps(found | times) + "\n")
    print(f"{name}, seed {seed}, rate {rate:g}: {path.read_text().strip()}", flush=True)
    return Found(**json.loads(path.read_text()))


def chosen_rate(asked: argparse.Namespace, name: str) -> float:
    """Return a peer's learning rate by the validation accuracy of seed 0; hardener's own where it is hardener."""
    own = PEERS[name].rate
    if PEERS[name].package == "hardener" or asked.quick:
        return own
    rates = [own / 3, own, 3 * own]
    while True:
        best = max(rates, key=lambda rate: measured(asked, name, 0, rate).validation)
        if best not in {rates[0], rates[-1]}:
            return best
        rates = [rates[0] / 3, *rates] if best == rates[0] else [*rates, 3 * rates[-1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with train, validation and test", required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=PEERS, help="repeatable")
    parser.add_argument("--own-head", action="store_true", help="leave the final layer's start to timm")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if asked.quick:
        asked.size, asked.batch_size, asked.epochs, asked.seeds = 32, 4, 2, 1
    elif asked.weights is None:
        parser.error("name the published weights: --weights FILE")
    torch.set_num_threads(1)
    asked.out.mkdir(exist_ok=True, parents=True)
    there = [name for name in asked.only or PEERS if find_spec(PEERS[name].package) is not None]
    for name in asked.only or PEERS:
        if name not in there:
            print(f"{name} is not installed and left out: pip install {PEERS[name].package}", flush=True)
    rates = {name: chosen_rate(asked, name) for name in there}
    by_seed = [{name: measured(asked, name, seed, rates[name]) for name in there} for seed in range(asked.seeds)]
    lines = []
    for name, rate in rates.items():
        found = [of_all[name] for of_all in by_seed]
        test = " / ".join(f"{100 * one.test:.1f}" for one in found)
        seconds = statistics.median(one.seconds for one in found)
        whole, worked = (statistics.median(getattr(one, key) for one in found) for key in ("whole", "processor"))
        lines.append(f"| {name} | {rate:.2g} | {test} | {seconds:.1f} | {whole:.0f} | {worked:.0f} |")
    print("\n| trainer | rate | test accuracy, % by seed | seconds an epoch | in all | of the processor |")
    print("| --- | --- | --- | --- | --- | --- |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
