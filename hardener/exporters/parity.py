"""Is the ONNX file the model that was trained?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hardener.config.bundle import Parity
from hardener.errors import Failure
from hardener.exporters._session import logits_of, open_session
from hardener.models.normalize import ImageClassifier

_RELATIVE_TOLERANCE = 1e-3


def compare(classifier: ImageClassifier, path: Path, images: Tensor, *, batch_size: int = 16) -> Parity:
    """Run the same images through the network and through ONNX Runtime on the CPU.

    Args:
        classifier: on the CPU, in eval mode.
        images: (N, C, H, W) uint8, real ones.
    Returns:
        The largest logit difference, and the share of images with the same answer. Where the two best logits of an
        image lie closer together than the tolerance, either answer counts as the same.
    Raises:
        Failure: a logit differs by more than 0.1 % of the logits' scale, or an answer differs.
    """
    session = open_session(path)
    rows = []
    for piece in (images[:1], *images[1:].split(batch_size)):  # a batch of one as well
        if len(piece) == 0:
            continue
        with torch.no_grad():
            logits = classifier(piece.float() / 255).numpy()
        rows.append((logits, logits_of(session, piece.permute(0, 2, 3, 1).contiguous().numpy())))
    expected = np.concatenate([row[0] for row in rows])
    found = np.concatenate([row[1] for row in rows])
    silent = int((~np.isfinite(expected).all(axis=1)).sum())
    if silent:
        raise Failure(
            f"the model's answers to {silent} of {len(expected)} images are NaN or infinite: there is nothing to "
            "serve. Train it again with --set optimizer.gradient_clip=1. No bundle was written."
        )
    scale = max(float(np.abs(expected).max()), 1.0)
    tolerance = _RELATIVE_TOLERANCE * scale
    differences = np.abs(expected - found).max(axis=1)
    top_two = np.sort(expected, axis=1)[:, -2:]
    tied = top_two[:, 1] - top_two[:, 0] <= tolerance
    agreeing = (expected.argmax(axis=1) == found.argmax(axis=1)) | tied
    parity = Parity(
        images=len(expected),
        largest_logit_difference=float(differences.max()),
        tolerance=tolerance,
        argmax_agreement=float(agreeing.mean()),
    )
    if not parity.largest_logit_difference <= tolerance or parity.argmax_agreement < 1:
        raise Failure(
            f"the ONNX file disagrees with the model: largest logit difference {parity.largest_logit_difference:.3g} "
            f"(tolerance {tolerance:.3g}), same answer on {100 * parity.argmax_agreement:.1f} % of {parity.images} "
            "images. No bundle was written."
        )
    return parity
