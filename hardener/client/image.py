"""An image in any of the forms that users have it in -> the bytes of a file."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from hardener.client.error import ImageNotRead

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PilImage

    AnyImage: TypeAlias = str | os.PathLike[str] | bytes | PilImage | NDArray[np.uint8]

PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}
NEAREST_PNG_MODE = {"I": "I;16", "I;16L": "I;16", "I;16B": "I;16", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
ARRAY_CHANNELS = (1, 3, 4)


def file_bytes(image: AnyImage) -> bytes:
    """Return the bytes to send.

    Args:
        image: a path, whose file is sent as it is; the bytes of an image file; a PIL image or a uint8 array of
            shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), gray or RGB(A) from 0 to 255: sent as PNG, without loss.
    Raises:
        ImageNotRead: there is no such file, it cannot be read or is empty, or the object is none of the above.
    """
    if isinstance(image, str | os.PathLike):
        return _read(Path(image))
    if isinstance(image, bytes):
        return image
    if hasattr(image, "getexif"):
        return _png(cast("PilImage", image))
    if hasattr(image, "__array_interface__"):
        return _png(_from_array(image))
    raise ImageNotRead(
        f"an image is a path, the bytes of a file, a PIL image or a uint8 array; got {type(image).__name__}"
    )


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageNotRead(f"cannot read the image {path}: {error.strerror}.") from None
    if not data:
        raise ImageNotRead(f"the image {path} is empty (0 bytes).")
    return data


def _png(image: PilImage) -> bytes:
    if image.mode == "F":
        raise ImageNotRead("32-bit float pixels have no known range; convert the image to 8 bits.")
    file = io.BytesIO()
    try:
        if image.mode == "I":
            low, high = image.getextrema()
            if low < 0 or high > 65535:  # type: ignore[operator]
                raise ImageNotRead(f"levels from {low} to {high} do not fit into a PNG; send the TIFF file itself.")
        exif = image.getexif()  # the service turns an image as its EXIF orientation says, and so must see it
        writable = image if image.mode in PNG_MODES else _converted(image)
        writable.save(file, "PNG", compress_level=1, exif=exif)
    except ImageNotRead:
        raise
    except Exception as error:  # a PIL image decodes late, and its decoders raise nearly anything
        raise ImageNotRead(f"the PIL image cannot be read ({type(error).__name__}: {error})") from None
    return file.getvalue()


def _converted(image: PilImage) -> PilImage:
    """Bring an image to a mode that PNG has; inks as their profile says."""
    profile = image.info.get("icc_profile")
    if image.mode == "CMYK" and profile:
        from PIL import ImageCms

        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        shown = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert shown is not None, "it is not done in place"
        return shown
    return image.convert(NEAREST_PNG_MODE.get(image.mode, "RGB"))


def _from_array(array: Any) -> PilImage:
    from PIL import Image

    if str(array.dtype) != "uint8":
        raise ImageNotRead(
            f"an array must be uint8, from 0 to 255; got {array.dtype}. For floats in [0, 1]: "
            "(255 * images).round().astype('uint8')"
        )
    shape = tuple(array.shape)
    if not (len(shape) == 2 or (len(shape) == 3 and shape[2] in ARRAY_CHANNELS)) or 0 in shape:
        raise ImageNotRead(f"an array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); got {shape}")
    return Image.fromarray(array[:, :, 0] if len(shape) == 3 and shape[2] == 1 else array)
