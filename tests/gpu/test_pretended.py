"""What runs on a GPU leaves nothing on the processor: all of it on a device that is pretended, where mixing raises."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import TINY_MODEL, write_image_folder
from pretended import WAITS, pretended_cuda
from torch import Tensor, nn

import hardener
from hardener.attacks import ATTACKS
from hardener.augmentation import AUGMENTATIONS
from hardener.catalog import resolve
from hardener.config.recipe import load_recipe, recipe_files
from hardener.config.run_folder import RunFolder
from hardener.models.normalize import ImageClassifier
from hardener.progress import SilentTraining
from hardener.threat import THREATS
from hardener.training import session
from hardener.training.loop import train_epoch
from hardener.training.request import TrainRequest
from hardener.training.run import train

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a real one is here")
CHEAP: dict[str, Any] = {"steps": 2, "restarts": 1, "queries": 10, "binary_search_steps": 2, "targets": 2}
EXACT = ("precision=float32", "augment.shift=0", "augment.flip=false")


@pytest.fixture(autouse=True)
def cuda() -> Iterator[None]:
    with pretended_cuda():
        yield


def classifier(device: str) -> ImageClassifier:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    network.append(nn.Linear(16, 3))
    return ImageClassifier(network, mean=(0.5,) * 3, std=(0.25,) * 3, classes=list("abc")).eval().to(device)


def images(device: str, count: int = 6) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1)).to(device)


def test_the_two_sides_do_not_mix() -> None:
    here, there = torch.rand(3), torch.rand(3, device="cuda")
    assert (here.device.type, there.device.type, (there + 1).device.type) == ("cpu", "cuda", "cuda")
    assert torch.equal(there.cpu().to("cuda").cpu(), there.cpu())
    assert there[torch.tensor([0, 2])].shape == (2,)
    for mix in (torch.add, torch.dot, torch.maximum, lambda one, other: torch.cat([one, other])):
        for pair in ((here, there), (there, here)):
            with pytest.raises(RuntimeError, match="same device"):
                mix(*pair)
    with pytest.raises(RuntimeError, match="same device"):
        here[there.argsort()]
    for device, other in (("cpu", "cuda"), ("cuda", "cpu")):
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(3, device=device, generator=torch.Generator(other))
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()


def test_a_gradient_crosses_as_on_a_card() -> None:
    leaf = torch.ones(2, requires_grad=True)
    (leaf.to("cuda") * torch.tensor([2.0, 3.0], device="cuda")).sum().backward()
    assert leaf.grad is not None
    assert (leaf.grad.device.type, leaf.grad.tolist()) == ("cpu", [2.0, 3.0])


@pytest.mark.parametrize(("attack", "norm"), [(name, norm) for name, entry in ATTACKS.items() for norm in entry.norms])
def test_each_attack_finds_what_it_finds_on_a_processor(attack: str, norm: str) -> None:
    run = resolve(ATTACKS, attack, "attack")
    known = inspect.signature(run).parameters
    settings = {name: value for name, value in CHEAP.items() if name in known}
    found = []
    for device in ("cuda", "cpu"):
        model = classifier(device)
        if "surrogate" in known:
            settings["surrogate"] = classifier(device)
        generator = torch.Generator(device).manual_seed(0)
        asked = {"norm": norm, "eps": 0.05, "generator": generator, **settings}
        adversarial = run(model, images(device), torch.arange(6).to(device) % 3, **asked)
        assert adversarial.device.type == device
        found.append(adversarial.cpu())
    torch.testing.assert_close(*found, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_augmentation_changes_images_where_they_lie(name: str) -> None:
    entry = AUGMENTATIONS[name]
    alone: dict[str, dict[str, Any]] = {"shift": {"shift": 2}, "flip": {"flip": True}}
    settings = alone.get(name) or entry.load_settings()().model_dump()
    for generator in (None, torch.Generator().manual_seed(0)):
        assert entry.load()(images("cuda"), generator=generator, **settings).device.type == "cuda"


def test_what_waits_for_the_device_is_seen() -> None:
    here, there = torch.arange(3.0), torch.arange(3.0, device="cuda")
    mask = there > 1
    for waits in (
        lambda: there.sum().item(),
        lambda: bool(mask.any()),
        lambda: there[mask],
        lambda: there.clone().__setitem__(mask, there[:1]),
        mask.nonzero,
        there.tolist,
        there.cpu,
        lambda: here.to("cuda"),
        lambda: here.copy_(there),
        lambda: torch.tensor([1.0], device="cuda"),
    ):
        WAITS.clear()
        waits()
        assert len(WAITS) == 1
    WAITS.clear()
    there[mask] = 0
    here.to("cuda", non_blocking=True)
    torch.zeros(3, device="cuda").copy_(here, non_blocking=True)
    there[torch.zeros(2, dtype=torch.int64, device="cuda")] += torch.where(mask, there, 1)[:2]
    assert WAITS == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("threat", THREATS)
def test_each_threat_is_evaluated(threat: str) -> None:
    found = hardener.evaluate(classifier("cuda"), images("cpu", 2), torch.arange(2), threat=threat, device="cuda")
    assert found.samples == 2


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["quick", "fast"])
def test_a_suite_comes_to_the_same_figures(suite: str) -> None:
    there, here = (
        hardener.evaluate(classifier(d), images("cpu"), torch.arange(6) % 3, suite=suite, device=d, precision="float32")
        for d in ("cuda", "cpu")
    )
    assert (there.clean_accuracy, there.robust_accuracy) == (here.clean_accuracy, here.robust_accuracy)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pretended")
    write_image_folder(root / "imgs", {"cat": 12, "dog": 12})
    write_image_folder(root / "color", {"cat": 12, "dog": 12}, color=True)
    (root / "net.py").write_text(TINY_MODEL)
    return root


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each epoch's steps wait for the device: one is asked for while those before it are still to be done."""
    found: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> None:
        WAITS.clear()
        train_epoch(*args, **kwargs)
        found.append(len(WAITS))

    monkeypatch.setattr(session, "train_epoch", counted)
    return found


def trained(recipe: str, settings: Sequence[str], place: Path, data: str, out: Path, device: str) -> RunFolder:
    shape = ["epochs=2", "batch_size=8", "validation.samples=4", "validation.steps=2", "compile=off", *settings]
    asked = load_recipe(recipe, shape)
    return train(TrainRequest(str(place / "net.py"), place / data, asked, out=out, device=device), SilentTraining())


@pytest.mark.parametrize("recipe", sorted(recipe_files()))
def test_each_recipe_trains_to_the_losses_of_a_processor(
    recipe: str, place: Path, tmp_path: Path, waits: list[int]
) -> None:
    losses = []
    for device in ("cuda", "cpu"):
        run = trained(recipe, EXACT, place, "imgs", tmp_path, device)
        losses.append([json.loads(line)["loss"] for line in run.metrics.read_text().splitlines()])
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-4)
    assert waits[1] == 0  # the first epoch makes what the method keeps


BY_PRIOR = [f"vicinity.adversarial.{key}" for key in ("origin=prior", "start=1", "project=true")]


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [("natural", [f"augment.policy={policy}"]) for policy in ("standard", "strong")]
    + [("natural", ["augment.augmix=true", "augment.color=true"]), ("hardened", BY_PRIOR)],
)
def test_no_step_waits_for_the_device(
    recipe: str, settings: list[str], place: Path, tmp_path: Path, waits: list[int]
) -> None:
    trained(recipe, settings, place, "color", tmp_path, "cuda")
    assert (len(waits), waits[1]) == (2, 0), WAITS
