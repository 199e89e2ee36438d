"""What a file is, by its name and its first bytes."""

from __future__ import annotations

import functools
import importlib.util
import shlex
from collections.abc import Callable, Mapping

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".avif", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm")
HEIC = "HEIC images"
_NOT_READ = {
    HEIC: (".heic", ".heif", ".hif"),
    "JPEG 2000 images": (".jp2", ".j2k", ".jpx", ".jpf"),
    "JPEG XL images": (".jxl",),
    "DICOM files": (".dcm", ".dicom"),
    "SVG drawings": (".svg", ".svgz"),
    "NumPy arrays": (".npy", ".npz"),
    "Photoshop files": (".psd", ".psb"),
    "camera raw files": (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"),
    "OpenEXR and HDR images": (".exr", ".hdr"),
    "NIfTI volumes": (".nii", ".nii.gz"),
    "videos": (".mp4", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".m4v", ".mpg", ".mpeg"),
    "PDF files": (".pdf",),
    "archives": (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".bz2", ".xz"),
    "icons": (".ico", ".icns"),
    "TGA, PCX and other old images": (".tga", ".pcx", ".dds", ".sgi", ".xpm", ".xbm", ".pnm", ".pam", ".ras", ".wmf"),
}
_WAYS = {
    HEIC: "pip install 'hardener[heic]'",
    "DICOM files": "find {root} -name '*{ending}' -exec dcmj2pnm +on2 {{}} {{}}.png ';'",
    "SVG drawings": "find {root} -name '*{ending}' -exec rsvg-convert -o {{}}.png {{}} ';'",
    "videos": "ffmpeg -i {root}/{first} -r 1 frame-%05d.png",
    "PDF files": "pdftoppm -png {root}/{first} page",
    "NumPy arrays": "numpy.savez('data.npz', images=..., labels=...) holds all of them in one file",
    "NIfTI volumes": "nibabel reads them; save their slices as images",
}
_BY_MAGICK = "find {root} -name '*{ending}' -exec magick mogrify -format png {{}} +"
_PLAIN = (
    ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".rst", ".html", ".py", ".ipynb",
    ".toml", ".cfg", ".ini", ".log", ".mat", ".pkl", ".pickle", ".parquet", ".arrow", ".db", ".names", ".sh", ".bat",
    ".doc", ".docx", ".xls", ".xlsx", ".lock", ".pt", ".pth", ".onnx", ".safetensors", ".h5", ".hdf5",
)  # fmt: skip
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image"),
    (0, b"\x89PNG\r\n\x1a\n", "image"),
    (0, b"GIF87a", "image"),
    (0, b"GIF89a", "image"),
    (0, b"II*\0", "image"),
    (0, b"MM\0*", "image"),
    (8, b"WEBP", "image"),
    (0, b"BM", "image"),
    (4, b"ftypheic", HEIC),
    (4, b"ftypheix", HEIC),
    (4, b"ftyphevc", HEIC),
    (4, b"ftypmif1", HEIC),
    (4, b"ftypmsf1", HEIC),
    (4, b"ftypavif", "image"),
    (4, b"ftyp", "videos"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000 images"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL images"),
    (128, b"DICM", "DICOM files"),
    (0, b"\x93NUMPY", "NumPy arrays"),
    (0, b"8BPS", "Photoshop files"),
    (0, b"%PDF", "PDF files"),
    (0, b"PK\x03\x04", "archives"),
    (0, b"\x1f\x8b", "archives"),
)


@functools.cache
def reads_heic() -> bool:
    """Tell whether what reads HEIC images is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def is_heic(data: bytes) -> bool:
    """Tell by its first bytes whether a file is a HEIC image."""
    return any(kind == HEIC and data[at : at + len(magic)] == magic for at, magic, kind in _SIGNATURES)


def ways_to_convert(root: str, first: Mapping[str, str]) -> str:
    """Say what makes images of files that are not read, a sentence for each kind.

    Args:
        first: kind -> the name of the first such file.
    """
    said = []
    for kind, name in first.items():
        if kind in _NOT_READ and kind not in {"archives", "icons"}:
            _, dot, ending = name.rpartition("/")[2].rpartition(".")
            way = _WAYS.get(kind, _BY_MAGICK)
            said.append(f" To have {kind} read: {way.format(root=shlex.quote(root), first=name, ending=dot + ending)}.")
    return "".join(said)


def kind_of(name: str, first_bytes: Callable[[], bytes]) -> str | None:
    """Return `image`, what a file is called that could be one and is not read, or None for any other.

    Args:
        name: of a file without the extension of an image that is read.
        first_bytes: asked where the name does not tell.
    """
    lower = name.lower()
    for kind, extensions in _NOT_READ.items():
        if lower.endswith(extensions):
            return "image" if kind == HEIC and reads_heic() else kind
    if lower.endswith(_PLAIN):
        return None
    return kind_of_bytes(first_bytes())


def kind_of_bytes(data: bytes) -> str | None:
    """Return `image`, the kind of a known format that is not read, or None."""
    for offset, magic, kind in _SIGNATURES:
        if data[offset : offset + len(magic)] == magic and (magic != b"BM" or data[6:10] == bytes(4)):
            return "image" if kind == HEIC and reads_heic() else kind
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "image"
    return "SVG drawings" if b"<svg" in data[:512] else None
