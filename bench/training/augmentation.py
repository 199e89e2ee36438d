"""What augmenting a minibatch costs: here, image by image with torchvision, and with one draw a batch.

`python bench/training/augmentation.py --size 32 --size 224`. All take turns on the same random images. torchvision's
transforms and kornia's TrivialAugment draw once for all that they are given: called on a batch they are no peers of
what draws for each image, and are shown as the floor. kornia is measured where it is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable

import torch
from common import Row, begin, options, ratio, seconds, show, take_turns
from torch import Tensor
from torchvision.transforms import v2

from hardener.augmentation.chain import Augmentation, augmentations_of
from hardener.config.recipe import load_recipe

PEERS: dict[str, Callable[[int], v2.Transform]] = {
    "trivial": lambda size: v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR),
    "rand": lambda size: v2.RandAugment(interpolation=v2.InterpolationMode.BILINEAR),
    "augmix": lambda size: v2.AugMix(interpolation=v2.InterpolationMode.BILINEAR),
    "crop": lambda size: v2.RandomResizedCrop(size, scale=(0.35, 1.0), antialias=True),
    "color": lambda size: v2.ColorJitter(0.2, 0.2, 0.2),
    "erase": lambda size: v2.RandomErasing(0.25),
}


def ours(name: str) -> Augmentation:
    """One augmentation with its default settings."""
    recipe = load_recipe("natural", ["augment.shift=0", "augment.flip=false", f"augment.{name}=true"])
    (found,) = augmentations_of(recipe.augment.on())
    return found


def kornia_trivial() -> Callable[[Tensor], Tensor] | None:
    """kornia's TrivialAugment, which draws one operation for the whole batch."""
    if importlib.util.find_spec("kornia") is None:
        return None
    found: Callable[[Tensor], Tensor] = importlib.import_module("kornia.augmentation.auto").TrivialAugment()
    return found


def main() -> None:
    """Print a row for each augmentation, size and peer."""
    parser = options(__doc__)
    parser.add_argument("--size", action="append", type=int, help="repeatable; 32 by default")
    parser.add_argument("--batch-size", type=int, default=128)
    asked = parser.parse_args()
    device = begin(asked)
    if asked.quick:
        asked.batch_size, asked.rounds = 8, 2
    rows = []
    for size in asked.size or [32]:
        pixels = torch.randint(0, 256, (asked.batch_size, 3, size, size), dtype=torch.uint8, device=device)
        images = pixels.float() / 255
        for name, make in PEERS.items():
            peer, augment = make(size), ours(name)

            def one_by_one(peer: v2.Transform = peer, pixels: Tensor = pixels) -> object:
                return torch.stack([peer(image) for image in pixels])

            works: dict[str, Callable[[], object]] = {
                "here": lambda augment=augment, images=images: augment(images),  # type: ignore[misc]
                "torchvision, image by image": one_by_one,
            }
            if name == "trivial" and (whole := kornia_trivial()) is not None:
                works["kornia, one operation a batch"] = lambda whole=whole, images=images: whole(images)  # type: ignore[misc]
            times = take_turns(works, asked.rounds, lambda work: seconds(work, device))
            took = sorted(times["here"])[len(times["here"]) // 2]
            for other in list(works)[1:]:
                measured = f"{ratio(times['here'], times[other])[1]}; {1e3 * took:.1f} ms here"
                rows.append(Row(f"augment.{name}, {size} pixels", other, measured))
    show(f"A minibatch of {asked.batch_size}", rows, asked, device)


if __name__ == "__main__":
    main()
