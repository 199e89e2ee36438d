"""What runs on CUDA gives what it gives on a processor: steps, attacks, suites, resume, processes, memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import write_image_folder
from torch import Tensor, nn

import hardener
from hardener.attacks import ATTACKS
from hardener.catalog import resolve
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.data.data_set import read_data_set
from hardener.data.loader import ImageShape, load_images
from hardener.errors import Interrupted
from hardener.models.normalize import ImageClassifier
from hardener.progress import SilentTraining
from hardener.training.request import TrainRequest
from hardener.training.run import resume, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
MODEL = """
from torch import nn

def build_model(num_classes, in_channels=1):
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, num_classes),
    )
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gpu")
    write_image_folder(root / "imgs", {"cat": 40, "dog": 40})
    (root / "net.py").write_text(MODEL)
    return root


@pytest.fixture(autouse=True)
def full_float32() -> Any:
    """Compare with a processor without TensorFloat-32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def asked(place: Path, name: str, device: str, *sets: str, recipe: str = "natural") -> TrainRequest:
    settings = ["epochs=3", "batch_size=8", "validation.samples=8", "validation.steps=2", *sets]
    return TrainRequest(
        model=str(place / "net.py"),
        data=place / "imgs",
        recipe=load_recipe(recipe, settings),
        out=place / "runs",
        name=name,
        device=device,
    )


def losses(run: RunFolder) -> list[float]:
    return [json.loads(line)["loss"] for line in run.metrics.read_text().splitlines()]


WITHOUT_DRAWS = ("precision=float32", "compile=off", "augment.shift=0", "augment.flip=false", "vicinity.noise_sigma=0")


def test_training_follows_the_same_losses_as_on_a_processor(place: Path) -> None:
    there, here = (train(asked(place, f"same-{d}", d, *WITHOUT_DRAWS), SilentTraining()) for d in ("cuda", "cpu"))
    torch.testing.assert_close(losses(there), losses(here), rtol=1e-3, atol=1e-4)


class _Warned(SilentTraining):
    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


@pytest.mark.parametrize("recipe", ["sprout", "n-fgsm", "pgd-at", "trades", "trades-awp", "free-at", "hardened"])
@pytest.mark.parametrize("compiled", [("compile=off",), ("compile=on",), ("compile=on", "cuda_graphs=true")])
def test_every_kind_of_recipe_trains_in_bfloat16(recipe: str, compiled: tuple[str, ...], place: Path) -> None:
    watch = _Warned()
    name = "-".join([recipe, *(setting.partition("=")[2] for setting in compiled)])
    run = train(asked(place, name, "cuda", *compiled, recipe=recipe), watch)
    assert not [line for line in watch.warned if "cannot compile" in line]
    record = run.read_record()
    assert (record.precision, record.status) == ("bfloat16", "finished")
    assert all(loss == loss for loss in losses(run))


class _StopsAfterTwo(SilentTraining):
    def epoch(self, metrics: Any, *, epochs: int, is_best: bool) -> None:
        if metrics.epoch == 2:
            raise KeyboardInterrupt


def test_a_resumed_run_ends_as_the_straight_one(place: Path) -> None:
    sets = ("compile=off", "precision=float32")
    straight = train(asked(place, "straight", "cuda", *sets, recipe="sprout"), SilentTraining())
    with pytest.raises((KeyboardInterrupt, Interrupted)):
        train(asked(place, "stopped", "cuda", *sets, recipe="sprout"), _StopsAfterTwo())
    gone_on = resume(RunFolder(place / "runs/stopped"), SilentTraining(), device="cuda")
    torch.testing.assert_close(losses(gone_on), losses(straight), rtol=1e-4, atol=1e-5)


def classifier(device: str) -> ImageClassifier:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))
    return ImageClassifier(network, mean=(0.5,) * 3, std=(0.25,) * 3, classes=list("abcd")).eval().to(device)


@pytest.mark.parametrize("name", ["fgsm", "bim", "mi-fgsm"])
def test_an_attack_without_draws_finds_the_same_images(name: str) -> None:
    images = torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(16) % 4
    attack = resolve(ATTACKS, name, "attack")
    found: list[Tensor] = [
        attack(classifier(d), images.to(d), labels.to(d), norm="linf", eps=8 / 255).cpu() for d in ("cuda", "cpu")
    ]
    assert (found[0] - found[1]).abs().gt(1e-5).float().mean() < 0.01  # a sign may differ where a gradient is 0


@pytest.mark.parametrize("suite", ["quick", "standard"])
def test_a_suite_comes_to_the_same_figures(suite: str) -> None:
    images, labels = torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.arange(32) % 4
    with torch.no_grad():
        labels = classifier("cpu")(images).argmax(1) if suite == "quick" else labels
    there, here = (
        hardener.evaluate(classifier(d), images, labels, eps="2/255", suite=suite, device=d, precision="float32")
        for d in ("cuda", "cpu")
    )
    assert there.clean_accuracy == here.clean_accuracy
    assert abs(there.robust_accuracy - here.robust_accuracy) <= 1 / 32


def test_a_minibatch_that_fits_no_memory_is_cut(place: Path) -> None:
    """A minibatch of 64 images of 512 x 512 takes 1 GB with its activations; half of that is allowed."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 5e8) / total)
    try:
        sets = ("compile=off", "precision=float32", "batch_size=64", "data.image_size=512", "epochs=1")
        run = train(asked(place, "cut", "cuda", *sets), SilentTraining())
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert run.read_record().status == "finished"


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_one_process_of_torchrun_trains_over_nccl(parallel: str, place: Path) -> None:
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m", "hardener", "train"]
    words += [str(place / "net.py"), "--data", str(place / "imgs"), "--out", str(place / "runs"), "--epochs", "1"]
    words += ["--name", f"nccl-{parallel}", "--set", f"parallel={parallel}", "--device", "cuda"]
    found = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert RunFolder(place / f"runs/nccl-{parallel}").read_record().status == "finished"


def test_pinned_minibatches_arrive_as_they_left(place: Path) -> None:
    images = load_images(read_data_set(place / "imgs", seed=0).train, ImageShape(8, 8, 1))
    order = torch.arange(len(images))
    plain = [batch for batch, _ in images.batches(order, 8, pin=False)]
    pinned = [batch.to("cuda", non_blocking=True).cpu() for batch, _ in images.batches(order, 8, pin=True)]
    assert all(torch.equal(a, b) for a, b in zip(plain, pinned, strict=True))
