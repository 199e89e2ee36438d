from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from oracles import linear_problem
from torch import Tensor, nn

from hardener.config.evaluation_record import EpsCurve
from hardener.errors import HardenerError
from hardener.evaluation.lending import lend
from hardener.evaluation.robust_accuracy import AttackPlan
from hardener.measures.eps_curve import eps_grid, measure_eps_curves
from hardener.measures.run import LentAttack

FGSM = AttackPlan("fgsm")
LINF = eps_grid("linf", 4)


def lent(model: nn.Module, *plans: AttackPlan, norm: str = "linf", batch_size: int = 128) -> list[LentAttack]:
    return [lend(plan, model, norm=norm, batch_size=batch_size) for plan in plans]


def shares(curve: EpsCurve) -> list[float]:
    return [point.accuracy for point in curve.points]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_a_linear_model_it_is_the_share_of_points_farther_than_eps_until_chance(norm: str) -> None:
    model, images, labels = linear_problem(100, (1, 4, 4), seed=2)
    weight = model.weight.detach()
    distance = model.margin(images).detach().abs() / (weight.abs().sum() if norm == "linf" else weight.norm())
    radii = [float(distance.quantile(share)) for share in (0.1, 0.3, 0.55, 0.8)]
    done: list[int] = []
    (curve,) = measure_eps_curves(
        model, images, labels, lent(model, FGSM, norm=norm), radii, batch_size=33, on_done=done.append
    )
    expected = [1.0] + [int((distance > eps).sum()) / 100 for eps in radii[:3]]  # 0.45 is below chance: it stops there
    assert shares(curve) == expected
    assert [point.parameter for point in curve.points] == [0.0, *radii[:3]]
    assert curve.attack == "fgsm"
    assert sum(done) == curve.samples == 100


def test_what_fell_once_is_not_attacked_again_so_a_curve_never_rises() -> None:
    """Gradient masking by a wave: one step of a larger eps can jump back over the boundary."""
    asked: list[int] = []

    class Wave(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if images.requires_grad:
                asked.append(len(images))
            wave = torch.sin(20 * images.flatten(1).mean(dim=1))
            return torch.stack([wave, -wave, -3 + 0 * wave, -4 + 0 * wave], dim=1)

    images = 0.35 + 0.05 * torch.rand(30, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = Wave()(images).argmax(dim=1)
    (curve,) = measure_eps_curves(Wave(), images, labels, lent(Wave(), FGSM), LINF, batch_size=100)
    assert shares(curve) == sorted(shares(curve), reverse=True)
    assert asked == [round(30 * share) for share in shares(curve)[:-1]]


def test_two_attacks_start_from_the_clean_images_each() -> None:
    model, images, labels = linear_problem(20, (1, 2, 2), seed=4)
    labels[:4] = 1 - labels[:4]
    done: list[int] = []
    first, second = measure_eps_curves(
        model, images, labels, lent(model, FGSM, AttackPlan("pgd", {"steps": 3})), LINF, on_done=done.append
    )
    assert shares(first)[0] == shares(second)[0] == 0.8
    assert (first.attack, second.attack) == ("fgsm", "pgd")
    assert sum(done) == 40


def test_a_model_that_no_attack_touches_is_followed_to_the_end() -> None:
    class Constant(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([0.0, 1.0]) + 0 * images.flatten(1)[:, :1]

    images, labels = torch.rand(3, 1, 2, 2), torch.ones(3).long()
    (curve,) = measure_eps_curves(Constant(), images, labels, lent(Constant(), FGSM), LINF)
    assert set(shares(curve)) == {1.0}
    assert [255 * point.parameter for point in curve.points] == pytest.approx([0, 0.5, 1, 2, 4, 8, 16, 32, 64, 127.5])


def test_the_grid_ends_where_every_image_can_become_gray() -> None:
    assert eps_grid("l2", 3072)[-1] == pytest.approx(0.5 * 3072**0.5)
    for norm, numel in (("linf", 64), ("l2", 64), ("l2", 150_528)):
        grid = eps_grid(norm, numel)
        ratios = [high / low for low, high in pairwise(grid)]
        assert all(1.3 < ratio < 2.7 for ratio in ratios)


def test_eps_that_do_not_ascend_and_no_images_are_errors() -> None:
    model, images, labels = linear_problem(4, (1, 2, 2), seed=5)
    for radii in ([0.1, 0.1], [0.0, 0.1], [0.2, 0.1]):
        with pytest.raises(HardenerError, match="must be > 0 and ascend"):
            measure_eps_curves(model, images, labels, lent(model, FGSM), radii)
    with pytest.raises(HardenerError, match="there are no images"):
        measure_eps_curves(model, images[:0], labels[:0], lent(model, FGSM), LINF)
