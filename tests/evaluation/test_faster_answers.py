"""A faster copy of the model changes no answer, and is asked only where it pays and is a copy."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hardener.evaluation import faster_answers as room
from hardener.evaluation.faster_answers import FasterAnswers, onnx_copy
from hardener.evaluation.robust_accuracy import AttackPlan, Course, robust_accuracy
from hardener.threat import ThreatModel

SQUARE = AttackPlan("square", {"queries": 200})
IMAGES = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def network() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    made(torch.rand(32, 3, 8, 8))
    return made.eval()


class Random(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :4] + torch.rand(len(images), 4)


class Branching(nn.Module):
    """What no exporter can follow."""

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return flat[:, :4] if float(flat.mean()) > 0.5 else flat[:, 4:8]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is too little for a copy, and every copy is faster."""
    monkeypatch.setattr(room, "WORTH_S", 0.0)
    monkeypatch.setattr(room, "_seconds", lambda model, images: 0.1 if "Onnx" in type(model).__name__ else 1.0)


@pytest.mark.parametrize("count", [1, 5, 12])
def test_a_copy_answers_as_its_model_for_any_number_of_images(count: int) -> None:
    model, images = network(), IMAGES[:count]
    torch.testing.assert_close(onnx_copy(model, IMAGES[:3])(images), model(images).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("eager")
def test_square_finds_the_same_by_the_copy_as_by_the_model() -> None:
    model, said = network(), list[str]()
    labels = model(IMAGES).argmax(dim=1)
    asked = FasterAnswers(model, said.append)

    def found(asked: Callable[[AttackPlan, Tensor], nn.Module] | None) -> Any:
        generator = torch.Generator().manual_seed(0)
        return robust_accuracy(
            model, IMAGES, labels, [AttackPlan("bim"), SQUARE], ThreatModel("linf", 0.02),
            generator=generator, course=Course(asked=asked),
        )  # fmt: skip

    plain, copied = found(None), found(asked)
    assert asked.used == {"square"}
    assert len(said) == 1
    assert "ONNX Runtime" in said[0]
    assert 0 < int(plain.robust_correct.sum()) < len(IMAGES)
    assert torch.equal(plain.robust_correct, copied.robust_correct)
    assert torch.equal(plain.broken_by, copied.broken_by)


def test_an_attack_on_what_is_no_copy_is_made_again_on_the_model() -> None:
    model = network()
    labels = model(IMAGES).argmax(dim=1)
    threat, strong = ThreatModel("linf", 0.1), AttackPlan("square", {"queries": 300})

    class Wrong(nn.Module):
        """Shows Square no way: the same logits everywhere."""

        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.one_hot(labels[: len(images)], 4).float()

    def stands(asked: Callable[[AttackPlan, Tensor], nn.Module] | None) -> int:
        generator = torch.Generator().manual_seed(0)
        found = robust_accuracy(
            model, IMAGES, labels, [strong], threat, generator=generator, course=Course(asked=asked)
        )
        return int(found.robust_correct.sum())

    assert stands(lambda plan, images: Wrong()) <= 2
    assert stands(None) <= 2


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("model", [Random(), Branching()], ids=["random", "branching"])
def test_a_model_that_cannot_be_copied_is_asked_itself(model: nn.Module) -> None:
    said = list[str]()
    state = torch.get_rng_state()
    chosen = FasterAnswers(model.eval(), said.append)(SQUARE, IMAGES)
    assert chosen is model
    assert said == []
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("eager")
def test_without_room_on_the_disk_the_model_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> nn.Module:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model = network()
    monkeypatch.setattr(room, "onnx_copy", full)
    assert FasterAnswers(model, lambda text: None)(SQUARE, IMAGES) is model


def test_only_long_attacks_by_scores_are_worth_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    asked = FasterAnswers(model, lambda text: None)
    monkeypatch.setattr(room, "onnx_copy", None)  # calling it would fail
    assert asked(AttackPlan("pgd"), IMAGES) is model
    assert asked(SQUARE, IMAGES) is model
    assert asked.copied is None


def test_a_slower_copy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    monkeypatch.setattr(room, "WORTH_S", 0.0)
    monkeypatch.setattr(room, "_seconds", lambda asked, images: 1.0 if asked is model else 0.95)
    asked = FasterAnswers(model, lambda text: None)
    assert asked(SQUARE, IMAGES) is model
    assert asked.copied is False


def test_what_was_decided_before_an_interruption_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    monkeypatch.setattr(room, "_seconds", lambda asked, images: 1.0 if asked is model else 2.0)
    assert FasterAnswers(model, lambda text: None, copied=True)(SQUARE, IMAGES) is not model
    monkeypatch.setattr(room, "WORTH_S", 0.0)
    assert FasterAnswers(model, lambda text: None, copied=False)(SQUARE, IMAGES) is model
