"""Does single-step training collapse? Five recipes on four sets of data: `python bench/training/collapses.py FOLDER`.

Each run is by `hardener.train`, with the eps of the fleet's models of that data, and with its watch on: a collapse
(robust accuracy under PGD-10 more than halved, apart by the exact intervals) is taken back, and counted. A run has
collapsed where the weights that it keeps would count as one beside its best epoch. `--cifar` is an image folder of
CIFAR-10. What is trained is left alone, so that the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import fleet

import hardener
from hardener.config.run_folder import RunFolder
from hardener.progress import SilentTraining
from hardener.training.collapse import collapsed
from hardener.training.run import resume

EPS = "vicinity.adversarial.eps"
SCHEDULE = "vicinity.adversarial.schedule"
RECIPES: dict[str, tuple[str, dict[str, object]]] = {
    "fast-at": ("fast-at", {}),
    "n-fgsm": ("n-fgsm", {}),
    "hardened": ("hardened", {SCHEDULE: "ramp"}),
    "hardened, auto": ("hardened", {SCHEDULE: "auto"}),
    "sprout-at": ("sprout-at", {}),
}
SAMPLES = 128


EPOCHS = {"digits": 20, "pairs": 12, "cifar": 8}
RADII = {"digits": 0.1, "pairs": 0.05, "cifar": 8 / 255}


def settings_of(data: str, strength: float) -> dict[str, object]:
    """Return epochs, eps and what else a set of data is trained with."""
    eps = RADII[data] * strength
    settings: dict[str, object] = {"epochs": EPOCHS[data], "batch_size": 64, "validation.samples": SAMPLES}
    settings |= {EPS: eps, "validation.eps": eps}
    return settings | ({"augment.flip": True} if data == "cifar" else {})


def main() -> None:
    """Train what is not there yet, and print a line of Markdown for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--strength", type=float, default=1, help="of eps, in training and in what is watched")
    asked = parser.parse_args()
    print("| data | recipe | clean | robust: best; kept; last epoch | taken back | |")
    print("| --- | --- | --- | --- | --- | --- |")
    for data, seed in (("digits", 0), ("digits", 1), ("pairs", 0), ("cifar", 0)):
        folder = asked.folder / f"{data}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "data.npz"
        if not file.is_file():
            found: Any = fleet.arrays(data, asked.cifar)
            np.savez_compressed(file, **found)
        model, arguments = fleet.CIFAR_SMALL if data == "cifar" else (fleet.SMALL, {})
        for label, (recipe, own) in RECIPES.items():
            run = RunFolder(folder / label.replace(", ", "-"))
            if run.path.is_dir() and run.read_record().status != "finished":
                resume(run, SilentTraining())
            elif not run.path.is_dir():
                hardener.train(
                    model, file, recipe=recipe, out=folder, name=run.path.name, model_args=arguments,
                    settings={**settings_of(data, asked.strength), **own}, seed=seed,
                )  # fmt: skip
            print(line(f"{data}, seed {seed}", label, run), flush=True)


def line(data: str, label: str, run: RunFolder) -> str:
    """Return the line of a run."""
    rows = run.read_metrics()
    record = run.read_record()
    assert record.best is not None, f"{run.path} has no best epoch"
    stood = [row for row in rows if not row.get("rolled_back")]
    best = max(row["robust_accuracy"] for row in stood)
    kept = next(row for row in stood if row["epoch"] == record.best.epoch)
    fell = collapsed(kept["robust_accuracy"], best, SAMPLES, num_classes=len(record.classes))
    shares = "; ".join(f"{100 * row['robust_accuracy']:.1f}" for row in (kept, stood[-1]))
    back = len(rows) - len(stood)
    return (
        f"| {data} | {label} | {100 * kept['clean_accuracy']:.1f} | {100 * best:.1f}; {shares} | {back} | "
        f"{'collapsed' if fell else ''} |"
    )


if __name__ == "__main__":
    main()
