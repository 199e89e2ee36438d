"""Simple statistics of images, so that an image can be told to be unlike those of the training. Imports no torch."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from hardener.config.bundle import Spread, TrainingImages
from hardener.config.pixels import PixelRule
from hardener.data.decode import open_image, to_input_with_size
from hardener.data.image_files import ImageFiles
from hardener.errors import BadImage

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def image_statistics(image: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Measure a model's input.

    Args:
        image: (H, W, C), C 1 (gray) or 3 (RGB).
    Returns:
        Brightness, contrast and noise of its luma in [0, 1]: the mean, the standard deviation, and `noise_std`.
    """
    shown = image.astype(np.float32) / np.float32(255)
    luma: NDArray[np.float32] = shown[:, :, 0] if image.shape[2] == 1 else (shown * _LUMA).sum(axis=2)
    return float(luma.mean(dtype=np.float64)), float(luma.std(dtype=np.float64)), noise_std(luma)


def noise_std(luma: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of white noise in an image.

    The mask, a difference of two Laplacians, takes constants and slopes away and leaves noise 6 times as strong. Fine
    texture passes it too and counts as noise.

    Args:
        luma: (H, W).
    Returns:
        In the unit of `luma`; 0 where a side is shorter than 3.
    Source: Immerkær, "Fast Noise Variance Estimation", Computer Vision and Image Understanding 64(2), 1996, 300-302.
    """
    height, width = luma.shape
    if min(height, width) < 3:
        return 0.0
    across = luma[:, :-2] - 2 * luma[:, 1:-1] + luma[:, 2:]  # the mask is the outer product of (1, -2, 1) with itself
    both = across[:-2] - 2 * across[1:-1] + across[2:]
    return math.sqrt(math.pi / 2) / 6 * float(np.abs(both).mean(dtype=np.float64))


def training_statistics(
    files: ImageFiles,
    *,
    height: int,
    width: int,
    channels: int,
    rule: PixelRule,
    samples: int,
    seed: int,
    on_done: Callable[[int], None] = lambda done: None,
) -> TrainingImages | None:
    """Measure training images that are drawn at random.

    Args:
        height, width, channels, rule: of the model's input, and how each is brought to it.
        samples: how many are drawn; all where there are fewer.
        on_done: called with 1 for each image that was dealt with.
    Returns:
        Quantiles over those that could be read; None where none could.
    """
    places = np.random.default_rng(seed).permutation(len(files))[:samples].tolist()

    def measure(place: int) -> tuple[float, ...] | None:
        try:
            opened = open_image(files.open(place))
            image, size = to_input_with_size(opened, height=height, width=width, channels=channels, rule=rule)
        except (BadImage, OSError):
            return None
        return (*map(float, size), *image_statistics(image))

    rows = []
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 32)) as pool:
        for row in pool.map(measure, places):
            if row is not None:
                rows.append(row)
            on_done(1)
    if not rows:
        return None
    columns = np.quantile(np.array(rows), QUANTILES, axis=0).T.tolist()
    spreads = [Spread(q01=a, q25=b, median=c, q75=d, q99=e) for a, b, c, d, e in columns]
    return TrainingImages(
        images=len(rows),
        width=spreads[0],
        height=spreads[1],
        brightness=spreads[2],
        contrast=spreads[3],
        noise=spreads[4],
    )
