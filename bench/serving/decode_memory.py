"""The worst image of each format and mode: what a fresh process takes to decode it, beside what is reserved for it.

    python bench/serving/decode_memory.py [--pixels 12000000] [--json FILE]

Each file is as large as `--pixels` says, turned by its EXIF entry where the format has one, and decoded to 224 x 224 by
a process of its own. What it took is the growth of its largest resident set over that of a small image of the same
kind, which loads the decoders. A line where more was taken than reserved ends the program with status 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile
from rich.console import Console
from rich.table import Table

from hardener.config.pixels import PixelRule
from hardener.data.decode import open_image
from hardener.data.decode_cost import decode_bytes

SIZE = 224
ImageFile.MAXBLOCK = 1 << 28  # what the JPEG encoder may write at once; noise packs badly
RANGE = PixelRule(range=(0.0, 65535.0))
CHILD = """
import sys
from pathlib import Path
from hardener.config.pixels import PixelRule
from hardener.data.decode import open_image, to_input

def peak():
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

rule = PixelRule(range=(0.0, 65535.0)) if sys.argv[3] == "deep" else PixelRule()
small, large = (Path(name).read_bytes() for name in sys.argv[1:3])
to_input(open_image(small), height=224, width=224, channels=int(sys.argv[4]), rule=rule)
before = peak()
to_input(open_image(large), height=224, width=224, channels=int(sys.argv[4]), rule=rule)
print(peak() - before)
"""


def pictures(mode: str, side: int) -> Image.Image:
    """Return a picture of noise in a mode; noise packs worst."""
    chance = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(chance.integers(0, 65536, (side, side), dtype=np.uint16))
    if mode == "I":
        return Image.fromarray(chance.integers(0, 65536, (side, side), dtype=np.int32))
    if mode == "F":
        return Image.fromarray(chance.random((side, side), dtype=np.float32) * 65535)
    bands = len(Image.new(mode, (1, 1)).getbands())
    levels = chance.integers(0, 256, (side, side, bands), dtype=np.uint8)
    if mode in {"L", "P"}:
        image = Image.fromarray(levels[:, :, 0], "L")
        return image if mode == "L" else _with_palette(image)
    if mode == "1":
        return Image.fromarray(levels[:, :, 0] > 127)
    return Image.frombuffer(mode, (side, side), levels.tobytes(), "raw", mode, 0, 1)


def _with_palette(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putpalette([level for step in range(256) for level in (step, 255 - step, step // 2)])
    return image


KINDS: dict[str, tuple[str, str, dict[str, object]]] = {
    "JPEG, gray": ("L", "JPEG", {}),
    "JPEG": ("RGB", "JPEG", {"subsampling": 0}),
    "JPEG, progressive": ("RGB", "JPEG", {"progressive": True, "subsampling": 0, "quality": 95}),
    "JPEG, CMYK": ("CMYK", "JPEG", {}),
    "JPEG, CMYK, progressive": ("CMYK", "JPEG", {"progressive": True}),
    "PNG, 1 bit": ("1", "PNG", {}),
    "PNG, gray": ("L", "PNG", {}),
    "PNG, gray and alpha": ("LA", "PNG", {}),
    "PNG, palette": ("P", "PNG", {}),
    "PNG, palette with a clear colour": ("P", "PNG", {"transparency": 3}),
    "PNG, colour": ("RGB", "PNG", {}),
    "PNG, colour with a clear colour": ("RGB", "PNG", {"transparency": (1, 2, 3)}),
    "PNG, colour and alpha": ("RGBA", "PNG", {}),
    "PNG, gray, 16 bit": ("I;16", "PNG", {}),
    "WebP": ("RGB", "WEBP", {"quality": 80}),
    "WebP, alpha": ("RGBA", "WEBP", {"quality": 80}),
    "WebP, lossless": ("RGBA", "WEBP", {"lossless": True, "quality": 0}),
    "BMP": ("RGB", "BMP", {}),
    "BMP, palette": ("P", "BMP", {}),
    "TIFF, gray, 16 bit": ("I;16", "TIFF", {}),
    "TIFF, gray, 16 bit, deflate": ("I;16", "TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF, LZW": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "TIFF, alpha": ("RGBA", "TIFF", {}),
    "TIFF, float": ("F", "TIFF", {}),
    "TIFF, 32 bit": ("I", "TIFF", {}),
    "TIFF, CMYK": ("CMYK", "TIFF", {}),
    "TIFF, LAB": ("LAB", "TIFF", {}),
}


def written(kind: str, side: int) -> bytes:
    """Return a file of a kind, turned by its EXIF entry."""
    mode, form, options = KINDS[kind]
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"exif": exif.tobytes()} if form in {"JPEG", "PNG", "WEBP"} else {}
    with tempfile.TemporaryFile() as out:  # a real file: Pillow's JPEG encoder wants one for large noise
        pictures(mode, side).save(out, form, **options, **more)
        out.seek(0)
        return out.read()


def found(kinds: list[str], pixels: int, folder: Path) -> Iterator[dict[str, object]]:
    """Yield what each kind took, in bytes, and what is reserved for it."""
    side = round(pixels**0.5)
    for kind in kinds:
        deep = KINDS[kind][0] in {"I;16", "I", "F"}
        small, large = folder / "small", folder / "large"
        small.write_bytes(written(kind, 300))
        large.write_bytes(written(kind, side))
        for channels in (1, 3):
            words = [sys.executable, "-c", CHILD, str(small), str(large), "deep" if deep else "plain", str(channels)]
            took = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
            rule = RANGE if deep else PixelRule()
            image = open_image(large.read_bytes())
            reserved = decode_bytes(image, height=SIZE, width=SIZE, channels=channels, rule=rule)
            row = {"kind": kind, "channels": channels, "bytes": large.stat().st_size, "pixels": side * side}
            yield {**row, "took": took, "reserved": reserved}


def main() -> int:
    """Print the table; 1 where something took more than was reserved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=12_000_000)
    parser.add_argument("--only", action="append", choices=KINDS)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(found(asked.only or list(KINDS), asked.pixels, Path(folder)))
    table = Table(title=f"decoding {asked.pixels / 1e6:.0f} megapixels to {SIZE} x {SIZE}, Pillow {version('pillow')}")
    for name in ("file", "model's channels", "file, MB", "took, MB", "reserved, MB"):
        table.add_column(name)
    for row in rows:
        sizes = [f"{int(str(row[name])) / 1e6:.1f}" for name in ("bytes", "took", "reserved")]
        table.add_row(str(row["kind"]), str(row["channels"]), *sizes)
    Console(width=120).print(table)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n")
    wrong = [row for row in rows if int(str(row["took"])) > int(str(row["reserved"]))]
    for row in wrong:
        print(f"too little is reserved for {row['kind']}, {row['channels']} channels")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
