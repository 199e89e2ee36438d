"""CIFAR's Python version: pickles, of which nothing but arrays, texts and numbers is taken -> class folders."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hardener.data.brought import SplitName
from hardener.data.conversions._made import Made, as_png, class_of
from hardener.errors import HardenerError

_ALLOWED = {
    ("numpy", "dtype"), ("numpy", "ndarray"), ("_codecs", "encode"),
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
}  # fmt: skip


class CifarPython:
    """The folder cifar-10-batches-py or cifar-100-python."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a folder."""
        return _is_ten(root) or all((root / name).is_file() for name in ("train", "test", "meta"))

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made]:
        """Yield each image. Whatever else a pickle asks for is refused before it is made.

        Raises:
            HardenerError: a file is no such pickle.
        """
        ten = _is_ten(root)
        meta = _load(root / ("batches.meta" if ten else "meta")) if (root / "batches.meta").is_file() or not ten else {}
        names = [_text(name) for name in meta.get("label_names" if ten else "fine_label_names", ())]
        batches = [path.name for path in sorted(root.glob("data_batch_?"))] if ten else ["train"]
        parts: list[tuple[SplitName, list[str]]] = [("train", batches), ("test", ["test_batch" if ten else "test"])]
        for split, files in parts:
            for file in files:
                found = _load(root / file)
                labels = found.get("labels" if ten else "fine_labels")
                pixels = found.get("data")
                if not isinstance(labels, list) or not isinstance(pixels, np.ndarray) or pixels.shape[1:] != (3072,):
                    raise HardenerError(f"{root / file} is no batch of CIFAR's.")
                if len(pixels) != len(labels):
                    raise HardenerError(f"{root / file} has {len(pixels)} images and {len(labels)} labels.")
                for number, (row, label) in enumerate(zip(pixels, labels, strict=True)):
                    image = Image.fromarray(row.astype(np.uint8).reshape(3, 32, 32).transpose(1, 2, 0).copy())
                    called = class_of(int(label), names, f"image {number} of {root / file}")
                    yield Made(split, called, f"{file}-{number:05}", ".png", as_png(image))


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _is_ten(root: Path) -> bool:
    return all((root / name).is_file() for name in ("data_batch_1", "test_batch"))


def _load(path: Path) -> dict[str, Any]:
    try:
        found = _Arrays(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        return {_text(key): value for key, value in found.items()}
    except Exception as error:  # of a damaged pickle nearly anything
        raise HardenerError(f"{path} is no batch of CIFAR's: {error}.") from None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
