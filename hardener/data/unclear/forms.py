"""Folders that hold the same images in several forms: raw and preprocessed, original and augmented, RGB and others."""

from __future__ import annotations

from collections.abc import Mapping

from hardener.config.reading import ignoring
from hardener.data.node import Node
from hardener.data.split_names import words_of

_FIRST = {"raw", "original", "originals", "orig", "rgb", "color", "colour", "unprocessed"}
FORMS = _FIRST | {
    "augmented", "augmentation", "augmentations", "aug", "preprocessed", "processed", "enhanced", "cropped", "resized",
    "gray", "grey", "grayscale", "greyscale", "segmented", "normalized", "normalised", "filtered", "denoised",
}  # fmt: skip
_SAME = 0.8
"""The share of names that folders have in common, where they hold the same images with other endings."""


def in_forms(filled: Mapping[str, Node]) -> str:
    """Return the lines that take one of some folders alone, where they hold the same images; empty for any others."""
    if not (all(map(_words, filled)) or _differ_by_endings(filled)):
        return ""
    order = sorted(filled, key=lambda name: (_FIRST.isdisjoint(_words(name)), name))
    ways = [f"{ignoring(other for other in order if other != name)} takes {name} alone" for name in order[:3]]
    return (
        f"What is trained on in one is tested on in another where all are taken. {'; '.join(ways)}. If they are the "
        "classes, pass --class-depth 1."
    )


def _words(name: str) -> set[str]:
    """Return the words of a name that tell a form."""
    return FORMS & {word.lower() for word in words_of(name)}


def _differ_by_endings(filled: Mapping[str, Node]) -> bool:
    """Tell whether folders hold files of the same names, each with an ending of its own."""
    stems: list[set[str]] = []
    endings: list[set[str]] = []
    for node in filled.values():
        parts = [name[len(node.path) + 1 :].rpartition(".") for name in node.images()]
        stems.append({stem for stem, _, _ in parts})
        endings.append({ending.lower() for _, _, ending in parts})
    alone = len(set.union(*endings)) == sum(map(len, endings))
    return alone and len(set.intersection(*stems)) >= _SAME * max(map(len, stems))
