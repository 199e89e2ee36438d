from __future__ import annotations

import pytest
import torch
from oracles import Linear
from torch import Tensor, nn

from hardener.vicinity._class_start import class_start
from hardener.vicinity.worst_point import WorstPoint


def problem() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), torch.rand(16, 3, 2, 2), torch.randint(5, (16,))


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_the_worst_point_of_a_linear_model_is_eps_times_the_dual_norm_away(norm: str, dual: int) -> None:
    torch.manual_seed(0)
    model, images = Linear(torch.randn(12), 0.1), 0.4 + 0.2 * torch.rand(6, 3, 2, 2)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    soft_labels = torch.nn.functional.one_hot(labels, 2).float()
    found, _ = WorstPoint(norm, 0.02, steps=30, step_size=0.005)(images, soft_labels, model=model)
    fall = (1 - 2 * labels) * (model.margin(found) - model.margin(images)).detach()
    torch.testing.assert_close(
        fall, torch.full((6,), 0.02 * float(model.weight.detach().norm(dual))), rtol=1e-2, atol=1e-5
    )
    assert not found.requires_grad
    assert model.weight.grad is None


def test_one_step_from_a_random_start_stays_in_ball_and_box() -> None:
    model, images, labels = problem()
    found, _ = WorstPoint("linf", 0.1)(images, torch.nn.functional.one_hot(labels, 5).float(), model=model)
    assert (found - images).abs().max() <= 0.1 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1


def test_n_fgsm_leaves_the_ball_and_stays_within_start_plus_step() -> None:
    """On a linear model in the middle of the box its one step goes along the sign of the gradient, uncut."""
    torch.manual_seed(0)
    model, images = Linear(torch.randn(12), 0.1), torch.full((64, 3, 2, 2), 0.5)
    soft_labels = torch.nn.functional.one_hot(torch.ones(64, dtype=torch.int64), 2).float()
    torch.manual_seed(1)
    start = (2 * torch.rand(images.shape) - 1) * 2 * 0.05
    torch.manual_seed(1)
    found, _ = WorstPoint("linf", 0.05, start=2.0, project=False)(images, soft_labels, model=model)
    downhill = -model.weight.detach().sign().view(1, 3, 2, 2)
    torch.testing.assert_close(found - images, start + 0.05 * downhill)
    assert 0.05 < float((found - images).abs().max()) <= 3 * 0.05 + 1e-6


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_without_projection_more_steps_lead_no_farther(steps: int) -> None:
    model, images, labels = problem()
    soft_labels = torch.nn.functional.one_hot(labels, 5).float()
    found, kept = WorstPoint("linf", 0.05, steps, start=2.0, project=False)(images, soft_labels, model=model)
    assert float((found - images).abs().max()) <= 3 * 0.05 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1
    assert kept is soft_labels


def test_a_worst_point_that_starts_at_the_image_is_fgsm() -> None:
    """The margin of a linear model falls by eps |w|_1."""
    torch.manual_seed(0)
    model, images = Linear(torch.randn(12), 0.1), torch.full((6, 3, 2, 2), 0.5)
    soft_labels = torch.nn.functional.one_hot(torch.ones(6, dtype=torch.int64), 2).float()
    found, _ = WorstPoint("linf", 0.05, start=0.0)(images, soft_labels, model=model)
    fall = (model.margin(images) - model.margin(found)).detach()
    torch.testing.assert_close(fall, torch.full((6,), 0.05 * float(model.weight.detach().norm(1))))


@pytest.mark.parametrize("project", [True, False])
def test_a_worst_point_follows_the_seed_and_leaves_the_model_as_it_was(project: bool) -> None:
    model, images, labels = problem()
    model.train()
    soft_labels = torch.nn.functional.one_hot(labels, 5).float()
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(WorstPoint("l2", 0.3, steps=2, project=project)(images, soft_labels, model=model)[0])
    assert torch.equal(*found)
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert images.grad is None
    assert not images.requires_grad


@pytest.mark.parametrize("images_a_class", [3, 1])
def test_a_start_by_class_is_the_sign_of_the_classes_own_gradient(images_a_class: int) -> None:
    """For logits -+(w x + b) the loss of class 1 climbs along -w, that of class 0 along w; one sign for the batch."""
    torch.manual_seed(0)
    model = Linear(torch.randn(12), 0.1)
    labels = torch.tensor([0, 1] * images_a_class)[: max(2 * images_a_class - 1, 1)]
    soft_labels, images = torch.nn.functional.one_hot(labels, 2).float(), torch.rand(len(labels), 3, 2, 2)
    up = model.weight.detach().sign().view(1, 3, 2, 2) * (1 - 2 * labels.float()).view(-1, 1, 1, 1)
    signs = set()
    for seed in range(6):
        torch.manual_seed(seed)
        start = class_start(model, images, soft_labels, eps=0.05, noise=0.1, replaced=(0.0, 0.0))
        signs.add(float((start / up)[0, 0, 0, 0].sign()))
        torch.testing.assert_close(start, 0.05 * up * (start / up)[0, 0, 0, 0].sign())
    assert signs == {-1.0, 1.0}
    noise = class_start(model, images, soft_labels, eps=0.05, noise=0.1, replaced=(1.0, 1.0))
    assert 0.05 < float(noise.abs().max()) <= 0.1
    assert model.weight.grad is None


def test_a_climb_from_a_start_by_class_leaves_batch_statistics_of_gray_out() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5)).train()
    images, soft_labels = torch.rand(8, 3, 2, 2), torch.nn.functional.one_hot(torch.arange(8) % 5, 5).float()
    found, _ = WorstPoint("linf", 0.05, origin="class")(images, soft_labels, model=model)
    assert model.training
    assert model[0].training
    assert int(model[0].get_buffer("num_batches_tracked")) == 1, "the climb's own pass, and none of the gray images"
    assert float((found - images).abs().max()) <= 0.05 + 1e-6


def test_by_running_statistics_a_climb_counts_no_batch_and_goes_by_the_network_in_evaluation_mode() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5)).train()
    images, soft_labels = torch.rand(8, 3, 2, 2), torch.nn.functional.one_hot(torch.arange(8) % 5, 5).float()
    model(torch.rand(64, 3, 2, 2) ** 4)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    found = []
    for asks, mode in ((True, True), (False, False), (False, True)):
        model.load_state_dict(kept)
        model.train(mode)
        torch.manual_seed(1)
        climb = WorstPoint("l2", 0.5, steps=3, running_statistics=asks)
        found.append(climb(images, soft_labels, model=model)[0])
        assert model.training == model[0].training == mode
        counted = int(model[0].get_buffer("num_batches_tracked")) - int(kept["0.num_batches_tracked"])
        assert counted == (3 if mode and not asks else 0)
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])
