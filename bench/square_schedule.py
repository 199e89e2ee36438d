"""Which schedule of squares finds the most adversarial images within the queries of a report.

`python bench/square_schedule.py FOLDER [--models NAME,NAME] [--samples 50] [--budgets 100,200,500,1000]
[--schedules 6] [--json FILE]`, with the models that bench/fleet.py has trained in FOLDER, and `clothes-n-fgsm`:
`hardener train bench/fleet_networks.py --data CLOTHES --recipe n-fgsm --epochs 12 --model-arg width=24 --set
vicinity.adversarial.eps=4/255 --set data.image_size=64 --set augment.flip=true --set batch_size=64 --set
precision=bfloat16`.

Each row is one schedule, each column a budget; a figure is how many of the images that the model has right the search
of the service (serving/square.py) finds an adversarial one of, with rounds of `--chunk` proposals as on a CPU. The same
images and seeds under all schedules.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hardener.config.run_folder import RunFolder
from hardener.evaluation.sample import draw
from hardener.evaluation.subject import run_subject
from hardener.progress import Silent
from serving.square import Schedule, SquareSearch

Norm = Literal["linf", "l2"]
Answering = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
THREATS: dict[str, tuple[Norm, float]] = {
    "digits-sprout": ("linf", 0.12),
    "digits-l2": ("l2", 0.8),
    "cifar-n-fgsm": ("linf", 12 / 255),
    "cifar-larger-l2": ("l2", 1.0),
    "clothes-n-fgsm": ("linf", 8 / 255),
}
SCHEDULES: tuple[tuple[float | None, float], ...] = ((None, 0.8), (4, 0.8), (2, 0.8), (1, 0.8), (None, 0.2), (2, 0.4))
"""Over how many times the budget the halvings are spread, None: over 10,000 queries; and the first squares' share."""


def opened(run: Path, samples: int) -> tuple[Answering, NDArray[np.uint8], NDArray[np.int64]]:
    """Return a model, and images that it has right, (n, H, W, C), with their labels."""
    subject = run_subject(RunFolder(run), None, Silent())
    model = subject.model.eval()

    @torch.no_grad()
    def answers(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        return np.concatenate([cast(NDArray[np.float32], model(part).numpy()) for part in pixels.split(128)])

    drawn = draw(subject.images, 2 * samples, seed=0)
    images = drawn.pixels if drawn.pixels.dtype == torch.uint8 else (drawn.pixels * 255).round().to(torch.uint8)
    pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
    labels = drawn.labels.numpy()
    right = np.flatnonzero(answers(pixels).argmax(axis=1) == labels)[:samples]
    return answers, pixels[right], labels[right]


def queries_needed(
    answers: Answering,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    threat: tuple[Norm, float],
    schedule: Schedule,
    *,
    most: int,
    chunk: int,
) -> NDArray[np.int64]:
    """Return after how many queries each image fell; those that stood have `most` + 1."""
    searches = [
        SquareSearch(
            image, int(label), norm=threat[0], eps=threat[1], generator=np.random.default_rng(number), schedule=schedule
        )
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    going = list(range(len(searches)))
    needed = np.full(len(searches), most + 1)
    made = 0
    while going and made < most:
        count = min(chunk, most - made)
        logits = answers(np.concatenate([searches[place].propose(count) for place in going]))
        made += count
        for number, place in enumerate(going):
            searches[place].learn(logits[number * count : (number + 1) * count])
            if searches[place].adversarial is not None:
                needed[place] = made
        going = [place for place in going if searches[place].adversarial is None]
    return needed


def measure(
    folder: Path, names: list[str], samples: int, budgets: list[int], chunk: int, count: int, file: Path | None
) -> None:
    """Print a table for each model, and write all figures down after each."""
    found: dict[str, dict[str, list[int]]] = {}
    for name in names:
        threat = THREATS[name]
        answers, images, labels = opened(folder / name, samples)
        print(f"\n{name}, {threat[0]} {threat[1]:.4g}, {len(images)} images right, chunk {chunk}", flush=True)
        rows: dict[str, list[int]] = {}
        for stretch, share in SCHEDULES[:count]:
            row = []
            for budget in [max(budgets)] if stretch is None else budgets:
                schedule = Schedule(share, 10_000 if stretch is None else round(stretch * budget))
                needed = queries_needed(answers, images, labels, threat, schedule, most=budget, chunk=chunk)
                row += [int((needed <= limit).sum()) for limit in (budgets if stretch is None else [budget])]
            told = "10,000" if stretch is None else f"{stretch:g} x budget"
            rows[f"{told}, {share}"] = row
            print(f"  {told:12} share {share:<5}" + "".join(f"{fell:6d}" for fell in row), flush=True)
        found[name] = {"images": [len(images)], **rows}
        if file is not None:
            file.write_text(json.dumps({"budgets": budgets, "chunk": chunk, "found": found}, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", default=",".join(THREATS))
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--budgets", default="100,200,500,1000")
    parser.add_argument("--chunk", type=int, default=2)
    parser.add_argument("--schedules", type=int, default=len(SCHEDULES), help="how many of them, from the first")
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    wanted = [int(word) for word in asked.budgets.split(",")]
    measure(asked.folder, asked.models.split(","), asked.samples, wanted, asked.chunk, asked.schedules, asked.json)
