"""What the cases of `fuzz_groups.py` start from: a trained run, made once, and files of a case."""

from __future__ import annotations

import copy
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hardener.config.bundle import read_bundle
from hardener.config.evaluation_record import read_evaluations
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.data.cache import PixelCache
from hardener.data.image_files import ImageFiles
from hardener.data.loader import ImageShape, load_images
from hardener.data.sources.image_folder import read_class_folders
from hardener.progress import SilentTraining
from hardener.training.request import TrainRequest

if TYPE_CHECKING:
    from hardener.training.state import TrainingState

MODEL = """
from torch import nn

def build_model(num_classes, in_channels=1):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, num_classes))
"""


def unheard(text: str) -> None:
    """Take a warning."""


class _Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (self.mark,)


class Home:
    """A folder with images, a model file, and a run that was trained, evaluated and exported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.model = folder / "imgs", folder / "tiny.py"
        self._mark = folder / "unpickled"
        os.environ["HARDENER_CACHE"] = str(folder / "cache")
        random = np.random.default_rng(0)
        for name in ("cat", "dog"):
            (self.data / name).mkdir(parents=True, exist_ok=True)
            for place in range(8):
                Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(self.data / name / f"{place}.png")
        self.model.write_text(MODEL)

    @functools.cached_property
    def run(self) -> RunFolder:
        """A finished run with an evaluation and a bundle."""
        from hardener.evaluation.plan import EvaluateRequest
        from hardener.evaluation.run import evaluate_run
        from hardener.exporters.run import export
        from hardener.training.run import train

        recipe = load_recipe("sprout", ["epochs=1", "batch_size=4", "validation.samples=2", "validation.steps=1"])
        silent = SilentTraining()
        asked = TrainRequest(str(self.model), self.data, recipe, device="cpu", out=self.folder / "runs", name="r")
        run = train(asked, silent)
        evaluate_run(run, EvaluateRequest(attacks=("fgsm",), samples=2, device="cpu", precision="float32"), silent)
        export(run, silent)
        return run

    @property
    def has_run(self) -> bool:
        """Whether a bomb was unpickled."""
        return self._mark.exists()

    def forget(self) -> None:
        """Take the mark away."""
        self._mark.rmdir()

    def bomb(self) -> Any:
        """Return a value whose pickle runs code."""
        return _Bomb(self._mark)

    def file(self, name: str) -> Path:
        """Return the path of a file of the case; none is there."""
        path = self.folder / "case" / name
        shutil.rmtree(self.folder / "case", ignore_errors=True)
        path.parent.mkdir(parents=True)
        return path

    def records(self) -> list[tuple[Path, Callable[[Path], object]]]:
        """Return files of the run, and what reads the like."""
        (evaluation,) = self.run.evaluations.glob("*.json")
        return [
            (self.run.record_file, lambda path: RunFolder(path.parent).read_record()),
            (self.run.recipe_file, lambda path: RunFolder(path.parent).read_recipe()),
            (evaluation, lambda path: read_evaluations(path.parent)),
            (self.run.bundle / "bundle.json", lambda path: read_bundle(path.parent)),
        ]

    def beside(self, source: Path, data: bytes) -> Path:
        """Return a file of the same name with other content."""
        path = self.file(source.name)
        path.write_bytes(data)
        return path

    def checkpoint(self) -> bytes:
        """Return the bytes of the run's last checkpoint."""
        return self.run.checkpoint.read_bytes()

    def state(self) -> TrainingState:
        """Return the state of a training that has not begun."""
        return copy.deepcopy(self._state)

    @functools.cached_property
    def _state(self) -> TrainingState:
        from hardener.training.prepare import prepare_again
        from hardener.training.session import TrainingSession

        record, recipe = self.run.read_record(), self.run.read_recipe()
        material = prepare_again(self.run, record, recipe, "cpu", SilentTraining())
        return TrainingSession(self.run, record, recipe, material, SilentTraining()).state

    @functools.cached_property
    def cached(self) -> tuple[ImageFiles, Path, Tensor]:
        """Image files, the cache's entry of them, and their pixels."""
        _, files = read_class_folders(self.data)
        images = load_images(files, ImageShape(8, 8, 1), cache=PixelCache(1.0, unheard, folder=self.folder / "pixels"))
        (entry,) = (self.folder / "pixels").glob("*.pixels")
        return files, entry, torch.clone(images.take(range(len(images)))[0])
