"""Make the artifacts that this version leaves, for later versions to open: `tests/compatibility/v0.1/` was made by 0.1.

    python tests/compatibility/make.py tests/compatibility/v0.1

It runs the `hardener` that this Python imports, in /tmp/hardener-v0.1, by these commands, and copies what they leave:

    hardener train net.py --data imgs --recipe sprout  --name sprout  …
    hardener train net.py --data imgs --recipe natural --name natural …
    hardener train net.py --data imgs --recipe sprout  --name interrupted …      and SIGINT after three epochs
    hardener eval RUN --suite standard --invariance --corruptions --certify --clever --curves
    hardener eval RUN --attack pgd --steps 7 --step-size 2/255 --restarts 2
    hardener export sprout --quantize int8 --quick
    hardener ablate net.py --data imgs --attack fgsm --epochs 1 --name ablation

The folder is always the same, because records hold the path of the images. Pictures, pages, TensorBoard's events and
the checkpoints of finished runs are left out: no later command reads them. `expected.json` holds what the networks and
the exported files answered, so that a test can tell whether they still answer it. An evaluation that was interrupted is
no artifact: its file is named after the version of torch, and another version begins anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image

from hardener.config.run_folder import RunFolder
from hardener.models.trained import open_classifier

HOME = Path("/tmp/hardener-v0.1")
CLASSES, SIZE = ("left", "middle", "right"), 12
NETWORK = '''"""A network of a few hundred parameters."""

from torch import nn


def build_model(num_classes, in_channels=3):
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Dropout(0.1), nn.Linear(54, num_classes),
    )
'''
TRAIN = [
    "train", "net.py", "--data", "imgs", "--epochs", "8", "--batch-size", "8", "--set", "optimizer.lr=0.05",
    "--set", "validation.steps=3", "--set", "validation.samples=8", "--set", "data.cache=false", "--device", "cpu",
]  # fmt: skip
SECTIONS = ["--invariance", "--corruptions", "--certify", "--clever", "--curves"]
LEFT_OUT = ("*.png", "*.html", "tensorboard", "__pycache__")


def main() -> None:
    """Make everything anew and copy it to the folder that the command names."""
    parser = argparse.ArgumentParser(description="Make the artifacts that this version leaves.")
    parser.add_argument("target", type=Path, help="Where they go; what is there is replaced.")
    target = parser.parse_args().target.resolve()
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    write_images(HOME / "imgs")
    (HOME / "net.py").write_text(NETWORK)
    for name in ("sprout", "natural"):
        hardener(*TRAIN, "--recipe", name, "--name", name)
        evaluate(name, "--suite", "standard", *SECTIONS)
        evaluate(name, "--attack", "pgd", "--steps", "7", "--step-size", "2/255", "--restarts", "2")
    interrupt([*TRAIN, "--recipe", "sprout", "--name", "interrupted"], HOME / "runs" / "interrupted" / "metrics.jsonl")
    hardener("export", "sprout", "--quantize", "int8", "--quick")
    hardener(
        "ablate", "net.py", "--data", "imgs", "--epochs", "1", "--batch-size", "16", "--set", "validation.samples=4",
        "--set", "data.cache=false", "--attack", "fgsm", "--eps", "4/255", "--samples", "24", "--device", "cpu",
        "--name", "ablation",
    )  # fmt: skip
    (HOME / "expected.json").write_text(json.dumps(answers(), indent=1) + "\n")
    for finished in (*HOME.glob("runs/*/checkpoint"), *HOME.glob("runs/ablation/*/checkpoint")):
        if finished.parent.name != "interrupted":
            shutil.rmtree(finished)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(HOME / "runs", target / "runs", ignore=shutil.ignore_patterns(*LEFT_OUT))
    shutil.copytree(HOME / "imgs", target / "imgs")
    for name in ("net.py", "expected.json"):
        shutil.copyfile(HOME / name, target / name)


def write_images(root: Path) -> None:
    """Write 16 training and 8 test images a class, RGB, 12x12: one third of each is brighter than the rest."""
    random = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 8)):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                levels = random.integers(60, 180, (SIZE, SIZE, 3))
                levels[:, label * SIZE // 3 : (label + 1) * SIZE // 3] += random.integers(8, 45)
                Image.fromarray(levels.astype(np.uint8)).save(folder / f"{index:02d}.png")


def hardener(*words: str) -> None:
    """Run a command in the folder."""
    subprocess.run(command(words), cwd=HOME, check=True)


def evaluate(name: str, *words: str) -> None:
    """Evaluate a run on its 24 test images."""
    hardener("eval", name, *words, "--samples", "24", "--device", "cpu", "--precision", "float32")


def command(words: Sequence[str]) -> list[str]:
    """Return the command line of these words."""
    return [sys.executable, "-m", "hardener", *words]


def interrupt(words: Sequence[str], metrics: Path) -> None:
    """Start a training and interrupt it once after three epochs."""
    process = subprocess.Popen(command(words), cwd=HOME)
    while process.poll() is None and not (metrics.is_file() and len(metrics.read_text().splitlines()) >= 3):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130, "it was not interrupted"


def answers() -> dict[str, object]:
    """Return what the networks and the files of the bundles answer to each test image."""
    paths = sorted((HOME / "imgs" / "test").rglob("*.png"))
    levels = np.stack([np.asarray(Image.open(path)) for path in paths])
    images = torch.from_numpy(levels).permute(0, 3, 1, 2).float() / 255
    found: dict[str, object] = {"images": [str(path.relative_to(HOME / "imgs")) for path in paths]}
    for name in ("sprout", "natural"):
        run = RunFolder(HOME / "runs" / name)
        with torch.no_grad():
            found[name] = rounded(open_classifier(run, run.read_record())(images).numpy())
    for name in ("bundle", "bundle-int8"):
        session = onnxruntime.InferenceSession(HOME / "runs" / "sprout" / name / "model.onnx")
        found[name] = rounded(session.run(["probabilities"], {"images": levels})[0])
    return found


def rounded(rows: NDArray[np.float32]) -> list[list[float]]:
    """Return the rows with six digits after the point."""
    return [[round(float(value), 6) for value in row] for row in rows]


if __name__ == "__main__":
    main()
