"""Pictures of many images on one sheet, for people to look at. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

from hardener.config.pixels import PixelRule
from hardener.data.decode import STANDARD, open_image, upright
from hardener.data.image_files import ImageFiles
from hardener.data.survey import Size
from hardener.errors import BadImage

_CELL, _GAP, _CAPTION, _COLUMNS = 180, 12, 22, 6
_PAPER, _INK, _FRAME = (250, 250, 248), (40, 44, 52), (214, 69, 65)


def crop_sheet(
    files: ImageFiles, worst: Sequence[tuple[int, float]], size: Size, rule: PixelRule = STANDARD
) -> Image.Image:
    """Show whole images with what a crop to `size` leaves of them: the rest is pale, a frame stands around it.

    Args:
        worst: places, and the share of the area that each loses.
    """
    cells = []
    for place, lost in worst:
        try:
            image = upright(open_image(files.open(place)), (_CELL, _CELL), rule)
        except (BadImage, OSError):
            continue
        cells.append((_framed(image, size), f"{100 * lost:.0f} % cut"))
    return sheet(cells)


def sheet(cells: Iterable[tuple[Image.Image, str]]) -> Image.Image:
    """Lay pictures of at most 180 by 180 pixels out in rows of six, each above its caption."""
    found = list(cells)
    columns = max(1, min(_COLUMNS, len(found)))
    rows = max(1, -(-len(found) // columns))
    step, high = _CELL + _GAP, _CELL + _CAPTION + _GAP
    paper = Image.new("RGB", (columns * step + _GAP, rows * high + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(14)
    for number, (image, caption) in enumerate(found):
        left, top = _GAP + number % columns * step, _GAP + number // columns * high
        paper.paste(image, (left + (_CELL - image.width) // 2, top + (_CELL - image.height) // 2))
        pen.text((left + _CELL / 2, top + _CELL + _CAPTION / 2), caption, _INK, font, anchor="mm")
    return paper


def _framed(image: Image.Image, size: Size) -> Image.Image:
    factor = min(image.width / size[1], image.height / size[0])
    width, height = max(1, round(size[1] * factor)), max(1, round(size[0] * factor))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    box = (left, top, left + width, top + height)
    pale = Image.blend(image, Image.new("RGB", image.size, _PAPER), 0.7)
    pale.paste(image.crop(box), box[:2])
    ImageDraw.Draw(pale).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=_FRAME, width=2)
    return pale
