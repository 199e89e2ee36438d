"""What the benches on CIFAR-10 share: its images, rows that are trained by `hardener train`, and the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fine_tune_recipes import call, judged_images
from torch import Tensor, nn

from hardener.config.run_folder import RunFolder

EPS = 8 / 255
Judge = Callable[[nn.Module, Tensor, Tensor], dict[str, Any]]
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


def train(out: Path, data: Path, name: str, row: Row, watched: Sequence[str], precision: str) -> RunFolder:
    """Train one row unless it is done; one that was stopped goes on. `watched`: settings of its validation."""
    run = RunFolder(out / "runs" / slug(name))
    if run.path.is_dir() and run.read_record().status == "finished":
        return run
    if run.checkpoint.is_file():
        call(["train", "--resume", str(run.path)])
        return run
    init = [] if row.start is None else ["--init", str(out / "runs" / slug(row.start))]
    sets = ["augment.flip=true", f"validation.eps={EPS}", *watched, *row.sets]
    call(
        ["train", str(MODEL), "--data", str(data), "--recipe", row.recipe, "--epochs", str(row.epochs), *init]
        + ["--batch-size", "64", "--seed", str(row.seed), "--precision", precision, "--no-rehearsal"]
        + ["--out", str(out / "runs"), "--name", slug(name)]
        + [word for key in sets for word in ("--set", key)]
    )
    return run


def judged(out: Path, name: str) -> dict[str, Any] | None:
    """Return what was found of a row; None: it is not judged yet."""
    path = out / "judged" / f"{slug(name)}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found


def go(
    doc: str | None, rows: Mapping[str, Row], watched: Sequence[str], judge: Judge, table: Callable[[Path], None]
) -> None:
    """Train and judge the rows that the command line asks for, or print the table.

    Args:
        watched: settings of each run's validation.
        judge: a network, test images (N, C, H, W), labels (N,) -> what is kept of a row.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, help="an image folder with train and test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, help="images that a run is judged on, for a trial")
    parser.add_argument("--precision", default="bfloat16", help="of training: float32 where a CPU has no bfloat16")
    parser.add_argument("--only", action="append", choices=list(rows), help="these rows alone, in this order")
    parser.add_argument("--table", action="store_true", help="print what is judged, and train nothing")
    asked = parser.parse_args()
    if asked.table:
        table(asked.out)
        return
    if asked.cifar is None:
        parser.error("name the images: --cifar FOLDER")
    torch.set_num_threads(1)
    data = data_in(asked.out / "data", asked.cifar)
    (asked.out / "judged").mkdir(exist_ok=True)
    for name in asked.only or rows:
        run = train(asked.out, data, name, rows[name], watched, asked.precision)
        if judged(asked.out, name) is None:
            found = judge(*judged_images(run, data, seed=0, most=asked.most))
            (asked.out / "judged" / f"{slug(name)}.json").write_text(json.dumps(found) + "\n")
