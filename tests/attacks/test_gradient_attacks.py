from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from oracles import linear_problem
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hardener.attacks._gradient import value_and_gradient
from hardener.attacks.fgsm import fgsm
from hardener.attacks.pgd import pgd
from hardener.geometry import NORMS
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


class Masks(TorchDispatchMode):
    """Notes which gradients (input, weight, bias) each convolution's backward pass computes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[list[bool]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            self.seen.append(list(args[-1]))
        return func(*args, **(kwargs or {}))


def test_the_gradient_is_of_the_images_alone() -> None:
    images, labels = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 2])
    convolution = nn.Conv2d(1, 4, 2)
    model = nn.Sequential(convolution, nn.Flatten())
    with Masks() as masks:
        logits, value, gradient = value_and_gradient(model, images, labels, objective=margin)
    assert masks.seen == [[True, False, False]]
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    torch.testing.assert_close(logits, model(images).detach())
    torch.testing.assert_close(value, margin(logits, labels))
    weight = convolution.weight.detach()
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
    weight = model.weight.detach()
    dual = float(weight.abs().sum() if norm == "linf" else weight.norm())
    fall = (sign * (model.margin(images) - model.margin(found))).detach()
    torch.testing.assert_close(fall, torch.full((20,), EPS * dual), rtol=1e-4, atol=1e-5)


def test_on_a_linear_model_pgd_from_any_start_ends_where_fgsm_does(norm: str) -> None:
    model, images, labels = linear_problem(20, (1, 4, 4), seed=1)
    best = fgsm(model, images, labels, norm=norm, eps=EPS)
    found = pgd(
        model,
        images,
        labels,
        norm=norm,
        eps=EPS,
        steps=40,
        step_size=EPS / 4,
        generator=torch.Generator().manual_seed(0),
    )
    falls = [(model.margin(images) - model.margin(ends)).abs() for ends in (found, best)]
    assert (falls[0] > 0.99 * falls[1]).all()


def test_one_pgd_step_of_length_eps_from_the_image_is_fgsm(norm: str) -> None:
    model, images, labels = problem()
    once = pgd(model, images, labels, norm=norm, eps=EPS, steps=1, step_size=EPS, random_start=False)
    torch.testing.assert_close(once, fgsm(model, images, labels, norm=norm, eps=EPS))


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
