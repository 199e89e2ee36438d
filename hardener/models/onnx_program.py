"""A PyTorch module -> an ONNX graph with a dynamic batch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence

import onnx
import torch
from torch import Tensor, nn

from hardener.errors import Failure

OPSET = 20
LARGEST_SINGLE_FILE = 1_500_000_000  # protobuf ends at 2 GB


def onnx_program(module: nn.Module, example: Tensor, *, outputs: Sequence[str]) -> onnx.ModelProto:
    """Translate a module whose one argument is called `images`; its first dimension becomes dynamic.

    Args:
        module: put into eval mode.
        example: an input, of two images at least: a batch of one would be taken as fixed.
        outputs: names of what `forward` returns.
    Raises:
        Failure: the exporter cannot translate it, or it has more parameters than one ONNX file holds.
    """
    size = sum(p.nbytes for p in module.parameters())
    if size > LARGEST_SINGLE_FILE:
        raise Failure(f"the model holds {size / 1e9:.1f} GB; one ONNX file holds at most 1.5 GB.")
    chatter = io.StringIO()
    logging_before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(chatter),
            contextlib.redirect_stderr(chatter),
        ):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module.eval(),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=outputs,
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # the exporter raises nearly anything on a network it cannot trace
        first = (str(error).strip().splitlines() or ["no message"])[0]
        raise Failure(
            f"torch's exporter cannot translate the model: {type(error).__name__}: {first} Rewrite the part that it "
            "names with plain tensor operations; control flow that depends on pixel values cannot be exported."
        ) from error
    finally:
        logging.disable(logging_before)
    assert program is not None, "the dynamo exporter returns a program"
    model: onnx.ModelProto = program.model_proto
    return model
