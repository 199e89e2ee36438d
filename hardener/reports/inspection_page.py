"""What `hardener inspect` found in a data set, as one page: no script, nothing from the network."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from hardener.config.files import write_text
from hardener.config.inspection_record import Bin, Channel, DataInspection
from hardener.reports._templates import page_environment
from hardener.words import NO_BREAK, percent

SPLITS = ("train", "validation", "test")
_TILE, _GAP = 112, 6
_MOST_LISTED = 500
Images = Sequence[NDArray[np.uint8]]
Shower = Callable[[Bin], str]


@dataclass(frozen=True)
class Shown:
    """Pictures for the page: (H, W, C), uint8.

    Attributes:
        classes: of each class, some images as they are read, and the same after augmentation.
        alike: of the first groups, some images.
        odd: of the first odd images.
    """

    classes: Mapping[str, tuple[Images, Images]]
    alike: Sequence[Images]
    odd: Images


def write_inspection(found: DataInspection, shown: Shown, path: Path) -> None:
    """Write the page whole or not at all."""
    environment = page_environment()
    environment.filters |= {"megabytes": _megabytes}
    page = environment.get_template("inspection.html.j2").render(
        found=found,
        name=Path(found.root).resolve().name or found.root,
        splits=[split for split in SPLITS if split in found.splits],
        largest=max((item.total for item in found.classes), default=1),
        charts={
            "short": bars(found.short_sides, "short side of the files, pixels", _pixels, _low),
            "long": bars(found.long_sides, "long side of the files, pixels", _pixels, _low),
            "ratio": bars(found.ratios, "width divided by height", _ratio_from, _ratio),
            "brightness": bars(found.brightness, "mean brightness of the input", _shares, _share),
            "channels": area_chart(found.channels),
        },
        sheets=[(name, strip(plain), strip(changed)) for name, (plain, changed) in shown.classes.items()],
        alike=list(zip(found.alike, [strip(group) for group in shown.alike], strict=False)),
        alike_rest=found.alike[len(shown.alike) : _MOST_LISTED],
        odd=list(zip(found.odd, [strip([image]) for image in shown.odd], strict=False)),
        odd_rest=found.odd[len(shown.odd) : _MOST_LISTED],
        most=_MOST_LISTED,
    )
    write_text(path, page)


def strip(images: Images) -> str:
    """Lay images side by side in tiles of 112 pixels and return them as a data URI; small ones keep their squares."""
    tiles = [_tile(image) for image in images]
    if not tiles:
        return ""
    height = max(tile.height for tile in tiles)
    width = sum(tile.width for tile in tiles) + _GAP * (len(tiles) - 1)
    paper = Image.new("RGBA", (width, height))
    left = 0
    for tile in tiles:
        paper.paste(tile, (left, (height - tile.height) // 2))
        left += tile.width + _GAP
    file = io.BytesIO()
    paper.save(file, "WEBP", quality=84)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def bars(bins: Sequence[Bin], label: str, show: Shower, mark: Shower, *, width: int = 360, height: int = 150) -> Markup:
    """Draw a histogram; the fullest bar has its count above it, and every bar tells its own.

    Args:
        show, mark: what a bar is called where it tells its count, and below it.
    """
    if len(bins) < 2:
        return Markup('<p class="alone"><b>{}</b><br>{}, all</p>').format(show(bins[0]), label) if bins else Markup("")
    most = max(item.count for item in bins) or 1
    total = sum(item.count for item in bins) or 1
    wide, floor, top = width / len(bins), height - 34, 16
    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">']
    parts.append(f'<path class="axis" d="M0 {floor + 0.5}H{width}"/>')
    for place, item in enumerate(bins):
        tall = (floor - top) * item.count / most
        x = place * wide
        tip = f"{show(item)}: {item.count:,} images, {percent(item.count / total)}"
        parts.append(
            f'<rect class="bar" x="{x + 0.75:.1f}" y="{floor - tall:.1f}" width="{max(wide - 1.5, 0.8):.1f}" '
            f'height="{tall:.1f}" rx="1.5"><title>{escape(tip)}</title></rect>'
        )
    fullest = max(range(len(bins)), key=lambda place: bins[place].count)
    x = min(max(fullest * wide + wide / 2, 16), width - 16)
    parts.append(f'<text class="most" x="{x:.1f}" y="{top - 4}" text-anchor="middle">{most:,}</text>')
    room = 6.2 * max(len(mark(item)) for item in bins) + 10
    step = math.ceil(room / wide)
    for place in range(0, len(bins), step):
        x = place * wide + wide / 2
        anchor = "start" if x < room / 2 else "end" if x > width - room / 2 else "middle"
        at = 0 if anchor == "start" else width if anchor == "end" else x
        parts.append(f'<text x="{at:.1f}" y="{floor + 14}" text-anchor="{anchor}">{escape(mark(bins[place]))}</text>')
    parts.append(f'<text class="title" x="{width / 2}" y="{height - 3}" text-anchor="middle">{escape(label)}</text>')
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - every text in it went through escape


def area_chart(channels: Sequence[Channel], *, width: int = 360, height: int = 150) -> Markup:
    """Draw how the levels of each channel are spread, as overlapping areas."""
    if not channels:
        return Markup("")
    floor, top = height - 34, 16
    most = max(max(channel.histogram) for channel in channels)
    label = "levels of the input, 0 to 1"
    parts = [f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">']
    for channel in channels:
        count = len(channel.histogram)
        at = [
            (width * (place + 0.5) / count, floor - (floor - top) * share / most)
            for place, share in enumerate(channel.histogram)
        ]
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
        parts.append(
            f'<path class="area {channel.name}" d="M0 {floor}L{line}L{width} {floor}Z">'
            f"<title>{channel.name}: mean {channel.mean:.3f}, std {channel.std:.3f}</title></path>"
        )
    parts.append(f'<path class="axis" d="M0 {floor + 0.5}H{width}"/>')
    for tick, anchor in ((0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1, "end")):
        parts.append(f'<text x="{width * tick:.0f}" y="{floor + 14}" text-anchor="{anchor}">{tick:g}</text>')
    parts.append(f'<text class="title" x="{width / 2}" y="{height - 3}" text-anchor="middle">{label}</text>')
    return Markup("".join(parts) + "</svg>")  # noqa: S704


def _tile(image: NDArray[np.uint8]) -> Image.Image:
    shown = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("RGB")
    factor = _TILE / max(shown.size)
    size = max(1, round(shown.width * factor)), max(1, round(shown.height * factor))
    return shown.resize(size, Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS)


def _pixels(item: Bin) -> str:
    return f"{item.low:.0f}" if item.high - item.low <= 1 else f"{item.low:.0f}–{item.high - 1:.0f}"


def _low(item: Bin) -> str:
    return f"{item.low:.0f}"


def _share(item: Bin) -> str:
    return f"{item.low:.2g}"


def _shares(item: Bin) -> str:
    return f"{item.low:.2f} to {item.high:.2f}"


def _ratio_from(item: Bin) -> str:
    return _ratio(item) if item.low == 0 or item.high > 1e6 else f"{item.low:g} to {item.high:g}"


def _ratio(item: Bin) -> str:
    if item.low == 0:
        return f"< {item.high:g}"
    return f"≥ {item.low:g}" if item.high > 1e6 else f"{item.low:g}"


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f}{NO_BREAK}GB" if size >= 1e9 else f"{size / 1e6:.3g}{NO_BREAK}MB"
