"""Statistics of images whose brightness, contrast and noise are known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hardener.config.pixels import PixelRule
from hardener.data.image_files import ImageFiles
from hardener.data.statistics import image_statistics, noise_std, training_statistics

RANDOM = np.random.default_rng(0)


def test_a_flat_image_is_its_luma_without_contrast_or_noise() -> None:
    colour = np.zeros((16, 16, 3), np.uint8)
    colour[:] = (200, 100, 50)
    luma = (0.299 * 200 + 0.587 * 100 + 0.114 * 50) / 255
    assert image_statistics(colour) == pytest.approx((luma, 0, 0), abs=1e-6)
    assert image_statistics(np.full((9, 9, 1), 255, np.uint8)) == pytest.approx((1, 0, 0), abs=1e-6)


def test_contrast_is_the_standard_deviation() -> None:
    halves = np.zeros((10, 10, 1), np.uint8)
    halves[5:] = 255
    brightness, contrast, _ = image_statistics(halves)
    assert (brightness, contrast) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.2])
def test_white_noise_is_measured_on_slopes_and_constants_alike(sigma: float) -> None:
    """The estimate's own standard error on 200 x 200 pixels is below 2 %."""
    noise = RANDOM.normal(scale=sigma, size=(200, 200)).astype(np.float32)
    slope = (np.arange(200, dtype=np.float32) / 200 + np.arange(200, dtype=np.float32)[:, None] / 100).astype(
        np.float32
    )
    assert noise_std(noise + np.float32(0.5)) == pytest.approx(sigma, rel=0.05)
    assert noise_std(noise + slope) == pytest.approx(sigma, rel=0.05)
    assert noise_std(slope) == pytest.approx(0, abs=1e-6)


def test_one_pixel_of_the_mask_is_the_mask_s_sum() -> None:
    """A single 1 in 5 x 5 meets each entry of the mask once: 16 in sum over 9 places, times sqrt(pi / 2) / 6."""
    dot = np.zeros((5, 5), np.float32)
    dot[2, 2] = 1
    assert noise_std(dot) == pytest.approx(np.sqrt(np.pi / 2) / 6 * 16 / 9)


def test_an_image_too_small_for_the_mask_has_no_noise() -> None:
    assert noise_std(RANDOM.random((2, 50)).astype(np.float32)) == 0


def write(root: Path, name: str, pixels: NDArray[np.uint8]) -> str:
    Image.fromarray(pixels).save(root / name)
    return name


def test_quantiles_are_over_the_files_that_could_be_read(tmp_path: Path) -> None:
    names = [write(tmp_path, f"{n}.png", np.full((10 + n, 20, 3), n, np.uint8)) for n in range(101)]
    (tmp_path / "broken.png").write_bytes(b"no image")
    files = ImageFiles(tmp_path, (*names, "broken.png"), (0,) * 102)
    done: list[int] = []
    size: dict[str, Any] = {"height": 8, "width": 8, "channels": 3, "rule": PixelRule()}
    found = training_statistics(files, **size, samples=500, seed=0, on_done=done.append)
    assert found is not None
    assert (found.images, sum(done)) == (101, 102)
    assert (found.width.q01, found.width.q99) == (20, 20)
    assert list(found.height.model_dump().values()) == [11, 35, 60, 85, 109]
    assert list(found.brightness.model_dump().values()) == pytest.approx([n / 255 for n in (1, 25, 50, 75, 99)])
    assert found.contrast.q99 == pytest.approx(0, abs=1e-6)


def test_fewer_are_drawn_by_the_seed_alone(tmp_path: Path) -> None:
    names = [write(tmp_path, f"{n}.png", np.full((8, 8), n, np.uint8)) for n in range(40)]
    files = ImageFiles(tmp_path, tuple(names), (0,) * 40)

    def drawn(seed: int) -> object:
        return training_statistics(files, height=8, width=8, channels=1, rule=PixelRule(), samples=10, seed=seed)

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_nothing_readable_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    files = ImageFiles(tmp_path, ("a.png", "gone.png"), (0, 0))
    assert training_statistics(files, height=8, width=8, channels=1, rule=PixelRule(), samples=10, seed=0) is None


def test_the_service_can_measure_without_torch() -> None:
    code = "import sys, hardener.data.statistics; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
