"""Where a climb starts, and that the network is to answer alike at its start and at its end."""

from __future__ import annotations

import math

import pytest
import torch
from networks import conv_problem, risk
from oracles import Linear
from torch import Tensor
from torch.nn.functional import one_hot

from hardener.config.recipe import load_recipe
from hardener.methods._agreement import jensen_shannon, squared_difference
from hardener.methods.vicinity_risk import VicinityRisk
from hardener.training.build import build_method
from hardener.vicinity.prior import Prior
from hardener.vicinity.worst_point import Settings as Ball
from hardener.vicinity.worst_point import WorstPoint

EPS = 8 / 255


def method_with(*settings: str) -> VicinityRisk:
    method = build_method(load_recipe("fast-at", [f"vicinity.adversarial.{setting}" for setting in settings]), 3)
    assert isinstance(method, VicinityRisk)
    return method


def test_a_prior_starts_where_the_climb_around_the_same_image_ended() -> None:
    """Steps of 0.4 eps along one sign: whatever the first start, three epochs lead to the ball's own corner."""
    torch.manual_seed(0)
    model, images = Linear(torch.randn(12), 0.1), torch.full((6, 3, 2, 2), 0.5)
    soft_labels = one_hot(torch.ones(6, dtype=torch.int64), 2).float()
    climb, prior = WorstPoint("linf", EPS, step_size=0.4 * EPS, origin="prior"), Prior(9, (3, 2, 2))
    prior.places = torch.tensor([8, 0, 3, 4, 7, 1])
    begun, first = climb.ends(images, soft_labels, model=model, prior=prior)
    assert float((begun - images).abs().max()) <= EPS + 1e-6
    order = torch.tensor([2, 5, 0, 1, 4, 3])
    prior.places = prior.places[order]
    again, second = climb.ends(images, soft_labels, model=model, prior=prior)
    torch.testing.assert_close(again, first[order], atol=EPS / 254 + 1e-6, rtol=0)
    for _ in range(4):
        _, second = climb.ends(images, soft_labels, model=model, prior=prior)
    downhill = -model.weight.detach().sign().view(1, 3, 2, 2)
    torch.testing.assert_close(second - images, EPS * downhill.expand_as(images), atol=1e-6, rtol=0)
    assert bool((prior.kept[[2, 5, 6]] == -128).all()), "images that were in no minibatch have none"


def test_a_prior_is_a_share_of_eps_and_rises_with_it() -> None:
    model, images = Linear(torch.randn(12), 0.1), torch.full((4, 3, 2, 2), 0.5)
    soft_labels = one_hot(torch.zeros(4, dtype=torch.int64), 2).float()
    prior = Prior(4, (3, 2, 2))
    prior.places = torch.arange(4)
    _, end = WorstPoint("linf", EPS, origin="prior", share=0.5).ends(images, soft_labels, model=model, prior=prior)
    torch.testing.assert_close((end - images).abs(), torch.full_like(images, EPS / 2), atol=0.5 * EPS, rtol=0)
    begun, _ = WorstPoint("linf", EPS, origin="prior").ends(images, soft_labels, model=model, prior=prior)
    torch.testing.assert_close(begun - images, 2 * (end - images), atol=EPS / 127, rtol=0)


@pytest.mark.parametrize("by", ["squared", "divergence"])
def test_the_loss_asks_for_the_same_answer_at_both_ends(by: str) -> None:
    network, images, labels = conv_problem()
    network.eval()
    plain, asked = method_with(), method_with("agreement=4", f"agreement_by={by}")
    asked.mark(0.5)
    found: list[Tensor] = []
    passes: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0]))
    for method in (plain, asked):
        torch.manual_seed(1)
        found.append(method.loss(network, images, labels))
    *_, end, begun = passes
    assert [len(passes), len({id(batch) for batch in passes})] == [5, 5], "one climb, one answer; one climb, two"
    with torch.no_grad():
        logits = [network(batch) for batch in (end, begun)]
    apart = squared_difference(*logits) if by == "squared" else jensen_shannon(*logits)
    weight = 4 if by == "squared" else 2  # it grows over the run, of which half is done
    torch.testing.assert_close(found[1] - found[0], weight * apart.mean())
    assert float(apart.mean()) > 0
    found[1].backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())


def test_without_an_attack_nothing_more_is_asked() -> None:
    network, images, labels = conv_problem()
    method = method_with("agreement=4", "schedule=ramp", f"eps={EPS}", "origin=prior")
    method.remember(8, (3, 4, 4))
    method.meet(torch.arange(8))
    method.eps_share = 0.0
    passes: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0]))
    method.loss(network, images, labels)
    assert len(passes) == 1
    assert method.prior is not None
    assert bool((method.prior.kept == -128).all())


def test_each_image_counts_in_the_term_as_its_class_does() -> None:
    network, images, labels = conv_problem()
    network.eval()
    found = []
    for weights in ([1.0, 1.0, 1.0], [3.0, 1.0, 0.0]):
        method = risk(3, ball=Ball(eps=EPS, start=0, agreement=5.0))
        method.weigh(torch.tensor(weights))
        passes: list[Tensor] = []
        hook = network.register_forward_pre_hook(lambda _, inputs, passes=passes: passes.append(inputs[0]))
        found.append(method.loss(network, images, labels))
        hook.remove()
    end, begun = (network(batch) for batch in passes[-2:])
    each = torch.nn.functional.cross_entropy(end, labels, reduction="none") + 5 * squared_difference(end, begun)
    torch.testing.assert_close(found[0], each.mean())
    torch.testing.assert_close(found[1], (torch.tensor([3.0, 1.0, 0.0])[labels] * each).mean())


def test_of_an_image_that_is_there_twice_the_last_climb_is_kept_whole() -> None:
    prior = Prior(3, (1, 50, 50))
    prior.places = torch.tensor([2, 0, 2, 2, 0])
    shares = torch.tensor([-0.5, 0.1, 0.2, 0.9, -1.0]).view(-1, 1, 1, 1)
    prior.keep(EPS * shares.expand(-1, 1, 50, 50), EPS)
    for place, share in ((0, -1.0), (1, None), (2, 0.9)):
        assert prior.kept[place].unique().tolist() == [-128 if share is None else round(127 * share)]


def test_jensen_shannon_is_0_for_equal_answers_and_log_2_for_sure_opposite_ones() -> None:
    sure = torch.tensor([[50.0, 0.0], [0.0, 50.0], [1.0, 2.0]])
    found = jensen_shannon(sure, sure[[1, 0, 2]])
    torch.testing.assert_close(found, torch.tensor([math.log(2), math.log(2), 0.0]))
    first, second = torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    p, q = first.softmax(dim=1), second.softmax(dim=1)
    m = (p + q) / 2
    by_hand = ((p * (p / m).log()).sum(dim=1) + (q * (q / m).log()).sum(dim=1)) / 2
    torch.testing.assert_close(jensen_shannon(first, second), by_hand)
