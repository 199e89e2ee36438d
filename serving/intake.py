"""A request's body -> an image and the caller's options; whatever is wrong with them is a `Problem`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from hardener.config.bundle import InputSpec
from hardener.data.decode import BadImage, ImageTooLarge, UnknownFormat, decode_image
from hardener.errors import did_you_mean

from .problem import Problem

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
OPTIONS = ("report",)
HOW_TO_SEND = "Send multipart/form-data with the file in the field image, as `curl -F image=@cat.jpg` does."


@dataclass(frozen=True)
class Upload:
    """What a caller sent: the bytes of the image file, not yet looked at, and the options."""

    data: bytes
    report: bool


class _Parser(MultiPartParser):
    spool_max_size = 1 << 30  # parts stay in memory: the body is bounded, so none has to touch the disk

    def close_files(self) -> None:
        """Close the parts' files, that of a part which breaks off too; starlette forgets it."""
        for file in self._files_to_close_on_error:
            file.close()


async def read_upload(request: Request, *, max_body_bytes: int) -> Upload:
    """Read a `/predict` request, counting its bytes as they come.

    Raises:
        Problem: 413 too many bytes; 415 no multipart body, or text where the image belongs; 400 a broken body
            or no image; 422 an option that is unknown, no boolean, or given twice with different values.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.split(";")[0].strip().lower() != "multipart/form-data":
        raise Problem(415, f"the body is {content_type or 'of no stated type'}. {HOW_TO_SEND}")
    parser = _Parser(request.headers, _bounded(request, max_body_bytes), max_files=1, max_fields=8, max_part_size=4096)
    try:
        form = await parser.parse()
        fields = [(name, value) for name, value in form.multi_items() if name != "image"]
        image = form.get("image")
        if image is None:
            found = sorted({name for name, _ in fields}) or "no field"
            raise Problem(400, f"the body has no field image; it has {found}. {HOW_TO_SEND}")
        if not isinstance(image, UploadFile):
            raise Problem(415, f"the field image holds text, not a file; nothing is fetched from a URL. {HOW_TO_SEND}")
        options = _read_options([*fields, *request.query_params.multi_items()])
        return Upload(data=await image.read(), report=options.get("report", False))
    except MultiPartException as error:
        raise Problem(400, f"the multipart body cannot be read: {error.message} {HOW_TO_SEND}") from None
    finally:
        parser.close_files()


def decode_upload(data: bytes, spec: InputSpec, *, max_pixels: int) -> NDArray[np.uint8]:
    """Decode an uploaded image to the model's input; the file's name and stated type play no part.

    Returns:
        (H, W, C), uint8.
    Raises:
        Problem: 415 no image of an allowed format, 413 too many pixels, 422 truncated or damaged.
    """
    try:
        return decode_image(
            data,
            height=spec.height,
            width=spec.width,
            channels=spec.channels,
            max_pixels=max_pixels,
            formats=FORMATS,
        )
    except UnknownFormat as error:
        raise Problem(415, f"the field image: {error}") from None
    except ImageTooLarge as error:
        raise Problem(413, f"the field image: {error}. Scale it down before sending it.") from None
    except BadImage as error:
        raise Problem(422, f"the field image: {error}") from None


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    too_large = Problem(413, f"the body has more than the {most:,} bytes that are taken")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise too_large
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > most:
            raise too_large
        yield chunk


def _read_options(given: list[tuple[str, str | UploadFile]]) -> dict[str, bool]:
    options: dict[str, bool] = {}
    for name, value in given:
        if name not in OPTIONS:
            known = ", ".join(OPTIONS)
            raise Problem(422, f"unknown option {name!r}. Known: {known}.{did_you_mean(name, OPTIONS)}")
        if not isinstance(value, str) or value.lower() not in {"true", "false"}:
            raise Problem(422, f"{name} must be true or false; got {value!r}")
        read = value.lower() == "true"
        if options.setdefault(name, read) != read:
            raise Problem(422, f"{name} is given twice, as true and as false")
    return options
