"""Images that are there more than once: equal in every byte, or to look at."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from hardener.data.alike import find_alike, find_repeated, find_twins
from hardener.data.cache import PixelCache
from hardener.data.data_set import read_data_set
from hardener.data.image_files import ImageFiles
from hardener.data.loader import ImageShape, load_images, read_prints
from hardener.data.prints import (
    PRINT_BYTES,
    Prints,
    equal_places,
    joined,
    near_pairs,
    near_places,
    print_of,
    prints_of,
)

SHAPE = ImageShape(48, 48, 3)


def photograph(seed: int) -> Image.Image:
    """A picture with large shapes and fine grain, as photographs have."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize(
        (96, 80), Image.Resampling.BICUBIC
    )
    grain = random.normal(0, 6, (80, 96, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))


def again(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "another format": lambda image: again(image, 90),
    "poor quality": lambda image: again(image, 50),
    "half the size": lambda image: image.resize((48, 40)),
    "gray": lambda image: image.convert("L").convert("RGB"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.05),
}


def prints_in(folder: Path, images: list[Image.Image]) -> Prints:
    folder.mkdir()
    for place, image in enumerate(images):
        image.save(folder / f"{place:03}.png")
    names = tuple(f"{place:03}.png" for place in range(len(images)))
    return read_prints(ImageFiles(folder, names, (0,) * len(images)), SHAPE)


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES.keys())
def test_a_copy_is_found_and_another_picture_is_not(
    change: Callable[[Image.Image], Image.Image], tmp_path: Path
) -> None:
    theirs = prints_in(tmp_path / "train", [photograph(seed) for seed in range(40)])
    ours = prints_in(
        tmp_path / "test", [change(photograph(7)), photograph(100), change(photograph(31)), photograph(101)]
    )
    twins = find_twins(ours, theirs)
    assert twins.places.tolist() == [7, -1, 31, -1]
    assert twins.equal.tolist() == [-1] * 4


def test_a_file_of_the_same_bytes_is_equal_and_one_colour_is_like_nothing(tmp_path: Path) -> None:
    flat = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    theirs = prints_in(tmp_path / "train", [photograph(0), flat[0]])
    ours = prints_in(tmp_path / "test", [flat[1], photograph(0), flat[0]])
    twins = find_twins(ours, theirs)
    assert (twins.equal.tolist(), twins.places.tolist()) == ([-1, 0, 1], [-1, 0, 1])


def test_what_the_numbers_say_is_what_comparing_each_with_each_says() -> None:
    random = np.random.default_rng(3)
    theirs = Prints(random.integers(0, 256, (300, PRINT_BYTES), dtype=np.uint8))
    rows = random.integers(0, 256, (5000, PRINT_BYTES), dtype=np.uint8)
    rows[17], rows[4100, :16], rows[2500, 16:] = theirs.rows[5], theirs.rows[9, :16], theirs.rows[299, 16:]
    ours = Prints(rows)
    equal, near = equal_places(ours, theirs), near_places(ours, theirs)
    assert near is not None
    assert {place: int(equal[place]) for place in np.flatnonzero(equal >= 0)} == {17: 5, 4100: 9}
    assert {place: int(near[place]) for place in np.flatnonzero(near >= 0)} == {17: 5, 2500: 299}


def test_too_many_to_compare_are_compared_by_their_bytes_alone() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (10, 16), dtype=np.uint8)
    twins = find_twins(Prints(rows[:3]), Prints(rows))
    assert (twins.near, twins.places.tolist()) == (None, [0, 1, 2])


def test_repeated_images_are_counted_and_those_of_two_classes_named_first(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "d" / name).mkdir(parents=True)
    for place in range(6):
        photograph(place).save(tmp_path / "d" / "cat" / f"{place}.png")
        photograph(10 + place).save(tmp_path / "d" / "dog" / f"{place}.png")
    photograph(0).save(tmp_path / "d" / "cat" / "copy.png")
    photograph(1).save(tmp_path / "d" / "dog" / "wrong.png")
    files = ImageFiles(tmp_path / "d", ("cat/0.png", "cat/1.png", "cat/copy.png", "dog/wrong.png"), (0, 0, 0, 1))
    found = find_repeated("train", files, read_prints(files, SHAPE))
    assert (found.images, found.contradicting) == (2, 1)
    assert found.first[0] == ("dog/wrong.png", "cat/1.png")
    assert (found.near, found.near_first) == (0, ())


def test_near_copies_within_a_split_are_counted_and_those_of_two_classes_named_first(tmp_path: Path) -> None:
    pictures = [photograph(0), photograph(1), again(photograph(0), 80), again(photograph(1), 80), photograph(0)]
    prints = prints_in(tmp_path / "d", pictures)
    names = tuple(f"{place:03}.png" for place in range(len(pictures)))
    files, cache = ImageFiles(tmp_path / "d", names, (0, 0, 0, 1, 0)), PixelCache(1, print, folder=tmp_path / "cache")
    for _ in range(2):
        found = find_repeated("train", files, prints, cache)
        assert (found.images, found.near, found.contradicting, found.near_contradicting) == (1, 2, 0, 1)
        assert found.near_first == (("003.png", "001.png"), ("002.png", "000.png"))
    assert "2 train images are nearly equal to another, 1 of them in another class (003.png = 001.png" in str(found)
    digests = Prints(np.random.default_rng(0).integers(0, 256, (5, 16), dtype=np.uint8))
    assert find_repeated("train", files, digests).near is None


def test_many_images_that_are_all_alike_are_one_group_and_do_not_take_all_their_pairs() -> None:
    one = np.random.default_rng(0).integers(0, 256, (3, 24, 24), dtype=np.uint8)
    marks = [print_of(bytes([place, 1]) * 16, one, 40) for place in range(200)]
    pairs = list(near_pairs(prints_of(b"".join(marks), len(marks))))
    assert len(pairs) <= 8 * 200
    assert joined(pairs) == [tuple(range(200))]


def test_an_image_in_two_splits_is_found_with_its_names(tmp_path: Path) -> None:
    for split, seeds in (("train", range(6)), ("val", range(10, 13)), ("test", range(20, 23))):
        for name in ("cat", "dog"):
            (tmp_path / "d" / split / name).mkdir(parents=True)
            for seed in seeds:
                photograph(seed + 100 * (name == "dog")).save(tmp_path / "d" / split / name / f"{seed}.png")
    again(photograph(2), 80).save(tmp_path / "d" / "test" / "cat" / "seen.jpg")
    photograph(110).save(tmp_path / "d" / "test" / "cat" / "other.png")
    folder = read_data_set(tmp_path / "d")
    files = {str(name): part for name, part in folder.splits.items()}
    prints = {name: load_images(part, SHAPE, cache=None).prints for name, part in files.items()}
    facts = {(fact.split, fact.other): fact for fact in find_alike(files, prints, None)}
    assert {key: (fact.equal, fact.near) for key, fact in facts.items()} == {
        ("validation", "train"): (0, 0), ("test", "train"): (0, 1), ("test", "validation"): (1, 0),
    }  # fmt: skip
    assert facts["test", "train"].first == (("cat/seen.jpg", "cat/2.png"),)
    assert facts["test", "validation"].contradicting == 1


def test_prints_are_kept_with_the_pixels_and_no_file_is_opened_for_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(f"{place:03}.png" for place in range(4))
    prints_in(tmp_path / "d", [photograph(seed) for seed in range(4)])
    files, cache = ImageFiles(tmp_path / "d", names, (0, 0, 1, 1)), PixelCache(1, print, folder=tmp_path / "cache")
    first = load_images(files, SHAPE, cache=cache).prints, read_prints(files, SHAPE, cache)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is opened"))
    second = load_images(files, SHAPE, cache=cache).prints, read_prints(files, SHAPE, cache)
    for before, after in zip(first, second, strict=True):
        assert (before.rows == after.rows).all()


def test_an_image_that_cannot_be_read_is_like_no_other(tmp_path: Path) -> None:
    prints_in(tmp_path / "d", [photograph(seed) for seed in range(3)])
    (tmp_path / "d" / "001.png").write_bytes(b"no image")
    files = ImageFiles(tmp_path / "d", ("000.png", "001.png", "002.png"), (0, 0, 1))
    prints = load_images(files, SHAPE, skip_bad=True).prints
    assert prints.known().tolist() == [True, False, True]
    assert find_twins(prints, prints).places.tolist() == [0, -1, 2]


def test_pairs_that_share_an_image_are_one_group() -> None:
    assert joined([(5, 3), (3, 1), (8, 9)]) == [(1, 3, 5), (8, 9)]
    assert joined([]) == []


def test_near_pairs_of_one_list_are_those_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    images = [random.integers(0, 256, (3, 24, 24), dtype=np.uint8) for _ in range(30)]
    images += [(images[4] * 0.9).astype(np.uint8), images[7], np.full((3, 24, 24), 9, np.uint8)]
    images.append(images[-1])
    marks = [print_of(bytes([place]) * 32, image, 40) for place, image in enumerate(images)]
    prints = prints_of(b"".join(marks), len(marks))
    assert sorted(near_pairs(prints)) == [(4, 30), (7, 31)]
    monkeypatch.setattr("hardener.data.prints._ROWS", 3)
    assert sorted(near_pairs(prints)) == [(4, 30), (7, 31)]
    monkeypatch.setattr("hardener.data.prints._PAIRS", 10)
    assert list(near_pairs(prints)) == []
