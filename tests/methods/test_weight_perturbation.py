from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import conv_problem, flat_problem, risk, same, state
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hardener.methods._weight_perturbation import WeightClimb
from hardener.methods.method import Method
from hardener.methods.trades import Trades
from hardener.vicinity.worst_point import Settings as Ball

LABELS: dict[str, Any] = {"draw": "sampled", "smoothing": 0.2}


def methods() -> list[Method]:
    return [
        Trades(norm="linf", eps=0.1, steps=2),
        risk(3, **LABELS, ball=Ball(eps=0.1)),
        risk(3, **LABELS, noise_sigma=0.1, mixup_alpha=0.2),
    ]


def moves(network: nn.Module, before: dict[str, Tensor]) -> dict[str, float]:
    """How far each parameter is from where it was, relative to its length."""
    return {
        name: float((value.detach() - before[name]).norm() / before[name].norm().clamp_min(1e-12))
        for name, value in network.named_parameters()
    }


@pytest.mark.parametrize("index", range(3))
def test_every_layers_weights_move_by_gamma_of_their_length_and_come_back_bit_for_bit(index: int) -> None:
    network, images, labels = conv_problem()
    method, before = methods()[index], state(network)
    method.awp_gamma = 0.05
    loss = method.loss(network, images, labels)
    found = moves(network, before)
    weights = {"0.weight", "5.weight"}  # of batch norm and biases, with one dimension, none
    assert {name: found[name] for name in found.keys() - weights} == dict.fromkeys(found.keys() - weights, 0.0)
    assert [found[name] for name in sorted(weights)] == pytest.approx([0.05, 0.05], rel=1e-4)
    loss.backward()
    method.after_backward()
    parameters = [name for name, _ in network.named_parameters()]
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in parameters)
    assert all(p.grad is not None for p in network.parameters())


def test_the_move_is_along_the_gradient_and_the_loss_is_taken_there() -> None:
    network, images, labels = flat_problem()
    weight = network.line.weight
    plain = cross_entropy(network(images), labels)
    (gradient,) = torch.autograd.grad(plain, weight)
    expected = weight.detach() + 0.1 * weight.detach().norm() * gradient / gradient.norm()
    perturbation = WeightClimb()
    loss = perturbation.loss(network, lambda: cross_entropy(network(images), labels), gamma=0.1)
    torch.testing.assert_close(weight.detach(), expected)
    torch.testing.assert_close(loss, cross_entropy(network(images), labels))
    assert loss > plain
    loss.backward()
    reached = weight.grad
    assert reached is not None
    perturbation.put_back()
    assert weight.grad is reached
    assert not torch.allclose(reached, gradient)


@pytest.mark.parametrize("index", range(3))
def test_at_gamma_zero_nothing_moves_and_the_loss_is_the_plain_one(index: int) -> None:
    found = []
    for gamma in (0.0, 0.05, 0.0):
        network, images, labels = conv_problem()
        method, before = methods()[index], state(network)
        method.awp_gamma = gamma
        torch.manual_seed(1)
        found.append(method.loss(network, images, labels).detach())
        assert (max(moves(network, before).values()) == 0) == (gamma == 0)
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def test_the_extra_pass_leaves_no_mark_in_batch_statistics() -> None:
    network, images, labels = conv_problem()
    before = state(network)
    cross_entropy(network(images), labels)
    once = state(network)
    network.load_state_dict(before)
    perturbation = WeightClimb()
    perturbation.loss(network, lambda: cross_entropy(network(images), labels), gamma=1e-30)
    perturbation.put_back()
    assert same(once, state(network))
    assert int(network.state_dict()["1.num_batches_tracked"]) == 1


def test_a_frozen_weight_and_one_that_the_loss_does_not_use_stay() -> None:
    network, images, labels = conv_problem()
    network[0].requires_grad_(False)
    network.register_parameter("unused", nn.Parameter(torch.ones(2, 2)))
    before, perturbation = state(network), WeightClimb()
    perturbation.loss(network, lambda: cross_entropy(network(images), labels), gamma=0.1)
    found = moves(network, before)
    assert found["0.weight"] == found["unused"] == 0
    assert found["5.weight"] == pytest.approx(0.1, rel=1e-4)


def test_after_a_failed_pass_the_weights_can_be_put_back() -> None:
    network, images, labels = conv_problem()
    before, perturbation, calls = state(network), WeightClimb(), iter([True, False])

    def loss() -> Tensor:
        if not next(calls):
            raise torch.OutOfMemoryError
        return cross_entropy(network(images), labels)

    with pytest.raises(torch.OutOfMemoryError):
        perturbation.loss(network, loss, gamma=0.1)
    assert max(moves(network, before).values()) > 0
    perturbation.put_back()
    assert same(before, state(network))


def test_a_second_loss_without_a_backward_pass_starts_from_the_weights_themselves() -> None:
    network, images, labels = flat_problem()
    before, perturbation = state(network), WeightClimb()
    for _ in range(3):
        perturbation.loss(network, lambda: cross_entropy(network(images), labels), gamma=0.1)
        assert moves(network, before)["line.weight"] == pytest.approx(0.1)
    perturbation.put_back()
    assert same(before, state(network))


def test_under_bfloat16_the_loss_is_taken_at_the_moved_weights() -> None:
    """Autocast keeps the weights that it has rounded; the moved ones must be rounded anew."""
    network, images, labels = conv_problem()
    network.eval()
    perturbation = WeightClimb()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = cross_entropy(network(images), labels)
        moved = perturbation.loss(network, lambda: cross_entropy(network(images), labels), gamma=0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = cross_entropy(network(images), labels)
    assert torch.equal(moved, expected)
    assert moved > plain


def test_both_losses_of_a_step_see_the_same_drawn_labels() -> None:
    """With a move too small to matter, the perturbed loss of a sampled law is the plain one."""
    network, images, labels = conv_problem()
    network.eval()
    found = []
    for gamma in (0.0, 1e-30):
        method = risk(3, **LABELS)
        method.awp_gamma = gamma
        torch.manual_seed(2)
        found.append(method.loss(network, images, labels).detach())
        method.after_backward()
    assert torch.equal(*found)


def test_beta_gets_the_gradient_of_the_perturbed_loss_alone() -> None:
    network, images, labels = conv_problem()
    network.eval()
    method, plain = (risk(3, **LABELS | {"draw": "expected"}) for _ in range(2))
    method.awp_gamma = 0.05
    loss = method.loss(network, images, labels)
    plain.loss(network, images, labels).backward()  # at the weights that are still moved
    loss.backward()
    assert method.beta is not None
    assert plain.beta is not None
    assert method.beta.grad is not None
    torch.testing.assert_close(method.beta.grad, plain.beta.grad)
