"""Accuracy under the common corruptions of ImageNet-C."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import quantiles
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from hardener.config.evaluation_record import CorruptedCell, CorruptedClass, CorruptionKind, Corruptions, CurvePoint
from hardener.errors import HardenerError, did_you_mean
from hardener.measures._common import batches
from hardener.measures.run import Case, Found
from hardener.runtime.answers import chosen_class
from hardener.runtime.model_state import measuring
from hardener.statistics.interval import clopper_pearson
from hardener.statistics.paired import hoeffding_interval

Pixels = NDArray[np.uint8]
CorruptionFamily = Literal["noise", "blur", "weather", "digital"]

CORRUPTIONS: Mapping[str, CorruptionFamily] = {
    "gaussian_noise": "noise",
    "shot_noise": "noise",
    "impulse_noise": "noise",
    "defocus_blur": "blur",
    "glass_blur": "blur",
    "motion_blur": "blur",
    "zoom_blur": "blur",
    "snow": "weather",
    "frost": "weather",
    "fog": "weather",
    "brightness": "weather",
    "contrast": "digital",
    "elastic_transform": "digital",
    "pixelate": "digital",
    "jpeg_compression": "digital",
}
SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST_SIDE = 32
"""The library refuses images below this: its kernels and patterns do not fit."""
_MADE_FOR = 224
_PIXEL_BY_PIXEL = frozenset({"gaussian_noise", "shot_noise", "impulse_noise", "brightness", "contrast"})
_OWN_SEED = frozenset({"impulse_noise", "glass_blur"})
_LUMA = (0.299, 0.587, 0.114)


def measure(case: Case) -> Found:
    """Measure accuracy under all corruptions."""
    with case.reporter.track("corruptions", len(case.pixels), "images") as done:
        found = measure_corruptions(
            case.model, case.pixels, case.labels,
            batch_size=case.batch_size, generator=case.generator(), on_done=done, classes=case.classes,
        )  # fmt: skip
    return Found(found)


@torch.no_grad()
def measure_corruptions(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    on_done: Callable[[int], None] | None = None,
    kinds: Sequence[str] = tuple(CORRUPTIONS),
    classes: Sequence[str] = (),
) -> Corruptions:
    """Measure accuracy on 15 kinds of corruption at 5 severities each.

    An image's corruption depends on the generator's state and the image's place, not on `batch_size`: two models
    that are measured with equal seeds see the same pixels.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K); put into eval mode meanwhile.
        images: (N, C, H, W), float in [0, 1] or uint8; C is 1 or 3. A gray image is corrupted as a colour image of
            three equal channels, and the model gets the luma (ITU-R 601) of what comes out; for noise, one channel.
        labels: (N,) int64.
        batch_size: images at once.
        generator: one draw from it seeds everything here.
        on_done: called with a number of images as they are dealt with; N in all.
        kinds: names of `CORRUPTIONS`.
        classes: names of the K classes; their numbers where none are given.
    Raises:
        HardenerError: there are no images, they have neither 1 nor 3 channels, a kind is unknown, or the library
            that makes the corruptions is not installed.
    Note: the mean corruption error here is the plain mean of the errors. The paper divides each kind's error by
        AlexNet's, which only means something on ImageNet.
    Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
        Perturbations", ICLR 2019, through the library imagecorruptions.
    """
    _check(images.shape[1], kinds)
    library = _load_library()
    seed = _draw_seed(generator)
    names = list(classes) or [str(label) for label in range(int(labels.max()) + 1)]
    right = torch.zeros(len(kinds), len(SEVERITIES), len(names), dtype=torch.int64)
    with measuring(model) as device, _numpy_state_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own dealings with numpy and scikit-image
        first = 0
        for clean, truth in batches(images, labels, batch_size, torch.device("cpu")):
            for row, kind in enumerate(kinds):
                for place, severity in enumerate(SEVERITIES):
                    seeds = [_seed_of(seed, index, kind, severity) for index in range(first, first + len(clean))]
                    changed = _corrupt(library, clean, kind, severity, seeds)
                    chosen = chosen_class(model(changed.to(device))).cpu()
                    right[row, place] += torch.bincount(truth[chosen.eq(truth)], minlength=len(names))
            first += len(clean)
            if on_done is not None:
                on_done(len(clean))
    counts = torch.bincount(labels.cpu(), minlength=len(names))
    return _summed(right, counts, kinds, names).model_copy(update={"note": _note(min(images.shape[-2:]))})


def _summed(right: Tensor, counts: Tensor, kinds: Sequence[str], names: Sequence[str]) -> Corruptions:
    """Sum up right answers, (kinds, severities, K), of `counts` images of each class, (K,)."""
    samples = int(counts.sum())
    accuracies = right.sum(dim=2).double() / samples
    means, per_class = accuracies.mean(dim=0).tolist(), (right.sum(dim=0).T.double() / len(kinds)).tolist()
    return Corruptions(
        samples=samples,
        kinds=[
            CorruptionKind(name=kind, family=CORRUPTIONS[kind], accuracies=row)
            for kind, row in zip(kinds, accuracies.tolist(), strict=True)
        ],
        mean_corruption_error=1 - float(accuracies.mean()),
        by_severity=[
            CurvePoint(parameter=severity, accuracy=share, interval=hoeffding_interval(share, samples))
            for severity, share in zip(SEVERITIES, means, strict=True)
        ],
        classes=[
            CorruptedClass(name=name, samples=count, accuracies=[value / count for value in row])
            for name, count, row in zip(names, counts.tolist(), per_class, strict=True)
            if count
        ],
        standing_out=[
            CorruptedCell(kind=kinds[row], severity=SEVERITIES[place], accuracy=float(accuracies[row, place]))
            for place in range(len(SEVERITIES))
            for row in fallen_out(right.sum(dim=2)[:, place].tolist(), samples)
        ],
        note="",
    )


def fallen_out(right: Sequence[int], samples: int) -> list[int]:
    """Return which counts of right answers lie surely below Tukey's lower fence of them all; of four at least.

    Source: Tukey, "Exploratory Data Analysis", 1977: a quarter's end minus 1.5 times the middle half's width.
    """
    if len(right) < 4:
        return []
    low, _, high = quantiles((count / samples for count in right), n=4, method="inclusive")
    fence = low - 1.5 * (high - low)
    return [place for place, count in enumerate(right) if clopper_pearson(count, samples)[1] < fence]


def _check(channels: int, kinds: Sequence[str]) -> None:
    if channels not in {1, 3}:
        raise HardenerError(f"corruptions need gray or RGB images; these have {channels} channels.")
    for kind in kinds:
        if kind not in CORRUPTIONS:
            known = ", ".join(CORRUPTIONS)
            raise HardenerError(f"unknown corruption {kind!r}. Known: {known}.{did_you_mean(kind, CORRUPTIONS)}")


def _corrupt(library: Mapping[str, Any], clean: Tensor, kind: str, severity: int, seeds: list[int]) -> Tensor:
    """(N, C, H, W) in [0, 1] on the CPU -> the same, corrupted."""
    size = (int(clean.shape[-2]), int(clean.shape[-1]))
    factor = SMALLEST_SIDE / min(size)
    working = clean
    if factor > 1 and kind not in _PIXEL_BY_PIXEL:
        working = _resize(clean, (math.ceil(size[0] * factor), math.ceil(size[1] * factor)))
    levels = (255 * working).round().clamp(0, 255).to(torch.uint8)
    pixels = levels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()
    made = [_corrupt_pixels(library, image, kind, severity, seed) for image, seed in zip(pixels, seeds, strict=True)]
    changed = torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).to(clean.dtype) / 255
    if clean.shape[1] == 1 and CORRUPTIONS[kind] == "noise":
        changed = changed[:, :1]  # the luma of three channels with their own noise would be a weaker noise
    elif clean.shape[1] == 1:
        changed = (changed * changed.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return changed if changed.shape[-2:] == size else _resize(changed, size).clamp(0, 1)


def _corrupt_pixels(library: Mapping[str, Any], image: Pixels, kind: str, severity: int, seed: int) -> Pixels:
    np.random.seed(seed)  # the library draws from numpy's global state
    own = {"seed": seed} if kind in _OWN_SEED else {}
    made: Pixels = np.asarray(library[kind](Image.fromarray(image), severity, **own)).astype(np.uint8)
    return made


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    return interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def _load_library() -> Mapping[str, Any]:
    """Return the library's functions by name: (Pillow image, severity) -> pixels in [0, 255]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            library = importlib.import_module("imagecorruptions")
    except ModuleNotFoundError as error:
        if error.name != "imagecorruptions":
            raise
        raise HardenerError(
            "the common corruptions need the library imagecorruptions-imaug, which is not installed. "
            "Install it: pip install 'hardener[corruptions]'."
        ) from None
    functions: Mapping[str, Any] = library.corruption_dict
    return functions


def _draw_seed(generator: torch.Generator | None) -> int:
    device = torch.device("cpu") if generator is None else generator.device
    return int(torch.randint(2**31, (1,), generator=generator, device=device))


def _seed_of(seed: int, index: int, kind: str, severity: int) -> int:
    place = list(CORRUPTIONS).index(kind)
    return int(np.random.SeedSequence([seed, index, place, severity]).generate_state(1)[0])


@contextmanager
def _numpy_state_kept() -> Iterator[None]:
    before = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(before)


def _note(side: int) -> str:
    said = ["The mean corruption error is 1 - accuracy, averaged; it is not relative to AlexNet's as in the paper."]
    if side < _MADE_FOR:
        said.append(
            f"The strengths are those of ImageNet-C, made for {_MADE_FOR} pixels. These images have {side}, so blurs, "
            "distortions and JPEG's blocks are harsher here: compare models on these images, not with published tables."
        )
    if side < SMALLEST_SIDE:
        said.append(
            f"Below {SMALLEST_SIDE} pixels, {len(CORRUPTIONS) - len(_PIXEL_BY_PIXEL)} of the {len(CORRUPTIONS)} kinds "
            f"are made on a bilinear enlargement to {SMALLEST_SIDE} pixels that is scaled down again, which alone "
            "costs some sharpness; the noises, brightness and contrast are made at the image's own size."
        )
    return " ".join(said)
