from __future__ import annotations

import pytest
import torch
from networks import conv_problem, flat_problem, same, state
from oracles import Linear
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from hardener.geometry import norm_geometry
from hardener.methods.trades import Trades


def divergence(network: nn.Module, images: Tensor, others: Tensor) -> Tensor:
    """KL(f(images) || f(others)), written out, of each image."""
    p, q = network(images).softmax(1), network(others).softmax(1)
    found: Tensor = (p * (p.log() - q.log())).sum(1)
    return found


def test_with_a_vanishing_weight_the_loss_is_cross_entropy() -> None:
    network, images, labels = flat_problem()
    loss = Trades(norm="linf", eps=0.1, weight=1e-12).loss(network, images, labels)
    torch.testing.assert_close(loss, cross_entropy(network(images), labels))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_loss_is_cross_entropy_and_the_weighted_divergence_at_the_point_found(norm: str) -> None:
    network, images, labels = flat_problem()
    method = Trades(norm=norm, eps=0.1, steps=3, weight=2.5)
    torch.manual_seed(7)
    found = method.search(network, images)
    torch.manual_seed(7)
    loss = method.loss(network, images, labels)
    expected = cross_entropy(network(images), labels) + 2.5 * divergence(network, images, found).mean()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_search_raises_the_divergence_with_its_steps_and_stays_in_ball_and_box(norm: str) -> None:
    network, images, _ = flat_problem()
    reached = []
    for steps in (1, 3, 10):
        torch.manual_seed(1)
        found = Trades(norm=norm, eps=0.2, steps=steps, step_size=0.05).search(network, images)
        assert float(norm_geometry(norm).size(found - images).max()) <= 0.2 + 1e-9
        assert found.min() >= 0
        assert found.max() <= 1
        reached.append(float(divergence(network, images, found).detach().mean()))
    noise = (images + 0.001 * torch.randn_like(images)).clamp(0, 1)
    assert float(divergence(network, images, noise).detach().mean()) < reached[0] < reached[1] < reached[2]


def test_the_search_of_a_linear_model_ends_at_a_corner_of_the_ball() -> None:
    """For two classes the divergence grows with the change of the margin, which is eps |w|_1 at most."""
    torch.manual_seed(0)
    model, images = Linear(torch.randn(12), 0.1), torch.full((6, 3, 2, 2), 0.5)
    found = Trades(norm="linf", eps=0.05).search(model, images)
    change = (model.margin(found) - model.margin(images)).detach().abs()
    torch.testing.assert_close(change, torch.full((6,), 0.05 * float(model.weight.detach().norm(1))))


def test_the_default_step_is_a_quarter_of_eps_for_ten_steps() -> None:
    assert Trades(norm="linf", eps=8 / 255).step_size == pytest.approx(2 / 255)
    assert Trades(norm="linf", eps=8 / 255, step_size=0.1).step_size == 0.1


def test_a_search_leaves_modes_batch_statistics_and_gradients_as_they_were() -> None:
    network, images, _ = conv_problem()
    network.train()
    network[1].eval()  # as a frozen one is
    before, modes = state(network), [module.training for module in network.modules()]
    found = Trades(norm="linf", eps=0.1, steps=2).search(network, images)
    assert [module.training for module in network.modules()] == modes
    assert same(before, state(network))
    assert all(p.grad is None for p in network.parameters())
    assert not found.requires_grad
    assert not images.requires_grad


def test_modes_come_back_when_a_search_fails() -> None:
    network, images, _ = conv_problem()
    with pytest.raises(RuntimeError):
        Trades(norm="linf", eps=0.1).search(network, images[:, :1])
    assert all(module.training for module in network.modules())


def test_the_search_sees_running_statistics_and_no_dropout() -> None:
    network, images, _ = conv_problem()
    method = Trades(norm="linf", eps=0.1, steps=2)
    found = []
    for mode in (True, False):
        network.train(mode)
        torch.manual_seed(2)
        found.append(method.search(network, images))
    assert torch.equal(*found)


def test_two_losses_from_one_seed_are_equal() -> None:
    network, images, labels = conv_problem()
    method, before = Trades(norm="linf", eps=0.1, steps=2), state(network)
    found = []
    for _ in range(2):
        network.load_state_dict(before)
        torch.manual_seed(5)
        found.append(method.loss(network, images, labels).detach())
    assert torch.equal(*found)


def test_the_gradient_flows_through_both_answers_and_passes_gradcheck() -> None:
    network, images, labels = flat_problem()
    method = Trades(norm="linf", eps=0.1, steps=1)
    found = method.search(network, images)
    method.search = lambda model, images: found  # type: ignore[method-assign]
    weight, bias = (p.detach().clone().requires_grad_() for p in network.parameters())

    class Line(nn.Module):
        def __init__(self, weight: Tensor, bias: Tensor) -> None:
            super().__init__()
            self.line = (weight, bias)

        def forward(self, batch: Tensor) -> Tensor:
            return nn.functional.linear(batch.flatten(1), *self.line)

    assert torch.autograd.gradcheck(lambda w, b: method.loss(Line(w, b), images, labels), (weight, bias))


def test_under_bfloat16_the_loss_is_float32_and_near_the_one_of_float32() -> None:
    network, images, labels = conv_problem()
    network.eval()
    method = Trades(norm="linf", eps=0.1, steps=3)
    torch.manual_seed(3)
    exact = method.loss(network, images, labels).detach()
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method.loss(network, images, labels)
    loss.backward()
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(exact), rel=0.05)
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())


def test_the_divergence_is_torchs() -> None:
    network, images, _ = flat_problem()
    others = images.flip(0)
    expected = kl_div(network(others).log_softmax(1), network(images).softmax(1), reduction="batchmean")
    torch.testing.assert_close(divergence(network, images, others).mean(), expected)
