"""Augmentations: images -> images that show the same, on their device, each image with a draw of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from hardener.config.section import SectionEntry


@dataclass(frozen=True)
class AugmentationEntry(SectionEntry):
    """An augmentation. `target` draws: `(images, *, its settings, generator) -> images`.

    It is on where its key of the recipe's section `augment` is neither 0, false nor null.

    Attributes:
        settings: the model of its section; None: the key stands in `config.schema.Augment` already.
        needs_color: which of its settings change nothing about a gray image.
    """

    needs_color: tuple[str, ...] = ()


AUGMENTATIONS: Mapping[str, AugmentationEntry] = {
    "crop": AugmentationEntry(
        "hardener.augmentation.crop:crop", "a part of the image, brought to its size", settings="Settings"
    ),
    "shift": AugmentationEntry("hardener.augmentation.shift:shift", "moved, edges filled with black"),
    "flip": AugmentationEntry("hardener.augmentation.flip:mirror", "half of the images mirrored"),
    "color": AugmentationEntry(
        "hardener.augmentation.color:jitter",
        "brightness, contrast, saturation and hue changed a little",
        settings="Settings",
        needs_color=("saturation", "hue"),
    ),
    "rand": AugmentationEntry(
        "hardener.augmentation.rand:rand_augment", "RandAugment: a few operations of one strength", settings="Settings"
    ),
    "trivial": AugmentationEntry(
        "hardener.augmentation.trivial:trivial_augment",
        "TrivialAugment: one operation of any strength",
        settings="Settings",
    ),
    "augmix": AugmentationEntry(
        "hardener.augmentation.augmix:augmix", "AugMix: chains of operations, mixed with the image", settings="Settings"
    ),
    "erase": AugmentationEntry(
        "hardener.augmentation.erase:erase", "a rectangle replaced by noise", settings="Settings"
    ),
    "patch-gaussian": AugmentationEntry(
        "hardener.augmentation.patch_gaussian:patch_gaussian", "Gaussian noise on a square patch", settings="Settings"
    ),
}
"""In the order that they are applied in."""
