from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import write_image_folder
from PIL import Image

from hardener.data.image_folder import read_class_folders
from hardener.data.loader import ImageShape, load_images, survey
from hardener.errors import HardenerError

SHAPE = ImageShape(8, 8, 1)


def test_in_memory_and_streamed_images_are_the_same(tmp_path: Path) -> None:
    _, files = read_class_folders(write_image_folder(tmp_path, {"a": 30, "b": 20}))
    kept, streamed = (load_images(files, SHAPE, memory_budget=budget) for budget in (None, 0))
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    pairs = zip(kept.batches(order, 16), streamed.batches(order, 16), strict=True)
    sizes = []
    for (images, labels), (other_images, other_labels) in pairs:
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)
        assert images.dtype == torch.uint8
        sizes.append(len(images))
    assert sizes == [16, 16, 16, 2]
    assert torch.equal(kept.take([3, 1])[0], streamed.take([3, 1])[0])
    assert (kept.fingerprint, kept.mean, kept.std) == (streamed.fingerprint, streamed.mean, streamed.std)


def test_mean_and_std_are_those_of_all_pixels(tmp_path: Path) -> None:
    _, files = read_class_folders(write_image_folder(tmp_path, {"a": 9, "b": 8}, color=True))
    images = load_images(files, ImageShape(8, 8, 3))
    pixels = images.take(range(17))[0].double() / 255
    assert images.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert images.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist())


def test_the_fingerprint_changes_with_a_pixel_and_with_a_name(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, {"a": 4, "b": 4})
    seen = [load_images(read_class_folders(root)[1], SHAPE).fingerprint]
    pixels = np.asarray(Image.open(root / "a" / "000.png")).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(root / "a" / "000.png")
    seen.append(load_images(read_class_folders(root)[1], SHAPE).fingerprint)
    (root / "a" / "000.png").rename(root / "a" / "zzz.png")
    seen.append(load_images(read_class_folders(root)[1], SHAPE).fingerprint)
    assert len(set(seen)) == 3


def test_survey_reads_sizes_and_colour(tmp_path: Path) -> None:
    write_image_folder(tmp_path, {"a": 2, "b": 2}, size=(10, 6))
    assert survey(read_class_folders(tmp_path)[1]) == ({(6, 10)}, False)
    write_image_folder(tmp_path, {"c": 1}, size=(4, 4), color=True)
    assert survey(read_class_folders(tmp_path)[1]) == ({(6, 10), (4, 4)}, True)


def test_bad_images_are_named_and_counted_and_skipped_only_on_request(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, {"a": 4, "b": 4})
    (root / "a" / "zero.png").write_bytes(b"")
    (root / "b" / "text.jpg").write_text("not an image")
    whole = (root / "b" / "001.png").read_bytes()
    (root / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])
    _, files = read_class_folders(root)
    with pytest.raises(HardenerError) as caught:
        load_images(files, SHAPE)
    text = str(caught.value)
    assert text.startswith("3 of 11 images cannot be read: ")
    assert all(name in text for name in ("zero.png: the file is empty", "text.jpg: not an image", "cut.png: truncated"))
    assert text.endswith("or pass --skip-bad-images.")
    images = load_images(files, SHAPE, skip_bad=True)
    assert (len(images), len(images.skipped)) == (8, 3)
    assert images.take(range(8))[0].shape == (8, 1, 8, 8)


def test_no_readable_image_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(b"")
    with pytest.raises(HardenerError, match="none of the 2 images"):
        load_images(read_class_folders(tmp_path)[1], SHAPE, skip_bad=True)
