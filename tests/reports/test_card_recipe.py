"""What a card says of the recipe."""

from __future__ import annotations

import pytest

from hardener.config.recipe import load_recipe, recipe_files
from hardener.reports._card_recipe import recipe_lines


def told(name: str, *overrides: str) -> str:
    return "\n".join(recipe_lines(load_recipe(name, overrides)))


def test_what_was_trained_against_is_told_with_its_norm_and_eps() -> None:
    assert "- Trained against an attacker: linf 8/255, 10 steps." in told("pgd-at")
    other = told("hardened", "vicinity.adversarial.norm=l2", "vicinity.adversarial.eps=0.25")
    assert "- Trained against an attacker: l2 0.25, 1 step, start 2, project off, schedule ramp." in other
    assert "attacker" not in told("natural")


def test_what_makes_a_run_unusual_is_told() -> None:
    assert "Set besides" not in told("natural", "optimizer.lr=0.01", "epochs=3")
    found = told(
        "natural", "network.freeze=[layer1*, stem]", "network.head_first=2", "network.activation=silu",
        "averaging.name=ema", "resize.first=0.5", "data.fit=letterbox", "optimizer.gradient_clip=1", "accumulate=2",
        "vicinity.cutmix.alpha=0.5", "augment.trivial=true", "augment.flip=true", "augment.shift=0",
    )  # fmt: skip
    assert "- Augmentation: flip; trivial (strength 1)." in found
    for fact in (
        "`vicinity.cutmix` (alpha 0.5)", "`averaging` (name ema, decay 0.999)", "`resize` (first 0.5, full 0.5)",
        "`network.freeze` `layer1*` `stem`", "`network.head_first` 2", "`network.activation` silu",
        "`data.fit` letterbox", "`optimizer.gradient_clip` 1", "`accumulate` 2",
    ):  # fmt: skip
        assert fact in found, found
    assert "`trades` (weight 3)" in told("trades", "trades.weight=3")
    assert "`awp` (gamma 0.005, warmup_epochs 2)" in told("trades-awp")


def test_what_a_user_wrote_cannot_break_the_card() -> None:
    assert "<b>" not in told("natural", "optimizer.options={kind: '<b>x'}")


@pytest.mark.parametrize("name", list(recipe_files()))
def test_every_recipe_has_its_lines(name: str) -> None:
    assert all(line.startswith("- ") and line.endswith(".") for line in told(name).splitlines())
