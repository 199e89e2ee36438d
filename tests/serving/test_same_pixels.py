"""Training, evaluation, the comparison at export and the service see the same pixels of the same file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import linear_bundle
from loaded import open_service, send_image
from numpy.typing import NDArray
from PIL import Image, ImageCms

from hardener.config.bundle import InputSpec
from hardener.config.pixels import Fit, PixelRule
from hardener.config.run_folder import DataRecord, InputRecord, ModelRecord, RunRecord
from hardener.data.decode import decode_image
from hardener.data.image_files import ImageFiles
from hardener.data.loader import load_images, shape_of
from hardener.data.statistics import training_statistics
from hardener.evaluation.sample import HeldInFiles
from hardener.exporters._images import draw_images
from serving.intake import open_upload

RANDOM = np.random.default_rng(0)
RGB = np.asarray(Image.fromarray(RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((21, 15)))
RANGE = (-1024.0, 3071.0)
HEIGHT, WIDTH = 8, 10


def image_of(mode: str) -> Image.Image:
    image = Image.fromarray(RGB)
    if mode == "P":
        return image.quantize(32)
    if mode in {"RGBA", "LA"}:
        image = image.convert(mode)
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        return image
    gray = np.asarray(image.convert("L")).astype(np.int32)
    if mode == "I;16":
        return Image.fromarray((gray * 12).astype(np.uint16))
    if mode == "I":
        return Image.fromarray(gray * 16 - 1024)
    if mode == "F":
        return Image.fromarray((gray * 16.5 - 1024).astype(np.float32))
    return image.convert(mode)


def files_of_all_modes(folder: Path) -> list[str]:
    """One file a mode, and what formats the service takes them in."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    first = tuple(RGB[0, 0].tolist())
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("L", "png", {}), ("LA", "png", {}), ("P", "png", {}), ("RGB", "png", {}), ("RGBA", "png", {}),
        ("1", "png", {}),
        ("I;16", "png", {}), ("P", "png", {"transparency": 3}), ("RGB", "png", {"transparency": first}),
        ("RGBA", "webp", {"lossless": True}), ("RGB", "jpg", {"quality": 90}), ("RGB", "jpg", {"icc_profile": icc}),
        ("CMYK", "jpg", {}), ("CMYK", "tif", {"icc_profile": b"broken"}), ("LAB", "tif", {}), ("YCbCr", "tif", {}),
        ("I", "tif", {}), ("F", "tif", {}), ("RGBA", "tif", {}), ("L", "bmp", {}), ("I;16", "tif", {}),
    ]  # fmt: skip
    names = []
    for place, (mode, ending, options) in enumerate(kinds):
        name = f"{place:02}-{mode.replace(';', '')}.{ending}"
        image_of(mode).save(folder / name, **options)
        names.append(name)
    return names


def record_of(spec: InputRecord) -> RunRecord:
    model = ModelRecord(
        spec="m.py", name="m", file=None, entry=None, fingerprint="0", parameters=1, init=None, pretrained=False,
        replaced_head=None,
    )  # fmt: skip
    data = DataRecord(root=".", validation_root=None, skip_bad_images=False, splits={}, listings={})
    return RunRecord(
        name="run", status="finished", created_at="now", seed=0, device="cpu", precision="float32", classes=["a"],
        model=model, data=data, input=spec,
    )  # fmt: skip


@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_who_read_a_file_see_the_same_pixels(tmp_path: Path, fit: Fit, channels: Any) -> None:
    names = files_of_all_modes(tmp_path)
    files = ImageFiles(tmp_path, tuple(names), (0,) * len(names))
    rule = PixelRule(fit=fit, background=(200, 10, 90), range=RANGE)
    spec = InputRecord(height=HEIGHT, width=WIDTH, channels=channels, mean=[], std=[], pixels=rule)
    expected = np.stack(
        [
            decode_image((tmp_path / name).read_bytes(), height=HEIGHT, width=WIDTH, channels=channels, rule=rule)
            for name in names
        ]
    )
    assert [name for name, image in zip(names, expected, strict=True) if np.ptp(image) < 20] == []
    shape = shape_of(spec)
    for budget in (None, 0):  # in memory, and decoded anew for each minibatch
        trained = load_images(files, shape, memory_budget=budget).take(range(len(files)))[0]
        assert np.array_equal(trained.permute(0, 2, 3, 1), expected)
    evaluated = HeldInFiles(files, tmp_path, shape).load(range(len(files))).pixels
    assert np.array_equal(evaluated.permute(0, 2, 3, 1), expected)
    compared = draw_images(files, record_of(spec), len(files))
    assert sorted(image.tobytes() for image in compared.permute(0, 2, 3, 1).numpy()) == sorted(
        image.tobytes() for image in expected
    )
    served = InputSpec(height=HEIGHT, width=WIDTH, channels=channels, resize=rule.resize, pixels=rule)
    for name, image in zip(names, expected, strict=True):
        found = open_upload(
            (tmp_path / name).read_bytes(), served, max_pixels=10_000, max_side=10_000, max_bytes=2**30
        ).decode()
        assert found is not None
        assert np.array_equal(found.pixels, image), name
    measured = training_statistics(
        files, height=HEIGHT, width=WIDTH, channels=channels, rule=rule, samples=len(files), seed=0
    )
    assert measured is not None
    assert measured.images == len(files)


def brightness_bundle(folder: Path, pixels: dict[str, Any], resize: str = "cover-center-bilinear") -> Path:
    """Its first logit is the mean of the pixels, in [0, 1] times 8."""
    weights = np.zeros((4, 4, 1, 2), np.float32)
    weights[..., 0] = 8 / 16
    changes = {"input": {"resize": resize, "pixels": pixels}} if pixels else {}
    return linear_bundle(folder, weights, [0, 0], changes=changes)


def shown(levels: NDArray[Any], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, kind)
    return file.getvalue()


def mean_of(answer: Any) -> float:
    """What the bundle above saw."""
    first, second = answer.json()["probabilities"]["class-0"], answer.json()["probabilities"]["class-1"]
    return float(np.log(first / second)) / 8


def test_a_served_image_of_sixteen_bits_is_scaled_by_the_range_of_the_run(tmp_path: Path) -> None:
    levels = np.full((4, 4), 2048, np.uint16)
    ranged = brightness_bundle(tmp_path / "ranged", {"range": [0, 4095]})
    plain = brightness_bundle(tmp_path / "plain", {})  # as version 0.1 wrote it
    with open_service(ranged) as service:
        assert mean_of(send_image(service, shown(levels))) == pytest.approx(128 / 255, abs=1e-4)
        signed = shown(levels.astype(np.int32), "TIFF")
        assert mean_of(send_image(service, signed)) == pytest.approx(128 / 255, abs=1e-4)
        eight = shown(np.full((4, 4), 51, np.uint8))
        assert mean_of(send_image(service, eight)) == pytest.approx(51 / 255, abs=1e-4)
    with open_service(plain) as service:
        assert mean_of(send_image(service, shown(levels))) == pytest.approx(8 / 255, abs=1e-4)
        assert send_image(service, shown(levels.astype(np.int32), "TIFF")).status_code == 415


def test_a_served_image_is_laid_over_the_background_and_fitted_as_in_training(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    file = io.BytesIO()
    clear.save(file, "PNG")
    wide = shown(np.zeros((2, 4), np.uint8))
    black = {"background": [0, 0, 0]}
    boxed = brightness_bundle(tmp_path / "boxed", {"fit": "letterbox"}, "contain-center-bilinear")
    for bundle, alpha, bars in (
        (brightness_bundle(tmp_path / "white", {"fit": "crop"}), 1.0, 0.0),
        (brightness_bundle(tmp_path / "black", black), 0.0, 0.0),
        (boxed, 1.0, 0.5),
    ):
        with open_service(bundle) as service:
            assert mean_of(send_image(service, file.getvalue())) == pytest.approx(alpha, abs=1e-4)
            assert mean_of(send_image(service, wide)) == pytest.approx(bars, abs=1e-4)
