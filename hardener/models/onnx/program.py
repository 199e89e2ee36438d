"""A PyTorch module -> an ONNX graph that answers as it does, for any number of images where that can be had."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from hardener.errors import Failure
from hardener.models.onnx.constants import Reads, Replayed, constant_reads
from hardener.models.onnx.fault import session_fault, translation_fault
from hardener.models.onnx.translations import TRANSLATIONS, DataDetached
from hardener.models.tame import told_of_chance
from hardener.runtime.model_state import same_draws

OPSET = 20
LARGEST_SINGLE_FILE = 1_500_000_000  # protobuf ends at 2 GB
SAME = 1e-3
"""Of the answers' scale: what a graph's may differ by."""
_ASKED = (1, 2, 3, 5, 17)  # images at once, where any number should do
_FIXED = (8, 1)
_FIRST = (2, 3)  # images at once, to see what a network's code reads as numbers


def onnx_program(module: nn.Module, example: Tensor, *, outputs: Sequence[str]) -> onnx.ModelProto:
    """Translate a module whose one argument is called `images`; ONNX Runtime was asked whether the graph answers alike.

    The first dimension is open where the module's code allows it, else fixed: `batch_of` tells.

    Args:
        module: put into eval mode; takes any number of images.
        example: an image or more, on the CPU.
        outputs: names of what `forward` returns.
    Raises:
        Failure: the exporter cannot translate it, ONNX Runtime cannot run what came of it or answers otherwise, or it
            has more parameters than one ONNX file holds.
    """
    size = sum(p.nbytes for p in module.parameters())
    if size > LARGEST_SINGLE_FILE:
        raise Failure(f"the model holds {size / 1e9:.1f} GB; one ONNX file holds at most 1.5 GB.")
    module.eval()
    reads, others = constant_reads(module, [_some(example, count) for count in _FIRST])
    faults: list[Failure] = []
    for batch, dimension in (
        (None, torch.export.Dim("batch")),
        (None, torch.export.Dim.DYNAMIC),  # code with whole numbers of the batch passes with this one only
        *((count, None) for count in _FIXED),
    ):
        images = _some(example, batch or 2)  # a batch of one would be taken as fixed
        try:
            model = _translated(module, images, outputs, dimension, reads)
        except Exception as error:  # the exporter raises nearly anything on a network it cannot trace
            faults.append(translation_fault(error, module, images, others))
            if type(error).__name__ == "ConversionError":  # an operation is missing, whatever the batch
                break
            continue
        if batch_of(model) != batch:  # what was to be open was closed without a word
            continue
        fault = _wrong(model, module, example, outputs)
        if fault is None:
            return model
        faults.append(fault)
    raise faults[-1] from faults[-1].__cause__


def batch_of(model: onnx.ModelProto) -> int | None:
    """Return the number of images that a graph takes at once; None for any."""
    size = model.graph.input[0].type.tensor_type.shape.dim[0]
    return int(size.dim_value) if size.HasField("dim_value") else None


def _some(example: Tensor, count: int) -> Tensor:
    """Return images of noise, like the example, the same each time."""
    shape = (count, *example.shape[1:])
    generator = torch.Generator().manual_seed(count)
    if example.is_floating_point():
        return torch.rand(shape, dtype=example.dtype, generator=generator)
    return torch.randint(0, 256, shape, dtype=example.dtype, generator=generator)


def _translated(
    module: nn.Module, images: Tensor, outputs: Sequence[str], dimension: Any, reads: Reads
) -> onnx.ModelProto:
    with _quiet(), Replayed(reads), DataDetached(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (images,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=outputs,
            dynamic_shapes=None if dimension is None else {"images": {0: dimension}},
            custom_translation_table=TRANSLATIONS,
            external_data=False,
            verbose=False,
        )
    assert program is not None, "the dynamo exporter returns a program"
    model: onnx.ModelProto = program.model_proto
    size = model.graph.input[0].type.tensor_type.shape.dim[0]
    if dimension is not None and not size.HasField("dim_value"):
        _rename(model, size.dim_param)
    return model


def _rename(model: onnx.ModelProto, name: str) -> None:
    """Call the open dimension `batch`, whatever the exporter calls it."""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param == name:
                size.dim_param = "batch"


def _wrong(model: onnx.ModelProto, module: nn.Module, example: Tensor, outputs: Sequence[str]) -> Failure | None:
    """Ask ONNX Runtime; return what is wrong with its answers, None where nothing is."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    fixed = batch_of(model)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
        )
        for count in _ASKED if fixed is None else (fixed,):
            images = _some(example, count)
            found = torch.from_numpy(np.asarray(session.run([outputs[0]], {"images": images.numpy()})[0]))
            with same_draws(images.device):
                expected, again = _answers(module, images), _answers(module, images)
            if not _alike(expected, again):
                return Failure(f"the model {told_of_chance(module)}. No file can agree with it.")
            if not _alike(found, expected):
                return Failure(
                    f"ONNX Runtime answers {count} image{'s' if count > 1 else ''} otherwise than the model does. "
                    "What the model's code takes from the images or their number as a plain Python number became a "
                    "constant of the file: compute it with tensor operations."
                )
    except Exception as error:  # ONNX Runtime has a dozen exception types, derived from Exception alone
        return session_fault(error, model)
    return None


@torch.no_grad()
def _answers(module: nn.Module, images: Tensor) -> Tensor:
    found = module(images)
    logits: Tensor = found[0] if isinstance(found, tuple) else found
    return logits


def _alike(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    scale = max(float(other.abs().nan_to_num().max()), 1.0)
    return torch.allclose(one.float(), other.float(), rtol=0, atol=SAME * scale, equal_nan=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter prints, warns and logs off the screen."""
    chatter = io.StringIO()
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(chatter),
            contextlib.redirect_stderr(chatter),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
