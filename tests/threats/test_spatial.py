"""The worst rotation and translation, on a classifier of the place of a bright spot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hardener.attacks.searches.grid_search import grid
from hardener.evaluation.robust_accuracy import AttackPlan, robust_accuracy
from hardener.threats import change_of, threat_of
from hardener.threats.spatial import warped

HEIGHT, WIDTH = 33, 41


class RightOf(nn.Module):
    """Class 1 where the centre of brightness lies more than `border` pixels to the right of the image's middle."""

    def __init__(self, border: float) -> None:
        super().__init__()
        self.border = nn.Parameter(torch.tensor(border))

    def forward(self, images: Tensor) -> Tensor:
        place = centres(images)[:, 0] - self.border
        return torch.stack([-place, place], dim=1)


def centres(images: Tensor) -> Tensor:
    """The centre of brightness, (N, 2): to the right and down of the middle, in pixels."""
    height, width = images.shape[-2:]
    mass = images.sum(dim=(1, 2, 3))
    right = (images.sum(dim=(1, 2)) * (torch.arange(width) - (width - 1) / 2)).sum(1) / mass
    down = (images.sum(dim=(1, 3)) * (torch.arange(height) - (height - 1) / 2)).sum(1) / mass
    return torch.stack([right, down], dim=1)


def spots(radii: Tensor, angles: Tensor) -> Tensor:
    """A blob on black an image, so many pixels from the middle, at an angle from the right, downwards."""
    down, right = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    x = (WIDTH - 1) / 2 + radii * angles.cos()
    y = (HEIGHT - 1) / 2 + radii * angles.sin()
    far = (right - x.view(-1, 1, 1)) ** 2 + (down - y.view(-1, 1, 1)) ** 2
    return torch.exp(-far / (2 * 1.5**2)).unsqueeze(1)


def test_a_turn_and_a_move_bring_a_spot_where_geometry_says() -> None:
    images = spots(torch.tensor([8.0, 8.0, 0.0]), torch.tensor([0.0, 0.0, 0.0]))
    moved = centres(
        warped(images, torch.tensor([90.0, 0.0, 0.0]), torch.tensor([0, 0, 0.1]), torch.tensor([0, 0.1, 0]))
    )
    expected = torch.tensor([[0.0, -8.0], [8 + 0.1 * WIDTH, 0.0], [0.0, 0.1 * HEIGHT]])
    torch.testing.assert_close(moved, expected, rtol=0, atol=0.02)


def test_no_turn_and_no_move_change_nothing() -> None:
    images = torch.rand(4, 3, 9, 14)
    change = change_of("spatial", {"rotation": "0,0", "shift": "0,0"})
    torch.testing.assert_close(change.apply(images, torch.rand(4, 3)), images, rtol=0, atol=1e-5)


def test_its_gradient_is_that_of_finite_differences() -> None:
    images = spots(torch.tensor([7.0, 5.0]), torch.tensor([0.3, 2.0])).double()
    values = torch.tensor([[10.3, -20.1], [0.053, 0.011], [0.023, -0.107]], dtype=torch.float64, requires_grad=True)

    def place(values: Tensor) -> Tensor:
        return centres(warped(images, *values))

    assert torch.autograd.gradcheck(place, values, eps=1e-6, atol=1e-4)


def exact(radii: Tensor, angles: Tensor, *, degrees: float, shift: float, border: float) -> Tensor:
    """Whether a spot that is right of the border stays so at worst: turned either way as far as it goes, moved left."""
    turns = torch.deg2rad(torch.linspace(-degrees, degrees, 2001))
    leftmost = (radii.unsqueeze(1) * torch.cos(angles.unsqueeze(1) + turns)).amin(dim=1)
    return leftmost - shift * WIDTH > border


@pytest.mark.parametrize(
    "attack", [("grid-search", {"queries": 168}), ("box-pgd", {}), ("box-search", {"queries": 300})]
)
@pytest.mark.parametrize(("degrees", "shift"), [(30, 0.1), (60, 0.02)])
def test_the_worst_case_of_a_spots_place_is_the_exact_one(
    attack: tuple[str, dict[str, int]], degrees: float, shift: float
) -> None:
    draw = torch.Generator().manual_seed(0)
    radii, angles = 4 + 6 * torch.rand(60, generator=draw), torch.rand(60, generator=draw) - 0.5
    border = 1.5
    stay = exact(radii, angles, degrees=degrees, shift=shift, border=border)
    clear = exact(radii, angles, degrees=degrees, shift=shift, border=border + 0.15) == exact(
        radii, angles, degrees=degrees, shift=shift, border=border - 0.15
    )
    images, labels = spots(radii, angles)[clear], torch.ones(int(clear.sum()), dtype=torch.int64)
    threat = threat_of("spatial", {"rotation": (-degrees, degrees), "shift": (-shift, shift)})
    plan = AttackPlan(*attack)
    found = robust_accuracy(RightOf(border), images, labels, [plan], threat, generator=torch.Generator().manual_seed(1))
    assert found.clean_correct.all()
    assert not (stay[clear] & ~found.robust_correct).any(), "nothing falls that cannot"
    missed = int((found.robust_correct & ~stay[clear]).sum())
    assert missed <= (0.1 * len(images) if attack[0] == "box-pgd" else 0), "a climb may end on the wrong side"
    assert 0.2 < found.robust_accuracy < 0.9, "some stand and some fall"
    assert found.distance[~found.robust_correct].eq(0).all()


def test_the_grid_is_that_of_the_paper() -> None:
    points = grid((6.2, 1.0, 1.0), 775)
    assert [len(points[:, place].unique()) for place in range(3)] == [31, 5, 5]
    assert len(points) == 775
    assert points.eq(0.5).all(dim=1).any(), "no change is one of them"
    assert len(grid((6.2, 1.0, 1.0), 1)) == 1
