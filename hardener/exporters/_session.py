"""An exported file, opened to be compared or timed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hardener.errors import Failure

PixelBatch = NDArray[np.uint8]


def open_session(path: Path, *, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open a file on the CPU; 0 threads: as many as ONNX Runtime takes by itself.

    Raises:
        Failure: ONNX Runtime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a dozen exception types, derived from Exception alone
        raise Failure(f"ONNX Runtime cannot load {path}: {_first_line(error)}") from error


def batch_taken(session: onnxruntime.InferenceSession) -> int | None:
    """Return the number of images that a file takes at once; None for any."""
    size = session.get_inputs()[0].shape[0]
    return size if isinstance(size, int) else None


def logits_of(session: onnxruntime.InferenceSession, images: PixelBatch) -> NDArray[np.float32]:
    """Answer (N, H, W, C) images at once, or, where the file fixes their number, in as many pieces as it takes.

    Raises:
        Failure: ONNX Runtime cannot run the file.
    """
    size = batch_taken(session) or len(images)
    rows = []
    for first in range(0, len(images), size):
        piece = images[first : first + size]
        try:
            found = session.run(["logits"], {"images": filled(piece, size)})[0]
        except Exception as error:  # ONNX Runtime has a dozen exception types, derived from Exception alone
            raise Failure(f"ONNX Runtime cannot run the file on {len(piece)} images: {_first_line(error)}") from error
        rows.append(np.asarray(found, np.float32)[: len(piece)])
    return np.concatenate(rows)


def filled(images: PixelBatch, size: int) -> PixelBatch:
    """Repeat the last image until there are `size` of them."""
    missing = size - len(images)
    return images if missing <= 0 else np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
