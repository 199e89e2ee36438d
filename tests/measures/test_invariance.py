from __future__ import annotations

import numpy as np
import pytest
import torch
from oracles import Linear
from torch import Tensor, nn

from hardener.config.evaluation_record import InvarianceCurve
from hardener.errors import HardenerError
from hardener.measures.invariance import INVARIANCES, fade_to_gray, measure_invariances, rotate, shift, zoom
from serving import probes


class Constant(nn.Module):
    """Says class 1 to everything."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3) logits."""
        return torch.tensor([0.0, 1.0, -1.0], device=images.device).repeat(len(images), 1)


def curves_of(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, InvarianceCurve]:
    found = measure_invariances(model, images, labels, batch_size=5)
    return {curve.name: curve for curve in found}


def accuracies(curve: InvarianceCurve) -> dict[float, float]:
    return {point.parameter: point.accuracy for point in curve.points}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_constant_model_has_flat_curves_and_gray_images_no_gray_curve(channels: int) -> None:
    labels = torch.tensor([1, 1, 1, 0, 2, 1, 0])
    done: list[int] = []
    curves = measure_invariances(Constant(), torch.rand(7, channels, 8, 10), labels, batch_size=3, on_done=done.append)
    assert [curve.name for curve in curves] == [one.name for one in INVARIANCES if channels == 3 or one.name != "gray"]
    for curve in curves:
        assert {point.accuracy for point in curve.points} == {4 / 7}
        assert all(point.interval[0] < 4 / 7 < point.interval[1] for point in curve.points)
        assert [point.parameter for point in curve.points] == sorted({point.parameter for point in curve.points})
        assert curve.samples == 7
    assert sum(done) == 7


def test_at_the_identity_it_is_exactly_the_clean_accuracy() -> None:
    """The labels depend on the last bit of every pixel sum, which any resampling would change."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 3, 8, 8), generator=generator, dtype=torch.uint8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    with torch.no_grad():
        labels = model(images.float() / 255).argmax(dim=1)
    for curve in curves_of(model, images, labels).values():
        assert accuracies(curve)[curve.identity] == 1.0


def test_brightness_multiplies_so_a_threshold_falls_where_it_must() -> None:
    """A flat image of value v is class 1 while factor * v > 0.6."""
    model = Linear(torch.full((3, 4, 4), 1 / 48), -0.6)
    values = torch.tensor([0.35, 0.5, 0.7, 0.9])
    images = values.view(4, 1, 1, 1).expand(4, 3, 4, 4)
    curves = curves_of(model, images, torch.ones(4, dtype=torch.int64))
    for factor, accuracy in accuracies(curves["brightness"]).items():
        assert accuracy == float((values * factor).clamp(0, 1).gt(0.6).double().mean())
    for name in ("contrast", "gray"):  # flat gray images have neither
        assert set(accuracies(curves[name]).values()) == {0.5}


def test_gray_blends_towards_the_luma() -> None:
    images = torch.rand(2, 3, 4, 4)
    luma = (images * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    for share in (0.0, 0.3, 1.0):
        torch.testing.assert_close(fade_to_gray(images, share), torch.lerp(images, luma, share), atol=2e-4, rtol=0)


def test_the_changes_are_those_of_the_served_report() -> None:
    """Torch on floats and Pillow on bytes agree to rounding; a turn also at the corners, within the circle here."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    images = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0) / 255
    changes = {one.name: one.apply for one in INVARIANCES}

    def same(changed: Tensor, expected: np.ndarray, inner: Tensor | None = None) -> bool:
        distance = (changed[0].permute(1, 2, 0) * 255 - torch.from_numpy(expected.copy()).float()).abs()
        return bool((distance if inner is None else distance[inner]).max() <= 2)

    for factor in (0.5, 0.8, 1.4):
        assert same(changes["brightness"](images, factor), probes.brighten(pixels, factor))
        assert same(changes["contrast"](images, factor), probes.stretch_contrast(pixels, factor))
    assert same(changes["gray"](images, 1.0), probes.to_gray(pixels))
    centred = torch.arange(16) - 7.5
    inner = (centred[:, None] ** 2 + centred**2).sqrt() < 7
    for degrees in (-30.0, 5.0, 20.0):
        assert same(rotate(images, degrees), probes.rotate(pixels, degrees), inner)


def test_a_shift_moves_right_and_down_and_a_zoom_enlarges() -> None:
    images = torch.zeros(1, 1, 8, 8)
    images[0, 0, 2, 3] = 1.0
    moved = shift(images, 0.25)
    torch.testing.assert_close(moved[0, 0, 4, 5], torch.tensor(1.0))
    torch.testing.assert_close(moved.sum(), torch.tensor(1.0))
    white = torch.ones(1, 1, 8, 8)
    assert zoom(white, 0.7)[0, 0, 0, 0] == 0
    torch.testing.assert_close(zoom(white, 1.4), white)


def test_the_model_is_left_as_it_was_found_and_no_images_are_an_error() -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(48), nn.Linear(48, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_invariances(model, torch.rand(3, 3, 4, 4), torch.zeros(3, dtype=torch.int64))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(HardenerError, match="there are no images"):
        measure_invariances(model, torch.rand(0, 3, 4, 4), torch.zeros(0, dtype=torch.int64))
