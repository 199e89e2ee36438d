from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import write_image_folder
from PIL import Image

from hardener.data.loader import ImageShape, LoadedImages, load_images
from hardener.data.sources.image_folder import read_class_folders
from hardener.data.survey import survey
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
    seen = survey(read_class_folders(tmp_path)[1])
    assert (seen.sizes, seen.color, seen.depths, seen.deep) == ({(6, 10): 4}, False, {"8 bit": 4}, 0)
    write_image_folder(tmp_path, {"c": 1}, size=(4, 4), color=True)
    seen = survey(read_class_folders(tmp_path)[1])
    assert (seen.sizes, seen.color, seen.modes) == ({(6, 10): 4, (4, 4): 1}, True, {"L": 4, "RGB": 1})


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


@pytest.fixture(params=["in memory", "streamed"])
def images(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedImages:
    """Fifty images whose minibatches threads prepare."""
    monkeypatch.setattr("hardener.data.loader._SMALL", 0)
    _, files = read_class_folders(write_image_folder(tmp_path, {"a": 30, "b": 20}))
    return load_images(files, SHAPE, memory_budget=None if request.param == "in memory" else 0)


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("images")]


def test_threads_end_with_the_generator_however_it_ends(images: LoadedImages) -> None:
    order = torch.arange(50)
    batches = images.batches(order, 4)
    next(batches)
    assert own_threads()
    batches.close()  # type: ignore[attr-defined]
    assert own_threads() == []
    with pytest.raises(KeyboardInterrupt):
        interrupt(images)
    assert own_threads() == []
    assert sum(len(labels) for _, labels in images.batches(order, 4)) == 50
    assert own_threads() == []


def interrupt(images: LoadedImages) -> None:
    for _ in images.batches(torch.arange(50), 4):
        raise KeyboardInterrupt


def test_two_minibatches_are_prepared_while_one_is_in_use(
    images: LoadedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill, prepared, third = images._fill, [], threading.Event()

    def note(part: np.ndarray, places: np.ndarray) -> None:
        fill(part, places)
        prepared.extend(places.tolist())
        if len(prepared) == 48:
            third.set()

    monkeypatch.setattr("hardener.data.threads.decoding_threads", lambda: 1)
    monkeypatch.setattr(images, "_fill", note)
    batches = images.batches(torch.arange(50), 16)
    next(batches)
    assert third.wait(60)
    assert sorted(prepared) == list(range(48))
    assert [len(labels) for _, labels in batches] == [16, 16, 2]


def test_an_image_that_goes_bad_later_ends_the_minibatches_with_its_name(tmp_path: Path) -> None:
    _, files = read_class_folders(write_image_folder(tmp_path, {"a": 30, "b": 20}))
    images = load_images(files, SHAPE, memory_budget=0)
    (tmp_path / "b" / "007.png").write_bytes(b"")
    (tmp_path / "b" / "008.png").unlink()
    with pytest.raises(HardenerError, match=r"007.png could be read before and cannot be now: the file is empty"):
        list(images.batches(torch.arange(50), 16))
    assert own_threads() == []
    with pytest.raises(HardenerError, match=r"008.png could be read before and cannot be now: .*No such file"):
        images.take([38])


def test_small_minibatches_of_decoded_images_need_no_thread(tmp_path: Path) -> None:
    _, files = read_class_folders(write_image_folder(tmp_path, {"a": 30, "b": 20}))
    batches = load_images(files, SHAPE).batches(torch.arange(50), 4)
    next(batches)
    assert own_threads() == []


def test_nothing_asked_for_is_nothing_given(images: LoadedImages) -> None:
    assert list(images.batches(torch.arange(0), 16)) == []
    pixels, labels = images.take([])
    assert pixels.shape == (0, 1, 8, 8)
    assert len(labels) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_minibatches_for_a_gpu_lie_in_page_locked_memory_or_on_it(images: LoadedImages) -> None:
    order = torch.randperm(50)
    plain = list(images.batches(order, 16))
    pinned = list(images.batches(order, 16, pin=True))
    assert all(part.is_pinned() for batch in pinned for part in batch)
    images.keep_on(torch.device("cuda"))
    for one, two, three in zip(plain, pinned, images.batches(order, 16), strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[0], three[0].cpu())
        assert torch.equal(one[1], three[1].cpu())
