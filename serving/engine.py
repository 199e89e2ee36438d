"""The model: one ONNX Runtime session, numpy in and out."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hardener.config.bundle import Bundle
from hardener.errors import Failure, HardenerError
from hardener.words import one_line

from .cuda_driver import cuda_devices, lock_pages
from .settings import Device

INPUT, OUTPUTS = "images", ("logits", "probabilities")
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
BUCKETS = (1, 2, 4, 8, 16, 32)


class Engine:
    """A bundle's model, checked against the bundle and warm; `lanes` threads may run it at once."""

    def __init__(self, folder: Path, bundle: Bundle, *, device: Device = "auto", lanes: int | None = None) -> None:
        """Load the model.

        Raises:
            HardenerError: the graph is not what bundle.json describes, or CUDA is asked for and absent.
            Failure: there is a GPU, but ONNX Runtime could not use it.
        """
        self.on_gpu = _wants_gpu(device)
        self._shape = (bundle.input.height, bundle.input.width, bundle.input.channels)
        self._session = open_session(folder / bundle.model.file, on_gpu=self.on_gpu)
        _check_graph(self._session, bundle)
        self._only = bundle.input.batch
        sizes = BUCKETS if self._only is None else (self._only,)
        self._bound = BoundSession(self._session, self._shape, device="cuda", sizes=sizes) if self.on_gpu else None
        self.provider: str = self._session.get_providers()[0]
        self.one_core = not self.on_gpu and _cores() == 1
        # several cores are filled by one lane more: while it computes, the loop answers for those that end together
        self.lanes = lanes or (1 if self.on_gpu or self.one_core else _cores() + 1)
        self.max_batch = BUCKETS[-1] if self.on_gpu else 8
        self.report_chunk = 8 if self.on_gpu else 2  # on a CPU a plain request waits for this many images
        if self._only is not None:  # a run of fewer costs as much
            self.max_batch = self.report_chunk = self._only
        self._classes = len(bundle.classes)
        self._warm(sizes if self.on_gpu else (1, self.report_chunk, self.max_batch))

    def _warm(self, sizes: tuple[int, ...]) -> None:
        """Ask the model in every batch size, and look whether its answers can be answers."""
        images = np.random.default_rng(0).integers(0, 256, (max(2, *sizes), *self._shape), np.uint8)
        images[0], images[1] = 0, 255
        for size in sorted({*sizes, 2 if self._only is None else self._only}):
            try:
                answers = self.answers(images[:size])
            except Failure as error:
                raise HardenerError(
                    f"asked about a few images before it is served, {error}. Export it again."
                ) from None
            if answers.shape != (size, 2, self._classes):
                raise HardenerError(
                    f"the model answers {size} images with {answers.shape}, not {(size, 2, self._classes)}: images, "
                    "logits and probabilities, classes. Export it again."
                )
            sums = answers[:, 1].sum(axis=1)
            if (answers[:, 1] < 0).any() or not np.allclose(sums, 1, atol=0.05):
                raise HardenerError(
                    f"the model's probabilities add up to {sums[np.abs(sums - 1).argmax()]:.4g} and not to 1, or one "
                    "is negative. Export it again with `hardener export RUN`."
                )

    def answers(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Answer a batch.

        Args:
            images: (N, H, W, C), uint8, of the bundle's size, 1 <= N <= `max_batch`.
        Returns:
            (N, 2, K): an image's logits, and its probabilities, which sum to 1.
        Raises:
            Failure: an answer is not finite, or ONNX Runtime cannot run the model.
        """
        count = len(images)
        if self._only is not None and count < self._only:
            images = _filled(images, self._only)
        try:
            if self._bound is None:
                logits, probabilities = self._session.run(list(OUTPUTS), {INPUT: images})
            else:
                logits, probabilities = self._bound.run(images)
        except Exception as error:  # ONNX Runtime has a dozen exception types, derived from Exception alone
            reason = str(error).strip().splitlines()[0]
            raise Failure(f"ONNX Runtime cannot run the model on {count} images: {reason}") from error
        answers: NDArray[np.float32] = np.stack([logits[:count], probabilities[:count]], axis=1)
        if not np.isfinite(answers).all():
            raise Failure("the model's answer to an image is not finite")
        return answers


class BoundSession:
    """Runs a session on inputs that lie on its device already, in batches of a few sizes.

    cuDNN searches its algorithms anew for a batch size that it has not seen, and memory that a run allocates anew on a
    GPU holds up what runs there. On a CPU it gains nothing. Each thread has buffers of its own.

    Attributes:
        all_pinned: whether every buffer made so far that images wait in is pinned.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        shape: tuple[int, ...],
        *,
        device: str,
        sizes: tuple[int, ...] = BUCKETS,
        pinned: bool = False,
    ) -> None:
        """Take a session with one input, uint8 (N, *`shape`), and the two outputs; N is one of `sizes`.

        Args:
            pinned: keep the memory that images wait in where it is, so that the GPU fetches them itself. What that
                gains is not measured yet, so the service does not ask for it.
        """
        self._session, self._shape, self._device, self._sizes = session, shape, device, sizes
        self._pinned, self.all_pinned = pinned, pinned
        self._threads = threading.local()

    def run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Answer (N, *shape), at most the largest bucket, with logits and probabilities: (n, K), n >= N, each."""
        bucket = next(size for size in self._sizes if size >= len(images))
        binding, place, waiting = self._binding(bucket)
        waiting[: len(images)] = images
        waiting[len(images) :] = 0
        place.update_inplace(waiting)
        self._session.run_with_iobinding(binding)
        logits, probabilities = binding.copy_outputs_to_cpu()
        return logits, probabilities

    def _binding(self, bucket: int) -> tuple[onnxruntime.IOBinding, onnxruntime.OrtValue, NDArray[np.uint8]]:
        """Return what a batch of this size is run with: binding, input on the device, and a buffer before it."""
        made = self._threads.__dict__.setdefault("bindings", {})
        if bucket not in made:
            waiting = np.zeros((bucket, *self._shape), np.uint8)
            place = onnxruntime.OrtValue.ortvalue_from_numpy(waiting, self._device, 0)
            if self._pinned and not lock_pages(waiting):
                self.all_pinned = False
            binding = self._session.io_binding()
            binding.bind_ortvalue_input(INPUT, place)
            for name in OUTPUTS:
                binding.bind_output(name, self._device, 0)
            made[bucket] = binding, place, waiting
        found: tuple[onnxruntime.IOBinding, onnxruntime.OrtValue, NDArray[np.uint8]] = made[bucket]
        return found


def _filled(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Add black images until there are `size`."""
    missing = size - len(images)
    return images if missing <= 0 else np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])


def _wants_gpu(device: Device) -> bool:
    return device == "cuda" or (device == "auto" and cuda_devices() > 0)


def open_session(path: Path, *, on_gpu: bool) -> onnxruntime.InferenceSession:
    """Load a model file for the CPU, or for the GPU and nothing else.

    Raises:
        HardenerError: the file cannot be loaded, or there is no CUDA or no GPU.
        Failure: there is a GPU, but ONNX Runtime could not use it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # lanes, not one run's threads, fill the cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[str | tuple[str, dict[str, str]]] = [CPU]
    if on_gpu:
        if CUDA not in onnxruntime.get_available_providers():
            raise HardenerError("this ONNX Runtime has no CUDA. Install onnxruntime-gpu, or set HARDENER_DEVICE=cpu.")
        if cuda_devices() == 0:
            raise HardenerError(
                "HARDENER_DEVICE is cuda, but the NVIDIA driver shows no GPU to this process. "
                "Set HARDENER_DEVICE=cpu, or make a GPU visible."
            )
        onnxruntime.preload_dlls()
        providers.insert(0, (CUDA, {"cudnn_conv_algo_search": "HEURISTIC"}))
    try:
        session = onnxruntime.InferenceSession(str(path), sess_options=options, providers=providers)
    except Exception as error:  # ONNX Runtime has a dozen exception types, derived from Exception alone
        reason = one_line(str(error).strip().splitlines()[0])  # it tells names of the file
        raise HardenerError(f"{path} cannot be loaded by ONNX Runtime: {reason}. Export it again.") from None
    if on_gpu and session.get_providers()[0] != CUDA:  # it logs a line and goes on with the CPU
        raise Failure(
            "there is a GPU, but ONNX Runtime could not load CUDA or cuDNN and fell back to the CPU. "
            "Repair them, or set HARDENER_DEVICE=cpu."
        )
    return session


def _check_graph(session: onnxruntime.InferenceSession, bundle: Bundle) -> None:
    if bundle.input.resize != bundle.input.pixels.resize:
        raise HardenerError(
            f"bundle.json asks for the resize rule {bundle.input.resize!r}, and its fit is "
            f"{bundle.input.pixels.fit!r}, which this version calls {bundle.input.pixels.resize!r}. Serve it with the "
            "version that exported it, or export it again."
        )
    classes = len(bundle.classes)
    size = [bundle.input.height, bundle.input.width, bundle.input.channels]
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    if list(inputs) != [INPUT] or not set(OUTPUTS) <= set(outputs):
        raise HardenerError(
            f"{bundle.model.file} has inputs {list(inputs)} and outputs {list(outputs)}; the service needs "
            f"{[INPUT]} and {list(OUTPUTS)}. Export it again with `hardener export RUN`."
        )
    images = inputs[INPUT]
    batch, *found = images.shape
    if (
        images.type != "tensor(uint8)"
        or found != size
        or (batch if isinstance(batch, int) else None) != bundle.input.batch
    ):
        raise HardenerError(
            f"{bundle.model.file} takes {images.type} {images.shape}, bundle.json says tensor(uint8) "
            f"{[bundle.input.batch or 'batch', *size]}. Export it again with `hardener export RUN`."
        )
    for name in OUTPUTS:
        shape = outputs[name].shape
        if len(shape) != 2 or shape[1] != classes or outputs[name].type != "tensor(float)":
            raise HardenerError(
                f"{bundle.model.file} gives {name} as {outputs[name].type} {shape}, bundle.json names "
                f"{classes} classes. Export it again with `hardener export RUN`."
            )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
