"""Single-step training on CIFAR-10 from a trained network, and what is added to it, one by one.

What is trained stands in ROWS; each is trained by `hardener train`, then judged by the suite `fast` at 8/255 on 1,000
test images that chose nothing. What is done is left alone, so that the same command goes on where it was stopped:

    python bench/training/ingredients.py --cifar cifar10 --out work
    python bench/training/ingredients.py --out work --table
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from fine_tune_recipes import call, shown
from torch import Tensor, nn

from hardener.config.run_folder import RunFolder
from hardener.data.data_set import read_data_set
from hardener.data.loader import load_images, shape_of
from hardener.evaluation.robust_accuracy import robust_accuracy
from hardener.evaluation.suite import suite_plans
from hardener.models.trained import open_classifier
from hardener.statistics.paired import mcnemar_exact, newcombe_paired
from hardener.threat import ThreatModel

EPS = 8 / 255
SPLITS = {"train": ("train", 0, 2475), "validation": ("train", 2475, 2750), "test": ("test", 0, 100)}
"""Split -> the folder that it is of, and which files of each class."""
MODEL = Path(__file__).resolve().parents[2] / "examples/cifar_fast.py"


@dataclass(frozen=True)
class Row:
    """What is trained: a recipe and what is set otherwise; from the network of the run `start`, or random weights."""

    recipe: str
    sets: tuple[str, ...] = ()
    start: str | None = "sprout"
    epochs: int = 6
    seed: int = 0


def _adversarial(**settings: object) -> tuple[str, ...]:
    return tuple(f"vicinity.adversarial.{key}={value}" for key, value in settings.items())


FIXED = _adversarial(schedule="constant", quiet=0.25, full=0.75)
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
    "random weights, ramp, 10 epochs": Row("n-fgsm", _adversarial(schedule="ramp", eps="8/255"), None, 10),
    "fixed eps, seed 1": Row("hardened", FIXED, seed=1),
    "ramp, seed 1": Row("hardened", seed=1),
    "fixed eps, seed 2": Row("hardened", FIXED, seed=2),
    "ramp, seed 2": Row("hardened", seed=2),
}


def data_in(folder: Path, cifar: Path) -> Path:
    """Return an image folder with links to some of CIFAR-10's files."""
    for split, (of, first, last) in SPLITS.items():
        for kind in sorted((cifar / of).iterdir()):
            own = folder / split / kind.name
            own.mkdir(parents=True, exist_ok=True)
            for file in sorted(kind.iterdir())[first:last]:
                if not (own / file.name).exists():
                    (own / file.name).symlink_to(file.resolve())
    return folder


def slug(name: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in name)


def train(asked: argparse.Namespace, data: Path, name: str, row: Row, watched: Sequence[str]) -> RunFolder:
    """Train one row unless it is done; one that was stopped goes on. `watched`: settings of its validation."""
    run = RunFolder(asked.out / "runs" / slug(name))
    if run.path.is_dir() and run.read_record().status == "finished":
        return run
    if run.checkpoint.is_file():
        call(["train", "--resume", str(run.path)])
        return run
    init = [] if row.start is None else ["--init", str(asked.out / "runs" / slug(row.start))]
    sets = ["augment.flip=true", f"validation.eps={EPS}", *watched, *row.sets]
    call(
        ["train", str(MODEL), "--data", str(data), "--recipe", row.recipe, "--epochs", str(row.epochs), *init]
        + ["--batch-size", "64", "--seed", str(row.seed), "--precision", "bfloat16", "--no-rehearsal"]
        + ["--out", str(asked.out / "runs"), "--name", slug(name)]
        + [word for key in sets for word in ("--set", key)]
    )
    return run


def judged_images(run: RunFolder, data: Path, most: int | None) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a run's network, and test images (N, C, H, W) with labels (N,) in an order by seed 0."""
    record = run.read_record()
    model = open_classifier(run, record).to(memory_format=torch.channels_last)
    loaded = load_images(read_data_set(data).splits["test"], shape_of(record.input))
    return model, *loaded.take(torch.randperm(len(loaded), generator=torch.Generator().manual_seed(0))[:most])


def stands(model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """Return which images stand the suite `fast` at this eps, or are right where it is 0, (N,) bool."""
    plans = suite_plans("fast") if eps else []
    generator = torch.Generator().manual_seed(0)
    return robust_accuracy(model, images, labels, plans, ThreatModel("linf", eps), generator=generator).robust_correct


def table(out: Path) -> None:
    """Print a line of Markdown for each row that is judged, beside the ramp of the same seed."""
    print("| what | clean | worst case (95 %) | worst case minus the ramp's, in points (95 %) | p |")
    print("| --- | --- | --- | --- | --- |")
    for name, row in ROWS.items():
        done = out / "judged" / f"{slug(name)}.json"
        beside = out / "judged" / f"{slug('ramp' + (f', seed {row.seed}' if row.seed else ''))}.json"
        if not done.exists():
            continue
        found = json.loads(done.read_text())
        clean, robust = found["clean"], found["robust"]
        line = f"| {name} | {100 * sum(clean) / len(clean):.1f} | {shown(sum(robust), len(robust))} | "
        if beside == done or not beside.exists():
            print(f"{line}| |")
            continue
        pairs = list(zip(robust, json.loads(beside.read_text())["robust"], strict=True))
        counts = [pairs.count(pair) for pair in ((1, 1), (1, 0), (0, 1), (0, 0))]
        apart = [(counts[1] - counts[2]) / len(pairs), *newcombe_paired(*counts)]
        middle, low, high = (f"{100 * share:+.1f}" for share in apart)
        print(f"{line}{middle} ({low} to {high}) | {mcnemar_exact(counts[1], counts[2]):.2g} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, help="an image folder with train and test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, help="images that a run is judged on, for a trial")
    parser.add_argument("--only", action="append", choices=list(ROWS), help="these rows alone, in this order")
    parser.add_argument("--table", action="store_true", help="print what is judged, and train nothing")
    asked = parser.parse_args()
    if asked.table:
        table(asked.out)
        return
    if asked.cifar is None:
        parser.error("name the images: --cifar FOLDER")
    torch.set_num_threads(1)
    data = data_in(asked.out / "data", asked.cifar)
    for name in asked.only or ROWS:
        run = train(asked, data, name, ROWS[name], ["validation.samples=256"])
        done = asked.out / "judged" / f"{slug(name)}.json"
        if not done.exists():
            done.parent.mkdir(exist_ok=True)
            model, images, labels = judged_images(run, data, asked.most)
            told = {"clean": 0.0, "robust": EPS}
            found = {key: [int(one) for one in stands(model, images, labels, eps)] for key, eps in told.items()}
            done.write_text(json.dumps(found) + "\n")
            print(name, {told: sum(ones) / len(ones) for told, ones in found.items()}, flush=True)


if __name__ == "__main__":
    main()
