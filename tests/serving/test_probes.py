"""The robustness report against models whose answers under every change are known."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import image_bytes, linear_bundle
from loaded import answering, open_service, send_image
from numpy.typing import NDArray
from scipy.stats import norm

from hardener.config.answer import Certificate, Report
from hardener.config.bundle import read_bundle
from serving.budget import Budget
from serving.certificate import certify
from serving.probes import (
    BLUR_RADII,
    FACTORS,
    JPEG_QUALITIES,
    add_noise,
    blur,
    brighten,
    compress,
    rotate,
    stretch_contrast,
    to_gray,
)
from serving.timed_model import Logits, Pixels, TimedModel

RANDOM = np.random.default_rng(1)
GRAY = np.full((16, 16, 3), 128, np.uint8)
X = 128 / 255


def plane(direction: NDArray[np.float32], distance: float, at: float = X) -> dict[str, Any]:
    """Two classes, split by a plane at `distance` (l2, [0, 1] pixels) from the flat image of value `at`."""
    unit = direction / np.linalg.norm(direction)
    bias = distance - float(unit.sum()) * at
    return {"weights": np.stack([unit, -unit], axis=-1).astype(np.float32), "bias": (bias, -bias)}


def report_on(folder: Path, pixels: Pixels = GRAY, *, model: dict[str, Any], **limits: Any) -> Report:
    changes = limits.pop("changes", None)
    with open_service(linear_bundle(folder, **model, changes=changes), **limits) as service:
        answer = send_image(service, image_bytes(pixels), report="true")
        assert answer.status_code == 200, answer.text
        return Report.model_validate(answer.json()["report"])


NORMAL = RANDOM.normal(size=(16, 16, 3)).astype(np.float32)
CONSTANT: dict[str, Any] = {"weights": np.zeros((16, 16, 3, 2), np.float32), "bias": (5.0, 0.0)}


def test_a_unanimous_vote_certifies_two_sigma_and_then_ends(tmp_path: Path) -> None:
    certificate = report_on(tmp_path, model=CONSTANT).certificate
    assert certificate.selection_draws == 16
    assert certificate.agreeing_draws == certificate.draws < 500
    assert certificate.confidence == pytest.approx(0.999)
    assert norm.cdf(2) <= certificate.lower_bound < 0.001 ** (1 / certificate.draws)
    assert certificate.radius == pytest.approx(0.25 * norm.ppf(certificate.lower_bound))
    assert certificate.radius == certificate.largest_possible_radius
    assert certificate.agrees_with_prediction
    assert certificate.trained_with_this_noise


def test_a_certificate_never_exceeds_the_distance_from_the_plane(tmp_path: Path) -> None:
    """Under Gaussian noise the smoothed linear classifier is the plain one: that distance is its true radius.

    At sigma 0.1 a value of 128 is clipped at 5 sigma, which is never. Alpha keeps 12 reports right together.
    """
    folder = linear_bundle(tmp_path, **plane(NORMAL, distance=0.2), changes={"noise_sigma": 0.1})
    with open_service(folder, alpha=1e-7) as service:
        for _ in range(12):
            answer = send_image(service, image_bytes(GRAY), report="true").json()
            certificate = Report.model_validate(answer["report"]).certificate
            assert answer["index"] == certificate.index == 0
            assert certificate.radius is not None
            assert 0 < certificate.radius <= 0.2


def test_the_share_of_agreeing_draws_is_the_normal_law_s(tmp_path: Path) -> None:
    """At one sigma from the plane P = Phi(1) = 0.8413; 4000 draws have a standard error of 0.0058."""
    model = plane(NORMAL, distance=0.1)
    limits: dict[str, Any] = {"draws": 4000, "selection_draws": 400}  # 16 may choose the other class
    certificate = report_on(tmp_path, model=model, changes={"noise_sigma": 0.1}, **limits).certificate
    assert certificate.agreeing_draws / 4000 == pytest.approx(norm.cdf(1), abs=5 * 0.0058)


def test_it_abstains_on_the_plane(tmp_path: Path) -> None:
    model = plane(NORMAL, distance=0.0)
    certificate = report_on(tmp_path, model=model, changes={"noise_sigma": 0.1}, alpha=1e-7).certificate
    assert certificate.radius is None
    assert certificate.abstained
    assert "nothing is certified" in certificate.meaning


def test_it_says_that_the_smoothed_classifier_answers_otherwise(tmp_path: Path) -> None:
    """Clipping lifts a black image's mean: by sigma / sqrt(2 pi) a value, past the plane 0.05 above black."""
    model = plane(-np.ones((16, 16, 3), np.float32), distance=0.05 * np.sqrt(16 * 16 * 3), at=0.0)
    certificate = report_on(tmp_path, np.zeros_like(GRAY), model=model, draws=500).certificate
    assert (certificate.index, certificate.agrees_with_prediction) == (1, False)
    assert certificate.radius is not None
    assert "another label than the plain answer" in certificate.meaning


def test_it_says_that_the_model_was_not_trained_with_the_noise(tmp_path: Path) -> None:
    certificate = report_on(tmp_path, model=CONSTANT, changes={"noise_sigma": None}).certificate
    assert (certificate.noise_sigma, certificate.trained_with_this_noise) == (0.25, False)
    assert "not trained with this noise" in certificate.meaning


def test_the_class_is_chosen_from_other_draws_than_certify_it(tmp_path: Path) -> None:
    bundle = read_bundle(linear_bundle(tmp_path, **CONSTANT))
    asked: list[bytes] = []

    def remember(images: Pixels) -> Logits:
        asked.extend(image.tobytes() for image in images)
        return np.tile(np.array([5, 0], np.float32), (len(images), 1))

    async def scene() -> Certificate:
        model = TimedModel(answering(remember), seconds=60)
        generator = np.random.default_rng(0)
        return await certify(GRAY, 0, bundle, model, generator, Budget(draws=100, queries=1, seconds=60))

    certificate = asyncio.run(scene())
    assert certificate.selection_draws == 16
    assert len(asked) == len(set(asked)) == 16 + certificate.draws > 16


def test_brightness_flips_where_the_mean_crosses_the_plane(tmp_path: Path) -> None:
    """A flat 0.502 times 0.8 is 0.4, so a threshold at 0.38 is crossed by the factors 0.5, 0.6 and 0.7."""
    model = plane(np.ones((16, 16, 3), np.float32), distance=0.0, at=0.38)
    stability = report_on(tmp_path, model=model).stability
    assert stability.brightness.tried == pytest.approx(list(FACTORS))
    assert stability.brightness.same_answer == pytest.approx(0.7)
    assert stability.brightness.worst is not None
    assert (stability.brightness.worst.parameter, stability.brightness.worst.label) == (0.5, "class-1")
    assert stability.brightness.worst.confidence < 0.5
    assert stability.contrast.same_answer == 1  # a flat image has none to lose


def test_gray_changes_the_answer_of_a_model_that_looks_for_red(tmp_path: Path) -> None:
    weights = np.zeros((16, 16, 3, 2), np.float32)
    weights[:, :, 0, 0], weights[:, :, 1, 0] = 1, -1
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, :, 0] = 200
    gray = report_on(tmp_path, red, model={"weights": weights, "bias": (-1.0, 0.0)}).stability.gray
    assert (gray.variants, gray.same_answer) == (1, 0.0)
    assert gray.worst is not None
    assert (gray.worst.parameter, gray.worst.label) == (None, "class-1")


def test_gray_is_not_applicable_to_a_one_channel_model(tmp_path: Path) -> None:
    model = {"weights": np.zeros((16, 16, 1, 2), np.float32), "bias": (1.0, 0.0)}
    report = report_on(tmp_path, GRAY, model=model, changes={"input": {"channels": 1}})
    assert (report.stability.gray.variants, report.stability.gray.same_answer) == (0, None)
    assert report.stability.gray.meaning.startswith("Not applicable: the model takes gray images")
    assert report.stability.rotation.same_answer == 1


def test_gray_is_not_applicable_to_an_image_without_colour(tmp_path: Path) -> None:
    gray = report_on(tmp_path, GRAY, model=CONSTANT).stability.gray
    assert gray.same_answer is None
    assert "the image has no colour" in gray.meaning


def test_offline_figures_are_the_bundle_s_and_their_absence_is_said(tmp_path: Path) -> None:
    offline = report_on(tmp_path / "with", model=CONSTANT).offline
    assert offline.evaluation is not None
    assert offline.evaluation.robust_accuracy == 0.4
    offline = report_on(tmp_path / "without", model=CONSTANT, changes={"evaluation": None}).offline
    assert offline.evaluation is None
    assert "not known" in offline.meaning


def test_noise_has_the_stated_std_and_stays_in_eight_bits() -> None:
    flat = np.full((256, 256, 3), 128, np.uint8)
    noisy = add_noise(flat, [0.1, 0.05], np.random.default_rng(0)).astype(np.float64) / 255
    assert noisy.mean(axis=(1, 2, 3)) == pytest.approx(X, abs=0.001)
    assert noisy.std(axis=(1, 2, 3)) == pytest.approx([0.1, 0.05], rel=0.01)
    extreme = add_noise(flat, [10], np.random.default_rng(0))
    assert (extreme.min(), extreme.max()) == (0, 255)


def test_noise_is_rounded_to_the_nearest_and_drawn_anew_for_each_copy() -> None:
    """Of N(0, 1/4) in 8-bit steps, what lies within a half rounds to no change: 2 Phi(1) - 1 = 0.6827."""
    noisy = add_noise(np.full((300, 300, 3), 128, np.uint8), [0.5 / 255] * 3, np.random.default_rng(0))
    shares = [float((noisy == value).mean()) for value in (127, 128, 129)]
    assert shares == pytest.approx(
        [norm.cdf(3) - norm.cdf(1), 2 * norm.cdf(1) - 1, norm.cdf(3) - norm.cdf(1)], abs=0.003
    )
    different = [float((noisy[a] != noisy[b]).mean()) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert different == pytest.approx([1 - sum(share**2 for share in shares)] * 3, abs=0.01)


def test_changes_of_strength_nothing_change_nothing() -> None:
    image = RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for change, neutral in ((rotate, 0), (brighten, 1), (stretch_contrast, 1), (blur, 0)):
        np.testing.assert_array_equal(change(image, neutral), image)
    np.testing.assert_array_equal(add_noise(image, [0], np.random.default_rng(0))[0], image)


def test_a_quarter_turn_is_exact_and_corners_are_black() -> None:
    image = RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(rotate(image, 90), np.rot90(image))
    turned = rotate(np.full((16, 16, 3), 255, np.uint8), 30)
    assert turned[0, 0].tolist() == [0, 0, 0]
    assert turned[8, 8].tolist() == [255, 255, 255]


def test_brightness_scales_contrast_spreads_gray_is_the_luma() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0] = 100
    np.testing.assert_array_equal(brighten(image, 1.5)[0], np.full((2, 3), 150))
    np.testing.assert_array_equal(stretch_contrast(image, 0.5)[:, 0, 0], [75, 25])  # half way to the mean, 50
    colour = np.array([[[200, 100, 50]]], np.uint8)
    assert to_gray(colour)[0, 0] == pytest.approx([0.299 * 200 + 0.587 * 100 + 0.114 * 50] * 3, abs=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_spreads_an_edge_as_far_as_its_std_and_keeps_the_mean(channels: int) -> None:
    """A step blurred by a Gaussian is its distribution function: 15.9 % of the height one std before the edge."""
    edge = np.zeros((64, 64, channels), np.uint8)
    edge[:, 32:] = 200
    for radius in (2.0, 4.0):
        row = blur(edge, radius)[32, :, 0].astype(float)
        heights = 200 * norm.cdf((np.arange(64) - 31.5) / radius)
        assert np.abs(row - heights).max() < 6
        assert row.mean() == pytest.approx(100, abs=1)
    flat = np.full((16, 16, channels), 77, np.uint8)
    np.testing.assert_array_equal(blur(flat, 3.0), flat)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_loses_more_the_lower_its_quality(channels: int) -> None:
    image = RANDOM.integers(0, 256, (32, 32, channels), dtype=np.uint8)
    changed = [compress(image, quality) for quality in JPEG_QUALITIES]
    assert {one.shape for one in changed} == {image.shape}
    lost = [float(np.abs(one.astype(int) - image).mean()) for one in changed]
    assert lost == sorted(lost)
    assert lost[0] < lost[-1]


def test_blur_and_jpeg_are_reported_with_their_strengths(tmp_path: Path) -> None:
    """A model that counts a checkerboard's contrast loses it to any blur of more than a pixel."""
    board = (np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None].repeat(3, axis=2)
    sign = (board.astype(np.float32) / 255 - 0.5) / board.size
    weights = np.stack([sign, -sign], axis=-1)
    report = report_on(tmp_path, board, model={"weights": weights, "bias": (-0.2, 0.0)})
    blurred, compressed = report.stability.blur, report.stability.jpeg
    assert (blurred.tried, blurred.variants) == (list(BLUR_RADII), len(BLUR_RADII))
    assert blurred.same_answer is not None
    assert blurred.same_answer < 1
    assert blurred.worst is not None
    assert blurred.worst.parameter in BLUR_RADII[2:]
    assert (compressed.tried, compressed.variants) == (sorted(JPEG_QUALITIES), len(JPEG_QUALITIES))
    assert "JPEG" in compressed.meaning


def test_every_meaning_says_what_is_not_proved(tmp_path: Path) -> None:
    report = report_on(tmp_path, np.stack([GRAY[:, :, 0], *2 * [GRAY[:, :, 0] // 2]], axis=2), model=CONSTANT)
    kinds = {name: getattr(report.stability, name) for name in type(report.stability).model_fields}
    assert set(kinds) == {"noise", "rotation", "brightness", "contrast", "gray", "blur", "jpeg"}
    for name, kind in kinds.items():
        assert kind.same_answer == 1, name
        assert "nothing about changes chosen by an attacker" in kind.meaning
    assert "no proof" in report.margin.meaning
    assert "proves nothing" in report.attack.meaning
    assert "proves nothing about the plain answer" in report.certificate.meaning
