"""An ONNX file behind the same door as every other classifier: [0, 1] images in, logits out, no gradients."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx.external_data_helper import uses_external_data
from pydantic import ValidationError
from torch import Tensor, nn

from hardener.config.bundle import sha256_of
from hardener.config.pixels import BEFORE, PixelRule
from hardener.errors import Failure, HardenerError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
_PASSES_ON = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze"}

ImageSize = tuple[int | None, int | None, int | None]


class OnnxClassifier(nn.Module):
    """A deployed classifier: what leaves the file is what its users get.

    Attributes:
        path: the file.
        classes: names in the order of the logits; empty where the file does not say.
        image_shape: (height, width, channels); None where the file does not say.
        pixels: how files become its input; None where the file does not say.
        takes_bytes: the file takes uint8; `forward` rounds to the 256 levels that it will ever see.
        fingerprint: sha256 of the file, and of the weights beside it where it keeps them there.
        provider: of ONNX Runtime, `CPUExecutionProvider` or `CUDAExecutionProvider`.
    """

    def __init__(self, path: Path, session: onnxruntime.InferenceSession, graph: onnx.GraphProto) -> None:
        """Read how the file is to be fed; see `open_onnx` for the errors."""
        super().__init__()
        self.path = path
        self._session = session
        images = _only_input(path, session)
        self._input: str = images.name
        self.takes_bytes = images.type == "tensor(uint8)"
        self._dtype = np.uint8 if self.takes_bytes else _FLOATS[images.type]
        sizes = [size if isinstance(size, int) and size > 0 else None for size in images.shape]
        first, last = sizes[1] in (1, 3), sizes[3] in (1, 3)
        self._channels_last = last if first != last else self.takes_bytes
        self._batch = sizes[0]
        self._output, self._gives_probabilities, count = _answer(path, session, graph)
        facts = session.get_modelmeta().custom_metadata_map
        told = [size if isinstance(size, int) else None for size in _list(facts.get("input_size", ""))]
        own = sizes[1:] if self._channels_last else [*sizes[2:], sizes[1]]
        height, width, channels = (
            size or other for size, other in zip(own, told if len(told) == 3 else [None] * 3, strict=True)
        )
        self.image_shape: ImageSize = (height, width, channels)
        names = [str(name) for name in _list(facts.get("classes", ""))]
        self.classes: tuple[str, ...] = tuple(names) if count in (None, len(names)) else ()
        self.pixels = _pixel_rule(facts)
        self.fingerprint = _fingerprint(path, graph)
        self.provider: str = session.get_providers()[0]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (N, K), float32, for images (N, C, H, W), float in [0, 1], on their device.

        A file that takes uint8 gets the nearest of the 256 levels: a perturbation that rounds away is no perturbation
        of the deployed model. Where the file gives probabilities only, the logarithm of them is returned, which
        has the same softmax. The answer carries no gradient.

        Raises:
            HardenerError: images of another size than the file takes.
            Failure: ONNX Runtime cannot run the file.
        """
        self._check_size(images)
        pixels = images.detach().cpu()
        if self.takes_bytes:
            pixels = (pixels * 255).round().clamp(0, 255)
        if self._channels_last:
            pixels = pixels.permute(0, 2, 3, 1)
        fed: NDArray[np.generic] = np.ascontiguousarray(pixels.numpy().astype(self._dtype))
        if self._batch is None:
            answer = self._run(fed)
        else:
            pieces = [self._run_padded(fed[start : start + self._batch]) for start in range(0, len(fed), self._batch)]
            answer = np.concatenate(pieces) if pieces else self._run_padded(fed)
        if answer.ndim != 2:
            raise HardenerError(
                f"{self.path} answers with an array of shape {answer.shape}; a classifier answers with (N, K)."
            )
        found = torch.from_numpy(answer.astype(np.float32)).to(images.device)
        if self._gives_probabilities:
            found = found.clamp_min(torch.finfo(torch.float32).tiny).log()
        return found

    def _run_padded(self, fed: NDArray[np.generic]) -> NDArray[np.generic]:
        assert self._batch is not None, "called for a fixed batch only"
        missing = self._batch - len(fed)
        padding = np.zeros((missing, *fed.shape[1:]), fed.dtype)
        return self._run(np.concatenate([fed, padding]) if missing else fed)[: len(fed)]

    def _run(self, fed: NDArray[np.generic]) -> NDArray[np.generic]:
        try:
            (answer,) = self._session.run([self._output], {self._input: fed})
        except Exception as error:  # ONNX Runtime has a dozen exception types, derived from Exception alone
            raise Failure(f"ONNX Runtime cannot run {self.path} on {fed.shape}: {_first_line(error)}") from None
        found: NDArray[np.generic] = np.asarray(answer)
        return found

    def _check_size(self, images: Tensor) -> None:
        channels, height, width = images.shape[1:]
        given = (height, width, channels)
        if any(size not in (None, got) for size, got in zip(self.image_shape, given, strict=True)):
            takes = "x".join("any" if size is None else str(size) for size in self.image_shape)
            raise HardenerError(
                f"{self.path} takes images of {takes} (height, width, channels); got {'x'.join(map(str, given))}."
            )


def open_onnx(path: Path | str, *, on_gpu: bool | None = None) -> OnnxClassifier:
    """Open an ONNX file as a classifier.

    Two kinds of files are understood: those of `hardener export` (input uint8 (N, H, W, C), outputs `logits` and
    `probabilities`), and those from elsewhere with one float input (N, C, H, W) that takes [0, 1] and one output
    (N, K). A file that wants normalised images is to be wrapped in an `ImageClassifier` with their mean and std.
    Channels may come last in either kind; the batch may be fixed.

    Args:
        path: the .onnx file; weights that it keeps in another file lie where it says.
        on_gpu: run on the GPU; by default where torch and ONNX Runtime both see one.
    Raises:
        HardenerError: no such file, not ONNX, or not a classifier of images: several inputs, an input of another rank
            or type, several outputs of which none is named `logits` or `probabilities`.
        Failure: there is a GPU, but ONNX Runtime cannot use it.
    """
    path = Path(path)
    if not path.is_file():
        raise HardenerError(f"there is no file {path}. An ONNX file is written by `hardener export RUN`.")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        model = onnx.ModelProto()
    if not model.graph.node:
        raise HardenerError(f"{path} is not an ONNX model, or it is truncated. Export it again.")
    cuda = torch.cuda.is_available() and CUDA in onnxruntime.get_available_providers()
    session = _open_session(path, on_gpu=cuda if on_gpu is None else on_gpu)
    return OnnxClassifier(path, session, model.graph).eval()


def _open_session(path: Path, *, on_gpu: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # torch works in between
    providers: list[str | tuple[str, dict[str, str]]] = [CPU]
    if on_gpu:
        if CUDA not in onnxruntime.get_available_providers():
            raise HardenerError("this ONNX Runtime has no CUDA. Install onnxruntime-gpu, or use --device cpu.")
        onnxruntime.preload_dlls()
        # no search of algorithms, which every new batch size would start again, and the digits of the CPU
        providers.insert(0, (CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}))
    try:
        session = onnxruntime.InferenceSession(str(path), sess_options=options, providers=providers)
    except Exception as error:  # ONNX Runtime has a dozen exception types, derived from Exception alone
        raise HardenerError(f"{path} cannot be loaded by ONNX Runtime: {_first_line(error)} Export it again.") from None
    if on_gpu and session.get_providers()[0] != CUDA:  # it logs a line and goes on with the CPU
        raise Failure(
            "there is a GPU, but ONNX Runtime could not load CUDA or cuDNN and fell back to the CPU. "
            "Repair them, or use --device cpu."
        )
    return session


def _only_input(path: Path, session: onnxruntime.InferenceSession) -> onnxruntime.NodeArg:
    found = session.get_inputs()
    if len(found) != 1:
        names = ", ".join(node.name for node in found) or "none"
        raise HardenerError(f"{path} has {len(found)} inputs ({names}); a classifier of images has one.")
    (images,) = found
    takes = f"{path} takes {images.name} as {images.type} {images.shape}"
    if len(images.shape) != 4:
        raise HardenerError(
            f"{takes}; a classifier of images takes four dimensions: (N, C, H, W), or (N, H, W, C) as bytes."
        )
    if images.type != "tensor(uint8)" and images.type not in _FLOATS:
        raise HardenerError(f"{takes}; images are floats in [0, 1] or uint8.")
    return images


def _answer(path: Path, session: onnxruntime.InferenceSession, graph: onnx.GraphProto) -> tuple[str, bool, int | None]:
    """Return the output to read, whether it holds probabilities, and the number of classes where it is known."""
    outputs = {node.name: node for node in session.get_outputs()}
    name = next((name for name in ("logits", "probabilities") if name in outputs), "")
    if len(outputs) == 1:
        (name,) = outputs
    if not name:
        raise HardenerError(
            f"{path} has {len(outputs)} outputs ({', '.join(outputs)}); a classifier has one, or names the one that "
            "counts `logits` or `probabilities`."
        )
    kind, shape = outputs[name].type, outputs[name].shape
    if kind not in _FLOATS or len(shape) not in (0, 2) or shape[1:] == [1]:  # the file may leave out the shape: []
        raise HardenerError(
            f"{path} answers with {name} as {kind} {shape}; a classifier answers with floats (N, K), one for each of "
            "at least two classes."
        )
    count = shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None
    return name, name != "logits" and (name == "probabilities" or _is_softmax(graph, name)), count


def _is_softmax(graph: onnx.GraphProto, name: str) -> bool:
    """Find out whether an output comes from a Softmax, from there on only copied or reshaped."""
    makers = {output: node for node in graph.node for output in node.output}
    while name in makers and makers[name].op_type in _PASSES_ON:
        name = makers[name].input[0]
    return name in makers and makers[name].op_type == "Softmax"


def _list(text: str) -> list[Any]:
    """Read a JSON list from a file's metadata; anything else, which another tool may have written there, is empty."""
    found: object = None
    with contextlib.suppress(json.JSONDecodeError):
        found = json.loads(text)
    return found if isinstance(found, list) else []


def _pixel_rule(facts: Mapping[str, str]) -> PixelRule | None:
    if "pixels" in facts:
        with contextlib.suppress(ValidationError):
            return PixelRule.model_validate_json(facts["pixels"])
    return BEFORE if "hardener_version" in facts else None


def _fingerprint(path: Path, graph: onnx.GraphProto) -> str:
    beside = {
        entry.value
        for tensor in graph.initializer
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    digests = [sha256_of(path), *(sha256_of(path.parent / name) for name in sorted(beside))]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if line.endswith(".") else line + "."
