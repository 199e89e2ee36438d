"""Natural training, AugMix and `sturdy` on CIFAR-10: accuracy as it is, and under the fifteen corruptions.

What is trained stands in ROWS. Each is judged on 1,000 test images as they are and on 300 of them corrupted, at all
five severities. What is done is left alone, so that the same command goes on where it was stopped:

    python bench/training/corruptions.py --cifar cifar10 --out work
    python bench/training/corruptions.py --out work --table
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cifar_rows import Row, go, judged
from fine_tune_recipes import corrupted, robust_correct, shown
from torch import Tensor, nn

LONG = 30
TWICE = ("augment.trivial.strength=1", "vicinity.patch_gaussian.chance=0.5")
"""What `sturdy` has where it starts from trained weights."""
STRONG = ("augment.trivial.strength=1", "vicinity.patch_gaussian.sigma=1", "vicinity.patch_gaussian.chance=1")
ROWS = {
    "natural": Row("natural", start=None, epochs=LONG),
    "natural with AugMix": Row("natural", ("augment.augmix=true",), None, LONG),
    "sturdy": Row("sturdy", start=None, epochs=LONG),
    "sturdy, twice as much": Row("sturdy", TWICE, None, LONG),
    "sturdy, noise up to 1 on all images": Row("sturdy", STRONG, None, LONG),
    "natural, seed 1": Row("natural", start=None, epochs=LONG, seed=1),
    "sturdy, seed 1": Row("sturdy", start=None, epochs=LONG, seed=1),
    "sturdy, twice as much, seed 1": Row("sturdy", TWICE, None, LONG, seed=1),
    "natural, seed 2": Row("natural", start=None, epochs=LONG, seed=2),
    "sturdy, seed 2": Row("sturdy", start=None, epochs=LONG, seed=2),
    "sturdy, twice as much, seed 2": Row("sturdy", TWICE, None, LONG, seed=2),
    "natural, 15 epochs": Row("natural", start=None, epochs=LONG // 2),
    "sturdy, 15 epochs from natural of 15": Row("sturdy", start="natural, 15 epochs", epochs=LONG // 2),
    "sturdy, noise up to 1, 15 epochs from natural of 15": Row("sturdy", STRONG, "natural, 15 epochs", LONG // 2),
}


FAMILIES = ("noise", "blur", "weather", "digital")


def judge(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return which images are right, and the accuracies under corruptions."""
    clean = robust_correct(model, images, labels, 0.0).int().tolist()
    return {"clean": clean, **corrupted(model, images[:300], labels[:300])}


def table(out: Path) -> None:
    """Print a line of Markdown for each row that is judged."""
    print(f"| what | clean (95 %) | corruptions | {' | '.join(FAMILIES)} |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in ROWS:
        found = judged(out, name)
        if found is not None:
            shares = [found["corrupted"], *(found["families"][family] for family in FAMILIES)]
            clean = shown(sum(found["clean"]), len(found["clean"]))
            print(f"| {name} | {clean} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |")


if __name__ == "__main__":
    go(__doc__, ROWS, ["validation.samples=16", "validation.select=clean"], judge, table)
