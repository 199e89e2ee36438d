"""When attacks take their passes in bfloat16, and that nothing counts for it that float32 does not see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from oracles import linear_problem
from torch import Tensor, nn

from hardener.attacks._precision import answers, misclassified
from hardener.config.evaluation_record import Precision
from hardener.errors import HardenerError
from hardener.evaluation import precision as room
from hardener.evaluation.precision import Choice, choose_precision
from hardener.evaluation.robust_accuracy import AttackPlan, robust_accuracy
from hardener.evaluation.suite import Timing
from hardener.threat import ThreatModel

CHEAP: dict[str, dict[str, Any]] = {
    "pgd": {"steps": 5},
    "apgd": {"steps": 5},
    "apgd-t": {"steps": 5},
    "fab-t": {"steps": 5},
}
"""The attacks that take bfloat16, a few steps of each."""


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()


class Rough(nn.Module):
    """Right everywhere in float32; in bfloat16, whose lead it rounds away, wrong everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0], [1.0 - 2**-12]]))
        self.rough = self.exact = 0

    def forward(self, images: Tensor) -> Tensor:
        logits = images.flatten(1)[:, :1] @ self.weight.T
        if logits.dtype == torch.bfloat16:
            self.rough += len(images)
            return logits + torch.tensor([0.0, 2**-4], dtype=torch.bfloat16)
        self.exact += len(images)
        return logits


@pytest.mark.parametrize("attack", CHEAP)
def test_an_image_that_only_bfloat16_misclassifies_does_not_count_and_is_attacked_to_the_end(attack: str) -> None:
    model, images, labels = Rough().eval(), torch.full((2, 1, 4, 4), 0.5), torch.zeros(2, dtype=torch.int64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(images).argmax(dim=1).tolist() == [1, 1]
    before = model.rough
    plan = AttackPlan(attack, {**CHEAP[attack], "bf16": True})
    found = robust_accuracy(model, images, labels, [plan], ThreatModel("linf", 0.1))
    assert found.robust_correct.all()
    steps = next(iter(CHEAP[attack].values()))
    assert model.rough - before >= 2 * steps, "neither image leaves"


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", CHEAP)
def test_on_a_linear_model_bfloat16_breaks_what_float32_breaks(attack: str, norm: str) -> None:
    """All but the images that lie at the very edge of the ball."""
    model, images, labels = linear_problem(40, (1, 8, 8), seed=3)
    weight = model.weight.detach()
    dual = float(weight.abs().sum() if norm == "linf" else weight.norm())
    distance = model.margin(images).detach().abs() / dual
    eps = float(distance.median())
    plan = AttackPlan(attack, {"steps": 20, "bf16": True})
    found = robust_accuracy(
        model, images, labels, [plan], ThreatModel(norm, eps), generator=torch.Generator().manual_seed(0)
    )
    assert not found.robust_correct[distance < 0.98 * eps].any()
    assert found.robust_correct[distance > 1.001 * eps].all()


def test_points_that_bfloat16_cannot_tell_from_the_boundary_are_asked_again() -> None:
    asked = 0

    def model(points: Tensor) -> Tensor:
        nonlocal asked
        asked += len(points)
        return torch.tensor([[1.0, 1.01]]).repeat(len(points), 1)

    points, labels = torch.zeros(4, 1, 1, 1), torch.zeros(4, dtype=torch.int64)
    logits = torch.tensor([[1.0, 0.99], [1.0, 0.5], [1.0, 1.5], [torch.nan, 1.0]])
    fell = misclassified(model, points, labels, logits, bf16=True)
    assert fell.tolist() == [True, False, True, True]
    assert asked == 3, "the second is surely right"


def test_answers_are_float32_again() -> None:
    assert answers(network(), torch.rand(2, 1, 8, 8), bf16=True).dtype == torch.float32


# The choice


def choose(asked: str = "auto", model: nn.Module | None = None) -> Choice:
    images = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return choose_precision(asked, model or network(), images, batch_size=8)


def pretend(monkeypatch: pytest.MonkeyPatch, *, native: bool = True, rough: float = 0.1) -> None:
    """A device whose passes take 1 s, but with a gradient in bfloat16 what is said."""
    monkeypatch.setattr(room, "has_bfloat16", lambda device: native)
    monkeypatch.setattr(room, "_timing", lambda *_, bf16: Timing(1.0, rough if bf16 else 1.0))


def test_bfloat16_is_chosen_only_where_it_is_native_and_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, native=False)
    found = choose()
    assert (found.bf16, found.reason) == (False, "this processor does not compute in bfloat16 natively")
    pretend(monkeypatch, rough=0.5)
    found = choose()
    told = "a pass with a gradient takes 500 ms an image in bfloat16, 1e+03 ms in float32"
    assert (found.bf16, found.reason, found.timing) == (True, told, Timing(1.0, 0.5))
    pretend(monkeypatch, rough=0.95)
    found = choose()
    assert (found.bf16, found.timing) == (False, Timing(1.0, 1.0))


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, native=False, rough=2.0)
    found = choose("bfloat16")
    told = "asked for, though a pass with a gradient takes 2e+03 ms an image in bfloat16, 1e+03 ms in float32"
    assert (found.bf16, found.reason) == (True, told)
    pretend(monkeypatch)
    assert choose("bfloat16").reason == "asked for"
    pretend(monkeypatch)
    assert not choose("float32").bf16


class Offset(nn.Module):
    """Logits that lie far from 0 and near to each other: bfloat16 cannot tell them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images)
        return logits + 1000


class Stubborn(nn.Module):
    """Cannot be run in bfloat16."""

    def forward(self, images: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("expected scalar type Float but found BFloat16\nat a place")
        return images.flatten(1)[:, :3]


def test_a_model_whose_answers_bfloat16_loses_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    found = choose(model=Offset().eval())
    assert not found.bf16
    assert found.reason == "bfloat16 moves the logits of 100 % of the images too far"


def test_a_model_that_bfloat16_breaks_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "has_bfloat16", lambda device: True)
    found = choose(model=Stubborn())
    assert not found.bf16
    assert found.reason == "the model does not run in bfloat16: expected scalar type Float but found BFloat16."
    with pytest.raises(HardenerError, match=r"does not run in bfloat16: expected .* Use --precision float32"):
        choose("bfloat16", Stubborn())


def test_choosing_draws_no_random_number() -> None:
    class Noisy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :3] + torch.randn(len(images), 3)

    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    choose(model=Noisy())
    assert torch.equal(torch.rand(1), first)


def test_a_choice_is_written_into_the_attacks_that_have_it() -> None:
    plans = [AttackPlan("apgd", {"bf16": False}), AttackPlan("bim", {"steps": 3})]
    choice = Choice(bf16=True, reason="faster", timing=Timing(1.0, 1.0))
    applied = choice.apply(plans)
    assert [plan.settings for plan in applied] == [{"bf16": True}, {"steps": 3}]
    assert choice.record(applied) == Precision(attacks="bfloat16", reason="faster")
    assert choice.record([AttackPlan("bim")]).attacks == "float32"
