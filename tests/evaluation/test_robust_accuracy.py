from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch
from oracles import Linear, linear_problem
from torch import Tensor, nn

import hardener.evaluation.robust_accuracy as room
from hardener.errors import Failure, HardenerError
from hardener.evaluation.robust_accuracy import AttackPlan, robust_accuracy
from hardener.threat import ThreatModel

FGSM, PGD = AttackPlan("fgsm"), AttackPlan("pgd", {"steps": 5})


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [0.0, 0.01, 0.03, 0.1])
def test_on_a_linear_model_it_is_the_share_of_points_farther_than_eps_from_the_plane(norm: str, eps: float) -> None:
    model, images, labels = linear_problem(300, (1, 4, 4), seed=2)
    weight = model.weight.detach()
    dual = weight.abs().sum() if norm == "linf" else weight.norm()
    distance = model.margin(images).detach().abs() / dual
    assert not ((distance - eps).abs() < 1e-5).any(), "no point lies just at the boundary"
    result = robust_accuracy(model, images, labels, [FGSM], ThreatModel(norm, eps))
    assert result.robust_accuracy == int((distance > eps).sum()) / 300
    assert result.clean_accuracy == 1.0


def test_it_never_rises_with_eps_restarts_or_another_attack() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 3)).eval()
    images = torch.rand(120, 1, 8, 8)
    labels = model(images).argmax(1)

    def measure(plans: list[AttackPlan], eps: float) -> float:
        generator = torch.Generator().manual_seed(0)
        return robust_accuracy(
            model, images, labels, plans, ThreatModel("linf", eps), generator=generator
        ).robust_accuracy

    one = measure([AttackPlan("pgd", {"steps": 2}, 1)], 0.02)
    assert 0 < one < 1
    assert measure([AttackPlan("pgd", {"steps": 2}, 4)], 0.02) <= one
    assert measure([AttackPlan("pgd", {"steps": 2}, 1), FGSM], 0.02) <= one
    falling = [measure([PGD], eps) for eps in (0.0, 0.01, 0.02, 0.05, 0.2)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 1.0


def test_attacks_go_only_at_images_that_still_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images, labels = linear_problem(40, (1, 2, 2), seed=3)
    labels[:7] = 1 - labels[:7]  # seven are wrong already
    seen: list[int] = []
    plain = room.resolve  # type: ignore[attr-defined]

    def counting(*args: str) -> object:
        attack = plain(*args)  # type: ignore[arg-type]

        def counted(model: nn.Module, images: Tensor, labels: Tensor, **rest: object) -> Tensor:
            seen.append(len(images))
            result: Tensor = attack(model, images, labels, **rest)
            return result

        return counted

    monkeypatch.setattr(room, "resolve", counting)
    result = robust_accuracy(model, images, labels, [FGSM, PGD], ThreatModel("linf", 0.03), batch_size=1000)
    broken_first = result.outcomes[0].broken
    assert seen == [33, 33 - broken_first]
    assert [o.attacked for o in result.outcomes] == seen
    assert set(result.broken_by[:7].tolist()) == {-1}
    assert int((result.broken_by == 0).sum()) == broken_first


def test_the_model_is_left_as_it_was_found() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 2))
    model.train()
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    robust_accuracy(model, torch.rand(6, 1, 4, 4), torch.zeros(6, dtype=torch.int64), [PGD], ThreatModel("linf", 0.1))
    assert [m.training for m in model] == [True, False, True, True, True]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_convolutions_are_not_rounded_to_tf32_and_the_setting_is_put_back() -> None:
    seen: list[bool] = []

    class Watching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            return images.flatten(1)[:, :2]

    torch.backends.cudnn.allow_tf32 = True
    robust_accuracy(
        Watching(), torch.rand(3, 1, 2, 2), torch.zeros(3, dtype=torch.int64), [FGSM], ThreatModel("linf", 0.1)
    )
    assert set(seen) == {False}
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("trick", ["outside the ball", "outside the box", "not finite", "another shape"])
def test_an_attacks_own_word_counts_for_nothing(monkeypatch: pytest.MonkeyPatch, trick: str) -> None:
    model, images, labels = linear_problem(30, (1, 2, 2), seed=4)

    def cheat(model: nn.Module, images: Tensor, labels: Tensor, **_: object) -> Tensor:
        if trick == "not finite":
            return images * torch.nan
        if trick == "another shape":
            return images[:1]
        return images + (5.0 if trick == "outside the box" else 0.5) * torch.randn_like(images).sign()

    monkeypatch.setattr(room, "resolve", lambda *_: cheat)
    if trick in {"not finite", "another shape"}:
        with pytest.raises(Failure, match="expected finite images"):
            robust_accuracy(model, images, labels, [FGSM], ThreatModel("linf", 1e-6))
    else:  # projected to a ball too small to break anything
        result = robust_accuracy(model, images, labels, [FGSM], ThreatModel("linf", 1e-6))
        assert result.robust_accuracy == result.clean_accuracy == 1.0


def test_uint8_images_count_as_fractions_of_255() -> None:
    model = Linear(torch.ones(1, 1, 1), -0.5)
    levels = torch.tensor([120, 125, 130, 140], dtype=torch.uint8).view(4, 1, 1, 1)
    labels = (levels.flatten() > 127).long()
    for eps, left in ((2.2 / 255, 1.0), (2.6 / 255, 0.5), (8 / 255, 0.25), (13 / 255, 0.0)):
        assert robust_accuracy(model, levels, labels, [FGSM], ThreatModel("linf", eps)).robust_accuracy == left


def test_no_images_and_an_l2_eps_beyond_the_box_are_errors() -> None:
    model, images, labels = linear_problem(4, (1, 2, 2), seed=5)
    with pytest.raises(HardenerError, match="no images"):
        robust_accuracy(model, images[:0], labels[:0], [FGSM], ThreatModel("linf", 0.1))
    with pytest.raises(HardenerError, match=r"exceeds the size of the whole box, 2.0 .* Did you mean 128/255"):
        robust_accuracy(model, images, labels, [FGSM], ThreatModel("l2", 128))


FAULTS = """
import resource
import torch
from hardener.runtime.device import keep_freed_memory

keep_freed_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(2**21, dtype=torch.uint8) for _ in range(16)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules")
def test_memory_that_a_pass_frees_is_not_faulted_in_again_by_the_next() -> None:
    """32 MB in blocks of 2 MB are 8,192 pages of 4 kB; left to itself, glibc hands nearly all of them back each time.

    Kept, they are faulted in again by none, or by a block or two where the heap is already larger than what is kept.
    """
    shown = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True).stdout
    assert int(shown) < 4096
