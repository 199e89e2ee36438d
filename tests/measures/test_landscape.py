from __future__ import annotations

import math

import pytest
import torch
from oracles import linear_problem
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hardener.measures.landscape import measure_landscape
from hardener.threat import ThreatModel


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_a_linear_model_the_loss_is_the_softplus_of_the_margin(norm: str) -> None:
    """The margin at s steps along the gradient is m - s * dual norm of w; inside the box nothing is clipped."""
    model, images, labels = linear_problem(1, (1, 4, 4), seed=1)
    weight = model.weight.detach()
    dual = weight.abs().sum() if norm == "linf" else weight.norm()
    margin = float(model.margin(images).detach().abs())
    found = measure_landscape(
        model,
        images[0],
        int(labels[0]),
        path="a.png",
        threat=ThreatModel(norm, 0.05),
        points=5,
        batch_size=7,
        generator=torch.Generator().manual_seed(0),
    )
    assert found is not None
    assert found.path == "a.png"
    assert found.steps == pytest.approx([-0.1, -0.05, 0.0, 0.05, 0.1])
    middle = [row[2] for row in found.loss]
    assert middle == pytest.approx(
        [math.log1p(math.exp(-(margin - step * float(dual)))) for step in found.steps], rel=1e-5
    )
    signs = torch.randint(0, 2, (1, 1, 4, 4), generator=torch.Generator().manual_seed(0)).float() * 2 - 1
    across = signs if norm == "linf" else signs / 4
    for row, down in enumerate(found.steps):
        for column, right in enumerate(found.steps):
            toward = float((2 * labels[0] - 1) * (weight.flatten() @ across.flatten()))
            expected = math.log1p(math.exp(-(margin - down * float(dual) + right * toward)))
            assert found.loss[row][column] == pytest.approx(expected, rel=1e-4)


def test_the_middle_is_the_clean_loss_and_the_rest_is_clipped_to_the_box() -> None:
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach())
            return images.flatten(1)[:, :3] * 5

    image = torch.tensor([0, 255, 128, 7], dtype=torch.uint8).view(1, 2, 2)
    found = measure_landscape(Watching(), image, 1, path="b", threat=ThreatModel("linf", 0.5))
    assert found is not None
    assert len(found.loss) == len(found.loss[0]) == len(found.steps) == 21
    clean = cross_entropy(image.flatten()[:3].unsqueeze(0) / 255 * 5, torch.tensor([1]))
    assert found.loss[10][10] == pytest.approx(float(clean), rel=1e-6)
    assert all(torch.equal(images, images.clamp(0, 1)) for images in seen)


def test_a_model_without_gradients_has_equal_rows_and_one_that_gives_no_numbers_no_landscape() -> None:
    class Detached(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.detach().flatten(1)[:, :2]

    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :2] * torch.nan

    found = measure_landscape(Detached(), torch.rand(1, 2, 2), 0, path="c", threat=ThreatModel("linf", 0.1), points=3)
    assert found is not None
    assert found.loss[0] == found.loss[1] == found.loss[2]
    assert (
        measure_landscape(Broken(), torch.rand(1, 2, 2), 0, path="c", threat=ThreatModel("linf", 0.1), points=3) is None
    )


@pytest.mark.parametrize("points", [1, 20])
def test_the_image_itself_must_be_a_point(points: int) -> None:
    with pytest.raises(ValueError, match="points must be odd and >= 3"):
        measure_landscape(
            nn.Flatten(), torch.rand(1, 1, 2), 0, path="d", threat=ThreatModel("linf", 0.1), points=points
        )
