"""Before epoch 1: will the run open again, train, be attacked and be exported? Asked of a fresh interpreter."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hardener
from hardener.config.files import read_lines_of_json, write_text
from hardener.config.run_folder import RunFolder, RunRecord
from hardener.config.schema import Recipe
from hardener.data.cache import default_folder
from hardener.errors import HardenerError
from hardener.models.checkpoints.weights import save_weights
from hardener.models.conditions import noise
from hardener.progress import Reporter
from hardener.training.session import Material
from hardener.training.why_another import why_another

_ACTS = ("reopens", "attacks", "exports", "trains")
LONGEST_S = 300.0
_LOOKS_S = 0.1
SHOWN = 4  # images
_CLOSE = 1e-3  # of the answers' scale: other threads may sum in another order
_OF_A_LAUNCH = ("RANK", "LOCAL_", "WORLD_SIZE", "MASTER_", "GROUP_", "ROLE_", "TORCHELASTIC_")

Found = Mapping[str, Any]


def rehearse(run: RunFolder, record: RunRecord, recipe: Recipe, material: Material, reporter: Reporter) -> None:
    """Open the run that is about to begin in a fresh interpreter, and say in four lines what will and will not work.

    Nothing of the run changes: neither its weights nor its randomness. What was found is remembered, and the same
    files with the same settings are not rehearsed again.

    Raises:
        HardenerError: the run could not be opened again, would open as another network, or cannot take a step.
    """
    kept = default_folder() / "rehearsals" / f"{_key(record, recipe, material)}.json"
    if kept.is_file():
        return
    with (
        tempfile.TemporaryDirectory(prefix="hardener-rehearsal-") as scratch,
        reporter.track("rehearsing", len(_ACTS), "acts") as advance,
    ):
        expected = _set_stage(run, Path(scratch), material, recipe)
        found, ending = _play(Path(scratch), advance, lambda opened: _see_that_it_opened(opened, expected, material))
    if "fault" in found.get("trains", {}):
        raise HardenerError(f"a training step fails. {found['trains']['fault']}")
    reporter.say("rehearsal: the run opens again, with the same answers")
    _tell(reporter, _of_export(found.get("exports", {"fault": ending})))
    _tell(reporter, _of_attacks(found.get("attacks", {"fault": ending}), found.get("trains", {})))
    _tell(reporter, _of_training(found.get("trains"), len(material.train_images), recipe, ending))
    if found.keys() == set(_ACTS):
        with contextlib.suppress(OSError):  # what cannot be remembered is rehearsed again
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_text(kept, json.dumps({"created_at": record.created_at}))


def _key(record: RunRecord, recipe: Recipe, material: Material) -> str:
    """Return a name for all that a rehearsal depends on."""
    model = record.model.model_dump(exclude={"init", "spec"} if record.model.file else {"init"})
    told: list[object] = [model, recipe.model_dump(mode="json", exclude={"epochs", "name"}), record.input.model_dump()]
    told += [record.device, record.versions, len(record.classes), min(recipe.batch_size, len(material.train_images))]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _set_stage(run: RunFolder, folder: Path, material: Material, recipe: Recipe) -> Tensor | None:
    """Put the run as it begins, and images, into a folder; return the answers to the first of them.

    None where the network answers the same images otherwise each time: then there is nothing to compare.
    """
    shutil.copytree(run.path, folder / "run")
    classifier = material.classifier
    save_weights(classifier.network, RunFolder(folder / "run").weights)
    count = min(recipe.batch_size, len(material.train_images))
    images, labels = next(iter(material.train_images.batches(torch.arange(count), count)))
    images = images.clone(memory_format=torch.contiguous_format)
    torch.save({"images": images[:SHOWN], "batch": images, "labels": labels.clone()}, folder / "asked.pt")
    was_training = classifier.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            first, second = (classifier.eval()(images[:SHOWN].float() / 255) for _ in range(2))
    finally:
        classifier.train(was_training)
    return first if torch.equal(first, second) else None


def _play(folder: Path, advance: Callable[[int], None], see: Callable[[Found], None]) -> tuple[dict[str, Found], str]:
    """Start the interpreter, and count the acts as they end; return what each found, and how the play ended.

    Args:
        see: is given what the first act found, as soon as it ends: where it raises, the others are not played.
    """
    package = str(Path(hardener.__file__).resolve().parent.parent)
    paths = [package, *(os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OF_A_LAUNCH)}
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    counted, ends = 0, time.monotonic() + LONGEST_S
    with (folder / "errors.txt").open("wb") as errors:
        playing = subprocess.Popen(
            [sys.executable, "-m", "hardener.rehearsal", str(folder)],
            cwd=folder,  # a run must open from anywhere
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            while (status := playing.poll()) is None and time.monotonic() < ends:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    playing.wait(_LOOKS_S)
                acts = read_lines_of_json(folder / "found.jsonl")
                advance(len(acts) - counted)
                if acts and not counted:
                    see(acts[0])
                counted = len(acts)
        finally:
            playing.kill()
            playing.wait()
    advance(len(_ACTS) - counted)
    last = (folder / "errors.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    ending = f"the interpreter that tried it ended with status {status}: {''.join(last)}"
    if status is None:
        ending = f"it takes more than {LONGEST_S:.0f} s here"
    elif status == -signal.SIGKILL:
        ending = "the machine's memory does not hold it: lower --batch-size"
    found: dict[str, Found] = {act["act"]: act for act in read_lines_of_json(folder / "found.jsonl")}
    if not counted:
        see(found.get(_ACTS[0], {"fault": ending}))
    return found, ending


def _see_that_it_opened(found: Found, expected: Tensor | None, material: Material) -> None:
    if "fault" in found:
        raise HardenerError(
            f"the run could not be opened again, so it is not begun: {found['fault']} The run folder holds the model "
            "file and what it imports and reads from around it; name other files by a path from __file__. "
            "--no-rehearsal begins all the same."
        )
    if expected is None:
        return
    answers = torch.tensor(found["answers"], dtype=expected.dtype)
    scale = expected.abs().max().clamp(min=1)
    if answers.shape != expected.shape or not torch.allclose(
        answers, expected, atol=float(_CLOSE * scale), equal_nan=True
    ):
        shape = material.train_images.shape
        images = noise(SHOWN, shape.channels, shape.height, shape.width)  # on the processor, as the classifier is
        raise HardenerError(
            "the run would open as another network: built anew from the model file, with the same weights, it gives "
            f"other answers. {why_another(material.classifier, images)} --no-rehearsal begins all the same."
        )


def _of_export(found: Found) -> tuple[str, bool]:
    if "fault" in found:
        return f"the network cannot be exported as it is, and hardener export will fail: {found['fault']}", False
    batch = found.get("batch")
    if batch is None:
        return "exports to ONNX, for any number of images at once", True
    return f"exports to ONNX, for {batch} image{'s' if batch > 1 else ''} at once only", True


def _of_attacks(found: Found, later: Found) -> tuple[str, bool]:
    if "fault" in found:
        return f"attacks get no gradient, and hardener eval will fail: {found['fault']}", False
    if not found["reaches"] and not later.get("reaches"):
        return "no gradient reaches the image: attacks by gradients say nothing of this network", False
    return "gradients reach the image, so attacks can climb them", True


def _of_training(found: Found | None, images: int, recipe: Recipe, ending: str) -> tuple[str, bool]:
    count = min(recipe.batch_size, images)
    if found is None:
        return f"a step of {count} images was not finished: {ending}", False
    epoch = found["seconds"] * max(1, images // count)
    cut = "" if found["piece"] >= count else f" in pieces of {found['piece']}, as memory allows,"
    return f"a step of {count} images{cut} takes {found['seconds']:.2g} s, an epoch about {epoch:.2g} s", True


def _tell(reporter: Reporter, told: tuple[str, bool]) -> None:
    text, good = told
    (reporter.say if good else reporter.warn)(f"rehearsal: {text}")
