"""The worst of a few random points of a threat, as a vicinity."""

from __future__ import annotations

import pytest
import torch
from oracles import Linear
from torch import Tensor

from hardener.config.recipe import check_recipe
from hardener.errors import HardenerError
from hardener.vicinity.chain import chain_of
from hardener.vicinity.worst_change import Settings, WorstChange


def means(k: int, images: Tensor) -> Tensor:
    model, labels = Linear(torch.ones(1, 6, 6), -18.0), torch.tensor([[0.0, 1.0]]).repeat(len(images), 1)
    dark = {"exposure": (-1, 0), "rotation": (0, 0), "motion": (0, 0), "defocus": (0, 0), "contrast": (1, 1),
            "noise": (0, 0), "downscale": (1, 1), "jpeg": (100, 100)}  # fmt: skip
    torch.manual_seed(0)
    drawn, kept = WorstChange("camera", k, dark)(images, labels, model=model)
    assert kept is labels
    assert not drawn.requires_grad
    return drawn.mean(dim=(1, 2, 3))


def test_of_more_draws_the_darker_one_is_taken_where_dark_is_wrong() -> None:
    images = torch.full((50, 1, 6, 6), 0.6)
    one, forty = means(1, images), means(40, images)
    assert 0.3 - 1e-6 <= float(one.min()) < float(one.max()) <= 0.6 + 1e-6
    assert one.mean() > 0.4
    assert (forty < 0.31).all(), "each value is an end of its range with chance 1/4 a draw"


def test_a_recipe_switches_it_on_and_names_what_is_wrong() -> None:
    recipe = check_recipe({"vicinity": {"worst_change": {"threat": "spatial", "k": 3}}}, "here")
    (link, *_) = chain_of(recipe.vicinity.on())
    assert link.draw == WorstChange("spatial", 3)
    assert link.entry.needs == ("model",)
    with pytest.raises(HardenerError, match="unknown threat 'spacial'. .* Did you mean 'spatial'"):
        check_recipe({"vicinity": {"worst_change": {"threat": "spacial"}}}, "here")
    with pytest.raises(HardenerError, match="rotation is out of order"):
        check_recipe({"vicinity": {"worst_change": {"ranges": {"rotation": [9, -9]}}}}, "here")
    assert Settings().k == 5
