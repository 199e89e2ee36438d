"""What a run will be asked for later, tried in an interpreter that knows nothing but its folder.

`python -m hardener.rehearsal FOLDER` is started by `training/rehearsal.py`, in a folder that holds `run`, the run as it
would begin, and `asked.pt`, images and the answers to them. It writes a line of JSON to `found.jsonl` for each act.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hardener.config.run_folder import RunFolder, RunRecord
from hardener.config.schema import Recipe
from hardener.data.loader import shape_of
from hardener.errors import HardenerError
from hardener.exporters.onnx import export_onnx
from hardener.exporters.parity import compare
from hardener.models.code.user_code import explained
from hardener.models.normalize import ImageClassifier
from hardener.models.recompute import recompute
from hardener.models.trained import open_classifier
from hardener.runtime.gradient import gradient_of
from hardener.training.build import build_method, first_state, freeze_as_asked, step_rule
from hardener.training.loop import Minibatch, train_epoch
from hardener.training.parallel import blocks, spread

Found = dict[str, Any]


def main(folder: Path) -> None:
    """Play all acts in turn; the first that fails badly ends the play."""
    run = RunFolder(folder / "run")
    record, recipe = run.read_record(), run.read_recipe()
    asked = torch.load(folder / "asked.pt", weights_only=True)
    images: Tensor = asked["images"]

    opened: list[ImageClassifier] = []

    def reopens() -> Found:
        opened.append(open_classifier(run, record))
        with torch.no_grad():
            return {"answers": opened[0](images.float() / 255).tolist()}

    def trains() -> Found:
        found = _step(opened[0], record, recipe, asked["batch"], asked["labels"])
        again = _played(lambda: _gradient(opened[0].eval(), images))  # a last layer of zeros lets none pass before
        return {**found, "reaches": again.get("reaches", False)}

    acts: dict[str, Callable[[], Found]] = {  # the last one changes the network
        "reopens": reopens,
        "attacks": lambda: _gradient(opened[0], images),
        "exports": lambda: _export(opened[0], record, images, folder),
        "trains": trains,
    }
    for name, act in acts.items():
        found = _played(act)
        with (folder / "found.jsonl").open("a") as file:
            file.write(json.dumps({"act": name, **found}) + "\n")
        if name == "reopens" and "fault" in found:
            return


def _played(act: Callable[[], Found]) -> Found:
    try:
        return act()
    except HardenerError as error:
        return {"fault": str(error)}
    except Exception as error:  # the user's own code: it may raise anything
        return {"fault": str(explained(error) or f"{type(error).__name__}: {error}")}


def _gradient(classifier: ImageClassifier, images: Tensor) -> Found:
    pixels = (images.float() / 255).requires_grad_()
    gradient = gradient_of(classifier(pixels).max(dim=1).values, pixels)
    return {"reaches": bool(gradient.ne(0).any())}


def _export(classifier: ImageClassifier, record: RunRecord, images: Tensor, folder: Path) -> Found:
    shape, path = record.input, folder / "model.onnx"
    batch = export_onnx(
        classifier,
        path,
        height=shape.height,
        width=shape.width,
        channels=shape.channels,
        metadata={"name": record.name},
    )
    parity = compare(classifier, path, images)
    return {"difference": parity.largest_logit_difference, "bytes": path.stat().st_size, "batch": batch}


def _step(classifier: ImageClassifier, record: RunRecord, recipe: Recipe, images: Tensor, labels: Tensor) -> Found:
    """Take two steps as training does, and time the second."""
    device = torch.device(record.device)
    freeze_as_asked(classifier, recipe)
    method, shape = build_method(recipe, len(record.classes)), shape_of(record.input)
    method.remember(len(images), shape.planes)
    method.to(device)
    method.mark(0.5)  # some terms of a loss count nothing at the start of a run
    method.awp_gamma = 0.0 if recipe.awp is None else recipe.awp.gamma
    if recipe.network.checkpoint:
        recompute(blocks(classifier.network))
    exchange = spread(classifier, method, device, shape, sharded=False)
    state = first_state(recipe, classifier.network, method, device)
    exchange.training_loss.train()
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        places = torch.arange(len(images))
        batch = Minibatch(images.to(device).float() / 255, labels.to(device), len(images), places)
        train_epoch(
            exchange,
            [batch],
            state,
            step_rule(recipe, device),
            before_step=lambda: None,
            on_step=lambda _: True,
        )
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "loss": float(state.progress.loss_sum / state.progress.losses), "piece": state.piece}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
