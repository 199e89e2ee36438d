"""Make a set with more classes and fewer images of each: `python bench/training/many_classes.py --out FOLDER ...`.

Thirty classes: the ten of CIFAR-10, of Fashion-MNIST and of clothes, with 60 images to train on, 20 to validate and 20
to test each. Files are copied as they are; Fashion-MNIST's images are written as PNG. All are drawn by seed 0.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image

from hardener.config.reading import Reading
from hardener.data.sources.idx import Idx

COUNTS = {"train": 60, "validation": 20, "test": 20}
FASHION = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"]
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="an image folder with train and test")
    parser.add_argument("--clothes", type=Path, required=True, help="an image folder with train, validation and test")
    parser.add_argument("--fashion", type=Path, required=True, help="a folder with the four files of Fashion-MNIST")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    for name, root in (("cifar", asked.cifar), ("clothes", asked.clothes)):
        for kind in sorted((root / "train").iterdir()):
            files = sorted(root.glob(f"*/{kind.name}/*"))
            for own, file in divided(asked.out, f"{name}-{kind.name}", files):
                shutil.copy(file, own / f"{file.parts[-3]}-{file.name}")  # names come again in other splits
    group = Idx().read(asked.fashion, Reading()).splits["train"]
    for label, kind in enumerate(FASHION):
        places = [place for place, name in enumerate(group.names) if name == str(label)]
        for own, place in divided(asked.out, f"fashion-{kind}", places):
            image = Image.open(io.BytesIO(group.store.read(group.root, group.paths[place])))
            image.convert("RGB").save(own / f"{place}.png")


def divided(out: Path, kind: str, whole: Sequence[T]) -> Iterator[tuple[Path, T]]:
    """Yield what seed 0 draws of a class, each with the folder of its split."""
    drawn = iter(random.Random(0).sample(whole, sum(COUNTS.values())))
    for split, count in COUNTS.items():
        own = out / split / kind
        own.mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            yield own, next(drawn)


if __name__ == "__main__":
    main()
