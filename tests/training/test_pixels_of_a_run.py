"""What a run does with pixels is measured on its training images, said, kept, and used by all who come after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import TINY_MODEL
from PIL import Image
from test_run import Recorder, request

from hardener.config.bundle import read_bundle
from hardener.config.pixels import BEFORE, PixelRule
from hardener.config.run_folder import RunFolder
from hardener.data.cache import PixelCache
from hardener.data.decode import decode_image
from hardener.data.sources.image_folder import read_class_folders
from hardener.data.survey import measure_levels, survey
from hardener.errors import HardenerError
from hardener.evaluation.subject import ForeignModel, foreign_subject, onnx_subject, run_subject
from hardener.exporters.run import export
from hardener.progress import Silent
from hardener.training.prepare import prepare
from hardener.training.run import train

Draw = Callable[[np.random.Generator], Image.Image]


def write_images(folder: Path, draw: Draw, *, count: int = 12, ending: str = "png") -> Path:
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for place in range(count):
            draw(random).save(folder / name / f"{place:02}.{ending}")
    return folder


def gray(low: int, high: int, kind: Any, size: tuple[int, int] = (8, 8)) -> Draw:
    return lambda random: Image.fromarray(random.integers(low, high, size).astype(kind))


def said(data: Path, *sets: str) -> tuple[str, PixelRule, tuple[int, int]]:
    """What preparing a run says, and the rule and the size that come of it."""
    model = data.parent / "tiny.py"
    model.write_text(TINY_MODEL)
    heard = Recorder()
    shape = prepare(request(model, data, data.parent / "runs", "natural", sets), heard).material.train_images.shape
    return "\n".join(heard.said), shape.rule, (shape.height, shape.width)


def pixels_of(root: Path, rule: PixelRule) -> NDArray[Any]:
    files = sorted(root.glob("*/*"))
    return np.stack([decode_image(path.read_bytes(), height=8, width=8, channels=1, rule=rule) for path in files])


def test_a_range_is_measured_kept_in_run_and_bundle_and_used_to_evaluate(tmp_path: Path) -> None:
    data = write_images(tmp_path / "imgs", gray(100, 4000, np.uint16))
    model = tmp_path / "tiny.py"
    model.write_text(TINY_MODEL)
    run = train(request(model, data, tmp_path / "runs", "natural", ("epochs=1",)), Recorder())
    rule = run.read_record().input.pixels
    assert rule.range is not None
    assert 100 <= rule.range[0] < 200
    assert 3900 < rule.range[1] < 4000
    levels = pixels_of(data, rule)
    assert (levels.min(), levels.max()) == (0, 255)
    held = run_subject(run, None, Silent()).images
    assert held.shape.rule == rule
    assert np.ptp(held.load(range(len(held))).pixels.numpy()) > 250
    bundle = export(run, Silent())
    assert (bundle.input.pixels, read_bundle(run.bundle).input.pixels) == (rule, rule)
    assert (
        f"levels from {rule.range[0]:g} to {rule.range[1]:g} become 0 to 255"
        in (run.bundle / "model_card.md").read_text()
    )
    assert not run.cropped.exists()


@pytest.mark.parametrize(
    ("low", "high", "kind", "ending", "depth"),
    [(0, 4096, np.uint16, "png", "16 bit"), (-1024, 3072, np.int32, "tif", "signed 32 bit")],
)
def test_what_becomes_black_and_white_is_said(
    tmp_path: Path, low: int, high: int, kind: Any, ending: str, depth: str
) -> None:
    told, rule, _ = said(write_images(tmp_path / "imgs", gray(low, high, kind), ending=ending))
    assert rule.range is not None
    ends = [f"{end:g}" for end in rule.range]
    assert f"images of {depth} hold levels from {ends[0]} to {ends[1]}: these become 0 to 255" in told
    told, rule, _ = said(tmp_path / "imgs", "data.range=-5,70000")
    assert (rule.range, "hold levels" in told) == ((-5.0, 70000.0), False)


def test_one_hot_pixel_is_told_with_the_range_that_helps(tmp_path: Path) -> None:
    def draw(random: np.random.Generator) -> Image.Image:
        levels = random.integers(0, 1000, (16, 16)).astype(np.uint16)
        levels[0, 0] = 65535 if random.random() < 0.3 else 0
        return Image.fromarray(levels)

    told, _, _ = said(write_images(tmp_path / "imgs", draw))
    assert "99 % of their pixels lie between" in told
    advice = told.split("--range ")[-1].split(" ")[0]
    _, rule, _ = said(tmp_path / "imgs", f"data.range={advice}")
    assert rule.range is not None
    assert rule.range[1] < 1100


def test_float_images_demand_a_range_and_the_one_that_is_named_works(tmp_path: Path) -> None:
    def draw(random: np.random.Generator) -> Image.Image:
        return Image.fromarray((random.random((8, 8)) * 3 - 1).astype(np.float32))

    data = write_images(tmp_path / "imgs", draw, ending="tif")
    with pytest.raises(HardenerError, match=r"have float pixels, from -0\.9\d+ to 1\.9\d+, and nothing says") as caught:
        said(data)
    advice = str(caught.value).split("such as --range ")[1].rstrip(".")
    _, rule, _ = said(data, f"data.range={advice}")
    assert np.ptp(pixels_of(data, rule)) == 255


def test_a_range_for_plain_images_changes_nothing_and_is_told(tmp_path: Path) -> None:
    data = write_images(tmp_path / "imgs", gray(0, 256, np.uint8))
    assert "no image has more than 8 bits: it changes nothing" in said(data, "data.range=0,200")[0]
    assert said(data)[1].range is None


def test_deep_images_beside_plain_ones_are_told(tmp_path: Path) -> None:
    data = write_images(tmp_path / "imgs", gray(0, 4000, np.uint16))
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(data / "a" / "plain.png")
    assert "1 images beside them have 8 bits" in said(data, "data.val_fraction=0.01", "data.test_fraction=0.01")[0]


def test_one_odd_image_among_equal_ones_changes_no_size(tmp_path: Path) -> None:
    data = write_images(tmp_path / "imgs", gray(0, 256, np.uint8, (8, 8)), count=20)
    Image.fromarray(np.zeros((30, 20), np.uint8)).save(data / "a" / "odd.png")
    few = ("data.val_fraction=0.02", "data.test_fraction=0.02")
    told, _, size = said(data, *few)
    if "odd.png" in told:  # it may have been drawn into another split
        assert "1 of 37 images are not 8x8 as the rest" in told
    assert size == (8, 8)


def test_images_of_many_sizes_are_brought_to_224_and_it_is_said(tmp_path: Path) -> None:
    data = write_images(tmp_path / "imgs", lambda random: Image.new("L", (int(random.integers(9, 40)), 10)), count=10)
    told, _, size = said(data)
    assert size == (224, 224)
    assert "they are brought to 224x224; --image-size sets another" in told
    assert "training images are of one single colour" in told


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
def test_a_crop_that_takes_much_from_many_is_said_and_shown(tmp_path: Path, fit: str) -> None:
    data = write_images(tmp_path / "imgs", gray(0, 256, np.uint8, (8, 24)))
    model = tmp_path / "tiny.py"
    model.write_text(TINY_MODEL)
    heard = Recorder()
    sets = ("epochs=1", "data.image_size=8", f"data.fit={fit}")
    run: RunFolder = train(request(model, data, tmp_path / "runs", "natural", sets), heard)
    assert run.read_record().input.pixels.fit == fit
    told = "\n".join(heard.said)
    assert ("the crop to 8x8 takes more than a fifth of the area from 100.0 % of the images" in told) == (fit == "crop")
    assert run.cropped.is_file() == (fit == "crop")
    if fit == "crop":
        with Image.open(run.cropped) as shown:
            assert shown.width > 500


def test_transparent_paged_and_broken_ones_are_said(tmp_path: Path) -> None:
    data = write_images(tmp_path / "imgs", lambda random: Image.new("RGBA", (8, 8), (0, 0, 0, 9)), count=4)
    page = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    for name in "ab":
        for place in range(20):
            page.save(data / name / f"p{place}.tif", save_all=True, append_images=[page])
            page.convert("RGB").save(data / name / f"c{place}.png", icc_profile=b"nonsense")
    told, _, _ = said(data)
    assert "have an alpha channel or a transparent colour: they are laid over white" in told
    assert "files hold several pages or frames: the first of each is read" in told
    assert "have a colour profile that cannot be used, and are read as if they had none" in told
    assert "are laid over 0,0,0" in said(data, "data.background=black")[0]


def test_what_headers_and_levels_say_is_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = read_class_folders(write_images(tmp_path / "imgs", gray(7, 4000, np.uint16)))[1]
    cache = PixelCache(1.0, pytest.fail, folder=tmp_path / "cache")
    first = survey(files, cache=cache), measure_levels(files, cache=cache)
    monkeypatch.setattr("hardener.data.survey.open_image", lambda data: pytest.fail("opened again"))
    assert (survey(files, cache=cache), measure_levels(files, cache=cache)) == first
    assert first[0].deep == len(files)


def test_runs_of_version_0_1_are_read_as_they_were_trained(tmp_path: Path) -> None:
    left = Path(__file__).resolve().parent.parent / "compatibility" / "v0.1" / "runs" / "sprout"
    assert RunFolder(left).read_record().input.pixels == BEFORE
    assert read_bundle(left / "bundle").input.pixels == BEFORE


def trained(tmp_path: Path, draw: Draw, **images: Any) -> tuple[RunFolder, Path]:
    data = write_images(tmp_path / "imgs", draw, **images)
    model = tmp_path / "tiny.py"
    model.write_text(TINY_MODEL)
    return train(request(model, data, tmp_path / "runs", "natural", ("epochs=1",)), Recorder()), data


def test_a_model_from_elsewhere_gets_images_by_the_same_choices(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, gray(0, 256, np.uint8))
    model = ForeignModel(str(tmp_path / "tiny.py"), run.weights, "none")
    deep = write_images(tmp_path / "deep", gray(100, 4000, np.uint16), count=20)
    Image.fromarray(np.zeros((30, 20), np.uint16)).save(deep / "a" / "odd.png")
    heard = Recorder()
    shape = foreign_subject(model, deep, heard).images.shape
    assert shape.rule.range is not None
    assert (shape.height, shape.width) == (8, 8)
    told = "\n".join(heard.said)
    assert "1 of 41 images are not 8x8 as the rest" in told
    assert "these become 0 to 255; --range LO,HI sets other ends" in told
    asked = replace(model, range=(0.0, 4095.0))
    assert foreign_subject(asked, deep, Silent()).images.shape.rule.range == (0.0, 4095.0)


def test_float_images_of_a_model_from_elsewhere_demand_a_range(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, gray(0, 256, np.uint8))
    model = ForeignModel(str(tmp_path / "tiny.py"), run.weights, "none")
    data = write_images(tmp_path / "f", lambda random: Image.fromarray(random.random((8, 8), np.float32)), ending="tif")
    with pytest.raises(HardenerError, match="Name the range with --range LO,HI, such as --range 0"):
        foreign_subject(model, data, Silent())
    assert foreign_subject(replace(model, range=(0.0, 1.0)), data, Silent()).images.shape.rule.range == (0.0, 1.0)


def test_a_file_far_from_its_run_says_how_images_are_read(tmp_path: Path) -> None:
    run, data = trained(tmp_path, gray(100, 4000, np.uint16))
    export(run, Silent())
    alone = tmp_path / "alone.onnx"
    alone.write_bytes((run.bundle / "model.onnx").read_bytes())
    subject = onnx_subject(alone, data, None, "none", Silent())
    assert subject.images.shape.rule == run.read_record().input.pixels


def test_deep_images_before_a_model_of_plain_ones_are_told_and_float_ones_refused(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, gray(0, 256, np.uint8))
    deep = write_images(tmp_path / "deep", gray(100, 4000, np.uint16))
    heard = Recorder()
    run_subject(run, deep, heard)
    assert "24 of 24 images have more than 8 bits, and the model was trained on images of 8" in "\n".join(heard.said)
    data = write_images(tmp_path / "f", lambda random: Image.fromarray(random.random((8, 8), np.float32)), ending="tif")
    with pytest.raises(HardenerError, match="have float pixels, and the model was trained on images of 8 bits"):
        run_subject(run, data, Silent())
