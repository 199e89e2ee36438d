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
from hardener.training.collapse import collapsed

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


def settings_of(data: str) -> dict[str, object]:
    """Return epochs, eps and what else a set of data is trained with."""
    if data == "cifar":
        return {"epochs": 8, EPS: 8 / 255, "validation.eps": 8 / 255, "batch_size": 64, "augment.flip": True}
    eps = 0.05 if data == "pairs" else 0.1
    return {"epochs": 12 if data == "pairs" else 20, EPS: eps, "validation.eps": eps, "batch_size": 64}


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
            if not (run.path / "model.safetensors").is_file() or not run.read_metrics():
                settings = {**settings_of(data), **own, "validation.samples": SAMPLES}
                for key in (EPS, "validation.eps"):
                    settings[key] = float(str(settings[key])) * asked.strength
                hardener.train(
                    model, file, recipe=recipe, out=folder, name=run.path.name, model_args=arguments,
                    settings=settings, seed=seed,
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
