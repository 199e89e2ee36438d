"""An epoch of SPROUT, against the reference's way of taking it, reproduced here from its description.

The reference's way: float32, NCHW, PIL images with random crops, flips, ToTensor and Normalize in a DataLoader with
two workers; for each minibatch three steps of the network, each with fresh noise, mixup and Dirichlet labels, and one
step of beta on the clean minibatch: four passes forward and back. Ours: the recipe `sprout` as `hardener train` runs
it, one pass a minibatch, in bfloat16, images cut from memory, augmentation on the device. Both take turns on the same
50,000 generated images of 32x32, for some minibatches of a shuffled epoch; the time of an epoch follows from the
clock's seconds a minibatch, since the reference's workers have cores of their own. By how much the passes alone
account for is printed too: ours with the recipe `sprout-reference`, which takes the same four.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from cifar_networks import NETWORKS
from common import Row, Stepper, begin, clock, options, ratio, show, take_turns
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

IMAGES = 50_000
GOALS = {"cuda": 6.0, "cpu": 4.0}


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images in memory, transformed one by one by the processor."""

    def __init__(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.pixels, self.labels = pixels, labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), int(self.labels[index])


class Reference:
    """The reference's loop."""

    def __init__(self, network: nn.Module, data: Pictures, batch_size: int, device: torch.device) -> None:
        self.network, self.device = network.to(device).train(), device
        self.loader: Any = DataLoader(data, batch_size, shuffle=True, num_workers=2, drop_last=True)
        self.theta = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.vector = torch.ones(10, device=device, requires_grad=True)
        self.beta = torch.optim.SGD([self.vector], lr=0.01, maximize=True)
        self.batches: Iterator[tuple[Tensor, Tensor]] = iter(self.loader)

    def run(self, count: int) -> None:
        """Take `count` minibatches."""
        for images, labels in itertools.islice(self.batches, count):
            images, labels = images.to(self.device), labels.to(self.device)
            clean = one_hot(labels, 10).float()
            for _ in range(3):
                lam = float(np.random.beta(0.2, 0.2))
                partner = torch.randperm(len(images), device=self.device)
                noisy = images + 0.1 * torch.randn_like(images)
                mixed = lam * noisy + (1 - lam) * noisy[partner]
                soft = lam * clean + (1 - lam) * clean[partner]
                loss = self._loss(mixed, soft)
                self.theta.zero_grad()
                loss.backward()
                self.theta.step()
            self.beta.zero_grad()
            self._loss(images, clean).backward()
            self.beta.step()

    def _loss(self, images: Tensor, soft: Tensor) -> Tensor:
        drawn = torch.distributions.Dirichlet(10 * soft + self.vector.clamp_min(1e-3)).rsample()
        return -(drawn * log_softmax(self.network(images), dim=1)).sum(dim=1).mean()


class Ours:
    """The loop of `hardener train` on pixels kept in memory."""

    def __init__(self, stepper: Stepper, pixels: Tensor, labels: Tensor, batch_size: int) -> None:
        self.stepper, self.pixels, self.labels = stepper, pixels.to(stepper.device), labels.to(stepper.device)
        self.order = torch.randperm(len(labels), device=stepper.device).split(batch_size)
        self.place = 0

    def run(self, count: int) -> None:
        """Take `count` minibatches."""
        rows = self.order[self.place : self.place + count]
        self.place += count
        self.stepper.run((self.pixels[row], self.labels[row]) for row in rows)


def main() -> None:
    """Print a row a network."""
    parser = options(__doc__)
    parser.add_argument("--network", action="append", choices=NETWORKS, help="repeatable")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--minibatches", type=int, help="in a turn (default: 20 on a GPU, 1 on a processor)")
    asked = parser.parse_args()
    device = begin(asked)
    networks = asked.network or ["vgg16", "resnet18"]
    count = asked.minibatches or (20 if device.type == "cuda" else 1)
    if asked.quick:
        networks, asked.batch_size, asked.rounds = ["cifar_fast"], 16, 2
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    labels = random.integers(0, 10, IMAGES)
    tensors = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)
    rows = []
    for name in networks:
        reference = Reference(NETWORKS[name](10), Pictures(pixels, labels), asked.batch_size, device)
        ours = {
            recipe: Ours(Stepper(NETWORKS[name](10), recipe, device), *tensors, asked.batch_size)
            for recipe in ("sprout", "sprout-reference")
        }
        found = take_turns(
            {"reference": partial(reference.run, count)}
            | {recipe: partial(loop.run, count) for recipe, loop in ours.items()},
            asked.rounds,
            partial(clock, device=device),
        )
        steps = IMAGES / asked.batch_size / count
        middle, shown = ratio(found["reference"], found["sprout"])
        epochs = [statistics.median(found[who]) * steps for who in ("sprout", "reference")]
        goal = GOALS[device.type]
        shown = f"{shown} times faster; {epochs[0]:.0f} s against {epochs[1]:.0f} s"
        rows.append(Row(f"a SPROUT epoch, {name}", "the reference's way", shown, f"≥ {goal:g}", middle >= goal))
        shown = f"{ratio(found['reference'], found['sprout-reference'])[1]} times faster"
        rows.append(Row(f"the same four passes, {name}", "the reference's way", shown))
    show(f"an epoch of {IMAGES:,} images at 32x32, minibatches of {asked.batch_size}", rows, asked, device)


if __name__ == "__main__":
    main()
