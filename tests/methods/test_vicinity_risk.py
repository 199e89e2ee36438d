from __future__ import annotations

import pytest
import torch
from networks import flat_problem, risk
from oracles import Linear
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, one_hot

from hardener.methods.vicinity_risk import VicinityRisk
from hardener.vicinity.chain import chain_of
from hardener.vicinity.mixup import mixup
from hardener.vicinity.patch_gaussian import Settings as Noise
from hardener.vicinity.worst_point import Settings as Ball

LAWS = ("budget", "paper", "paper-printed", "reference")


def problem() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), torch.rand(16, 3, 2, 2), torch.randint(5, (16,))


@pytest.mark.parametrize("law", ["one-hot", "uniform", "budget"])
def test_with_noise_mixup_and_smoothing_off_the_loss_is_cross_entropy(law: str) -> None:
    model, images, labels = problem()
    loss = risk(5, law=law).loss(model, images, labels)
    torch.testing.assert_close(loss, cross_entropy(model(images), labels), rtol=1e-6, atol=1e-6)


def test_uniform_smoothing_is_torchs_label_smoothing() -> None:
    model, images, labels = problem()
    loss = risk(5, law="uniform", smoothing=0.1).loss(model, images, labels)
    torch.testing.assert_close(loss, cross_entropy(model(images), labels, label_smoothing=0.1))


@pytest.mark.parametrize("law", LAWS)
def test_the_gradient_for_beta_under_expected_labels_passes_gradcheck(law: str) -> None:
    model, images, labels = problem()
    model.double()
    method = risk(5, law=law, smoothing=0.2).double()
    start = torch.linspace(0.5, 1.5, 5, dtype=torch.float64, requires_grad=True)

    def loss(beta: Tensor) -> Tensor:
        del method.beta
        method.beta = beta  # type: ignore[assignment]
        return method.loss(model, images.double(), labels)

    assert torch.autograd.gradcheck(loss, (start,))


@pytest.mark.parametrize("law", LAWS)
def test_the_sampled_loss_and_its_gradient_for_beta_have_the_expected_ones_as_mean(law: str) -> None:
    model, images, labels = problem()
    many, theirs = images.repeat(3000, 1, 1, 1), labels.repeat(3000)
    found: list[list[Tensor]] = []
    for draw in ("expected", "sampled"):
        method = risk(5, law=law, smoothing=0.3, draw=draw)
        assert method.beta is not None
        loss = method.loss(model, many, theirs)  # the mean over 3,000 draws of each image's label
        found.append([loss.detach(), *torch.autograd.grad(loss, method.beta)])
    (expected, slope), (sampled, drawn_slope) = found
    torch.testing.assert_close(sampled, expected, rtol=0.02, atol=0)
    torch.testing.assert_close(drawn_slope, slope, rtol=0, atol=0.15 * float(slope.abs().max()))


def test_one_backward_pass_gives_both_gradients_and_beta_ascends() -> None:
    model, images, labels = problem()
    method = risk(5, smoothing=0.5)
    assert method.beta is not None
    before = method.loss(model, images, labels)
    before.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    torch.optim.SGD([method.beta], lr=5.0, maximize=True).step()
    assert method.loss(model, images, labels) > before


def test_beta_ascends_towards_the_class_that_the_network_thinks_least_likely() -> None:
    model, images, labels = problem()
    method = risk(5, smoothing=0.5, beta_max=3.0)
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
    method = risk(5, law=law, beta_max=4.0)
    assert method.beta is not None
    with torch.no_grad():
        method.beta.copy_(torch.tensor([-5.0, 0.0, 1.0, 4.0, 99.0]))
    method.bound_beta()
    assert method.beta.min() > 0
    assert method.beta.max() == 4.0


def test_clean_loss_draws_no_noise_and_no_mixup() -> None:
    model, images, labels = problem()
    method = risk(5, noise_sigma=1.0, mixup_alpha=1.0)
    torch.testing.assert_close(method.clean_loss(model, images, labels), cross_entropy(model(images), labels))


def test_noise_reaches_the_network_with_its_variance() -> None:
    """The margin of a linear model under noise has std sigma |w|."""
    torch.manual_seed(0)
    model = Linear(torch.ones(1, 4, 4), 0.0)
    margins: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, batch: margins.append(model.margin(batch[0]).detach()))
    method = risk(2, noise_sigma=0.25, law="one-hot")
    method.loss(model, torch.full((20_000, 1, 4, 4), 0.5), torch.zeros(20_000, dtype=torch.int64))
    assert float(margins[0].std()) == pytest.approx(0.25 * 4, rel=0.03)


def test_with_a_worst_point_the_loss_is_higher() -> None:
    model, images, labels = problem()
    plain = risk(5).loss(model, images, labels)
    hard = risk(5, ball=Ball(eps=0.1)).loss(model, images, labels)
    assert hard > plain


@pytest.mark.parametrize("law", LAWS)
def test_a_beta_that_does_not_learn_is_no_parameter_and_gives_the_law_of_the_start(law: str) -> None:
    model, images, labels = problem()
    found = {}
    for learn in (True, False):
        method = risk(5, law=law, smoothing=0.3, draw="sampled", learn_beta=learn)
        assert (method.beta is None) == (not learn)
        assert len(list(method.parameters())) == learn
        torch.manual_seed(4)
        found[learn] = [method.loss(model, images, labels).detach(), method.target_mass()]
        method.bound_beta()
    assert torch.equal(torch.stack(found[True]), torch.stack(found[False]))


@pytest.mark.parametrize("learn", [True, False])
def test_fixed_labels_of_the_budget_law_are_uniform_smoothing_on_average(learn: bool) -> None:
    model, images, labels = problem()
    method = risk(5, smoothing=0.3, learn_beta=learn)
    expected = cross_entropy(model(images), labels, label_smoothing=0.3)
    torch.testing.assert_close(method.loss(model, images, labels), expected)
    assert float(method.target_mass()) == pytest.approx(0.7 + 0.3 / 5)


def test_attack_steps_are_those_of_the_vicinity_that_climbs_and_can_be_raised() -> None:
    still, climbing = risk(5, noise_sigma=0.1), risk(5, noise_sigma=0.1, ball=Ball(steps=2))
    assert (still.can_step_up, still.attack_steps) == (False, 0)
    assert (climbing.can_step_up, climbing.attack_steps) == (True, 2)
    model, images, labels = problem()
    passes: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, batch: passes.append(batch[0]))
    for steps in (2, 5):
        climbing.attack_steps = steps
        passes.clear()
        climbing.loss(model, images, labels)
        assert (climbing.attack_steps, len(passes)) == (steps, steps + 1)


def test_weighed_classes_are_torchs_weights_and_a_smoothing_moves_no_weight() -> None:
    network, images, labels = flat_problem()
    weights = torch.tensor([0.2, 1.0, 4.0], dtype=torch.float64)
    method = risk(3)
    method.weigh(weights)
    theirs = cross_entropy(network(images), labels, weights, reduction="sum") / len(labels)
    torch.testing.assert_close(method.loss(network, images, labels), theirs)
    smoothed = risk(3, law="uniform", smoothing=0.3)
    smoothed.weigh(weights)
    each = cross_entropy(network(images), labels, label_smoothing=0.3, reduction="none")
    torch.testing.assert_close(smoothed.loss(network, images, labels), (weights[labels] * each).mean())


def test_an_image_mixed_of_two_classes_counts_as_much_as_its_parts() -> None:
    network, images, labels = flat_problem()
    weights = torch.tensor([0.2, 1.0, 4.0], dtype=torch.float64)
    method = risk(3, mixup_alpha=1.0)
    method.weigh(weights)
    torch.manual_seed(4)
    found = method.loss(network, images, labels)
    torch.manual_seed(4)
    drawn, mixed = mixup(images, one_hot(labels, 3).float(), mixup_alpha=1.0)
    each = cross_entropy(network(drawn), mixed.double(), reduction="none")
    torch.testing.assert_close(found, ((mixed @ weights.float()) * each).mean())


@pytest.mark.parametrize("also", [{}, {"adversarial": Ball(eps=0.1)}])
def test_a_label_that_noise_makes_less_certain_counts_as_its_class_does(also: dict[str, Ball]) -> None:
    """All of one rare class: with a weight of 4 its loss is 4 times what it is without, whatever the noise."""
    network, images, _ = flat_problem()
    labels = torch.full((len(images),), 2)
    patch = Noise(chance=1, sigma=1, least=1, confidence=0)
    plain, weighed = (VicinityRisk(3, chain_of({"patch_gaussian": patch, **also})) for _ in range(2))
    weighed.weigh(torch.tensor([0.2, 1.0, 4.0]))
    losses = []
    for method in (plain, weighed):
        torch.manual_seed(4)
        losses.append(method.loss(network, images, labels))
    torch.testing.assert_close(losses[1], 4 * losses[0])


def test_the_mass_that_noise_takes_from_labels_is_told() -> None:
    patch = Noise(chance=1, sigma=1, least=1, confidence=0.2)
    assert float(VicinityRisk(3, chain_of({"patch_gaussian": patch})).target_mass()) == pytest.approx(0.6)
