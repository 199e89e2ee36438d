"""The adversarial image of a report as a file that can be uploaded, asked about once more as it would be then."""

from __future__ import annotations

import base64
import io
from functools import partial

from PIL import Image

from hardener.config.answer import AttackProbe
from hardener.config.bundle import InputSpec
from hardener.data.decode import decode_image

from .timed_model import Pixels, TimedModel

ASK_FOR_IT = "Ask with found_image=true to be sent the image that the search finds then."
SENT = "`image` is that image. Uploaded as it is, it gets another answer too: the model was asked about the file."
NO_TIME = "The image is not sent: the report's time ran out before the model was asked about its file."
NOT_AGAIN = "The image is not sent: asked about its file, the model gave the first answer after all."


async def offer(
    probe: AttackProbe, found: Pixels | None, predicted: int, spec: InputSpec, model: TimedModel, *, wanted: bool
) -> AttackProbe:
    """Return a probe with the image that it found, where that is wanted, and with what there is to say of it.

    Args:
        found: (H, W, C), the model's input; None: nothing was found, and the probe is returned as it is.
        predicted: index of the class that the image should not be given.
    """
    if found is None:
        return probe
    if not wanted:
        return _told(probe, ASK_FOR_IT)
    file = await model.in_thread(partial(as_png, found))
    logits = await model.ask([lambda: _read(file, spec)])
    if logits is None:
        return _told(probe, NO_TIME)
    if int(logits[0].argmax()) == predicted:
        return _told(probe, NOT_AGAIN)
    return _told(probe, SENT).model_copy(update={"image": base64.b64encode(file).decode("ascii")})


def as_png(image: Pixels) -> bytes:
    """Write (H, W, C) as a PNG of 8 bits."""
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "PNG")
    return file.getvalue()


def _read(file: bytes, spec: InputSpec) -> Pixels:
    """Read the file as an upload is read, (1, H, W, C)."""
    read = decode_image(file, height=spec.height, width=spec.width, channels=spec.channels, rule=spec.pixels)
    return read[None]


def _told(probe: AttackProbe, sentence: str) -> AttackProbe:
    return probe.model_copy(update={"meaning": f"{probe.meaning} {sentence}"})
