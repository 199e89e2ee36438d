"""Runs of `hardener train` and `hardener eval`, stopped when the command's time is out and gone on with in the next."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from item import HERE, Item, Place, Row

from hardener.config.run_folder import RunFolder

EPOCHS, SAMPLES = 30, 1000
CIFAR_RECIPES = ("natural", "sprout", "n-fgsm", "hardened", "pgd-at", "trades-awp")
CLOTHES_RECIPES = ("natural", "sprout", "n-fgsm", "hardened")
GRACE_S = 25  # a run that is told to stop writes its checkpoint in this time
STOPPED = 130  # the status of a command that was interrupted and can be gone on with


@dataclass(frozen=True)
class Training:
    """A run: its recipe, what it is trained from, and for how long."""

    recipe: str
    model: str
    epochs: int
    more: tuple[str, ...] = field(default=())


def cifar(place: Place) -> Iterator[Item]:
    """Train ResNet-18 by six recipes, then `hardened` for a quarter of the time that trades-awp took."""
    model = str(HERE / "models" / ("toy.py" if place.toy else "resnet18.py"))
    epochs = 1 if place.toy else EPOCHS
    for recipe in CIFAR_RECIPES[:2] if place.toy else CIFAR_RECIPES:
        yield Item(f"cifar, {recipe}", partial(_run, f"cifar-{recipe}", Training(recipe, model, epochs)), needs_s=45)
    if not place.toy:
        yield Item("cifar, hardened at a quarter of trades-awp's time", partial(_quarter, model), needs_s=45)


def clothes(place: Place) -> Iterator[Item]:
    """Train ResNet-50 on a user's photographs at 224 pixels, eps 4/255; from trained weights where there are some."""
    model = str(HERE / "models/toy.py") if place.toy else "torchvision:resnet50"
    size = "16" if place.toy else "224"
    start = () if place.init is None else ("--init", str(place.init.resolve()), "--replace-head")
    for recipe in CLOTHES_RECIPES[:1] if place.toy else CLOTHES_RECIPES:
        asked = Training(recipe, model, 1 if place.toy else EPOCHS, ("--image-size", size, *start))
        yield Item(f"clothes, {recipe}", partial(_run, f"clothes-{recipe}", asked, eps="4/255"), needs_s=45)


def suites(place: Place) -> Iterator[Item]:
    """Time the suites on a trained run of each kind."""
    for recipe in CIFAR_RECIPES[:1] if place.toy else ("natural", "n-fgsm", "pgd-at"):
        for suite in ("quick", "standard"):
            yield Item(f"{recipe}, {suite}", partial(_suite, f"cifar-{recipe}", suite), needs_s=60)


def _quarter(model: str, place: Place) -> Row | None:
    awp, own = (RunFolder(place.runs / f"cifar-{name}").read_record() for name in ("trades-awp", "hardened"))
    epochs = max(1, round(awp.seconds / 4 / (own.seconds / own.epochs_done)))
    return _run("cifar-hardened-quarter", Training("hardened", model, epochs), place)


def _run(name: str, asked: Training, place: Place, *, eps: str = "8/255") -> Row | None:
    """Train a run, or go on with it, and evaluate it; None where time ran out."""
    run = RunFolder(place.runs / name)
    if not run.record_file.is_file() or run.read_record().status != "finished":
        if run.checkpoint.is_file():
            words = ["train", "--resume", str(run.path)]
        else:
            words = ["train", asked.model, "--data", str(place.data), "--recipe", asked.recipe, "--name", name]
            words += ["--out", str(place.runs), "--epochs", str(asked.epochs), *asked.more]
        if not _command([*words, "--device", str(place.device)], place):
            return None
    record = run.read_record()
    found = _evaluate(run, "standard", eps, place)
    if found is None:
        return None
    return {"epochs": record.epochs_done, "train_s": record.seconds, "images_per_s": record.images_per_s, **found}


def _suite(name: str, suite: str, place: Place) -> Row | None:
    return _evaluate(RunFolder(place.runs / name), suite, "8/255", place)


def _evaluate(run: RunFolder, suite: str, eps: str, place: Place) -> Row | None:
    """Attack a run; an interrupted evaluation goes on where it stopped."""
    path = run.path / f"gpu-plan-{suite}.json"
    samples = 4 if place.toy else SAMPLES
    words = ["eval", str(run.path), "--suite", suite, "--eps", eps, "--samples", str(samples)]
    if not _command([*words, "--device", str(place.device), "--json", str(path)], place):
        return None
    record = json.loads(path.read_text())
    return {
        "suite": suite,
        "eps": eps,
        "n": record["samples"],
        "clean_accuracy": record["clean_accuracy"],
        "robust_accuracy": record["robust_accuracy"],
        "interval": record["interval"],
        "eval_s": record["seconds"],
    }


def _command(words: list[str], place: Place) -> bool:
    """Run a command of hardener; False where it was stopped because the time is out."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hardener", *words],
        env=os.environ | {"PYTHONPATH": str(HERE.parent.parent)},
        start_new_session=True,
    )
    try:
        status = process.wait(None if place.toy else max(place.left() - GRACE_S, 1))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        status = process.wait(4 * GRACE_S)
    if status and status != STOPPED:
        raise SystemExit(f"hardener {' '.join(words)} ended with status {status}")
    return status == 0
