"""Write the Digits data set, which comes inside scikit-learn, out as an image folder: 1,797 gray images of 8x8."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write_digits(root: Path) -> int:
    """Write class folders 0 to 9 below `root`, one PNG an image; return how many."""
    digits = load_digits()
    for index, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        folder = root / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        levels = np.round(pixels * (255 / 16)).astype(np.uint8)  # the set has 17 grey levels, 0 to 16
        Image.fromarray(levels).save(folder / f"{index:04d}.png")
    return len(digits.target)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "digits")
    print(f"{target}: {write_digits(target)} images")
