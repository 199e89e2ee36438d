from __future__ import annotations

import pytest
import torch
from torch.nn.functional import one_hot

from hardener import vicinity
from hardener.config.schema import Labels, Vicinity
from hardener.config.section import key_of
from hardener.vicinity.chain import chain_of
from hardener.vicinity.worst_point import Settings as Ball

STANDING = {
    "noise_sigma": 0.1,
    "mixup_alpha": 0.5,
    "labels": Labels(law="budget", draw="sampled", smoothing=0.3),
}


def names(on: dict[str, object]) -> list[str]:
    lines = {id(entry): name for name, entry in vicinity.VICINITIES.items()}
    return [lines[id(link.entry)] for link in chain_of(on)]


def test_what_is_off_is_no_link() -> None:
    assert chain_of(Vicinity().on()) == ()
    assert names(Vicinity(mixup_alpha=0.1).on()) == ["mixup"]
    assert names(Vicinity(labels=Labels(law="uniform")).on()) == ["dirichlet"]


def test_the_order_is_the_catalogs_whatever_the_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    on = {"labels": Labels(law="budget"), "adversarial": Ball(), "mixup_alpha": 0.2, "noise_sigma": 0.1}
    assert names(on) == ["gaussian", "mixup", "worst-point", "dirichlet"]
    monkeypatch.setattr(vicinity, "VICINITIES", dict(reversed(list(vicinity.VICINITIES.items()))))
    assert names(on) == ["dirichlet", "worst-point", "mixup", "gaussian"]


@pytest.mark.parametrize("name", vicinity.VICINITIES)
def test_each_vicinity_draws_by_the_seed_and_leaves_what_it_was_given(name: str) -> None:
    """The law of the room: shapes stay, label rows sum to 1, nothing is written to, and a seed gives one draw."""
    entry = vicinity.VICINITIES[name]
    key = key_of(name, entry)
    (link,) = chain_of({key: STANDING[key] if entry.settings is None else entry.load_settings()()})
    images, labels = torch.rand(8, 3, 8, 8), one_hot(torch.arange(8) % 3, 3).float()
    given = images.clone(), labels.clone()
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 3))
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        found.append(link(images, labels, {"model": network, "prior": None, "beta": torch.zeros(3)}))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert (found[0][0].shape, found[0][1].shape) == (images.shape, labels.shape)
    torch.testing.assert_close(found[0][1].sum(dim=1), torch.ones(8))
    assert torch.equal(images, given[0])
    assert torch.equal(labels, given[1])
    assert not (torch.equal(found[0][0], images) and torch.equal(found[0][1], labels))
    assert all(p.grad is None for p in network.parameters())
