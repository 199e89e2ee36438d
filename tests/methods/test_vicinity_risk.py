from __future__ import annotations

from typing import Any

import pytest
import torch
from oracles import Linear
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from hardener.methods.vicinity_risk import VicinityRisk, WorstPoint

OFF: dict[str, Any] = {
    "num_classes": 5,
    "noise_sigma": 0.0,
    "mixup_alpha": 0.0,
    "law": "budget",
    "sampled": False,
    "smoothing": 0.0,
    "total_concentration": 10.0,
    "alpha": 0.01,
    "scale": 10.0,
    "beta_max": 10.0,
}
LAWS = ("budget", "paper", "paper-printed", "reference")


def problem() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), torch.rand(16, 3, 2, 2), torch.randint(5, (16,))


@pytest.mark.parametrize("law", ["one-hot", "uniform", "budget"])
def test_with_noise_mixup_and_smoothing_off_the_loss_is_cross_entropy(law: str) -> None:
    model, images, labels = problem()
    loss = VicinityRisk(**OFF | {"law": law}).loss(model, images, labels)
    torch.testing.assert_close(loss, cross_entropy(model(images), labels), rtol=1e-6, atol=1e-6)


def test_uniform_smoothing_is_torchs_label_smoothing() -> None:
    model, images, labels = problem()
    loss = VicinityRisk(**OFF | {"law": "uniform", "smoothing": 0.1}).loss(model, images, labels)
    torch.testing.assert_close(loss, cross_entropy(model(images), labels, label_smoothing=0.1))


@pytest.mark.parametrize("law", LAWS)
def test_the_gradient_for_beta_under_expected_labels_passes_gradcheck(law: str) -> None:
    model, images, labels = problem()
    model.double()
    method = VicinityRisk(**OFF | {"law": law, "smoothing": 0.2}).double()
    start = torch.linspace(0.5, 1.5, 5, dtype=torch.float64, requires_grad=True)

    def loss(beta: Tensor) -> Tensor:
        del method.beta
        method.beta = beta  # type: ignore[assignment]
        return method.loss(model, images.double(), labels)

    assert torch.autograd.gradcheck(loss, (start,))


@pytest.mark.parametrize("law", LAWS)
def test_the_sampled_loss_and_its_gradient_for_beta_have_the_expected_ones_as_mean(law: str) -> None:
    model, images, labels = problem()
    found: dict[bool, list[Tensor]] = {}
    for sampled, repeats in ((False, 1), (True, 3000)):
        method = VicinityRisk(**OFF | {"law": law, "smoothing": 0.3, "sampled": sampled})
        assert method.beta is not None
        loss = torch.stack([method.loss(model, images, labels) for _ in range(repeats)]).mean()
        found[sampled] = [loss.detach(), *torch.autograd.grad(loss, method.beta)]
    torch.testing.assert_close(found[True][0], found[False][0], rtol=0.02, atol=0)
    scale = float(found[False][1].abs().max())
    torch.testing.assert_close(found[True][1], found[False][1], rtol=0, atol=0.15 * scale)


def test_one_backward_pass_gives_both_gradients_and_beta_ascends() -> None:
    model, images, labels = problem()
    method = VicinityRisk(**OFF | {"smoothing": 0.5})
    assert method.beta is not None
    before = method.loss(model, images, labels)
    before.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    torch.optim.SGD([method.beta], lr=5.0, maximize=True).step()
    assert method.loss(model, images, labels) > before


def test_beta_ascends_towards_the_class_that_the_network_thinks_least_likely() -> None:
    model, images, labels = problem()
    method = VicinityRisk(**OFF | {"smoothing": 0.5, "beta_max": 3.0})
    assert method.beta is not None
    ascent = torch.optim.SGD([method.beta], lr=20.0, maximize=True)
    for _ in range(200):
        ascent.zero_grad()
        method.loss(model, images, labels).backward()
        ascent.step()
        method.bound_beta()
    least_likely = int(log_softmax(model(images), 1).mean(0).argmin())
    assert int(method.beta.argmax()) == least_likely
    assert float(method.beta.detach().abs().max()) <= 3.0


@pytest.mark.parametrize("law", ["paper", "reference"])
def test_bound_beta_keeps_the_raw_laws_positive_and_bounded(law: str) -> None:
    method = VicinityRisk(**OFF | {"law": law, "beta_max": 4.0})
    assert method.beta is not None
    with torch.no_grad():
        method.beta.copy_(torch.tensor([-5.0, 0.0, 1.0, 4.0, 99.0]))
    method.bound_beta()
    assert method.beta.min() > 0
    assert method.beta.max() == 4.0


def test_clean_loss_draws_no_noise_and_no_mixup() -> None:
    model, images, labels = problem()
    method = VicinityRisk(**OFF | {"noise_sigma": 1.0, "mixup_alpha": 1.0})
    torch.testing.assert_close(method.clean_loss(model, images, labels), cross_entropy(model(images), labels))


def test_noise_reaches_the_network_with_its_variance() -> None:
    """The margin of a linear model under noise has std sigma |w|."""
    torch.manual_seed(0)
    model = Linear(torch.ones(1, 4, 4), 0.0)
    margins: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, batch: margins.append(model.margin(batch[0]).detach()))
    method = VicinityRisk(**OFF | {"num_classes": 2, "noise_sigma": 0.25, "law": "one-hot"})
    method.loss(model, torch.full((20_000, 1, 4, 4), 0.5), torch.zeros(20_000, dtype=torch.int64))
    assert float(margins[0].std()) == pytest.approx(0.25 * 4, rel=0.03)


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_the_worst_point_of_a_linear_model_is_eps_times_the_dual_norm_away(norm: str, dual: int) -> None:
    torch.manual_seed(0)
    model, images = Linear(torch.randn(12), 0.1), 0.4 + 0.2 * torch.rand(6, 3, 2, 2)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    soft_labels = torch.nn.functional.one_hot(labels, 2).float()
    found = WorstPoint(norm, 0.02, steps=30, step_size=0.005)(model, images, soft_labels)
    fall = (1 - 2 * labels) * (model.margin(found) - model.margin(images)).detach()
    torch.testing.assert_close(
        fall, torch.full((6,), 0.02 * float(model.weight.detach().norm(dual))), rtol=1e-2, atol=1e-5
    )
    assert not found.requires_grad
    assert model.weight.grad is None


def test_one_step_from_a_random_start_stays_in_ball_and_box() -> None:
    model, images, labels = problem()
    found = WorstPoint("linf", 0.1)(model, images, torch.nn.functional.one_hot(labels, 5).float())
    assert (found - images).abs().max() <= 0.1 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1


def test_with_a_worst_point_the_loss_is_higher() -> None:
    model, images, labels = problem()
    plain = VicinityRisk(**OFF).loss(model, images, labels)
    hard = VicinityRisk(**OFF, worst_point=WorstPoint("linf", 0.1)).loss(model, images, labels)
    assert hard > plain


def test_n_fgsm_leaves_the_ball_and_stays_within_start_plus_step() -> None:
    """On a linear model in the middle of the box its one step goes along the sign of the gradient, uncut."""
    torch.manual_seed(0)
    model, images = Linear(torch.randn(12), 0.1), torch.full((64, 3, 2, 2), 0.5)
    soft_labels = torch.nn.functional.one_hot(torch.ones(64, dtype=torch.int64), 2).float()
    torch.manual_seed(1)
    start = (2 * torch.rand(images.shape) - 1) * 2 * 0.05
    torch.manual_seed(1)
    found = WorstPoint("linf", 0.05, start=2.0, project=False)(model, images, soft_labels)
    downhill = -model.weight.detach().sign().view(1, 3, 2, 2)
    torch.testing.assert_close(found - images, start + 0.05 * downhill)
    assert 0.05 < float((found - images).abs().max()) <= 3 * 0.05 + 1e-6


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_without_projection_more_steps_lead_no_farther(steps: int) -> None:
    model, images, labels = problem()
    soft_labels = torch.nn.functional.one_hot(labels, 5).float()
    found = WorstPoint("linf", 0.05, steps, start=2.0, project=False)(model, images, soft_labels)
    assert float((found - images).abs().max()) <= 3 * 0.05 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_worst_point_that_starts_at_the_image_is_fgsm() -> None:
    """The margin of a linear model falls by eps |w|_1."""
    torch.manual_seed(0)
    model, images = Linear(torch.randn(12), 0.1), torch.full((6, 3, 2, 2), 0.5)
    soft_labels = torch.nn.functional.one_hot(torch.ones(6, dtype=torch.int64), 2).float()
    found = WorstPoint("linf", 0.05, start=0.0)(model, images, soft_labels)
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
        found.append(WorstPoint("l2", 0.3, steps=2, project=project)(model, images, soft_labels))
    assert torch.equal(*found)
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert images.grad is None
    assert not images.requires_grad


@pytest.mark.parametrize("law", LAWS)
def test_a_beta_that_does_not_learn_is_no_parameter_and_gives_the_law_of_the_start(law: str) -> None:
    model, images, labels = problem()
    found = {}
    for learn in (True, False):
        method = VicinityRisk(**OFF | {"law": law, "smoothing": 0.3, "sampled": True}, learn_beta=learn)
        assert (method.beta is None) == (not learn)
        assert len(list(method.parameters())) == learn
        torch.manual_seed(4)
        found[learn] = [method.loss(model, images, labels).detach(), method.target_mass()]
        method.bound_beta()
    assert torch.equal(torch.stack(found[True]), torch.stack(found[False]))


@pytest.mark.parametrize("learn", [True, False])
def test_fixed_labels_of_the_budget_law_are_uniform_smoothing_on_average(learn: bool) -> None:
    model, images, labels = problem()
    method = VicinityRisk(**OFF | {"smoothing": 0.3}, learn_beta=learn)
    expected = cross_entropy(model(images), labels, label_smoothing=0.3)
    torch.testing.assert_close(method.loss(model, images, labels), expected)
    assert float(method.target_mass()) == pytest.approx(0.7 + 0.3 / 5)
