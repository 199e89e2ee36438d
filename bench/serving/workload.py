"""What the serving benches serve and send: bundles of ResNet-18 and of a free model, and a photo-like JPEG.

`python bench/serving/workload.py DIR` makes them all; the other scripts make what they lack.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hardener.config.bundle import sha256_of
from hardener.config.pixels import RESIZE_RULES

SIZE = 224
CLASSES = 1000
BOUNDARY = "hardener-bench-boundary"
CALIBRATION_IMAGES = 32
_PICTURES = (8, 128)  # coarsest and finest pattern of a picture, in cells a side


def picture(seed: int, size: int = SIZE) -> NDArray[np.uint8]:
    """Draw a photo-like image: patterns of many sizes, the finer the fainter, the colours going together.

    Returns:
        (size, size, 3), uint8.
    """
    generator = np.random.default_rng(seed)
    total = np.full((size, size, 3), generator.uniform(90, 160, 3), np.float32)
    cells, finest = _PICTURES
    while cells <= finest:
        gray = generator.normal(size=(cells, cells, 1)) + 0.35 * generator.normal(size=(cells, cells, 3))
        for channel in range(3):
            plane = Image.fromarray(gray[:, :, channel].astype(np.float32))
            total[:, :, channel] += 190 / cells**0.55 * np.asarray(plane.resize((size, size), Image.Resampling.BICUBIC))
        cells *= 2
    return np.clip(total, 0, 255).astype(np.uint8)


def encoded(pixels: NDArray[np.uint8], kind: str = "JPEG", **options: object) -> bytes:
    """Encode an image as a file's bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def upload() -> bytes:
    """Return the file that the load sends: a 224-pixel JPEG of about 14 kB."""
    return encoded(picture(0), quality=77)


def multipart(data: bytes, *, field: str = "image", fields: dict[str, str] | None = None) -> bytes:
    """Write a multipart body with one file, under `BOUNDARY`."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (fields or {}).items()
    ]
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="a.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return "".join(parts).encode() + head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def post(path: str, body: bytes, *, content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> bytes:
    """Write a whole HTTP/1.1 request; the connection stays open."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def bundles(folder: Path, *names: str) -> dict[str, Path]:
    """Return the bundles named (`float32`, `int8`, `null`), made where `folder` lacks them."""
    makers: dict[str, Callable[[Path], None]] = {"float32": _float32, "int8": _int8, "null": _null}
    for name in names:
        path = folder / name
        if not (path / "bundle.json").is_file():
            path.mkdir(parents=True, exist_ok=True)
            makers[name](path)
    return {name: folder / name for name in names}


def describe(folder: Path, name: str, classes: int, size: int = SIZE) -> None:
    """Write the bundle.json of `folder`/model.onnx; what was never measured is said to be absent."""
    model = folder / "model.onnx"
    imports = onnx.load(str(model), load_external_data=False).opset_import
    opset = next(entry.version for entry in imports if entry.domain in {"", "ai.onnx"})
    described = {
        "schema": "hardener/bundle/1",
        "name": name,
        "created_at": "2025-01-01T00:00:00Z",
        "hardener_version": "0",
        "recipe": "none",
        "fingerprint": hashlib.sha256(name.encode()).hexdigest(),
        "model": {"file": model.name, "sha256": sha256_of(model), "bytes": model.stat().st_size, "opset": int(opset)},
        "input": {"height": size, "width": size, "channels": 3, "resize": RESIZE_RULES["crop"]},
        "classes": [f"class-{index:03d}" for index in range(classes)],
        "noise_sigma": 0.25,
        "parity": {"images": 0, "largest_logit_difference": 0.0, "tolerance": 0.0, "argmax_agreement": 1.0},
        "evaluation": None,
        "evaluations": [],
        "threat": {"norm": "linf", "eps": 8 / 255},
    }
    (folder / "bundle.json").write_text(json.dumps(described, indent=2))
    (folder / "model_card.md").write_text(f"# {name}\n\nA model of the serving benches, with random weights.\n")


def _float32(folder: Path) -> None:
    import torch
    from torchvision.models import resnet18

    from hardener.exporters.onnx import export_onnx
    from hardener.models.normalize import IMAGENET, ImageClassifier

    torch.manual_seed(0)
    mean, std = IMAGENET
    names = [str(index) for index in range(CLASSES)]
    network = ImageClassifier(resnet18(weights=None).eval(), mean=mean, std=std, classes=names)
    export_onnx(network, folder / "model.onnx", height=SIZE, width=SIZE, channels=3, metadata={})
    describe(folder, "resnet18-float32", CLASSES)


def _int8(folder: Path) -> None:
    """Quantise the float32 bundle as `hardener export --quantize int8` does."""
    from hardener.exporters.int8 import quantize_int8

    source = bundles(folder.parent, "float32")["float32"] / "model.onnx"
    pictures = np.stack([picture(1 + seed) for seed in range(2 * CALIBRATION_IMAGES)])
    quantize_int8(source, folder / "model.onnx", pictures[:CALIBRATION_IMAGES], pictures[CALIBRATION_IMAGES:])
    describe(folder, "resnet18-int8", CLASSES)


def _null(folder: Path) -> None:
    """Write a model whose ten logits come from the mean colour: the request costs all, the model nothing."""
    weights = np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32)
    shapes = [("images", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])]
    shapes += [(name, TensorProto.FLOAT, ["batch", 10]) for name in ("logits", "probabilities")]
    graph = helper.make_graph(
        [
            # a strided look at 28 x 28 pixels, so that not even the mean is work
            helper.make_node("Slice", ["images", "starts", "ends", "axes", "steps"], ["few"]),
            helper.make_node("Cast", ["few"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
            helper.make_node("Gemm", ["mean", "weights", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "null",
        [helper.make_tensor_value_info(*shape) for shape in shapes[:1]],
        [helper.make_tensor_value_info(*shape) for shape in shapes[1:]],
        [
            numpy_helper.from_array(np.array([0, 0], np.int64), "starts"),
            numpy_helper.from_array(np.array([SIZE, SIZE], np.int64), "ends"),
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(np.array([8, 8], np.int64), "steps"),
            numpy_helper.from_array(weights / np.float32(255), "weights"),
            numpy_helper.from_array(np.zeros(10, np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(folder / "model.onnx"))
    describe(folder, "null", 10)


def main() -> None:
    """Make every bundle and the upload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    for name, path in bundles(asked.folder, "float32", "int8", "null").items():
        print(f"{name:8} {(path / 'model.onnx').stat().st_size / 1e6:6.1f} MB  {path}")
    (asked.folder / "upload.jpg").write_bytes(upload())
    print(f"upload   {len(upload()) / 1e3:6.1f} kB  {asked.folder / 'upload.jpg'}")


if __name__ == "__main__":
    main()
