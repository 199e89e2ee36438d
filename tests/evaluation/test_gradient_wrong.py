"""Models whose gradient is there in part only, and honest ones with kinks, rounding, other scales and other depths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from oracles import linear_problem
from torch import Tensor, nn
from zoo import NAIVE, THREAT, After, Before, digits, exhibit, visit

from hardener.evaluation.audit import audit
from hardener.evaluation.case import Examined
from hardener.evaluation.directions import gradient_cosine
from hardener.evaluation.robust_accuracy import robust_accuracy
from hardener.evaluation.verdict import verdict
from hardener.models.borrowed_gradient import BorrowedGradient
from hardener.threat import ThreatModel


def median(model: nn.Module, count: int = 40) -> float:
    """The median cosine; nan where most images cannot be told."""
    _, _, images, labels = digits()
    found = gradient_cosine(model.eval(), images[:count], labels[:count])
    told = found[found.isfinite()]
    return float(told.median()) if len(told) >= count / 2 else float("nan")


def natural() -> nn.Module:
    return exhibit("natural").model


MASKED: dict[str, Callable[[], nn.Module]] = {
    "pixels detached": lambda: exhibit("pixels detached").model,
    "a branch under no_grad": lambda: exhibit("hidden branch").model,
    "the gradient of another net": lambda: exhibit("wrong gradient").model,
    "the gradient's sign turned": lambda: Before(natural(), lambda x: 2 * x.detach() - x),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_gradient_that_is_there_in_part_only_is_told(name: str) -> None:
    assert median(MASKED[name]()) < 0.87


def straight_through(levels: int) -> Callable[[Tensor], Tensor]:
    return lambda values: values + ((values * levels).round() / levels - values).detach()


def in_bfloat16(net: nn.Module) -> nn.Module:
    def forward(images: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits: Tensor = net(images)
        return logits

    return Before(nn.Identity(), forward)


def untrained(activation: Callable[[], nn.Module], *, pool: bool = False, norm: bool = False) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(8)] if norm else []
        layers += [activation(), nn.MaxPool2d(2) if pool else nn.AvgPool2d(2), nn.Conv2d(8, 8, 3), activation()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 10))


HONEST: dict[str, Callable[[], nn.Module]] = {
    "natural": natural,
    "gaussian": lambda: exhibit("gaussian").model,
    "fgsm-rs": lambda: exhibit("fgsm-rs").model,
    "untrained, no bias": lambda: untrained(nn.ReLU),
    "untrained, max-pool": lambda: untrained(nn.ReLU, pool=True),
    "untrained, SiLU and batch norm": lambda: untrained(nn.SiLU, norm=True),
    "huge logits": lambda: After(natural(), lambda z: 1e6 * z),
    "tiny logits": lambda: After(natural(), lambda z: 1e-6 * z),
    "clamped input": lambda: Before(natural(), lambda x: x.clamp(0, 1)),
    "bfloat16": lambda: in_bfloat16(natural()),
    "bfloat16, robust": lambda: in_bfloat16(exhibit("fgsm-rs").model),
    "8 bits straight through": lambda: Before(natural(), straight_through(255)),
    "a class left out": lambda: After(natural(), lambda z: torch.cat([z, z[:, :1] - torch.inf], 1)),
}


@pytest.mark.parametrize("name", HONEST)
def test_answers_of_an_honest_net_move_as_its_gradient_says(name: str) -> None:
    assert median(HONEST[name]()) > 0.95


def test_a_net_that_rounds_too_coarsely_to_be_told_is_not_told_anything() -> None:
    found = median(Before(natural(), straight_through(15)))
    assert found != found


def test_on_a_linear_model_it_is_one_and_of_a_hidden_half_the_share_that_is_left() -> None:
    model, images, labels = linear_problem(30, (1, 4, 4), seed=2)
    assert (gradient_cosine(model, images, labels) > 0.9999).all()
    assert (gradient_cosine(Before(model, lambda x: 2 * x.detach() - x), images, labels) < -0.9999).all()


def test_what_does_not_move_or_is_not_a_number_is_left_out() -> None:
    model, images, labels = linear_problem(6, (1, 4, 4), seed=2)
    assert gradient_cosine(After(model, lambda z: 0 * z), images, labels).isnan().all()
    assert gradient_cosine(After(model, lambda z: z + torch.nan), images, labels).isnan().all()


def test_an_evaluation_of_half_a_gradient_is_inconclusive() -> None:
    images, labels = (values[:100] for values in digits()[2:])
    model = exhibit("pixels detached").model
    generator = torch.Generator().manual_seed(0)
    run = robust_accuracy(model, images, labels, NAIVE, ThreatModel("linf", 0.05), generator=generator)
    found = audit(Examined(model, images, labels, generator=generator), run, samples=100)
    flags = {check.id for check in found.checks if check.raised}
    assert "gradient-wrong" in flags
    assert verdict(found.result, num_classes=10, checks=found.checks)[0] in {"inconclusive", "not robust"}
    lent = Examined(BorrowedGradient(natural(), model), images, labels, generator=generator)
    (check,) = (c for c in audit(lent, replace(run), samples=40).checks if c.id == "gradient-wrong")
    assert check.raised is None
    assert "lent to a file" in check.answer


def test_few_images_say_nothing() -> None:
    model, images, labels = linear_problem(4, (1, 4, 4), seed=2)
    run = robust_accuracy(model, images, labels, NAIVE, THREAT)
    (check,) = (c for c in audit(Examined(model, images, labels), run).checks if c.id == "gradient-wrong")
    assert check.raised is None


@pytest.mark.parametrize("name", ["pixels detached", "hidden branch", "wrong gradient"])
def test_of_the_zoo_it_is_raised_where_the_gradient_is_not_the_nets(name: str) -> None:
    assert "gradient-wrong" in visit(name).flags


@pytest.mark.parametrize("name", ["huge logits", "tiny logits", "flat logits", "shattered", "probabilities"])
def test_of_the_zoo_it_is_not_raised_where_the_gradient_is_right(name: str) -> None:
    assert "gradient-wrong" not in visit(name).flags
