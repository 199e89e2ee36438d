"""Single-step training on CIFAR-10 from a trained network, and what is added to it, one by one.

What is trained stands in ROWS; each is trained by `hardener train`, then judged by the suite `fast` at 8/255 on 1,000
test images that chose nothing. What is done is left alone, so that the same command goes on where it was stopped:

    python bench/training/ingredients.py --cifar cifar10 --out work
    python bench/training/ingredients.py --out work --table
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from cifar_rows import EPS, Row, go, judged
from fine_tune_recipes import robust_correct, shown
from torch import Tensor, nn

from hardener.statistics.paired import Outcomes, paired_difference


def _adversarial(**settings: object) -> tuple[str, ...]:
    return tuple(f"vicinity.adversarial.{key}={value}" for key, value in settings.items())


FIXED = _adversarial(schedule="constant", quiet=0.25, full=0.75)
RAMP = _adversarial(schedule="ramp", eps="8/255")
EMA = ("averaging.name=ema", "averaging.decay=0.998")
IN_BALL = {"start": 1, "project": "true", "step_size": "8/255"}
LIET = _adversarial(origin="class", agreement=100, agreement_by="divergence", **IN_BALL)
PGI = _adversarial(origin="prior", agreement=10, **IN_BALL)
SMOOTH = ("vicinity.labels.law=uniform", "vicinity.labels.smoothing=0.1")
ROWS = {
    "sprout": Row("sprout", start=None),
    "fixed eps": Row("hardened", FIXED),
    "ramp": Row("hardened"),
    "ramp, two steps in the last quarter": Row("hardened", _adversarial(last_steps=2)),
    "ramp, averaged weights": Row("hardened", EMA),
    "ramp, labels smoothed by 0.1": Row("hardened", SMOOTH),
    "ramp, SPROUT's labels": Row("hardened", ("vicinity.labels.law=budget", "vicinity.labels.draw=expected")),
    "ramp, start by class": Row("hardened", _adversarial(origin="class")),
    "ramp, LIET: start by class and agreement": Row("hardened", LIET),
    "ramp, FGSM-PGI: prior and agreement": Row("hardened", PGI),
    "ramp, agreement alone": Row("hardened", _adversarial(agreement=10)),
    "ramp, augment.policy=standard": Row("hardened", ("augment.policy=standard",)),
    "ramp, augment.policy=strong": Row("hardened", ("augment.policy=strong",)),
    "random weights, fixed eps, 10 epochs": Row("n-fgsm", start=None, epochs=10),
    "random weights, ramp, 10 epochs": Row("n-fgsm", RAMP, None, 10),
    "random weights, fixed eps, 10 epochs, seed 1": Row("n-fgsm", start=None, epochs=10, seed=1),
    "random weights, ramp, 10 epochs, seed 1": Row("n-fgsm", RAMP, None, 10, seed=1),
    "fixed eps, seed 1": Row("hardened", FIXED, seed=1),
    "ramp, seed 1": Row("hardened", seed=1),
    "fixed eps, seed 2": Row("hardened", FIXED, seed=2),
    "ramp, seed 2": Row("hardened", seed=2),
}


def judge(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return which images are right, and which stand the suite `fast`."""
    told = {"clean": 0.0, "robust": EPS}
    return {key: robust_correct(model, images, labels, eps, "fast").int().tolist() for key, eps in told.items()}


def table(out: Path) -> None:
    """Print a line of Markdown for each row that is judged, beside the ramp of the same seed."""
    print("| what | clean | worst case (95 %) | worst case minus the ramp's, in points (95 %) | p |")
    print("| --- | --- | --- | --- | --- |")
    for name, row in ROWS.items():
        found, beside = judged(out, name), judged(out, "ramp" + (f", seed {row.seed}" if row.seed else ""))
        if found is None:
            continue
        clean, robust = found["clean"], found["robust"]
        line = f"| {name} | {100 * sum(clean) / len(clean):.1f} | {shown(sum(robust), len(robust))} | "
        if beside is None or beside == found:
            print(f"{line}| |")
            continue
        apart = paired_difference(outcomes(beside), outcomes(found), "robust")
        middle, low, high = (f"{100 * share:+.1f}" for share in (apart.difference, *apart.interval))
        print(f"{line}{middle} ({low} to {high}) | {apart.p_value:.2g} |")


def outcomes(found: dict[str, Any]) -> Outcomes:
    clean, robust = (np.array(found[which], bool) for which in ("clean", "robust"))
    return Outcomes(tuple(map(str, range(len(clean)))), clean, robust)


if __name__ == "__main__":
    go(__doc__, ROWS, ["validation.samples=256"], judge, table)
