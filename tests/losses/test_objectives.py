from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hardener.attacks._gradient import rescaled_cross_entropy
from hardener.catalog import resolve
from hardener.losses import LOSSES, OBJECTIVES
from hardener.losses.cross_entropy import cross_entropy
from hardener.losses.dlr import dlr, targeted_dlr
from hardener.losses.margin import margin
from hardener.losses.soft_cross_entropy import soft_cross_entropy

LOGITS = torch.tensor([[5.0, 3.0, 1.0, -1.0], [5.0, 3.0, 1.0, -1.0], [2.0, 2.0, 0.0, 1.0]])
LABELS = torch.tensor([0, 2, 1])


def some(classes: int, count: int = 50) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(classes)
    logits = 3 * torch.randn((count, classes), generator=generator)
    return logits, torch.randint(classes, (count,), generator=generator)


def test_margin_by_hand() -> None:
    assert margin(LOGITS, LABELS).tolist() == [-2.0, 4.0, 0.0]
    assert margin(torch.tensor([[1.0, 4.0]]), torch.tensor([0])).tolist() == [3.0]


def test_dlr_by_hand() -> None:
    """Croce and Hein, ICML 2020, equation 6: -(5 - 3) / (5 - 1), -(1 - 5) / (5 - 1), -(2 - 2) / (2 - 1)."""
    assert dlr(LOGITS, LABELS).tolist() == [-0.5, 1.0, 0.0]


def test_targeted_dlr_by_hand() -> None:
    """Croce and Hein, ICML 2020, equation 7: -(5 + 1) / (5 - (1 - 1) / 2) and so on."""
    targets = torch.tensor([3, 0, 3])
    expected = torch.tensor([-6 / 5, 4 / 5, -1 / (2 - 0.5)])
    torch.testing.assert_close(targeted_dlr(LOGITS, LABELS, targets), expected)


def test_with_too_few_classes_for_the_ratio_the_margin_remains() -> None:
    for classes in (2, 3):
        logits, labels = some(classes)
        targets = (labels + 1) % classes
        rows = torch.arange(50)
        assert torch.equal(targeted_dlr(logits, labels, targets), logits[rows, targets] - logits[rows, labels])
    logits, labels = some(2)
    assert torch.equal(dlr(logits, labels), margin(logits, labels))


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("classes", [2, 3, 4, 10, 1000])
def test_an_objective_has_a_value_and_a_gradient_for_each_image_whatever_the_number_of_classes(
    name: str, classes: int
) -> None:
    objective = resolve(OBJECTIVES, name, "loss")
    logits, labels = some(classes)
    leaf = logits.clone().requires_grad_()
    value = objective(leaf, labels)
    assert value.shape == (50,)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    right = logits.argmax(dim=1) == labels
    own = gradient[torch.arange(50), labels]
    assert (own[right] < 0).all(), "less of the label is better for the attacker"
    assert (own <= 0).all()  # dlr stays at 1 where the label comes third
    order = torch.randperm(50)
    torch.testing.assert_close(objective(logits[order], labels[order]), value.detach()[order])
    if name != "ce":
        assert torch.equal(value > 0, logits.argmax(dim=1) != labels)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_derivatives(name: str, classes: int) -> None:
    logits, labels = some(classes, 6)
    objective = resolve(OBJECTIVES, name, "loss")
    assert torch.autograd.gradcheck(lambda z: objective(z, labels), logits.double().requires_grad_())


@pytest.mark.parametrize("classes", [3, 4, 10])
def test_dlr_does_not_change_with_shift_and_scale_of_the_logits(classes: int) -> None:
    logits, labels = some(classes)
    targets = (labels + 1) % classes
    logits = logits.double()
    for scale, shift in ((1e4, 0.0), (1e-4, 0.0), (1.0, 100.0), (7.0, -3.0)):
        moved = scale * logits + shift
        torch.testing.assert_close(dlr(moved, labels), dlr(logits, labels))
        if classes > 3:
            torch.testing.assert_close(targeted_dlr(moved, labels, targets), targeted_dlr(logits, labels, targets))
    assert dlr(logits, labels).min() >= -1


def test_equal_logits_give_finite_objectives_and_gradients() -> None:
    labels = torch.tensor([0, 3])
    for objective in (margin, dlr, lambda z, y: targeted_dlr(z, y, 3 - y)):
        leaf = torch.zeros(2, 4, requires_grad=True)
        value = objective(leaf, labels)
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        assert torch.equal(value, torch.zeros(2))
        assert bool(gradient.isfinite().all())


def test_cross_entropy_is_the_soft_one_on_one_hot_labels() -> None:
    logits, labels = some(10)
    one_hot = torch.eye(10)[labels]
    torch.testing.assert_close(cross_entropy(logits, labels).mean(), soft_cross_entropy(logits, one_hot))


def test_rescaled_cross_entropy_by_hand() -> None:
    """Leads of 4 and of 8 both become 4; in units of the scale, log(1 + e^-4) is 1 and 2 times itself."""
    logits = torch.tensor([[4.0, 0.0], [108.0, 100.0], [0.0, 4.0]])
    small = torch.tensor(1 + torch.e**-4).log()
    expected = torch.stack([small, 2 * small, 4 + small])
    torch.testing.assert_close(rescaled_cross_entropy(logits, torch.zeros(3, dtype=torch.int64)), expected)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_rescaled_cross_entropys_gradient_does_not_change_with_the_scale(classes: int, scale: float) -> None:
    logits, labels = some(classes)
    gradients: list[Tensor] = []
    for factor in (1.0, scale):
        leaf = (factor * logits).requires_grad_()
        gradients += torch.autograd.grad(rescaled_cross_entropy(leaf, labels).sum(), leaf)
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-3)
    assert gradients[0].abs().amax(dim=1).min() > 0.01


def test_objectives_are_losses_of_the_catalog() -> None:
    assert set(OBJECTIVES) == {"ce", "margin", "dlr", "pm"}
    assert all(LOSSES[name] == line for name, line in OBJECTIVES.items())
