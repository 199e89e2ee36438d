"""Batch statistics of averaged weights: those that the average itself has, and no trace in what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import write_image_folder
from test_run import Recorder, request
from torch.nn.functional import conv2d

from hardener.data.data_set import read_data_set
from hardener.data.loader import load_images, shape_of
from hardener.training.run import train

SWA = ("averaging.name=swa", "averaging.start=0")
STILL = ("augment.shift=0", "augment.flip=false", "data.normalize=none", "optimizer.lr=0.2", "batch_size=20")


def kept(model: Path, data: Path, out: Path, recipe: str, sets: tuple[str, ...]) -> dict[str, Any]:
    run = train(request(model, data, out, recipe, sets), Recorder())
    return {**torch.load(run.checkpoint, weights_only=True), "input": run.read_record().input}


def test_a_plain_mean_of_weights_has_the_statistics_of_its_own_answers(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    found = kept(model_file, image_folder, tmp_path / "runs", "natural", (*STILL, *SWA))
    pixels, _ = load_images(read_data_set(image_folder).splits["train"], shape_of(found["input"])).take(
        torch.arange(20)
    )
    average = {name.removeprefix("module.network."): value for name, value in found["average"].items()}
    before = conv2d(pixels.float() / 255, average["0.weight"], average["0.bias"], padding=1)
    torch.testing.assert_close(average["1.running_mean"], before.mean((0, 2, 3)))
    torch.testing.assert_close(average["1.running_var"], before.transpose(0, 1).flatten(1).var(dim=1))


@pytest.mark.parametrize(
    ("recipe", "sets"),
    [
        ("fast-at", ("vicinity.adversarial.origin=prior",)),
        ("free-at", ("batch_size=6",)),
        ("trades-awp", ("awp.warmup_epochs=0", "vicinity.adversarial.steps=1", "batch_size=9")),
        ("sprout", ()),
    ],
)
def test_what_is_trained_does_not_hang_on_the_average(
    recipe: str, sets: tuple[str, ...], model_file: Path, tmp_path: Path
) -> None:
    data = write_image_folder(tmp_path / "imgs", {"cat": 12, "dog": 12})
    alone = kept(model_file, data, tmp_path / "alone", recipe, sets)
    beside = kept(model_file, data, tmp_path / "beside", recipe, (*sets, *SWA))
    for part in ("network", "method"):
        assert alone[part].keys() == beside[part].keys()
        assert all(torch.equal(value, beside[part][name]) for name, value in alone[part].items())
