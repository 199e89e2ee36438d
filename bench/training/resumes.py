"""Recipes with settings drawn at random: is a run that is stopped and resumed the same as one that is not, bit for bit?

    python bench/training/resumes.py --cases 200 --seed 1

Each case takes a recipe of the house, one to ten settings and one of two small sets of images, trains a small network
for three epochs on the CPU, trains it again with a Ctrl-C after some images, and resumes that. Weights, the method's
state and the lines of metrics.jsonl must be equal. Settings that do not go together must be refused in words. Prints
how many cases came to what, then each fault with the number that makes it again: `--only NUMBER`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from hardener.config.recipe import load_recipe, recipe_files
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError, Interrupted
from hardener.progress import SilentTraining
from hardener.training.run import TrainRequest, resume, train

SMALL = ("epochs=3", "batch_size=5", "validation.samples=4", "validation.steps=2", "optimizer.lr=0.02")
CLIMB = "vicinity.adversarial"
CHOICES: tuple[tuple[tuple[str, ...], ...], ...] = (
    *[  # twice, since one of six is drawn
        (tuple(f"augment.{name}=true" for name in ("crop", "rand", "trivial", "augmix", "erase", "patch_gaussian")),)
        for _ in range(2)
    ],
    (("augment.policy=light", "augment.policy=standard", "augment.policy=strong"),),
    (("augment.flip=true", "augment.flip=false"),),
    (("vicinity.mixup_alpha=0.2", "vicinity.mixup_alpha=1"),),
    (("vicinity.noise_sigma=0.05", "vicinity.noise_sigma=0.3"),),
    (("vicinity.cutmix.alpha=1",),),
    (("vicinity.patch_gaussian.confidence=0.3", "vicinity.patch_gaussian.confidence=1"),),
    (("vicinity.worst_change.k=2",), ("vicinity.worst_change.threat=camera", "vicinity.worst_change.threat=spatial")),
    (
        tuple(f"vicinity.labels.law={law}" for law in ("one-hot", "uniform", "budget", "paper", "reference")),
        ("vicinity.labels.draw=sampled", "vicinity.labels.draw=expected"),
    ),
    ((f"{CLIMB}.eps=0.05", f"{CLIMB}.eps=0.2"), tuple(f"{CLIMB}.schedule={s}" for s in ("constant", "ramp", "auto"))),
    ((f"{CLIMB}.origin=class", f"{CLIMB}.origin=prior"),),
    ((f"{CLIMB}.agreement=5",), (f"{CLIMB}.agreement_by=squared", f"{CLIMB}.agreement_by=divergence")),
    ((f"{CLIMB}.running_statistics=true",),),
    ((f"{CLIMB}.steps=1", f"{CLIMB}.steps=3"), (f"{CLIMB}.last_steps=2",)),
    ((f"{CLIMB}.norm=l2", f"{CLIMB}.norm=l1"),),
    (("awp.gamma=0.01",),),
    (tuple(f"method={name}" for name in ("trades", "free-at", "consistency", "vicinity-risk")),),
    (("averaging.name=ema", "averaging.name=swa"), ("averaging.start=0", "averaging.start=0.5")),
    (("network.head_first=1",),),
    (("network.checkpoint=true",),),
    (("network.freeze=[features.0]",),),
    (("network.activation=silu",),),
    (("resize.first=0.5",), ("resize.full=0.4", "resize.full=1")),
    (("data.balance=sampler", "data.balance=weights"),),
    (tuple(f"optimizer.name={name}" for name in ("adamw", "rmsprop", "adafactor", "radam", "asgd", "adagrad")),),
    (("optimizer.layer_decay=0.7",),),
    (("optimizer.gradient_clip=1",),),
    (("optimizer.schedule=step", "optimizer.schedule=constant"),),
    (("accumulate=2",),),
    (("theta_steps=2",),),
    (("beta_batch=clean",),),
    (("precision=bfloat16",),),
    (("batch_size=3", "batch_size=7"),),
    (("data.image_size=12", "data.image_size=10x14"),),
)
"""Settings that are drawn together, each of some values."""
NETWORK = """
from torch import nn

def build_model(num_classes, in_channels):
    features = nn.Sequential(
        nn.Conv2d(in_channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()), nn.Dropout(0.1),
    )
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, num_classes))
    net = nn.Sequential()
    net.add_module("features", features)
    net.add_module("head", head)
    return net
"""


class Stops(SilentTraining):
    """Sends this process a Ctrl-C once so many images were trained on."""

    def __init__(self, images: int) -> None:
        self._left = images

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        def advance(done: int) -> None:
            before, self._left = self._left, self._left - (done if what == "training" else 0)
            if self._left <= 0 < before:
                os.kill(os.getpid(), signal.SIGINT)

        return nullcontext(advance)


def write_images(root: Path, counts: dict[str, int], channels: int) -> Path:
    """Write classes of noise around a level of their own, 16x16."""
    draw = np.random.default_rng(0)
    for place, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for image in range(count):
            levels = (60 * place + draw.integers(0, 60, (16, 16, channels))).astype(np.uint8)
            Image.fromarray(levels.squeeze()).save(root / name / f"{image}.png")
    return root


def outcome(home: Path, case: random.Random) -> tuple[str, str]:
    """Train, stop, resume and compare one case; return what it came to, and what to tell."""
    recipe, data = case.choice(sorted(recipe_files())), case.choice(["gray", "color"])
    drawn = case.sample(CHOICES, case.randint(1, 5))
    sets = [case.choice(values) for together in drawn for values in together]
    images = case.choice([4, 11, 19, 30])
    told = f"{recipe}, {data}, stopped after {images}: {' '.join(sets)}"
    with tempfile.TemporaryDirectory(dir=home) as folder:
        try:
            asked = load_recipe(recipe, [*SMALL, *sets])
            whole, cut = (
                TrainRequest(str(home / "net.py"), home / data, asked, out=Path(folder) / name, name=name, device="cpu")
                for name in ("whole", "cut")
            )
            straight = train(whole, SilentTraining())
        except HardenerError as error:
            return "refused", f"{error} ({told})"
        try:
            train(cut, Stops(images))
        except Interrupted:
            torch.manual_seed(images)  # the state of this process must not matter
            resumed = resume(RunFolder(Path(folder) / "cut/cut"), SilentTraining(), device="cpu")
            return ("equal" if contents(straight) == contents(resumed) else "DIFFERENT"), told
    return "not stopped", told


def contents(run: RunFolder) -> dict[str, Any]:
    """Return all that must not depend on a stop, as what can be compared."""
    kept = torch.load(run.checkpoint, weights_only=True)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    clocks = ("seconds", "images_per_s", "waiting")
    rows = [{key: value for key, value in line.items() if key not in clocks} for line in lines]
    states = {f"{part}.{key}": value.tolist() for part in ("network", "method") for key, value in kept[part].items()}
    return {"best": run.weights.read_bytes(), "rows": rows, **states}


def main() -> int:
    """Run the cases, and print what they came to; 1 where any differs or ends in a traceback."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs have it ignored
    os.environ["HARDENER_REHEARSAL"] = "0"
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="hardener-bench-") as folder:
        home = Path(folder)
        os.environ["HARDENER_CACHE"] = str(home / "cache")
        (home / "net.py").write_text(NETWORK)
        write_images(home / "gray", {"cat": 12, "dog": 12}, 1)
        write_images(home / "color", {"cat": 13, "dog": 9, "owl": 7}, 3)
        for number in range(asked.cases) if asked.only is None else [asked.only]:
            try:
                found, told = outcome(home, random.Random(f"{asked.seed} {number}"))
            except Exception:
                found, told = "TRACEBACK", traceback.format_exc()
            counts[found] += 1
            if found not in {"equal", "refused"} or asked.only is not None:
                print(f"{number}: {found}: {told}", flush=True)
    print(", ".join(f"{found} {count}" for found, count in counts.most_common()))
    return 1 if counts["DIFFERENT"] or counts["TRACEBACK"] else 0


if __name__ == "__main__":
    sys.exit(main())
