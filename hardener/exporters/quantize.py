"""A run's bundle -> a second bundle in int8, with what that cost, measured."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardener.config.bundle import Bundle, HeldRequirement, OfflineRobustness, Parity, Quantization
from hardener.config.data_path import is_there
from hardener.config.files import written_whole
from hardener.config.reading import Reading
from hardener.config.run_folder import RunFolder, RunRecord, now
from hardener.config.schema import Recipe
from hardener.data.image_files import ImageFiles
from hardener.errors import Failure, HardenerError
from hardener.evaluation.deployed import QUICK, THOROUGH, SideBySide, Terms, compare_files, share
from hardener.evaluation.sample import Sample
from hardener.evaluation.session import notice
from hardener.evaluation.subject import Subject, run_subject
from hardener.exporters._bundle import describe_file, write_description
from hardener.exporters._images import draw_images, read_images
from hardener.exporters._int8_requirements import judged_by_int8
from hardener.exporters._session import batch_taken, filled, open_session
from hardener.exporters.int8 import add_metadata, quantize_int8
from hardener.exporters.run import MODEL_FILE
from hardener.models.onnx.model import open_onnx
from hardener.progress import Reporter
from hardener.reports.condition import conditions_in
from hardener.reports.own_images import name_of
from hardener.threat import DEFAULT_THREAT, ThreatModel

CALIBRATION_IMAGES = TRIAL_IMAGES = 256
SAMPLES, QUICK_SAMPLES = 300, 100


@dataclass(frozen=True)
class Quantized:
    """An int8 bundle and what it cost; `speed` is float32's time for a batch by int8's, one thread, on this machine."""

    bundle: Bundle
    comparison: SideBySide
    speed: float


def export_int8(
    run: RunFolder,
    plain: Bundle,
    reporter: Reporter,
    *,
    data: Path | None = None,
    samples: int | None = None,
    quick: bool = False,
    reading: Reading | None = None,
    skip_bad: bool = False,
) -> Quantized:
    """Quantise the file of a run's bundle, and measure both on the same images under the same attacks.

    The int8 bundle appears beside the other whole or not at all. Its offline figures are its own: none of the float32
    file's is taken over.

    Args:
        plain: the run's float32 bundle, as `export` returned it.
        data: images to measure on; by default the run's test split. Where the run's own are gone, it must hold
            training images too.
        samples: how many, 300 by default.
        quick: fewer images and attacks: a first look.
        reading: how `data` is read, if not as the run read its own.
        skip_bad: leave out images that cannot be read, also where the run did not.
    Raises:
        HardenerError: the run's images are gone.
        Failure: the file cannot be quantised, or the result is not the model any more.
    """
    record, recipe = run.read_record(), run.read_recipe()
    training = _training_images(_training_files(record, recipe, data, reading), record, skip_bad=skip_bad)
    subject = run_subject(run, data, reporter, reading)
    count = samples or (QUICK_SAMPLES if quick else SAMPLES)
    subject, sample = _drawn(subject, count, reporter, skip_bad=skip_bad or record.data.skip_bad_images)
    with written_whole(run.int8_bundle) as folder:
        folder.mkdir()
        model, source = folder / MODEL_FILE, run.bundle / MODEL_FILE
        calibration, trial = _halves(training)
        with reporter.track("calibrating", len(calibration), "images") as advance:
            kept = quantize_int8(source, model, calibration, trial, on_done=advance)
        files = [open_onnx(path, on_gpu=False) for path in (source, model)]
        parity = _difference(subject.model, files[1], sample.pixels)
        comparison = compare_files(
            files,
            subject.model,
            sample.pixels,
            sample.labels,
            Terms(_threat(plain), subject.noise_sigma, QUICK if quick else THOROUGH),
            reporter,
        )
        add_metadata(model, _metadata(record, evaluation := _offline(comparison, subject)))
        own: dict[str, object] = {
            "name": _name(record), "created_at": now(), "model": describe_file(model), "parity": parity,
            "evaluation": evaluation, "evaluations": [evaluation],
            "quantization": _quantization(comparison, len(calibration), len(kept)),
            "requirements": _requirements(run, evaluation, comparison, reporter), "changed": [],
        }  # fmt: skip
        bundle = plain.model_copy(update=own)
        write_description(folder, bundle, record, recipe)
        speed = _speed(source, model, calibration[:8])
    return Quantized(bundle, comparison, speed)


def _drawn(subject: Subject, count: int, reporter: Reporter, *, skip_bad: bool) -> tuple[Subject, Sample]:
    """Draw images, and see as an evaluation does which of them the run has seen."""
    order = torch.randperm(len(subject.images), generator=torch.Generator().manual_seed(0))
    sample = subject.images.load(order[:count].tolist(), skip_bad=skip_bad)
    return notice(subject, sample, dedupe=subject.dedupe, reporter=reporter)


def _requirements(
    run: RunFolder, evaluation: OfflineRobustness, comparison: SideBySide, reporter: Reporter
) -> list[HeldRequirement]:
    """Judge what the owner asks by the int8 file's own figures, and warn of what is not met."""
    if not run.requirements.is_file():
        return []
    held = judged_by_int8(conditions_in(run.requirements), evaluation, comparison)
    for item in held:
        if item.state != "met":
            reporter.warn(
                f"int8: {item.about}, {item.asked}: {item.state}. The int8 bundle and the service's /model say so"
            )
    return held


def _metadata(record: RunRecord, evaluation: OfflineRobustness) -> dict[str, str]:
    return {
        "name": _name(record),
        "clean_accuracy": f"{evaluation.clean_accuracy:.6f}",
        "robust_accuracy": f"{evaluation.robust_accuracy:.6f}",
        "evaluation": evaluation.model_dump_json(),
    }


def _name(record: RunRecord) -> str:
    return f"{record.name}-int8"


def _threat(plain: Bundle) -> ThreatModel:
    """Return what the run was evaluated under, else what a bundle's attack uses, else the default."""
    known = plain.evaluation or plain.threat
    return DEFAULT_THREAT if known is None else ThreatModel(known.norm, known.eps)


def _training_images(files: ImageFiles, record: RunRecord, *, skip_bad: bool) -> NDArray[np.uint8]:
    """Return training images, (N, H, W, C), drawn at random."""
    images = draw_images(files, record, CALIBRATION_IMAGES + TRIAL_IMAGES, skip_bad=skip_bad)
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def _training_files(record: RunRecord, recipe: Recipe, data: Path | None, reading: Reading | None) -> ImageFiles:
    own = Path(record.data.root)
    if data is None and not is_there(own):
        raise HardenerError(
            f"the run's images are no longer at {own}, and int8 is calibrated on training images. Name a folder that "
            "holds them with --data DIR."
        )
    try:
        folder = read_images(own, record, recipe, own=True, reading=reading)
    except HardenerError:  # they are gone, or the hub cannot be reached
        if data is None:
            raise
        folder = read_images(data, record, recipe, own=False, reading=reading)
    if list(folder.classes) != record.classes:
        raise HardenerError(f"{folder.train.root} has other classes than the run was trained on.")
    return folder.train


def _halves(images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images to calibrate on and others to try the result on."""
    middle = min(CALIBRATION_IMAGES, (len(images) + 1) // 2)
    return images[:middle], images[middle:]


@torch.no_grad()
def _difference(network: nn.Module, file: nn.Module, images: Tensor) -> Parity:
    """Compare the int8 file with the network; a difference beyond the whole scale of the logits is a failure."""
    pieces = [(piece.float() / 255) for piece in images.split(32)]
    expected = torch.cat([network(piece) for piece in pieces])
    found = torch.cat([file(piece) for piece in pieces])
    scale = max(float(expected.abs().max()), 1.0)
    largest = float((expected - found).abs().max())
    if not largest <= scale:
        raise Failure(
            f"the int8 file is not the model: its logits are off by up to {largest:.3g} where the largest is "
            f"{scale:.3g}. No int8 bundle was written; serve the float32 one."
        )
    agreement = float(expected.argmax(dim=1).eq(found.argmax(dim=1)).float().mean())
    return Parity(images=len(images), largest_logit_difference=largest, tolerance=scale, argmax_agreement=agreement)


def _offline(comparison: SideBySide, subject: Subject) -> OfflineRobustness:
    robust, interval = share(comparison.second.robust)
    return OfflineRobustness(
        split=subject.split,
        norm=comparison.threat.norm,
        eps=comparison.threat.eps,
        samples=len(comparison.second.robust),
        clean_accuracy=share(comparison.second.clean)[0],
        robust_accuracy=robust,
        interval=interval,
        attacks=list(comparison.attacks),
        evaluated_at=now(),
        flags=list(dict.fromkeys(flag.id for flag in subject.flags)),
        data=None if subject.own.known else name_of(subject.images.root),
    )


def _quantization(comparison: SideBySide, calibration_images: int, float32_layers: int) -> Quantization:
    plain, int8 = comparison.first, comparison.second
    robust, interval = share(int8.robust)
    return Quantization(
        kind="int8",
        calibration_images=calibration_images,
        samples=len(int8.clean),
        top1_agreement=share(comparison.agreeing)[0],
        clean_accuracy=share(int8.clean)[0],
        clean_accuracy_float32=share(plain.clean)[0],
        norm=comparison.threat.norm,
        eps=comparison.threat.eps,
        attacks=list(comparison.attacks),
        robust_accuracy=robust,
        robust_accuracy_float32=share(plain.robust)[0],
        interval=interval,
        certified_radius=comparison.certified_radius,
        certified_accuracy=share(int8.certified)[0],
        certified_accuracy_float32=share(plain.certified)[0],
        certified_samples=len(int8.certified),
        certified_noise_sigma=comparison.noise_sigma,
        float32_layers=float32_layers,
    )


def _speed(first: Path, second: Path, images: NDArray[np.uint8]) -> float:
    """Return the first file's time by the second's: one thread, in turns, CPU time, so that neighbours matter less."""
    sessions = [open_session(path, threads=1) for path in (first, second)]
    size = batch_taken(sessions[0])
    images = images if size is None else filled(images[:size], size)
    for session in sessions:
        session.run(None, {"images": images})  # the first run also allocates

    def seconds(session: onnxruntime.InferenceSession) -> float:
        started, rounds = time.process_time(), 0
        while time.process_time() - started < 0.05:
            session.run(None, {"images": images})
            rounds += 1
        return (time.process_time() - started) / rounds

    pairs = [(seconds(sessions[0]), seconds(sessions[1])) for _ in range(5)]
    return median(pair[0] for pair in pairs) / median(pair[1] for pair in pairs)
