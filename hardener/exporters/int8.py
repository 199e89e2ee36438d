"""A float32 ONNX file -> the same graph with its layers in int8."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from hardener.errors import Failure, HardenerError
from hardener.exporters._session import batch_taken, filled, logits_of, open_session
from hardener.exporters.onnx import opset_of, strip_traces

ENOUGH_AGREEMENT = 0.99
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Not among them: the pooling before the classifier, Softmax and normalising layers. They cost next to nothing in
# float32, and the rounded pooled features alone changed four of five of the answers that int8 changed at all.
_QUANTIZED = (
    *_LAYERS, "Add", "Mul", "Relu", "LeakyRelu", "Clip", "MaxPool", "AveragePool", "Concat", "Pad", "Resize",
)  # fmt: skip
_CHUNK = 8
_PROBED = 32  # images that a layer's sensitivity is measured on

PixelBatch = NDArray[np.uint8]


def quantize_int8(
    source: Path,
    target: Path,
    calibration: PixelBatch,
    trial: PixelBatch,
    *,
    on_done: Callable[[int], None] | None = None,
) -> list[str]:
    """Write an int8 copy of a file that `export_onnx` wrote: same input, same outputs, same metadata.

    Static quantisation in QDQ form: activations uint8, ranges the smallest and largest value that the calibration
    images cause; weights int8, a scale for each output channel, which x86 CPUs need to gain anything. The last layer
    and the pooling before it stay float32. Where the copy then disagrees with the source on more than 1 % of the trial
    images, the layers whose rounding moves the logits most stay float32 too: 1, 2, 4 … of them, at most half.

    Args:
        source: the float32 file.
        target: where to write.
        calibration: (N, H, W, C) uint8, training images.
        trial: other training images.
        on_done: called with a number of calibration images as they are dealt with.
    Returns:
        The names of the layers that stayed float32, the last one excepted.
    Raises:
        HardenerError: the source is int8 already, or no image is given.
        Failure: it has no layer to quantise, or ONNX Runtime's quantiser cannot take it.
    """
    if len(calibration) == 0 or len(trial) == 0:
        raise HardenerError("int8 needs training images to calibrate on; there are none.")
    plain = onnx.load(str(source))
    if any(node.op_type == "QuantizeLinear" for node in plain.graph.node):
        raise HardenerError(f"{source} is quantised already. Name the float32 file.")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        work = _Work(Path(folder), source, calibration, on_done)
        expected = _logits(source, trial)
        kept: list[str] = []
        model = work.quantize(kept)
        best = _agreement(work.logits(model, trial), expected)
        if best < ENOUGH_AGREEMENT:
            ranked = _most_sensitive(work, trial[:_PROBED], expected[:_PROBED])
            count = 1
            while best < ENOUGH_AGREEMENT and count <= len(work.layers) // 2:
                tried = work.quantize(ranked[:count])
                found = _agreement(work.logits(tried, trial), expected)
                if found > best:
                    best, model, kept = found, tried, ranked[:count]
                count *= 2
    _finish(model, plain)
    target.write_bytes(model.SerializeToString())
    return kept


def add_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Add to the facts that a file carries, or replace some of them."""
    model = onnx.load(str(path))
    facts = {entry.key: entry.value for entry in model.metadata_props} | dict(metadata)
    onnx.helper.set_model_props(model, facts)
    path.write_bytes(model.SerializeToString())


class _Work:
    """Quantises one file again and again, calibrated once.

    `layers`: the names of the layers that can be quantised.
    """

    def __init__(
        self, folder: Path, source: Path, calibration: PixelBatch, on_done: Callable[[int], None] | None
    ) -> None:
        self._prepared, self._ranges, self._result = folder / "a.onnx", folder / "ranges.json", folder / "int8.onnx"
        self._calibration, self._on_done = calibration, on_done
        with _understood(source):
            quant_pre_process(str(source), str(self._prepared), skip_symbolic_shape=True)
        graph = onnx.load(str(self._prepared)).graph
        head = _head(graph)
        self._head = [node.name for node in graph.node if node.name in head]
        self.layers = [node.name for node in graph.node if node.op_type in _LAYERS and node.name not in head]
        if not self.layers:
            raise Failure(
                f"{source} has no layer that int8 would speed up: beside its last one it needs a convolution or a "
                "matrix product. Serve it in float32."
            )
        self._source, self._batch = source, batch_taken(open_session(source))

    def quantize(self, kept: Sequence[str]) -> onnx.ModelProto:
        """Quantise all layers but these."""
        return self._run(nodes_to_exclude=[*self._head, *kept])

    def quantize_only(self, layer: str) -> onnx.ModelProto:
        """Quantise this layer alone."""
        return self._run(nodes_to_quantize=[layer])

    def logits(self, model: onnx.ModelProto, images: PixelBatch) -> NDArray[np.float32]:
        """Return a quantised model's answers."""
        self._result.write_bytes(model.SerializeToString())
        return _logits(self._result, images)

    def _run(self, **nodes: Any) -> onnx.ModelProto:
        known = self._ranges.is_file()
        with _understood(self._source):
            quantize_static(
                str(self._prepared),
                str(self._result),
                None if known else _Reader(self._calibration, self._batch, self._on_done),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_QUANTIZED),
                per_channel=True,
                reduce_range=True,  # a processor without VNNI adds two products in 16 bits, and 8-bit weights overflow
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibration_cache_path=str(self._ranges),
                **nodes,
            )
        return onnx.load(str(self._result))


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands the images out in small batches, so that a network's activations are in memory for a few images only."""

    def __init__(self, images: PixelBatch, batch: int | None, on_done: Callable[[int], None] | None) -> None:
        size = batch or _CHUNK
        pieces = [images[first : first + size] for first in range(0, len(images), size)]
        self._pieces = iter(pieces if batch is None else [filled(piece, size) for piece in pieces])
        self._on_done = on_done or (lambda _: None)

    def get_next(self) -> dict[str, PixelBatch] | None:
        """Return the next batch, None at the end."""
        piece = next(self._pieces, None)
        if piece is None:
            return None
        self._on_done(len(piece))
        return {"images": piece}


def _head(graph: onnx.GraphProto) -> set[str]:
    """Return the nodes between the last layers and the outputs, these layers included."""
    makers = {output: node for node in graph.node for output in node.output}
    waiting, found = [output.name for output in graph.output], set()
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found.add(node.name)
        if node.op_type not in _LAYERS:
            waiting += node.input
    return found


def _most_sensitive(work: _Work, images: PixelBatch, expected: NDArray[np.float32]) -> list[str]:
    """Order the layers: first those that move the logits most when they alone are rounded."""
    moved = {
        layer: float(np.abs(work.logits(work.quantize_only(layer), images) - expected).mean()) for layer in work.layers
    }
    return sorted(moved, key=moved.__getitem__, reverse=True)


def _logits(path: Path, images: PixelBatch) -> NDArray[np.float32]:
    session = open_session(path, threads=1)
    return np.concatenate(
        [logits_of(session, images[first : first + _CHUNK]) for first in range(0, len(images), _CHUNK)]
    )


def _agreement(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())


def _finish(model: onnx.ModelProto, plain: onnx.ModelProto) -> None:
    """Give the copy the facts of its source, and remove what the quantiser leaves."""
    strip_traces(model)
    del model.metadata_props[:]
    model.metadata_props.extend(plain.metadata_props)
    used = {node.domain for node in model.graph.node}
    left = [entry for entry in model.opset_import if entry.domain in {"", "ai.onnx"} or entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(left)
    model.producer_name, model.producer_version = plain.producer_name, plain.producer_version
    if opset_of(model) != opset_of(plain):
        raise Failure(f"the quantiser wrote opset {opset_of(model)} where {opset_of(plain)} came in.")
    onnx.checker.check_model(model)


@contextlib.contextmanager
def _understood(source: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the quantiser raises nearly anything on a graph that it cannot take
        first = (str(error).strip().splitlines() or ["no message"])[0]
        raise Failure(f"ONNX Runtime's quantiser cannot take {source}: {type(error).__name__}: {first}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's hints and prints from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
