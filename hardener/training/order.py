"""Which images a run trains on, and in which order: the same from any place on, whoever asks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from hardener.augmentation.chain import augmentations_of
from hardener.config.schema import Recipe
from hardener.data.loader import LoadedImages
from hardener.data.wait_time import WaitTime
from hardener.progress import rank_and_world
from hardener.runtime.model_state import as_float, seed_draws
from hardener.training.balance import even_order
from hardener.training.loop import Minibatch
from hardener.training.resizing import resized, size_in
from hardener.training.state import Progress
from hardener.words import counted

_STEPS, _LEAST_BATCH = 8, 4  # what is advised: so many steps an epoch, of so many images


class DataOrder:
    """The minibatches of each epoch, shuffled by seed and epoch alone.

    Every draw of a step follows from its place in the run as well, so that a resumed run needs no state of a random
    number generator, and the order is the same for any number of processes.

    Attributes:
        usable: images of an epoch. A last minibatch that leaves a process one image or none is left out, because batch
            norm cannot train on one.
        wait_time: what training waited for images.
    """

    def __init__(self, images: LoadedImages, recipe: Recipe, *, seed: int, device: torch.device) -> None:
        self._images, self._recipe, self._seed, self._device = images, recipe, seed, device
        self._augmentations = augmentations_of(recipe.augment.on())
        self._rank, self._world = rank_and_world()
        self._together = recipe.batch_size * self._world
        self.usable = usable_of(len(images), together=self._together, world=self._world)
        self.wait_time = WaitTime()

    def done(self, progress: Progress) -> int:
        """Return how many images lie before this place in the run."""
        return progress.epoch * self.usable + progress.images

    def batches(self, progress: Progress) -> Iterator[Minibatch]:
        """Yield what is left of an epoch from this place on: this process's part of each minibatch."""
        epoch, place = progress.epoch, progress.images
        shuffle = torch.Generator().manual_seed((self._seed * 1_000_003 + epoch) % 2**64)  # torch takes no more
        order = self._order(shuffle)[place : self.usable]
        if len(order) == 0:  # a checkpoint of the epoch's end
            return
        own = torch.cat([whole.tensor_split(self._world)[self._rank] for whole in order.split(self._together)])
        batch_size = self._recipe.batch_size
        pieces = self._images.batches(own, batch_size, pin=self._device.type == "cuda")
        for places, (images, labels) in zip(own.split(batch_size), self.wait_time(pieces), strict=True):
            # all of a step's draws, the network's own too, follow from its place: no checkpoint holds any
            seed_draws(step_seed(self._seed, epoch, place, self._rank))
            whole = min(self._together, self.usable - place)
            place += whole
            moved = as_float(images.to(self._device, non_blocking=True)).contiguous(memory_format=torch.channels_last)
            for augment in self._augmentations:
                moved = augment(moved)
            if self._recipe.resize is not None:
                size = size_in(self._recipe.resize, epoch, self._recipe.epochs, *moved.shape[2:])
                moved = resized(moved, size).contiguous(memory_format=torch.channels_last)
            yield Minibatch(moved, labels.to(self._device, non_blocking=True), whole, places)

    def _order(self, shuffle: torch.Generator) -> Tensor:
        """Return the places of a whole epoch."""
        if self._recipe.data.balance == "sampler":
            return even_order(self._images.labels, shuffle)
        return torch.randperm(len(self._images), generator=shuffle)


def usable_of(images: int, *, together: int, world: int) -> int:
    """Return how many images an epoch uses; see `DataOrder.usable`. `together`: of a minibatch over all processes."""
    rest = images % together
    return images - rest if 0 < rest < 2 * world and rest < images else images


def single_step(recipe: Recipe, images: int, world: int) -> str | None:
    """Say where an epoch is one step, so that a run has hardly any, and what makes more of them; None: it is several.

    Args:
        images: of the training split.
        world: processes that share them.
    """
    fewer = 2 ** int(math.log2(max(images / world / _STEPS, 1)))
    if images > recipe.batch_size * world or fewer < _LEAST_BATCH:
        return None
    return (
        f"an epoch is one step, since minibatches hold {recipe.batch_size * world} images and there are {images}: the "
        f"run has {counted(recipe.epochs, 'step')}. --batch-size {fewer} makes more of them"
    )


def step_seed(seed: int, epoch: int, place: int, rank: int) -> int:
    """Return a seed of its own for every step of every run, on each of several processes."""
    where = f"{seed} {epoch} {place}" + (f" {rank}" if rank else "")
    digest = hashlib.blake2b(where.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
