"""The first bytes of a file, or what lies in a folder -> what it is: a checkpoint of some kind, or something else."""

from __future__ import annotations

import codecs
import json
import re
import shlex
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Literal

from hardener.errors import HardenerError

Kind = Literal["safetensors", "index", "torch", "old torch", "torch tar", "pickle", "torchscript"]

_MUCH = 100 * 2**20  # a header of safetensors, or an index, is never so long
_BLOWN_UP = 8  # times its own size that a zip may unpack to
_OLD_TORCH = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_SAVE = "Save the network's state_dict with torch.save or safetensors, and pass that file."
_TENSORFLOW = "Convert it to PyTorch first: hardener trains and judges PyTorch networks."
_UNPACK = "Unpack it, and pass the checkpoint that it holds."
_JAX = f"It is of JAX (Flax), not of PyTorch. {_TENSORFLOW}"
_AGAIN = "Download or copy the file again, and compare its size."

_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras saves its weights", _TENSORFLOW),
    (b"\x1f\x8b", "packed with gzip", _UNPACK),
    (b"BZh", "packed with bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "packed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (
        b"version https://git-lfs",
        "a Git LFS pointer and not the file itself",
        "Fetch the file in its repository: git lfs pull.",
    ),
    (b"GGUF", "a GGUF file, as llama.cpp takes it", "Pass the PyTorch weights that it was made from."),
    (b"\x93NUMPY", "one NumPy array", _SAVE),
    (b"\x89PNG", "an image", _SAVE),
    (b"\xff\xd8\xff", "an image", _SAVE),
    (b"%PDF", "a PDF document", _SAVE),
)


def kind_of(path: Path) -> Kind:
    """Tell what a weights file is by its first bytes.

    Raises:
        HardenerError: it is none that weights are read from; the message says what it is and what to do.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4096)
    if not start:
        raise _not(path, "empty", _AGAIN)
    if start.startswith(b"PK"):
        return _zip(path)
    for begin, what, way in _BEGINNINGS:
        if start.startswith(begin):
            raise _not(path, what, way)
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and start[8:].lstrip(b"{ \t\r\n")[:1] in (b'"', b"}"):
        if header > _MUCH:
            raise _not(path, f"a safetensors file with a header of {header:,} bytes, which no checkpoint needs", _AGAIN)
        if 8 + header > size:
            raise _not(path, f"a safetensors file that is cut short after {size:,} bytes", _AGAIN)
        return "safetensors"
    if tarfile.is_tarfile(path):
        return _tar(path)
    if start.startswith(_OLD_TORCH):
        return "old torch"
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        return "pickle"
    if path.suffix == ".onnx" or re.match(rb"\x08[\x01-\x20]\x12.{1,20}\x1a?", start, re.DOTALL):
        model = shlex.quote(str(path.with_suffix(".onnx")))
        raise _not(path, "an ONNX file", f"Evaluate it by itself: hardener eval {model} --data DIR.")
    if re.match(rb"[\x81-\x8f][\xa0-\xbf\xd9]|\xde..[\xa0-\xbf\xd9]|\xdf....[\xa0-\xbf\xd9]", start, re.DOTALL):
        raise _not(path, "a msgpack file, as Flax saves its weights", _JAX)
    _not_tensorflow(path, start)
    return _text(path, start)


def _not_tensorflow(path: Path, start: bytes) -> None:
    if start[4:8] == b"TFL3":
        raise _not(path, "a TensorFlow Lite model", _TENSORFLOW)
    if path.suffix == ".index" or re.search(r"\.data-\d+-of-\d+$", path.name):
        raise _not(path, "a part of a TensorFlow checkpoint", _TENSORFLOW)
    if path.suffix in {".pb", ".ckpt.meta"} and b"\x12" in start[:64]:
        raise _not(path, "a TensorFlow graph", _TENSORFLOW)


def _text(path: Path, start: bytes) -> Kind:
    """Tell a text: an index of shards, a page, or what no one can name."""
    text = start.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")
    if text.lower().startswith(("<!doctype", "<html", "<head", "<body")):
        raise _not(
            path,
            "a web page and not a checkpoint: the download ended at a login or an error page",
            "Open it to read what it says, and download the file again.",
        )
    if text.startswith("<"):
        raise _not(path, "an XML text", _SAVE)
    if text[:1] in {"{", "["}:
        if _is_index(path):
            return "index"
        raise _not(
            path, "a JSON text and holds no weights", "Pass the weights that lie beside it, or their index.json."
        )
    if path.suffix != ".safetensors" and _is_text(start):
        line = text.splitlines()[0][:60] if text else ""
        raise _not(path, f"a text ({line!r})", "MODEL is the code of a network, --init its weights.")
    begins = start[:8].hex(" ")
    damaged = "no safetensors file, or it is damaged" if path.suffix == ".safetensors" else "no checkpoint"
    raise _not(path, f"{damaged}: it begins with the bytes {begins}, as no known kind does", _AGAIN)


def _is_text(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return not any(byte < 9 or 13 < byte < 32 for byte in start)


def _is_index(path: Path) -> bool:
    return isinstance(read_json(path).get("weight_map"), dict)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds, an empty one where it holds another thing or none."""
    if path.stat().st_size > _MUCH:
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError):
        raise _not(path, f"a zip that is cut short or damaged, after {path.stat().st_size:,} bytes", _AGAIN) from None
    unpacked = sum(info.file_size for info in infos)
    if unpacked > _BLOWN_UP * path.stat().st_size + 2**20:
        raise _not(path, f"a zip that would unpack to {unpacked / 1e9:.2f} GB", "No checkpoint is packed so.")
    names = [info.filename for info in infos]
    inner = {name.partition("/")[2] for name in names}
    if any(name.startswith("code/") for name in inner) and "data.pkl" in inner:
        return "torchscript"
    if "data.pkl" in inner:
        return "torch"
    if "archive_format" in inner or any(name.endswith("archive_format") for name in names):
        way = f"Save its weights: torch.save(torch.export.load({path.name!r}).state_dict, 'weights.pt')."
        raise _not(path, "a program of torch.export", way)
    if "model.weights.h5" in names:
        raise _not(path, "a model of Keras 3", _TENSORFLOW)
    if names and all(name.endswith(".npy") for name in names):
        raise _not(path, "an .npz file of NumPy arrays", _JAX if len(names) > 1 else _SAVE)
    if "[Content_Types].xml" in names:
        raise _not(path, "an Office document", _SAVE)
    raise _not(path, f"a zip that holds {_listed(names)}", _UNPACK)


def _tar(path: Path) -> Kind:
    with tarfile.open(path) as archive:
        names = [name.removeprefix("./") for name in archive.getnames()[:1000]]
    if {"storages", "tensors", "pickle"} <= set(names):
        return "torch tar"
    raise _not(path, f"a tar archive that holds {_listed(names)}", _UNPACK)


def weights_in(folder: Path) -> Path:
    """Return the file of a folder that holds its weights: of a run, or as HuggingFace writes them.

    Raises:
        HardenerError: it holds none that are read; the message says what it is.
    """
    for name in (
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ):
        if (folder / name).is_file():
            return folder / name
    names = sorted(path.name for path in folder.iterdir())
    if "saved_model.pb" in names:
        raise _not(folder, "a TensorFlow SavedModel", _TENSORFLOW)
    if "checkpoint" in names and any(name.endswith(".index") for name in names):
        raise _not(folder, "a TensorFlow checkpoint", _TENSORFLOW)
    if ".metadata" in names and any(name.endswith(".distcp") for name in names):
        way = f"Join it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} weights.pt."
        raise _not(folder, "a distributed checkpoint of torch", way)
    if "zero_to_fp32.py" in names:
        way = "Join it with the script that lies in it: python zero_to_fp32.py . weights."
        raise _not(folder, "a checkpoint of DeepSpeed", way)
    if "data.pkl" in names and "data" in names:
        raise _not(folder, "an unpacked torch file", "Pass the file as it was before it was unpacked.")
    if names and ("_CHECKPOINT_METADATA" in names or "manifest.ocdbt" in names):
        raise _not(folder, "an Orbax checkpoint", _JAX)
    known = [n for n in names if Path(n).suffix in {".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".tar"}]
    advice = f"Name the file: --init {shlex.quote(str(folder / known[0]))}." if known else f"It holds {_listed(names)}."
    raise HardenerError(
        f"{folder} is a folder without model.safetensors: weights are a file, or a run that was trained, or a folder "
        f"of HuggingFace. {advice}"
    )


def _listed(names: list[str]) -> str:
    if not names:
        return "nothing"
    return ", ".join(names[:3]) + (f", and {len(names) - 3} more" if len(names) > 3 else "")


def _not(path: Path, what: str, way: str) -> HardenerError:
    return HardenerError(f"{path} is {what}. {way}")
