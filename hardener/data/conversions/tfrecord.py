"""TFRecord: files of tf.train.Example, with an image file and a label each -> class folders."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from hardener.config.wire import fields, integers
from hardener.data.conversions._made import Made, Skipped, class_of, ending_of, flat_parts, names_in
from hardener.data.shards import split_of_shard
from hardener.errors import HardenerError

_NAME = re.compile(r".*\.tfrec(?:ords?)?(?:-\d+-of-\d+)?(?:\.gz)?|.*-\d{5}-of-\d{5}", re.I)
_TEXTS = ("image/class/text", "class_name", "label_name", "class/text")
_NUMBERS = ("image/class/label", "label", "class", "target", "labels", "y", "fine_label", "image/label")
_IMAGES = ("image/encoded", "image", "encoded", "image_raw", "jpeg", "img", "image/image", "x", "picture")
Example = dict[str, list[bytes] | list[int]]


class TfRecord:
    """A file, a folder of them, or one with a folder for each split, as TensorFlow Datasets and Kaggle hand them out.

    Kaggle's test split has no classes: it is passed over.
    """

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file or folder: by its name, and by the length that begins a record."""
        return any(map(_is_record, _files(root)[:1]))

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made | Skipped]:
        """Yield each example's image. TensorFlow Datasets' label.labels.txt names the classes.

        Raises:
            HardenerError: a file is damaged, or an example has no image file or no label.
        """
        files = _files(root)
        names = _class_names(root) or _class_names(files[0].parent)
        for path in files:
            split = split_of_shard(path.relative_to(root).as_posix()) if root.is_dir() else None
            for number, record in enumerate(_records(path)):
                example, where = _example(record, path, number), f"record {number} of {path}"
                data, label = _image(example, path, number), _label(example, names, where)
                name = f"{path.name}-{number:06}"
                if label is not None:
                    yield Made(split, label, name, ending_of(data, where), data)
                elif split == "test":
                    yield Skipped("test images without a class", name)
                else:
                    raise HardenerError(f"{where} has {', '.join(sorted(example))}, and none is known for a class.")


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if _NAME.fullmatch(root.name) else []
    folders = [folder for folder in flat_parts(root) if any(map(_NAME.fullmatch, names_in(folder)))]
    found = (path for folder in folders for path in folder.iterdir())
    return sorted(path for path in found if _NAME.fullmatch(path.name) and path.is_file())


def _is_record(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    if start[:2] == b"\x1f\x8b":
        return True
    return len(start) == 12 and int.from_bytes(start[:8], "little") + 16 <= path.stat().st_size


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as source:
            while head := source.read(12):
                (length,) = struct.unpack("<Q", head[:8])
                if length > 1 << 30:
                    raise EOFError("a record's length is no length")
                data = source.read(length)
                if len(head) < 12 or len(data) < length or len(source.read(4)) < 4:
                    raise EOFError("its last record is cut")
                yield data
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise HardenerError(f"{path} is damaged: {error}. Fetch it again.") from None


def _example(record: bytes, path: Path, number: int) -> Example:
    found: Example = {}
    try:
        for _, features in fields(record):
            for _, entry in fields(_bytes(features)):
                parts = dict(fields(_bytes(entry)))
                name, feature = _bytes(parts[1]).decode(), _bytes(parts.get(2, b""))
                for kind, values in fields(feature):
                    if kind == 1:
                        found[name] = [_bytes(value) for _, value in fields(_bytes(values))]
                    elif kind == 3:
                        numbers = [n for _, value in fields(_bytes(values)) for n in integers(value)]
                        found[name] = [n - (1 << 64) if n >> 63 else n for n in numbers]
    except (ValueError, KeyError) as error:
        raise HardenerError(f"record {number} of {path} is no tf.train.Example: {error}.") from None
    return found


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where a message was expected")
    return value


def _image(example: Example, path: Path, number: int) -> bytes:
    for name in _IMAGES:
        values = example.get(name)
        if values and isinstance(values[0], bytes):
            return values[0]
    raise HardenerError(f"record {number} of {path} has {', '.join(sorted(example))}, and none is known for an image.")


def _label(example: Example, names: list[str], where: str) -> str | None:
    for name in (*_TEXTS, *_NUMBERS):
        values = example.get(name)
        if not values:
            continue
        if len(values) > 1:
            return class_of(_marked(values, name, where), names, where)
        (value,) = values
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else class_of(value, names, where)
    return None


def _marked(values: list[bytes] | list[int], name: str, where: str) -> int:
    """Return the place of the one 1 among numbers that are 0 else.

    Raises:
        HardenerError: they are others.
    """
    if sorted(values, key=str) != [0] * (len(values) - 1) + [1]:
        raise HardenerError(f"{where} has {len(values)} values of {name}; an image has one class here.")
    return [*values].index(1)


def _class_names(folder: Path) -> list[str]:
    path = folder / "label.labels.txt"
    return path.read_text("utf-8").split("\n")[:-1] if path.is_file() else []
