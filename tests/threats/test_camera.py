"""The worst of everyday changes, on a classifier of mean brightness; and each change on its own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hardener.evaluation.robust_accuracy import AttackPlan, robust_accuracy
from hardener.threats import change_of, threat_of
from hardener.threats.camera import Camera

STILL = {name: ((1, 1) if name in {"contrast", "downscale"} else (100, 100) if name == "jpeg" else (0, 0))
         for name in Camera.model_fields}  # fmt: skip


def only(**ranges: tuple[float, float]) -> Camera:
    found = change_of("camera", {**STILL, **ranges})
    assert isinstance(found, Camera)
    return found


class Brighter(nn.Module):
    """Class 1 where the mean of an image lies above the border."""

    def __init__(self, border: float) -> None:
        super().__init__()
        self.border = nn.Parameter(torch.tensor(border))

    def forward(self, images: Tensor) -> Tensor:
        lead = images.mean(dim=(1, 2, 3)) - self.border
        return torch.stack([-lead, lead], dim=1)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 20)])
def test_ranges_without_room_change_nothing(shape: tuple[int, int, int]) -> None:
    images = torch.rand(3, *shape)
    torch.testing.assert_close(only().apply(images, torch.rand(3, 11)), images, rtol=0, atol=1e-6)


def test_each_change_does_what_its_name_says() -> None:
    images = 0.2 + 0.3 * torch.rand(2, 3, 24, 24)
    ends = torch.ones(2, 11)
    torch.testing.assert_close(only(exposure=(-1, 1)).apply(images, ends), (2 * images).clamp(max=1))
    warm = only(white_balance=(-1, 0.5)).apply(images, ends)
    torch.testing.assert_close(
        warm.mean(dim=(0, 2, 3)) / images.mean(dim=(0, 2, 3)), torch.tensor([2**0.5, 1, 2**-0.5])
    )
    flat = only(contrast=(0, 1)).apply(images, 0 * ends)
    torch.testing.assert_close(flat, images.mean(dim=(1, 2, 3), keepdim=True).expand_as(images))
    noisy = only(noise=(0, 0.1)).apply(images, ends) - images
    assert noisy.std() == pytest.approx(0.1, rel=0.1)
    for blur in (only(motion=(0, 0.3)), only(defocus=(0, 0.2)), only(downscale=(0.3, 1))):
        blurred = blur.apply(images, ends if blur.downscale[0] == 1 else 0 * ends)
        assert blurred.var() < 0.6 * images.var()
        assert blurred.mean() == pytest.approx(float(images.mean()), rel=0.03)
    packed = only(jpeg=(10, 100)).apply(images, 0 * ends)
    assert 0.005 < float((packed - images).abs().mean()) < 0.2
    gray = torch.rand(2, 1, 9, 9)
    torch.testing.assert_close(only(white_balance=(-1, 1)).apply(gray, ends), gray)


def test_a_disk_of_radius_r_spreads_a_point_over_its_area() -> None:
    point = torch.zeros(1, 1, 41, 41)
    point[0, 0, 20, 20] = 1
    spread = only(defocus=(0, 0.2)).apply(point, torch.ones(1, 11))  # of 8.2 pixels
    assert float(spread.sum()) == pytest.approx(1, rel=1e-4)
    assert float(spread.max()) == pytest.approx(1 / (torch.pi * 8.2**2), rel=0.03)
    line = only(motion=(0, 0.5)).apply(point, torch.tensor([[1.0] * 9 + [0.0, 0.0]]))  # 20.5 pixels to the right
    assert float(line[0, 0, 20].sum()) == pytest.approx(1, rel=1e-4)
    assert float(line.max()) == pytest.approx(1 / 20.5, rel=0.03)


@pytest.mark.parametrize("queries", [30, 100])
def test_the_worst_case_of_mean_brightness_is_the_darkest_exposure(queries: int) -> None:
    draw = torch.Generator().manual_seed(0)
    means = 0.25 + 0.25 * torch.rand(60, generator=draw)
    images = means.view(-1, 1, 1, 1).expand(-1, 3, 6, 6) + 0.02 * torch.rand(60, 3, 6, 6, generator=draw)
    border, labels = 0.22, torch.ones(60, dtype=torch.int64)
    worst = images.mean(dim=(1, 2, 3)) * 2**-0.7
    threat = threat_of("camera", {**STILL, "exposure": (-0.7, 0.7), "contrast": (0.7, 1.3)})
    plan = AttackPlan("box-search", {"queries": queries})
    found = robust_accuracy(
        Brighter(border), images, labels, [plan], threat, generator=torch.Generator().manual_seed(1)
    )
    assert found.clean_correct.all()
    assert torch.equal(found.robust_correct, worst > border), "contrast keeps the mean"
    assert 0.2 < found.robust_accuracy < 0.9
    assert found.outcomes[0].attacked == 60
