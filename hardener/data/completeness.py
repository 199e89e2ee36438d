"""Is a decoded image whole? Pillow fills what a cut PNG or JPEG file lacks with black or gray, and says nothing.

The decoders of the other formats refuse such files themselves. Imports no torch.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import Image, ImageChops

from hardener.data.pieces import Scan, jpeg_scans, png_chunks
from hardener.errors import BadImage

_PIECE = 1 << 16
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced PNG: first column and row, and how far apart they lie (PNG specification, 8.2)."""
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MORE = bytes(range(1, 255)) * 8  # entropy-coded data without a marker
_GRAY = {127, 128}  # what libjpeg puts where data ends, also once it is inverted


def see_that_it_is_whole(image: Image.Image, data: bytes) -> None:
    """See that all pixels of a decoded image came from its file.

    Args:
        image: loaded, as it stands in the file, or at a scale that its JPEG decoder drafted.
        data: the file.
    Raises:
        BadImage: the file ends before its image does.
    """
    if image.format == "PNG" and _ends_in_black(image) and _rows_lack(data):
        raise BadImage("truncated: its pixels end before its last row")
    if image.format == "JPEG":
        scans = list(jpeg_scans(data))
        if len(scans) > 1 and _lacks_scans(scans):
            raise BadImage("truncated: scans are missing")
        if (len(scans) > 1 or _ends_in_gray(image)) and _takes_more(image, data):
            raise BadImage("truncated: its data ends before its last row")


def _ends_in_black(image: Image.Image) -> bool:
    """Whether the last rows are as they were before the file was read: only then can any be missing."""
    bottom = image.crop((0, max(0, image.height - 2), image.width, image.height))
    return any(
        bottom.crop((0, row, image.width, row + 1)).getbbox(alpha_only=False) is None for row in range(bottom.height)
    )


def _rows_lack(data: bytes) -> bool:
    """Count what a PNG file's pixels unpack to."""
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    bits = depth * _SAMPLES.get(color, 1)
    expected = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            expected += rows * (1 + (columns * bits + 7) // 8)
    unpacking, count = zlib.decompressobj(), 0
    for rest in _pixel_pieces(data):
        while rest and not unpacking.eof:
            count += len(unpacking.decompress(rest, _PIECE))
            if count >= expected:  # what more there is was not read either
                return False
            rest = unpacking.unconsumed_tail
    return count + len(unpacking.flush()) < expected


def _pixel_pieces(data: bytes) -> Iterator[bytes | memoryview]:
    """Yield the packed pixels in short pieces: what a step leaves of one is copied."""
    for kind, chunk in png_chunks(data):
        for start in range(0, len(chunk) if kind == b"IDAT" else 0, _PIECE):
            yield chunk[start : start + _PIECE]


def _lacks_scans(scans: list[Scan]) -> bool:
    """Whether a file of several scans lacks the last bit of a component's mean or of its details."""
    if not scans[0].progressive:
        return False  # each component comes once: the decoder misses those that do not come
    brought: dict[int, set[int]] = {component: set() for scan in scans for component in scan.components}
    for scan in scans:
        if scan.low_bit == 0:
            for component in scan.components:
                brought[component] |= set(range(scan.first, scan.last + 1))
    return any(not set(range(64)) <= coefficients for coefficients in brought.values())


def _ends_in_gray(image: Image.Image) -> bool:
    last = image.getpixel((image.width - 1, image.height - 1))
    return set(last if isinstance(last, tuple) else (last,)) <= _GRAY


def _takes_more(image: Image.Image, data: bytes) -> bool:
    """Whether the picture changes where data is put in before the end marker: what is whole reads no further."""
    end = data.rfind(b"\xff\xd9")
    while data[end - 1] == 0xFF:  # fill bytes of the marker: with data behind them they would be another
        end -= 1
    again = Image.open(io.BytesIO(data[:end] + _MORE + data[end:]), formats=["JPEG"])
    if again.size != image.size:
        again.draft(image.mode, (max(1, image.width - 1), max(1, image.height - 1)))  # sizes were rounded up
    again.load()
    return ImageChops.difference(again.convert(image.mode), image).getbbox() is not None
