"""Bundles whose answers are known in closed form, made with ONNX's own helpers; and image files."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hardener.config.pixels import RESIZE_RULES

EVALUATION = {
    "split": "test",
    "norm": "linf",
    "eps": 8 / 255,
    "samples": 1000,
    "clean_accuracy": 0.9,
    "robust_accuracy": 0.4,
    "interval": [0.37, 0.43],
    "attacks": ["pgd"],
    "evaluated_at": "2025-01-01T00:00:00Z",
}

INT8 = {
    "kind": "int8", "calibration_images": 1, "samples": 1, "top1_agreement": 1.0, "clean_accuracy": 1.0,
    "clean_accuracy_float32": 1.0, "norm": "linf", "eps": 0.1, "attacks": ["pgd"], "robust_accuracy": 1.0,
    "robust_accuracy_float32": 1.0, "interval": [0.0, 1.0], "certified_radius": None, "certified_accuracy": None,
    "certified_accuracy_float32": None,
}  # fmt: skip


def linear_bundle(
    folder: Path,
    weights: NDArray[np.float32],
    bias: Sequence[float],
    *,
    classes: Sequence[str] | None = None,
    changes: dict[str, Any] | None = None,
) -> Path:
    """Write a bundle whose logits are `images / 255` flattened, times `weights`, plus `bias`.

    Args:
        weights: (H, W, C, K).
        changes: keys of bundle.json to replace; `input` is merged.
    """
    height, width, channels, count = weights.shape
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["float"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", height, width, channels])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", count])
            for name in ("logits", "probabilities")
        ],
        [
            numpy_helper.from_array(weights.reshape(-1, count).astype(np.float32) / np.float32(255), "weights"),
            numpy_helper.from_array(np.asarray(bias, np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    onnx.save(model, str(path))
    content = path.read_bytes()
    spec = {"height": height, "width": width, "channels": channels, "resize": RESIZE_RULES["crop"]}
    described: dict[str, Any] = {
        "schema": "hardener/bundle/1",
        "name": "linear",
        "created_at": "2025-01-01T00:00:00Z",
        "hardener_version": "0.1.0",
        "recipe": "sprout",
        "fingerprint": "f" * 64,
        "model": {
            "file": path.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "opset": 18,
        },
        "input": spec,
        "classes": list(classes or [f"class-{index}" for index in range(count)]),
        "noise_sigma": 0.25,
        "parity": {
            "images": 16,
            "largest_logit_difference": 1e-6,
            "tolerance": 1e-4,
            "argmax_agreement": 1.0,
        },
        "evaluation": EVALUATION,
        "evaluations": [EVALUATION],
    }
    changes = changes or {}
    described |= changes | {"input": spec | changes.get("input", {})}
    (folder / "bundle.json").write_text(json.dumps(described))
    return folder


def image_bytes(pixels: NDArray[np.uint8], file_format: str = "PNG", **options: Any) -> bytes:
    """Encode (H, W, C) pixels."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return shares
