"""Laws of every threat without a norm, and of every search in its box."""

from __future__ import annotations

import pytest
import torch
from oracles import linear_problem
from torch import Tensor

from hardener.attacks.searches import SEARCHES
from hardener.catalog import resolve
from hardener.errors import HardenerError
from hardener.threat import THREATS
from hardener.threats import Change, change_of, shape_of, threat_of

SHAPES = [(1, 8, 8), (3, 12, 7)]


def drawn(shape: tuple[int, int, int], count: int = 5) -> Tensor:
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(3))


def points_of(change: Change, images: Tensor) -> Tensor:
    return change.random_points(images, torch.Generator().manual_seed(4))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", THREATS)
def test_a_change_gives_images_and_sees_each_row_alone(kind: str, shape: tuple[int, int, int]) -> None:
    change, images = change_of(kind), drawn(shape)
    points = points_of(change, images)
    assert points.shape == (5, change.values(shape))
    kept, asked = images.clone(), points.clone()
    changed = change.apply(images, points)
    assert torch.equal(images, kept)
    assert torch.equal(points, asked)
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert not torch.equal(changed, images)
    alone = torch.cat([change.apply(images[i : i + 1], points[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(alone, changed, rtol=0, atol=1e-6)
    assert torch.equal(change.apply(images, points), changed), "a point says all"


@pytest.mark.parametrize("kind", THREATS)
def test_points_near_a_point_lie_in_the_box_and_mostly_near(kind: str) -> None:
    change, images = change_of(kind), drawn((3, 12, 7), 60)
    points = points_of(change, images)
    generator = torch.Generator().manual_seed(5)
    near = change.neighbours(points, images, share=0.05, generator=generator)
    assert near.shape == points.shape
    assert 0 <= float(near.min()) <= float(near.max()) <= 1
    assert near.ne(points).any(dim=1).float().mean() > 0.2
    jumped = change.jump(points, images, generator)
    assert jumped.shape == points.shape
    assert 0 <= float(jumped.min()) <= float(jumped.max()) <= 1


@pytest.mark.parametrize("kind", THREATS)
def test_what_it_says_of_itself_has_its_settings_in_it(kind: str) -> None:
    threat = threat_of(kind)
    assert str(threat) == kind
    assert threat.given == ()
    assert threat.reach.startswith("The attacker may ")
    assert threat.reach.endswith(".")
    assert threat == threat_of(kind, dict(threat.settings)), "defaults that are written out are the same threat"
    with pytest.raises(HardenerError, match=f"{kind} has no setting 'no-such'. Known: "):
        threat_of(kind, {"no-such": 1})


@pytest.mark.parametrize("kind", THREATS)
def test_two_points_that_change_an_image_differently_are_told_differently(kind: str) -> None:
    change, shape = change_of(kind), (3, 32, 32)
    low, high = (change.told(torch.full((change.values(shape),), end), shape) for end in (0.0, 1.0))
    assert low != high
    assert "nan" not in low + high


def test_what_is_told_of_a_point_is_what_it_does() -> None:
    point = torch.tensor([1.0, 0.25, 0.5])
    assert change_of("spatial").told(point, (1, 8, 8)) == "turned by 30 degrees, moved -5 % down and 0 % to the right"
    told = change_of("camera").told(torch.tensor([0.5, *[0.0] * 7, 1.0, 0.3, 0.7]), (3, 32, 32))
    assert told.startswith("rotation 0, motion 0, defocus 0, exposure -0.7, white balance -0.3, contrast 0.7, ")
    assert told.endswith("jpeg 100")
    patch = change_of("patch", {"area": 0.0625}).told(torch.tensor([1.0, 0.0, *[0.5] * 4]), (1, 8, 8))
    assert patch == "a square of 2 pixels, 6 from the top and 0 from the left"


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("kind", THREATS)
def test_a_search_gives_points_of_the_box_and_leaves_all_else_alone(kind: str, name: str) -> None:
    change, entry = change_of(kind), SEARCHES[name]
    if entry.follows_gradients and THREATS[kind].gradients == "none":
        pytest.skip("it has no gradient")
    model, images, labels = linear_problem(6, (1, 6, 6), seed=1)
    kept = images.clone(), labels.clone(), model.weight.detach().clone()
    search = resolve(SEARCHES, name, "attack")
    few = {"queries": 27} if "queries" in search.__kwdefaults__ else {"steps": 5}
    if name == "grid-search" and not change.grid_weights:
        with pytest.raises(HardenerError, match="too coarse: use box-search"):
            search(model, images, labels, change=change, **few)
        return
    found = search(model, images, labels, change=change, generator=torch.Generator().manual_seed(0), **few)
    again = search(model, images, labels, change=change, generator=torch.Generator().manual_seed(0), **few)
    assert torch.equal(found, again)
    assert found.shape == (6, change.values(shape_of(images)))
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert not found.requires_grad
    assert all(torch.equal(*pair) for pair in zip((images, labels, model.weight.detach()), kept, strict=True))
    assert model.weight.grad is None
