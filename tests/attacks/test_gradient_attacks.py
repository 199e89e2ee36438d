from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from oracles import Linear, dual_norm, linear_problem
from torch import Tensor, nn
from torch.autograd.profiler import profile

from hardener.attacks._ascent import Ascent
from hardener.attacks._gradient import rescaled_cross_entropy, value_and_gradient
from hardener.attacks.bim import bim
from hardener.attacks.cw import cw
from hardener.attacks.fgsm import fgsm
from hardener.attacks.mi_fgsm import mi_fgsm
from hardener.attacks.pgd import pgd
from hardener.errors import HardenerError
from hardener.geometry import NORMS
from hardener.geometry.l2 import L2
from hardener.losses.margin import margin

EPS = 0.04


@pytest.fixture(params=NORMS)
def norm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()


def problem(count: int = 6) -> tuple[nn.Module, Tensor, Tensor]:
    """A network and images that it gets right."""
    model, images = network(), torch.rand(count, 2, 4, 4)
    with torch.no_grad():
        return model, images, model(images).argmax(dim=1)


def test_the_gradient_is_of_the_images_alone() -> None:
    """One product forward, one back: the second one back, for the parameters, is not computed."""
    images, labels = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 2])
    linear = nn.Linear(4, 4)
    model = nn.Sequential(nn.Flatten(), linear)
    with profile() as recorded:
        logits, value, gradient = value_and_gradient(model, images, labels, objective=margin)
    products = [event.name for event in recorded.function_events if event.name in {"aten::addmm", "aten::mm"}]
    assert products == ["aten::addmm", "aten::mm"]
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    torch.testing.assert_close(logits, model(images).detach())
    torch.testing.assert_close(value, margin(logits, labels))
    weight = linear.weight.detach().view(4, 1, 2, 2)
    best = logits.scatter(1, labels.unsqueeze(1), -torch.inf).argmax(1)
    torch.testing.assert_close(gradient, weight[best] - weight[labels])
    assert not any(tensor.requires_grad for tensor in (logits, value, gradient, images))


def detached(added: Tensor, images: Tensor) -> Tensor:
    return images.detach().flatten(1) + added


def test_a_model_that_autograd_cannot_see_through_has_gradient_zero() -> None:
    images, labels = torch.rand(3, 1, 2, 2), torch.zeros(3, dtype=torch.int64)
    bias = nn.Parameter(torch.zeros(4))
    for added in (torch.zeros(4), bias):
        _, _, gradient = value_and_gradient(partial(detached, added), images, labels)
        assert torch.equal(gradient, torch.zeros_like(images))


def scaled(scale: Tensor, images: Tensor) -> Tensor:
    return images.flatten(1) * scale


def test_draws_of_a_random_model_are_averaged() -> None:
    images, labels = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 2])
    generator = torch.Generator().manual_seed(0)
    scales: list[Tensor] = []

    def model(x: Tensor) -> Tensor:
        scales.append(torch.randn(x.shape[0], 1, generator=generator))
        return x.flatten(1) * scales[-1]

    logits, value, gradient = value_and_gradient(model, images, labels, objective=margin, eot_draws=5)
    assert len(scales) == 5
    singles = [value_and_gradient(partial(scaled, scale), images, labels, objective=margin) for scale in scales]
    torch.testing.assert_close(value, torch.stack([single[1] for single in singles]).mean(0))
    torch.testing.assert_close(gradient, torch.stack([single[2] for single in singles]).mean(0))
    always = torch.stack([single[0].argmax(1) != labels for single in singles]).all(0)
    assert torch.equal(logits.argmax(1) != labels, always)


def test_on_a_linear_model_fgsm_lowers_the_margin_by_eps_times_the_dual_norm(norm: str) -> None:
    """Goodfellow et al., ICLR 2015: the worst linf step lowers w·x by eps |w|_1; the worst l2 step by eps |w|_2."""
    model, images, labels = linear_problem(20, (1, 4, 4), seed=0)
    sign = 2 * labels - 1
    found = fgsm(model, images, labels, norm=norm, eps=EPS)
    dual = float(dual_norm(model.weight.unsqueeze(0), norm))
    fall = (sign * (model.margin(images) - model.margin(found))).detach()
    torch.testing.assert_close(fall, torch.full((20,), EPS * dual), rtol=1e-4, atol=1e-5)


def falls(model: Linear, images: Tensor, found: Tensor) -> Tensor:
    return (model.margin(images) - model.margin(found)).abs().detach()


@pytest.mark.parametrize(
    ("run", "norm"),  # the search of cw in l2 knows no eps
    [(run, norm) for run in (bim, mi_fgsm, cw, pgd) for norm in NORMS if (run, norm) != (cw, "l2")],
)
def test_on_a_linear_model_iterations_end_where_fgsm_does(run: Callable[..., Tensor], norm: str) -> None:
    """On the way they stop at the boundary: those beyond reach go all the way, those within reach only across it."""
    model, images, labels = linear_problem(40, (1, 4, 4), seed=1)
    best = fgsm(model, images, labels, norm=norm, eps=EPS)
    in_reach = model(best).argmax(dim=1) != labels
    assert 0 < int(in_reach.sum()) < 40
    settings = {"generator": torch.Generator().manual_seed(0), "step_size": EPS / 4} if run is pgd else {}
    found = run(model, images, labels, norm=norm, eps=EPS, steps=40, **settings)
    assert torch.equal(model(found).argmax(dim=1) != labels, in_reach)
    reached, farthest = falls(model, images, found), falls(model, images, best)
    assert (reached[~in_reach] > 0.99 * farthest[~in_reach]).all()
    assert (reached[in_reach] < 1.01 * farthest[in_reach]).all()


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 8, 8)])
def test_on_a_linear_model_cw_finds_the_distance_of_the_plane_from_above(shape: tuple[int, int, int]) -> None:
    """The nearest misclassified point lies |w·x + b| / |w|_2 away, along w."""
    model, images, labels = linear_problem(20, shape, seed=2)
    distance = (model.margin(images).abs() / model.weight.norm()).detach()
    found = cw(model, images, labels, norm="l2", eps=0.0)
    assert (model(found).argmax(dim=1) != labels).all()
    ratio = L2.size(found - images) / distance
    assert ratio.min() >= 1 - 1e-4
    assert ratio.median() < 1.02
    assert (L2.size(found - images) < 1.05 * distance + 0.001).all()


def test_cw_does_not_care_for_the_scale_of_the_logits() -> None:
    model, images, labels = linear_problem(5, (1, 4, 4), seed=3)
    plain, *others = (
        L2.size(cw(partial(times, model, scale), images, labels, norm="l2", eps=0.0, steps=40) - images)
        for scale in (1.0, 1e4, 1e-4)
    )
    for other in others:
        torch.testing.assert_close(other, plain, rtol=0.02, atol=0.0)


def test_cw_returns_an_image_that_is_broken_already_and_one_that_cannot_be() -> None:
    model, images, labels = linear_problem(4, (1, 4, 4), seed=4)
    labels[:2] = 1 - labels[:2]
    found = cw(model, images, labels, norm="l2", eps=0.1, steps=5, binary_search_steps=1)
    assert torch.equal(found[:2], images[:2])
    never = cw(lambda x: x.flatten(1)[:, :2] * 0 + torch.tensor([1.0, 0.0]), images, torch.zeros(4).long(), norm="l2",
               eps=0.1, steps=5, binary_search_steps=2)  # fmt: skip
    assert torch.equal(never, images)


def test_one_pgd_step_of_length_eps_from_the_image_is_fgsm(norm: str) -> None:
    model, images, labels = problem()
    images = 0.1 + 0.8 * images  # where the box does not count
    labels = model(images).argmax(dim=1)
    once = pgd(model, images, labels, norm=norm, eps=EPS, steps=1, step_size=EPS, random_start=False, rescale=False)
    torch.testing.assert_close(once, fgsm(model, images, labels, norm=norm, eps=EPS))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_with_the_same_seed_and_the_plain_loss_pgd_leaves_standing_what_foolbox_does(norm: str) -> None:
    foolbox = pytest.importorskip("foolbox")
    model, images, labels = problem(40)
    eps = 0.04 if norm == "linf" else 0.3
    start = norm == "linf"  # in l2 the two draw their starts differently
    build = foolbox.attacks.LinfPGD if norm == "linf" else foolbox.attacks.L2PGD
    peer = build(steps=8, abs_stepsize=0.01, random_start=start)
    attack = partial(
        pgd, model, images, labels, norm=norm, eps=eps, steps=8, step_size=0.01, random_start=start, rescale=False
    )
    torch.manual_seed(0)
    theirs = peer.run(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), images, labels, epsilon=eps)
    torch.manual_seed(0)
    torch.testing.assert_close(attack(stop_early=False), theirs, atol=1e-5, rtol=0)
    torch.manual_seed(0)
    ours = attack()
    broken = model(theirs).argmax(dim=1) != labels
    assert 0 < int(broken.sum()) < 40
    assert (model(ours).argmax(dim=1) != labels)[broken].all(), "what leaves early is broken, and what is broken leaves"


def test_momentum_without_memory_is_the_basic_iterative_method(norm: str) -> None:
    model, images, labels = problem()
    plain = bim(model, images, labels, norm=norm, eps=EPS, step_size=0.01)
    torch.testing.assert_close(mi_fgsm(model, images, labels, norm=norm, eps=EPS, step_size=0.01, decay=0.0), plain)


def test_momentum_adds_gradients_in_units_of_their_l1_norm() -> None:
    """Dong et al., CVPR 2018, Algorithm 1, two steps by hand on a model whose gradient turns after the first."""
    model, images, labels = problem(1)
    first = value_and_gradient(model, images, labels)[2]
    delta = 0.02 * first / first.norm()
    second = value_and_gradient(model, images + delta, labels)[2]
    momentum = 0.7 * first / first.abs().sum() + second / second.abs().sum()
    delta = delta + 0.02 * momentum / momentum.norm()
    found = mi_fgsm(
        model, images, labels, norm="l2", eps=1.0, steps=2, step_size=0.02, decay=0.7, stop_early=False
    )  # eps binds nothing here, nor does the box
    torch.testing.assert_close(found, (images + delta).clamp(0, 1), atol=1e-6, rtol=1e-4)


class Counting(nn.Module):
    """Counts the images that pass through a model, and notes how many came each time."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(len(images))
        logits: Tensor = self.model(images)
        return logits


@pytest.mark.parametrize("run", [bim, mi_fgsm, cw, pgd])
def test_images_leave_at_their_first_misclassified_iterate(run: Callable[..., Tensor]) -> None:
    model, images, labels = linear_problem(60, (1, 8, 8), seed=5)
    counting = Counting(model)
    steps, eps = 50, 0.02
    fixed = {"random_start": False} if run is pgd else {}
    found = run(counting, images, labels, norm="linf", eps=eps, steps=steps, **fixed)
    length = (2.5 if run in {pgd, cw} else 1.25 if run is bim else 1.0) * eps / steps
    gain = length * model.weight.detach().abs().sum()  # of a step, until a pixel meets the ball's border
    needed = (model.margin(images).abs() / gain).detach()
    crossed = model(found).argmax(dim=1) != labels
    assert 10 < int(crossed.sum()) < 60
    taken = falls(model, images, found) / gain
    assert (taken[crossed] < needed[crossed] + 1.01).all(), "no step beyond the first that crosses"
    stays = torch.where(crossed, needed.floor() + 2, steps + 0.0)  # a pass for the image, and one a step
    assert sum(counting.batches) <= int(stays.sum())
    assert counting.batches == sorted(counting.batches, reverse=True)
    assert len(counting.batches) == steps, "the logits came with the gradients: no pass beyond one a step"


def test_nothing_is_left_to_do_once_all_are_broken() -> None:
    model, images, labels = linear_problem(10, (1, 4, 4), seed=6)
    counting = Counting(model)
    found = pgd(counting, images, 1 - labels, norm="linf", eps=0.01, random_start=False, steps=20)
    assert counting.batches == [10]
    assert torch.equal(found, images)


@pytest.mark.parametrize("run", [bim, mi_fgsm, pgd])
def test_without_stopping_early_every_image_goes_all_the_way(run: Callable[..., Tensor], norm: str) -> None:
    model, images, labels = linear_problem(40, (1, 4, 4), seed=7)
    fixed = {"random_start": False} if run is pgd else {}
    found = run(model, images, labels, norm=norm, eps=EPS, steps=40, stop_early=False, **fixed)
    best = fgsm(model, images, labels, norm=norm, eps=EPS)
    assert (falls(model, images, found) > 0.99 * falls(model, images, best)).all()


def times(model: Callable[[Tensor], Tensor], scale: float, images: Tensor) -> Tensor:
    return scale * model(images)


@pytest.mark.parametrize("classes", [2, 5])
def test_rescaled_pgd_takes_the_same_steps_whatever_the_scale_of_the_logits(classes: int, norm: str) -> None:
    """Every power of two divides out exactly, so the results must be equal bit for bit."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, classes))
    images = torch.rand(30, 1, 8, 8)
    labels = model(images).argmax(dim=1)
    eps = {"linf": 0.08, "l2": 0.4, "l1": 2.0}[norm]
    attack = partial(pgd, images=images, labels=labels, norm=norm, eps=eps, steps=5, random_start=False)
    plain = attack(model)
    broken = model(plain).argmax(dim=1) != labels
    assert 0 < int(broken.sum()) < 30
    for scale in (2.0**14, 2.0**-14):
        assert torch.equal(attack(partial(times, model, scale)), plain)
    for scale in (1e4, 1e-4):
        assert torch.equal(model(attack(partial(times, model, scale))).argmax(dim=1) != labels, broken)


def test_huge_logits_hide_the_plain_gradient_and_not_the_rescaled_one() -> None:
    model, images, labels = linear_problem(40, (1, 4, 4), seed=8)
    loud = partial(times, model, 1e4)
    attack = partial(pgd, loud, images, labels, norm="linf", eps=0.2, random_start=False)
    _, _, gradient = value_and_gradient(loud, images, labels)
    assert int((gradient.flatten(1).abs().amax(dim=1) == 0).sum()) > 30
    assert int((model(attack(rescale=False)).argmax(dim=1) == labels).sum()) > 30
    assert int((model(attack()).argmax(dim=1) == labels).sum()) == 0


def test_equal_logits_rescale_to_something_finite() -> None:
    for logits in (torch.zeros(2, 3), torch.full((2, 3), 7.0), torch.tensor([[5.0, 5.0, -1e20], [1e-38, 0.0, 0.0]])):
        leaf = logits.clone().requires_grad_()
        value = rescaled_cross_entropy(leaf, torch.tensor([0, 1]))
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        assert bool(value.isfinite().all())
        assert bool(gradient.isfinite().all())


def test_averaged_draws_find_the_way_through_a_random_model_where_a_single_draw_does_not() -> None:
    """The plane's normal plus noise a step: the mean of n normals turns from the true one by the noise over root n."""
    model, images, labels = linear_problem(30, (1, 8, 8), seed=9)
    generator = torch.Generator().manual_seed(0)
    weight = model.weight.detach()

    def noisy(x: Tensor) -> Tensor:
        normal = weight + 3 * torch.randn(len(x), 64, generator=generator)
        half = ((x.flatten(1) - 0.5) * normal).sum(dim=1) / 2
        return torch.stack([-half, half], dim=1)

    def mean_fall(draws: int) -> float:
        attack = partial(pgd, noisy, images, labels, norm="l2", eps=0.1, step_size=0.1, steps=1, random_start=False)
        found = attack(eot_draws=draws, loss="margin", stop_early=False)
        return float(((1 - 2 * labels) * ((found - images).flatten(1) @ weight)).mean() / (0.1 * weight.norm()))

    for draws in (1, 36):
        expected = 1 / (1 + 9 / draws) ** 0.5  # the cosine between the mean normal and the true one, |w|^2 near 64
        assert abs(mean_fall(draws) - expected) < 0.06


def test_an_image_of_a_random_model_leaves_only_when_every_draw_is_misclassified() -> None:
    images, labels = torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, dtype=torch.int64)
    answers = iter([1.0, -1.0, 1.0] + [-1.0] * 3)  # round one is not unanimous, round two is

    def model(x: Tensor) -> Tensor:
        return torch.stack([next(answers) + 0 * x.flatten(1).sum(1), x.flatten(1).sum(1) * 0], dim=1)

    ascent = Ascent(model, images, labels, torch.zeros_like(images), eot_draws=3)
    assert len(list(ascent.gradients(5))) == 1


def test_what_bfloat16_breaks_is_checked_in_float32() -> None:
    """A lead that bfloat16 rounds away: with three digits the image looks broken, and it is not."""
    weight = torch.tensor([[1.0], [1.0 - 2**-12]])
    labels, images = torch.zeros(1, dtype=torch.int64), torch.full((1, 1, 1, 1), 0.5)

    def model(x: Tensor) -> Tensor:
        logits = x.flatten(1) @ weight.T
        return logits + torch.tensor([0.0, 2**-14]) if logits.dtype == torch.bfloat16 else logits

    assert int(model(images).argmax()) == 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert int(model(images).argmax()) == 1
    ascent = Ascent(model, images, labels, torch.zeros_like(images), bf16=True)
    assert len(list(ascent.gradients(3))) == 3, "the image stays"
    found = pgd(*linear_problem(20, (1, 4, 4), seed=10), norm="linf", eps=EPS, bf16=True, steps=10)
    model_, images_, labels_ = linear_problem(20, (1, 4, 4), seed=10)
    best = fgsm(model_, images_, labels_, norm="linf", eps=EPS)
    clear = (model_.margin(best).abs() > 0.02).detach()
    assert torch.equal((model_(found).argmax(1) == labels_)[clear], (model_(best).argmax(1) == labels_)[clear])


def test_a_gradient_that_is_not_finite_costs_its_pixels_only() -> None:
    model, images, labels = linear_problem(5, (1, 4, 4), seed=11)
    images[:, 0, 0, 0] = 0.0

    def kinked(x: Tensor) -> Tensor:  # the root's slope at 0 is infinite, and infinity times 0 is NaN
        logits: Tensor = model(x) + 0 * x[:, 0, 0, :1].sqrt()
        return logits

    assert bool(value_and_gradient(kinked, images, labels)[2].isnan().any())
    found = pgd(kinked, images, labels, norm="linf", eps=EPS, steps=5, random_start=False, stop_early=False)
    assert bool(found.isfinite().all())
    assert ((found - images)[:, 0, 1:].abs() > 0).all()


def test_an_unknown_loss_offers_those_that_attacks_climb() -> None:
    model, images, labels = problem(1)
    with pytest.raises(HardenerError, match="unknown loss 'margn'. Known: ce, margin, .*. Did you mean 'margin'?"):
        pgd(model, images, labels, norm="linf", eps=EPS, loss="margn")


def test_the_seed_decides_the_random_start() -> None:
    model, images, labels = problem()
    first, again, other = (
        pgd(
            model,
            images,
            labels,
            norm="linf",
            eps=EPS,
            steps=1,
            step_size=0.001,
            generator=torch.Generator().manual_seed(s),
        )
        for s in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
