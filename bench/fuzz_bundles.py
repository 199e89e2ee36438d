"""Altered bundles: each is refused in one line, or served, and what is served then is right.

Right means: no answer is a failure of the service, every answer is JSON as RFC 8259 has it, and a certificate says what
its draws support. A model whose altered weights overflow on an image may say of that image that it has no answer (500).
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import onnx
from fuzz_values import NUMBERS, Draw, damaged, put_somewhere, text
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, numpy_helper
from PIL import Image

from hardener.config.answer import Prediction
from hardener.config.bundle import Bundle, read_bundle, sha256_of
from hardener.errors import HardenerError
from hardener.statistics.betting import lower_bound
from hardener.words import one_line
from serving.app import create_app
from serving.certificate import DEFAULT_NOISE_SIGMA
from serving.service_state import ServiceState
from serving.settings import BundleSource, Settings

if TYPE_CHECKING:
    from fuzz_home import Home

_LIKELY: dict[str, list[Any]] = {
    "noise_sigma": [0.1, 0.25, 1, 0, -1.0, 1e-300, 1e-9, 0.5, 1000, 1e9, None, "0.25", math.nan, math.inf, True],
    "classes": [
        ["猫", "b"],
        ["a b", "می‌خواهم"],
        ["a" * 999, "0"],
        [],
        ["a"],
        ["a", "a"],
        ["", "b"],
        ["a\x1b[2J", "b"],
        ["a\n", "b"],
        ["a", "b", "c"],
        "ab",
        None,
    ],
    "threat.eps": [0, 0.5, 2 / 255, 1e-300, 1, 1.5, 1e8, 1e300, -1, math.nan],
    "threat.norm": ["linf", "l2", "l1", "spatial", "LINF"],
    "threat": [None, {}, {"norm": "l2", "eps": 1e9}],
    "evaluation": [None, {}],
    "input.height": [0, 1, 7, 9, 65536, -8, 8.0, True],
    "input.channels": [1, 3, 2, True, "1"],
    "input.batch": [None, 0, 1, 8, 10**9],
    "input.pixels": [None, {}, {"fit": "letterbox"}, {"range": [0, 1e308]}, {"range": [-1e308, 1e308]}],
    "model.file": ["../model.onnx", "/etc/passwd", "bundle.json", "model_card.md", "", ".", "..", "\0"],
    "training_images": [None, {}],
    "training_images.width.q01": [-1e308, 0, 1e9],
    "parity.images": [0, 10**9, -1, 0.5],
    "recipe": ["", "x", "\x07"],
    "name": ["0", "models/a", "ä", "", " ", "../a", "a\r\nb", "a" * 999, "a" * 1001],
}


def bundles(draw: Draw, home: Home) -> None:
    """A bundle that was altered in one to three ways, read and served in this process."""
    folder = home.file("bundle/bundle.json").parent
    shutil.copytree(home.run.bundle, folder, dirs_exist_ok=True)
    ways = draw.choices(list(_WAYS), weights=list(_WAYS.values()), k=draw.choice([1, 1, 1, 2]))
    for way in ways:
        way(draw, folder)
    try:
        bundle = read_bundle(folder)
        service = ServiceState(Settings(bundles=(BundleSource(folder),), device="cpu", lanes=1, selection_draws=4))
    except HardenerError as error:
        if str(error) != one_line(str(error)):
            raise RuntimeError(f"a refusal is no line of text: {error!r}") from error
        raise
    try:
        asyncio.run(_talk(service, bundle, draw, weak=_weights in ways or _graph in ways))
    finally:
        service.close()


async def _talk(service: ServiceState, bundle: Bundle, draw: Draw, *, weak: bool) -> None:
    """Ask for everything there is.

    Args:
        weak: the model may have no answer to an image.
    """
    size = draw.choice([1, 8, 40]), draw.choice([1, 8, 40])
    pixels = np.frombuffer(draw.randbytes(size[0] * size[1]), np.uint8).reshape(size)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    upload = {"files": {"image": file.getvalue()}}
    transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client:
        for path in ("/model", "/models", "/model/card", "/openapi.json", "/metrics", "/"):
            _no_failure(await client.get(path))
        report = {"draws": 12, "queries": 4, "budget_s": 5}
        for path, options in (("/predict", {}), ("/predict/batch", {}), ("/report", report)):
            answer = await client.post(path, params=options, **upload)  # type: ignore[arg-type]
            if answer.status_code == 500 and weak and "finite" in answer.text:
                continue
            _no_failure(answer)
            if path == "/report":
                _check(Prediction.model_validate_json(answer.content), bundle, service.settings.alpha)


def _no_failure(answer: httpx.Response) -> None:
    assert answer.status_code == 200 or (answer.status_code, answer.request.url.path) == (404, "/model/card"), (
        answer.status_code,
        answer.text[:500],
    )
    if "json" in answer.headers["content-type"]:
        json.loads(answer.content, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} in JSON")


def _check(answer: Prediction, bundle: Bundle, alpha: float) -> None:
    assert answer.report is not None
    found = answer.report.certificate
    sigma = DEFAULT_NOISE_SIGMA if bundle.noise_sigma is None else bundle.noise_sigma
    assert found.noise_sigma == sigma > 0
    assert found.abstained == (found.radius is None)
    assert found.lower_bound == lower_bound(found.agreeing_draws, found.draws, alpha)
    assert found.radius == (sigma * NormalDist().inv_cdf(found.lower_bound) if found.lower_bound > 0.5 else None)
    assert found.radius is None or (0 <= found.radius < math.inf and found.agreeing_draws > found.draws / 2)
    assert found.trained_with_this_noise == (bundle.noise_sigma is not None)
    assert found.index is None or found.label == bundle.classes[found.index]
    assert all(label == one_line(label) and label.strip() for label in answer.probabilities)
    assert math.isclose(sum(answer.probabilities.values()), 1, abs_tol=0.06)


def _described(folder: Path) -> Any:
    path = folder / "bundle.json"
    try:
        return json.loads(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError):
        return {}


def _describe(folder: Path, value: Any) -> None:
    path = folder / "bundle.json"
    if path.is_file():
        path.unlink()  # it may be a link
        path.write_bytes(json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _somewhere(draw: Draw, folder: Path) -> None:
    described = _described(folder)
    if isinstance(described, dict | list):
        odd = [item for item in NUMBERS if not isinstance(item, bytes)]
        put_somewhere(draw, described, [*odd, text(draw), text(draw)])
        _describe(folder, described)


def _likely(draw: Draw, folder: Path) -> None:
    described, key = _described(folder), draw.choice(list(_LIKELY))
    *sections, last = key.split(".")
    place = described
    for section in sections:
        place = place.get(section) if isinstance(place, dict) else None
    if isinstance(place, dict):
        place[last] = draw.choice(_LIKELY[key])
        _describe(folder, described)


def _bytes(draw: Draw, folder: Path) -> None:
    path = folder / draw.choice(["bundle.json", "bundle.json", "model.onnx", "model_card.md"])
    if path.is_file():
        data = damaged(draw, path.read_bytes())
        path.unlink()
        path.write_bytes(data)
    if draw.random() < 0.8:
        _tell_hash(folder)


def _files(draw: Draw, folder: Path) -> None:
    path = folder / draw.choice(["bundle.json", "model.onnx", "model_card.md", "other"])
    target = draw.choice(["/etc/passwd", "..", "../../imgs", ".", "model.onnx", "nowhere", "/dev/zero", str(path)])
    if path.is_symlink() or path.is_file():
        path.rename(folder.parent / path.name) if draw.random() < 0.5 else path.unlink()
    kind = draw.randrange(4)
    if kind == 0:
        path.mkdir(exist_ok=True)
    elif kind == 1 and not path.exists():
        os.mkfifo(path)
    elif kind == 2 and not path.exists():
        path.symlink_to(target)


def _graph(draw: Draw, folder: Path) -> None:
    """Change the graph, and tell its new hash."""
    model = _model(folder)
    if model is None:
        return
    graph, kind = model.graph, draw.randrange(6)
    if kind == 0 and graph.node:
        del graph.node[draw.randrange(len(graph.node))]
    elif kind == 1 and graph.node:
        graph.node[draw.randrange(len(graph.node))].op_type = draw.choice(["Identity", "Sqrt", "Log", "Neg", "Nothing"])
    elif kind == 2 and graph.output:
        graph.output[draw.randrange(len(graph.output))].name = draw.choice(["logits", "images", "x", ""])
    elif kind == 3 and graph.initializer:
        tensor = draw.choice(list(graph.initializer))
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=draw.choice(["model_card.md", "/etc/passwd", "../x"]))
    elif kind == 4 and graph.input:
        size = draw.choice(list(graph.input)).type.tensor_type.shape.dim
        if size:
            size[draw.randrange(len(size))].dim_value = draw.choice([0, 1, 2, 8, 2**40])
    else:
        model.ClearField(draw.choice(["graph", "opset_import", "ir_version"]))
    _save(folder, model)


def _weights(draw: Draw, folder: Path) -> None:
    """Change the weights, and tell the new hash."""
    model = _model(folder)
    if model is None:
        return
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and not tensor.external_data and draw.random() < 0.5:
            values = numpy_helper.to_array(tensor)
            factor = np.float32(draw.choice([0, -1, 1e4, 1e20, 1e38, math.inf, math.nan]))
            with np.errstate(all="ignore"):
                tensor.CopyFrom(numpy_helper.from_array(values * factor, tensor.name))
    _save(folder, model)


def _model(folder: Path) -> onnx.ModelProto | None:
    path = folder / "model.onnx"
    try:
        return onnx.load(str(path), load_external_data=False) if path.is_file() else None
    except (OSError, DecodeError):
        return None


def _save(folder: Path, model: onnx.ModelProto) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    _tell_hash(folder)


def _tell_hash(folder: Path) -> None:
    described, path = _described(folder), folder / "model.onnx"
    if isinstance(described, dict) and isinstance(described.get("model"), dict) and path.is_file():
        described["model"] |= {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        _describe(folder, described)


_WAYS: dict[Callable[[Draw, Path], None], int] = {
    _somewhere: 6, _likely: 6, _bytes: 3, _files: 2, _graph: 3, _weights: 2,
}  # fmt: skip
