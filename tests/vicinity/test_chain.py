from __future__ import annotations

import pytest
import torch
from torch.nn.functional import one_hot

from hardener import vicinity
from hardener.config.schema import Labels, Vicinity
from hardener.vicinity.chain import chain_of
from hardener.vicinity.worst_point import Settings as Ball

IMAGES, LABELS = torch.rand(4, 3, 2, 2), one_hot(torch.tensor([0, 1, 2, 1]), 3).float()
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))


def names(on: dict[str, object]) -> list[str]:
    lines = {id(entry): name for name, entry in vicinity.VICINITIES.items()}
    return [lines[id(link.entry)] for link in chain_of(on)]


def test_what_is_off_is_no_link() -> None:
    assert chain_of(Vicinity().on()) == ()
    assert names(Vicinity(mixup_alpha=0.1).on()) == ["mixup"]
    assert names(Vicinity(labels=Labels(law="uniform")).on()) == ["dirichlet"]


def test_the_order_is_the_catalogs_whatever_the_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    on = {"labels": Labels(law="budget"), "adversarial": Ball(), "mixup_alpha": 0.2, "noise_sigma": 0.1}
    assert names(on) == list(vicinity.VICINITIES) == ["gaussian", "mixup", "worst-point", "dirichlet"]
    monkeypatch.setattr(vicinity, "VICINITIES", dict(reversed(vicinity.VICINITIES.items())))
    assert names(on) == ["dirichlet", "worst-point", "mixup", "gaussian"]


@pytest.mark.parametrize(
    "on",
    [
        {"noise_sigma": 0.1},
        {"mixup_alpha": 0.5},
        {"adversarial": Ball(eps=0.1)},
        {"labels": Labels(law="budget", draw="sampled", smoothing=0.3)},
    ],
)
def test_a_link_draws_once_by_the_seed_and_leaves_what_it_was_given(on: dict[str, object]) -> None:
    """The law of the room: shapes stay, label rows sum to 1, nothing is written to, and a seed gives one draw."""
    (link,), images, labels = chain_of(on), IMAGES.clone(), LABELS.clone()
    offered = {"model": NETWORK, "beta": torch.zeros(3)}
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        found.append(link(images, labels, offered))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert (found[0][0].shape, found[0][1].shape) == (IMAGES.shape, LABELS.shape)
    torch.testing.assert_close(found[0][1].sum(dim=1), torch.ones(4))
    assert torch.equal(images, IMAGES)
    assert torch.equal(labels, LABELS)
    assert not (torch.equal(found[0][0], IMAGES) and torch.equal(found[0][1], LABELS))
