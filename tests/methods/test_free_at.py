from __future__ import annotations

import io

import pytest
import torch
from networks import Flat, conv_problem, flat_problem, same, state
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hardener.geometry import norm_geometry
from hardener.methods.free_at import FreeAt


def step(method: FreeAt, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """A loss with its backward pass, and what the loop does then."""
    loss = method.loss(network, images, labels)
    loss.backward()
    method.after_backward()
    return loss.detach()


def test_the_first_loss_is_the_plain_one_and_then_the_perturbation_is_eps_along_the_sign() -> None:
    network, images, labels = flat_problem()
    inputs = images.clone().requires_grad_()
    plain = cross_entropy(network(inputs), labels)
    (gradient,) = torch.autograd.grad(plain, inputs)
    method = FreeAt(norm="linf", eps=0.1)
    torch.testing.assert_close(step(method, network, images, labels), plain.detach())
    torch.testing.assert_close(method.delta, 0.1 * gradient.sign(), rtol=0, atol=0)


def test_a_replay_on_a_linear_model_sees_a_margin_that_is_lower_by_eps_times_the_l1_norm() -> None:
    network, images, labels = flat_problem(classes=2)
    method = FreeAt(norm="linf", eps=0.05)
    step(method, network, images, labels)
    margins: list[Tensor] = []
    network.register_forward_hook(
        lambda _, __, logits: margins.append((logits[:, 1] - logits[:, 0]).detach() * (2 * labels - 1))
    )
    network(images)
    step(method, network, images, labels)
    difference = network.line.weight.detach().diff(dim=0).abs().sum()
    torch.testing.assert_close(margins[0] - margins[1], (0.05 * difference).expand(8))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_perturbation_lives_on_and_stays_in_the_ball_and_what_the_network_sees_in_the_box(norm: str) -> None:
    network, images, labels = conv_problem()
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, batch: seen.append(batch[0].detach()))
    method = FreeAt(norm=norm, eps=0.3, step_size=0.2)
    for batch in (images, images, 1 - images):
        step(method, network, batch, labels)
    assert float(norm_geometry(norm).size(method.delta).max()) <= 0.3 + 1e-6
    assert all(float(batch.min()) >= 0 and float(batch.max()) <= 1 for batch in seen)
    assert not torch.equal(seen[2], 1 - images)  # another minibatch, the same perturbation


def test_a_smaller_minibatch_uses_the_first_rows_and_leaves_the_others() -> None:
    network, images, labels = flat_problem()
    method = FreeAt(norm="linf", eps=0.1, step_size=0.03)
    step(method, network, images, labels)
    before = method.delta.clone()
    step(method, network, images[:3], labels[:3])
    assert len(method.delta) == 8
    assert torch.equal(method.delta[3:], before[3:])
    assert not torch.equal(method.delta[:3], before[:3])
    step(method, network, torch.cat([images, images]), torch.cat([labels, labels]))
    assert len(method.delta) == 16


def test_images_of_another_size_start_from_nothing() -> None:
    network, images, labels = flat_problem()
    method = FreeAt(norm="linf", eps=0.1)
    step(method, network, images, labels)
    wide = Flat(24, 3).double()
    others = torch.rand(8, 3, 2, 4, dtype=torch.float64)
    torch.testing.assert_close(step(method, wide, others, labels), cross_entropy(wide(others), labels).detach())


@pytest.mark.parametrize("rows", [3, 8])
def test_the_perturbation_is_in_the_checkpoint_and_a_resumed_run_goes_on_alike(rows: int) -> None:
    network, images, labels = flat_problem()
    method = FreeAt(norm="linf", eps=0.1, step_size=0.03)
    step(method, network, images[:rows], labels[:rows])
    file = io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    resumed = FreeAt(norm="linf", eps=0.1, step_size=0.03)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    found = [step(each, network, images, labels) for each in (method, resumed)]
    assert torch.equal(*found)
    assert torch.equal(method.delta, resumed.delta)


def test_a_state_dict_is_not_changed_by_steps_after_it_and_a_fresh_one_loads() -> None:
    network, images, labels = flat_problem()
    method = FreeAt(norm="linf", eps=0.1)
    fresh = method.state_dict()
    step(method, network, images, labels)
    taken = method.state_dict()
    kept = {name: value.clone() for name, value in taken.items()}
    step(method, network, images, labels)
    assert same(taken, kept)
    method.load_state_dict(fresh)
    plain = cross_entropy(network(images), labels).detach()
    torch.testing.assert_close(step(method, network, images, labels), plain)


def test_it_is_no_buffer_that_processes_would_share_and_no_minibatch_is_cut() -> None:
    method = FreeAt(norm="linf", eps=0.1)
    step(method, *flat_problem())
    assert list(method.buffers()) == list(method.parameters()) == []
    assert not method.divisible
    assert method.beta is None


def test_without_a_backward_pass_the_perturbation_stays() -> None:
    network, images, labels = flat_problem()
    method = FreeAt(norm="linf", eps=0.1)
    method.after_backward()
    method.loss(network, images, labels)
    method.after_backward()
    assert float(method.delta.abs().max()) == 0


def test_the_images_and_the_model_stay_as_they_were() -> None:
    network, images, labels = conv_problem()
    parameters, batch = {n: p.detach().clone() for n, p in network.named_parameters()}, images.clone()
    step(FreeAt(norm="linf", eps=0.1), network, images, labels)
    assert torch.equal(images, batch)
    assert images.grad is None
    assert not images.requires_grad
    assert all(torch.equal(p, parameters[n]) and p.grad is not None for n, p in network.named_parameters())


def test_under_bfloat16_and_channels_last_the_perturbation_is_float32_and_climbs() -> None:
    network, images, labels = conv_problem()
    images = images.to(memory_format=torch.channels_last)
    method = FreeAt(norm="linf", eps=0.1)
    network.eval()
    losses = []
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = method.loss(network, images, labels)
        loss.backward()
        method.after_backward()
        losses.append(float(loss.detach()))
    assert losses[1] > losses[0]
    assert method.delta.dtype == loss.dtype == torch.float32
    assert method.delta.is_contiguous(memory_format=torch.channels_last)


def test_the_same_steps_give_the_same_perturbation() -> None:
    found = []
    for _ in range(2):
        network, images, labels = conv_problem()
        method = FreeAt(norm="linf", eps=0.1)
        for _ in range(2):
            torch.manual_seed(9)
            step(method, network, images, labels)
        found.append((method.delta, state(network)["1.running_mean"]))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
