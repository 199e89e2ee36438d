from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hardener.data.decode import decode_image, open_image
from hardener.errors import BadImage, ImageTooLarge, UnknownFormat

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (12, 16, 3), dtype=np.uint8)


def encode(pixels: np.ndarray[Any, Any] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_an_image_of_the_right_size_comes_back_bit_for_bit(kind: str) -> None:
    assert np.array_equal(decode_image(encode(RGB, kind), height=12, width=16, channels=3), RGB)
    gray = RGB[:, :, 0]
    assert np.array_equal(decode_image(encode(gray, kind), height=12, width=16, channels=1)[:, :, 0], gray)
    assert np.array_equal(decode_image(encode(gray, kind), height=12, width=16, channels=3), np.stack([gray] * 3, 2))


@pytest.mark.parametrize(("height", "width"), [(6, 8), (8, 8), (24, 24), (5, 30)])
def test_resizing_covers_the_target_and_keeps_a_constant_constant(height: int, width: int) -> None:
    flat = np.full((40, 20, 3), (200, 30, 90), dtype=np.uint8)
    found = decode_image(encode(flat), height=height, width=width, channels=3)
    assert found.shape == (height, width, 3)
    assert (found == flat[0, 0]).all()


def test_the_crop_is_central_and_keeps_the_aspect() -> None:
    wide = np.zeros((10, 30), dtype=np.uint8)
    wide[:, 10:20] = 255
    assert (decode_image(encode(wide), height=10, width=10, channels=1) == 255).all()


def test_sixteen_bit_gray_keeps_its_contrast() -> None:
    deep = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    found = decode_image(encode(Image.fromarray(deep)), height=16, width=16, channels=1)
    assert np.array_equal(found[:, :, 0], np.arange(256).reshape(16, 16))


def test_exif_orientation_is_followed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    pixels = np.zeros((8, 16, 3), dtype=np.uint8)
    pixels[:, :8] = 255
    found = decode_image(encode(pixels, "PNG", exif=exif), height=16, width=8, channels=3)
    assert (found[:8] == 255).all()
    assert (found[8:] == 0).all()


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK", "1", "YCbCr"])
def test_other_modes_become_rgb_and_gray(mode: str) -> None:
    kind = "TIFF" if mode in {"CMYK", "YCbCr"} else "PNG"
    data = encode(Image.fromarray(RGB).convert(mode), kind)
    for channels in (1, 3):
        assert decode_image(data, height=12, width=16, channels=channels).shape == (12, 16, channels)


def test_a_large_jpeg_decoded_small_is_near_the_full_decode() -> None:
    x, y = np.meshgrid(np.linspace(0, 255, 640), np.linspace(0, 255, 480))
    smooth = np.stack([x, y, (x + y) / 2], axis=2).astype(np.uint8)
    small = decode_image(encode(smooth, "JPEG", quality=95), height=48, width=64, channels=3).astype(int)
    full = np.asarray(Image.fromarray(smooth).resize((64, 48), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(small - full).mean() < 2


def test_bad_bytes_are_told_apart() -> None:
    good = encode(RGB)
    for data, kind, reason in (
        (b"", UnknownFormat, "empty"),
        (b"hello, world" * 9, UnknownFormat, "known format"),
        (good[: len(good) // 2], BadImage, "truncated or damaged"),
        (encode(RGB, "JPEG")[:-200], BadImage, "truncated or damaged"),
    ):
        with pytest.raises(kind, match=reason):
            decode_image(data, height=8, width=8, channels=3)
    with pytest.raises(ImageTooLarge, match="16 x 12 pixels; at most 100"):
        open_image(good, max_pixels=100)
    with pytest.raises(UnknownFormat):
        open_image(encode(RGB, "GIF"), formats=("PNG",))
    with pytest.raises(BadImage, match="32-bit float"):
        decode_image(encode(Image.fromarray(RGB[:, :, 0].astype(np.float32)), "TIFF"), height=8, width=8, channels=1)


def test_it_imports_no_torch() -> None:
    rooms = "hardener.data.decode, hardener.statistics.interval, hardener.config.bundle"
    code = f"import {rooms}, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
