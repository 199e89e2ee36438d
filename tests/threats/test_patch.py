"""A sticker, on a classifier of brightness: the worst one is black, over the brightest square."""

from __future__ import annotations

import pytest
import torch
from oracles import Linear
from torch.nn.functional import avg_pool2d

from hardener.errors import HardenerError
from hardener.evaluation.plan import EvaluateRequest, make_plan
from hardener.evaluation.robust_accuracy import AttackPlan, robust_accuracy
from hardener.threats import change_of, threat_of
from hardener.threats.patch import Patch


@pytest.mark.parametrize(
    ("shape", "area", "side"), [((1, 8, 8), 0.05, 2), ((3, 32, 32), 0.05, 7), ((3, 10, 40), 0.25, 10)]
)
def test_only_a_square_of_the_area_changes_and_holds_what_the_point_says(
    shape: tuple[int, int, int], area: float, side: int
) -> None:
    change = change_of("patch", {"area": area})
    assert isinstance(change, Patch)
    assert change.side(shape) == side
    images = 0.1 + 0.8 * torch.rand(20, *shape)
    points = change.random_points(images, torch.Generator().manual_seed(0))
    changed = change.apply(images, points)
    for image, point, found in zip(images, points, changed, strict=True):
        moved = found.ne(image).any(dim=0)
        rows, columns = moved.any(dim=1).nonzero(), moved.any(dim=0).nonzero()
        assert int(rows.max() - rows.min()) < side
        assert int(columns.max() - columns.min()) < side
        top, left = (int(point[i] * (n - side + 1)) for i, n in enumerate(shape[1:]))
        content = found[:, min(top, shape[1] - side) :, min(left, shape[2] - side) :][:, :side, :side]
        assert torch.equal(content, point[2:].view(shape[0], side, side))


def test_its_content_has_a_gradient_and_its_place_has_none() -> None:
    change, images = change_of("patch"), torch.rand(2, 1, 8, 8, dtype=torch.float64)
    points = torch.rand(2, change.values((1, 8, 8)), dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(change.apply(images, points).sum(), points)
    assert gradient[:, :2].eq(0).all()
    assert gradient[:, 2:].eq(1).all()


@pytest.mark.parametrize("attack", [("box-pgd", {"steps": 60}), ("box-search", {"queries": 600})])
def test_on_a_sum_of_pixels_the_worst_sticker_is_black_on_the_brightest_square(
    attack: tuple[str, dict[str, int]],
) -> None:
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(80, 1, 6, 6, generator=draw)
    images[:, :, 1:3, 3:5] += 0.3  # so that one place is worth most for nearly all
    images = images.clamp(max=1)
    model = Linear(torch.ones(1, 6, 6), -float(images.sum(dim=(1, 2, 3)).quantile(0.05)))
    right = model.margin(images) > 0
    images = images[right]
    left = model.margin(images).detach() - 4 * avg_pool2d(images, 2, stride=1).amax(dim=(1, 2, 3))
    clear = left.abs() > 0.1
    images, stay = images[clear], left[clear] > 0
    threat = threat_of("patch", {"area": 4 / 36})
    found = robust_accuracy(
        model, images, torch.ones(len(images), dtype=torch.int64), [AttackPlan(*attack)], threat,
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    assert not (stay & ~found.robust_correct).any(), "nothing falls that cannot"
    assert int((found.robust_correct & ~stay).sum()) <= 0.05 * len(images)
    assert 0.2 < found.robust_accuracy < 0.9


def test_a_patch_larger_than_the_image_is_named_with_the_largest_that_fits() -> None:
    model = Linear(torch.ones(1, 8, 40), 1.0)
    threat = threat_of("patch", {"area": 0.5})
    with pytest.raises(HardenerError, match="is 13 pixels wide, and the images are 40x8: at most area=0.2 fits"):
        robust_accuracy(model, torch.rand(2, 1, 8, 40), torch.ones(2).long(), [AttackPlan("box-search")], threat)
    change_of("patch", {"area": 0.2}).check((1, 8, 40))
    for value in ("1.5", "0", "large"):
        with pytest.raises(HardenerError, match="patch: area "):
            threat_of("patch", {"area": value})


def test_a_norm_and_a_patch_are_not_asked_together() -> None:
    with pytest.raises(HardenerError, match="--norm is for a ball, and --threat patch is none"):
        make_plan(EvaluateRequest(threat="patch", norm="linf"))
