"""A classifier -> one ONNX file that takes uint8 images as decoders give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from hardener.errors import Failure
from hardener.models.normalize import ImageClassifier
from hardener.models.onnx.program import OPSET, batch_of, onnx_program


class _Deployable(nn.Module):
    """uint8 (N, H, W, C) -> logits and probabilities."""

    def __init__(self, classifier: ImageClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        # without .contiguous() a dynamic batch fills the graph with shape arithmetic
        pixels = images.permute(0, 3, 1, 2).contiguous().float() / 255
        logits = self.classifier(pixels).float()
        return logits, logits.softmax(dim=1)


def export_onnx(
    classifier: ImageClassifier,
    path: Path,
    *,
    height: int,
    width: int,
    channels: int,
    metadata: Mapping[str, str],
) -> int | None:
    """Write a classifier as one ONNX file, for any number of images where its code allows that.

    The graph's input is `images`, uint8 (N, height, width, channels); its outputs are `logits` and `probabilities`,
    float32 (N, K). Normalisation is inside.

    Args:
        classifier: on the CPU; exported in eval mode.
        metadata: texts for the file's metadata.
    Returns:
        The only number of images that the file takes at once; None for any.
    Raises:
        Failure: the exporter cannot translate the network, ONNX Runtime answers otherwise, or the file would exceed
            1.5 GB.
    """
    example = torch.zeros(1, height, width, channels, dtype=torch.uint8)
    model = onnx_program(_Deployable(classifier), example, outputs=["logits", "probabilities"])
    strip_traces(model)
    opset = opset_of(model)
    if opset != OPSET:
        raise Failure(f"the exporter wrote opset {opset} where {OPSET} was asked for.")
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return batch_of(model)


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the standard operators that a file uses."""
    return next(int(entry.version) for entry in model.opset_import if entry.domain in {"", "ai.onnx"})


def strip_traces(model: onnx.ModelProto) -> None:
    """Remove what the exporter leaves of this machine: stack traces with source paths."""
    model.graph.doc_string = ""
    for part in (
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
        model.graph,
    ):
        del part.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]
