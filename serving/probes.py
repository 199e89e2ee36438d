"""Everyday changes to an image, and how the model's answer holds under them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from hardener.config.answer import Stability, StabilityReport, WorstVariant

from .timed_model import Logits, MakeImages, Pixels, TimedModel

NOISE_SIGMAS = (0.02, 0.05, 0.1, 0.2)
NOISE_DRAWS = 4
ROTATION_DEGREES = tuple(float(degrees) for degrees in range(-30, 31, 5) if degrees)
FACTORS = tuple(tenths / 10 for tenths in range(5, 16) if tenths != 10)
BLUR_RADII = (0.5, 1.0, 1.5, 2.0, 3.0)
JPEG_QUALITIES = (90, 70, 50, 30, 10)

EVERYDAY = "It says nothing about changes chosen by an attacker, nor about strengths that were not tried."
ROTATION_RULE = "Turned about the centre, bilinear; the corners that come in are filled with black."
BLUR_RULE = "Gaussian, approximated by repeated box blurs."
JPEG_RULE = "The model's input is compressed as JPEG and decoded again; a lower quality loses more."
NO_TIME = "Not run: the report's time ran out."

_BLOCK_VALUES = 1 << 20
_BLOCK_IMAGES = 64
_PIECE_VALUES = 1 << 18  # float32 of this many values stay in a core's cache


@dataclass(frozen=True)
class _Probe:
    """One kind of change: a maker for each variant, with the parameter of each where the change has one."""

    makers: Sequence[MakeImages]
    parameters: Sequence[float]
    unit: str | None
    meaning: str

    @property
    def variants(self) -> int:
        """How many images the makers make."""
        return len(self.parameters) or len(self.makers)


async def probe_stability(
    image: Pixels, predicted: int, classes: list[str], model: TimedModel, generator: np.random.Generator
) -> StabilityReport:
    """Ask about changed copies of an image.

    Args:
        image: (H, W, C), the model's input.
        predicted: index of the class that the model gave.
        generator: of the noise.
    Returns:
        What was asked until the time ran out; each kind says if it is not all.
    """
    without_color, why_not = _without_color(image)
    probes = _all_probes(image, without_color, model.chunk, generator)
    in_bulk = list(probes["noise"].makers)
    one_by_one = [make for name, probe in probes.items() if name != "noise" for make in probe.makers]
    together = block_size(image, model.chunk)
    groups = [one_by_one[start : start + together] for start in range(0, len(one_by_one), together)]
    logits = await model.ask([*in_bulk, *(partial(_make_all, group) for group in groups)])
    answered = np.empty((0, len(classes)), np.float32) if logits is None else logits
    found = {}
    for name, probe in probes.items():
        mine, answered = answered[: probe.variants], answered[probe.variants :]
        found[name] = _stability(mine, predicted, classes, probe)
    if without_color is None:
        found["gray"] = _nothing(None, f"Not applicable: {why_not}")
    return StabilityReport(**found)


def _all_probes(
    image: Pixels, without_color: Pixels | None, chunk: int, generator: np.random.Generator
) -> dict[str, _Probe]:
    """Return the kinds of change by their names in the report, in the order in which they are asked."""
    return {
        "noise": _noise_probe(image, chunk, generator),
        "rotation": _probe(
            image,
            rotate,
            ROTATION_DEGREES,
            "degrees, counter-clockwise",
            f"Share of turned copies with the same answer. {ROTATION_RULE}",
        ),
        "brightness": _probe(
            image,
            brighten,
            FACTORS,
            "factor; 1 is the image as sent",
            "Share of brighter and darker copies with the same answer.",
        ),
        "contrast": _probe(
            image,
            stretch_contrast,
            FACTORS,
            "factor; 1 is the image as sent",
            "Share of copies with more and less contrast with the same answer.",
        ),
        "gray": _Probe(
            [] if without_color is None else [lambda: without_color[None]],
            (),
            None,
            "1 if the copy without colour gets the same answer, else 0.",
        ),
        "blur": _probe(
            image,
            blur,
            BLUR_RADII,
            "std of the blur, in pixels of the model's input",
            f"Share of blurred copies with the same answer. {BLUR_RULE}",
        ),
        "jpeg": _probe(
            image,
            compress,
            JPEG_QUALITIES,
            "JPEG quality, 1 to 95",
            f"Share of compressed copies with the same answer. {JPEG_RULE}",
        ),
    }


def add_noise(
    image: Pixels, noise_sigmas: Sequence[float] | NDArray[np.float32], generator: np.random.Generator
) -> Pixels:
    """Draw round(clip(image + noise)) once for each std, each value with its own N(0, std^2) in [0, 1] pixels.

    Args:
        image: (H, W, C).
        noise_sigmas: (n,), >= 0.
    Returns:
        (n, H, W, C).
    """
    scales = np.asarray(noise_sigmas, np.float32).reshape(-1, 1, 1, 1) * np.float32(255)
    shifted = image.astype(np.float32) + np.float32(0.5)  # so that cutting the fraction off rounds
    noisy = np.empty((len(scales), *image.shape), np.uint8)
    step = max(1, _PIECE_VALUES // image.size)
    values = np.empty((min(step, len(scales)), *image.shape), np.float32)
    for start in range(0, len(scales), step):
        piece = values[: len(scales) - start]
        generator.standard_normal(dtype=np.float32, out=piece)
        piece *= scales[start : start + step]
        piece += shifted
        np.clip(piece, 0, 255, out=piece)
        np.copyto(noisy[start : start + step], piece, casting="unsafe")
    return noisy


def rotate(image: Pixels, degrees: float) -> Pixels:
    """Turn counter-clockwise about the centre, bilinear, corners black."""
    return _to_pixels(_to_pillow(image).rotate(degrees, resample=Image.Resampling.BILINEAR), image)


def brighten(image: Pixels, factor: float) -> Pixels:
    """Multiply every value by `factor` and clip; 1 changes nothing."""
    return _to_pixels(ImageEnhance.Brightness(_to_pillow(image)).enhance(factor), image)


def stretch_contrast(image: Pixels, factor: float) -> Pixels:
    """Multiply every value's distance from the image's mean gray by `factor` and clip; 1 changes nothing."""
    return _to_pixels(ImageEnhance.Contrast(_to_pillow(image)).enhance(factor), image)


def to_gray(image: Pixels) -> Pixels:
    """Replace a colour image's three channels by its luma (ITU-R 601)."""
    return _to_pixels(_to_pillow(image).convert("L").convert("RGB"), image)


def blur(image: Pixels, radius: float) -> Pixels:
    """Blur by a Gaussian of this std in pixels, as repeated box blurs; 0 changes nothing."""
    return _to_pixels(_to_pillow(image).filter(ImageFilter.GaussianBlur(radius)), image)


def compress(image: Pixels, quality: float) -> Pixels:
    """Encode as JPEG of this quality, 1 to 95, and decode."""
    file = io.BytesIO()
    _to_pillow(image).save(file, "JPEG", quality=round(quality))
    return _to_pixels(Image.open(file), image)


def block_size(image: Pixels, chunk: int) -> int:
    """How many variants of an image are made at a time: some megabytes, in full chunks."""
    chunks = min(_BLOCK_VALUES // image.size, _BLOCK_IMAGES) // chunk
    return max(1, chunks) * chunk


def noisy_blocks(
    image: Pixels, noise_sigmas: Sequence[float], chunk: int, generator: np.random.Generator
) -> list[MakeImages]:
    """Makers of one noisy copy for each std, in their order, some at a time. They share the generator."""
    size = block_size(image, chunk)
    return [
        partial(add_noise, image, noise_sigmas[start : start + size], generator)
        for start in range(0, len(noise_sigmas), size)
    ]


def softmax(logits: Logits) -> Logits:
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Logits = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _noise_probe(image: Pixels, chunk: int, generator: np.random.Generator) -> _Probe:
    sigmas = [sigma for sigma in NOISE_SIGMAS for _ in range(NOISE_DRAWS)]
    return _Probe(
        noisy_blocks(image, sigmas, chunk, generator),
        sigmas,
        "std of the Gaussian noise, in [0, 1] pixels",
        f"Share of noisy copies, {NOISE_DRAWS} a strength, with the same answer.",
    )


def _probe(
    image: Pixels, change: Callable[[Pixels, float], Pixels], parameters: Sequence[float], unit: str, meaning: str
) -> _Probe:
    makers = [partial(_one, change, image, parameter) for parameter in parameters]
    return _Probe(makers, parameters, unit, meaning)


def _one(change: Callable[[Pixels, float], Pixels], image: Pixels, parameter: float) -> Pixels:
    return change(image, parameter)[None]


def _make_all(makers: Sequence[MakeImages]) -> Pixels:
    return np.concatenate([make() for make in makers])


def _without_color(image: Pixels) -> tuple[Pixels | None, str]:
    """The image without colour, or None and why there is no such image."""
    if image.shape[2] == 1:
        return None, "the model takes gray images, so there is no colour to remove."
    gray = to_gray(image)
    return (None, "the image has no colour to remove.") if np.array_equal(gray, image) else (gray, "")


def _stability(logits: Logits, predicted: int, classes: list[str], probe: _Probe) -> Stability:
    if len(logits) == 0:
        return _nothing(probe.unit, NO_TIME)
    left = softmax(logits)[:, predicted]
    answers = logits.argmax(axis=1)
    worst = int(left.argmin())
    sentences = [probe.meaning, EVERYDAY]
    if len(logits) < probe.variants:
        sentences.append(f"The report's time ran out after {len(logits)} of {probe.variants} copies.")
    parameters = list(probe.parameters)[: len(logits)]
    return Stability(
        unit=probe.unit,
        tried=sorted(set(parameters)),
        variants=len(logits),
        same_answer=float((answers == predicted).mean()),
        worst=WorstVariant(
            parameter=parameters[worst] if parameters else None,
            label=classes[answers[worst]],
            confidence=float(left[worst]),
        ),
        meaning=" ".join(sentences),
    )


def _nothing(unit: str | None, meaning: str) -> Stability:
    return Stability(unit=unit, tried=[], variants=0, same_answer=None, worst=None, meaning=meaning)


def _to_pillow(image: Pixels) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _to_pixels(changed: Image.Image, image: Pixels) -> Pixels:
    return np.asarray(changed, dtype=np.uint8).reshape(image.shape)
