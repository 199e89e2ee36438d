"""The size, and the rule for pixels, that images are brought to: chosen from what their headers say, and told."""

from __future__ import annotations

from dataclasses import dataclass

from hardener.config.pixels import Fit, PixelRule
from hardener.data.cache import PixelCache
from hardener.data.image_files import ImageFiles
from hardener.data.levels import SHALLOW
from hardener.data.survey import Levels, Size, Survey, measure_levels
from hardener.errors import HardenerError
from hardener.progress import Reporter
from hardener.words import percent

DEFAULT_SIZE = 224
BULK = 0.9
"""The share of images of one size from which on it is the size of all."""
LARGE_CUT, MANY = 0.2, 0.1
"""A crop that takes more of the area, from a larger share of the images, is told."""
_SQUEEZED = 4  # times that the whole range may be as wide as what 99 % of the pixels need


@dataclass(frozen=True)
class Cut:
    """What a crop to one size takes away.

    Attributes:
        share: of the images that lose more than a fifth of their area.
        images: how many those are.
        worst: places of images that lose most, the worst first, and the share of the area that each loses.
    """

    share: float
    images: int
    worst: tuple[tuple[int, float], ...]


def bulk_size(seen: Survey) -> Size:
    """Return the size of nine tenths of the images or more; 224 by 224 where there is none."""
    if seen.sizes:
        size, count = max(seen.sizes.items(), key=lambda item: item[1])
        if count >= BULK * seen.images:
            return size
    return DEFAULT_SIZE, DEFAULT_SIZE


def tell_size(seen: Survey, files: ImageFiles, size: Size, reporter: Reporter) -> None:
    """Say what images of several sizes are brought to, where the user did not ask for a size."""
    others = seen.images - seen.sizes.get(size, 0)
    if not others:
        return
    if size in seen.sizes and seen.sizes[size] >= BULK * seen.images:
        odd = next(own for own in seen.sizes if own != size)
        where = files.where(seen.examples[odd][0])
        reporter.say(
            f"{others:,} of {seen.images:,} images are not {_size(size)} as the rest: they are brought to that size, "
            f"such as {where} ({_size(odd)})"
        )
        return
    smallest, largest = (pick(seen.sizes, key=lambda own: own[0] * own[1]) for pick in (min, max))
    reporter.say(
        f"the images have {len(seen.sizes):,} sizes, from {_size(smallest)} to {_size(largest)}: they are brought to "
        f"{_size(size)}; --image-size sets another"
    )


def choose_range(
    files: ImageFiles,
    seen: Survey,
    asked: tuple[float, float] | None,
    cache: PixelCache | None,
    reporter: Reporter,
) -> tuple[float, float] | None:
    """Return the levels of deep images that become 0 and 255: those asked for, else the lowest and the highest found.

    Returns:
        None where no image is deep, or none of them holds a number.
    Raises:
        HardenerError: float images, and no range was asked for.
    """
    if asked is not None:
        if not seen.deep:
            reporter.warn("a range was given, and no image has more than 8 bits: it changes nothing")
        return asked
    if not seen.deep:
        return None
    with reporter.track("measuring levels", len(files), "images") as advance:
        found = measure_levels(files, cache=cache, on_done=advance)
    if seen.floats and seen.floats < seen.deep:
        kinds = ", ".join(f"{count:,} of {depth}" for depth, count in seen.depths.items() if depth not in SHALLOW)
        raise HardenerError(
            f"the images below {files.root} have levels of several kinds ({kinds}), and one range serves all of them. "
            "Where they are of one scale, name it with --range LO,HI; where not, convert one kind into the other, or "
            "leave it out by --ignore PATTERN, such as --ignore '*.tif'."
        )
    if seen.floats:
        raise HardenerError(
            f"{seen.floats:,} of {seen.images:,} images below {files.root} have float pixels"
            + (f", from {_number(found.low)} to {_number(found.high)}" if found else "")
            + ", and nothing says which are black and white. Name the range with --range LO,HI"
            + (f", such as --range {_ends(found.low, found.high)}" if found else "")
            + "."
        )
    if found is None:
        return None
    _tell_range(seen, found, reporter)
    return found.low, found.high if found.high > found.low else found.low + 1


def cut_by_crop(seen: Survey, size: Size) -> Cut:
    """Return what a crop to `size` takes away from images of the sizes seen."""
    losses = {own: lost_area(own, size) for own in seen.sizes}
    images = sum(count for own, count in seen.sizes.items() if losses[own] > LARGE_CUT)
    order = sorted(losses, key=lambda own: -losses[own])
    worst = [(place, losses[own]) for own in order if losses[own] > LARGE_CUT for place in seen.examples[own]]
    return Cut(images / max(1, seen.images), images, tuple(worst[:24]))


def lost_area(own: Size, size: Size) -> float:
    """Return the share of an image's area that is cut off where it is scaled to cover `size`."""
    ratio = (own[1] * size[0]) / (own[0] * size[1])
    return 1 - min(ratio, 1 / ratio)


def tell_cut(cut: Cut, files: ImageFiles, size: Size, fit: Fit, advice: str, reporter: Reporter) -> bool:
    """Say what the crop takes away, where that is much from many; return whether it is.

    Args:
        advice: what else the user can do there.
    """
    if fit != "crop" or cut.share <= MANY:
        return False
    place, lost = cut.worst[0]
    reporter.warn(
        f"the crop to {_size(size)} takes more than a fifth of the area from {percent(cut.share)} of the images, most "
        f"from {files.where(place)} ({percent(lost)}). {advice}"
    )
    return True


def tell_pixels(seen: Survey, files: ImageFiles, rule: PixelRule, reporter: Reporter, *, training: bool = True) -> None:
    """Say what is done to pixels that are more than plain colours of 8 bits."""
    if seen.transparent and rule.background is not None:
        color = ",".join(map(str, rule.background))
        reporter.say(
            f"{seen.transparent:,} images have an alpha channel or a transparent colour: they are laid over "
            f"{'white' if color == '255,255,255' else color}"
            + ("; --set data.background=COLOR sets another" if training else "")
        )
    if seen.paged:
        reporter.say(f"{seen.paged:,} files hold several pages or frames: the first of each is read")
    if seen.broken_profiles and rule.profiles:
        place, reason = seen.broken_profiles[0]
        reporter.warn(
            f"{len(seen.broken_profiles):,} images have a colour profile that cannot be used, and are read as if they "
            f"had none, such as {files.where(place)}: {reason}"
        )


def tell_depth(seen: Survey, files: ImageFiles, rule: PixelRule, reporter: Reporter) -> None:
    """Say how deep images are read by a model that was trained on images of 8 bits.

    Raises:
        HardenerError: float images.
    """
    if rule.range is not None or not seen.deep:
        return
    if seen.floats:
        raise HardenerError(
            f"{seen.floats:,} of {seen.images:,} images below {files.root} have float pixels, and the model was "
            "trained on images of 8 bits: nothing says which values are black and white. Save them with 8 or 16 bits."
        )
    reporter.warn(
        f"{seen.deep:,} of {seen.images:,} images have more than 8 bits, and the model was trained on images of 8: the "
        "whole range of 16 bits becomes 0 to 255, so levels that fill a part of it look dark"
    )


def _tell_range(seen: Survey, found: Levels, reporter: Reporter) -> None:
    depths = ", ".join(depth for depth in seen.depths if depth not in SHALLOW)
    reporter.say(
        f"{found.images:,} images of {depths} hold levels from {_number(found.low)} to {_number(found.high)}: these "
        f"become 0 to 255; --range LO,HI sets other ends"
    )
    low, high = found.bulk
    if high > low and found.high - found.low > _SQUEEZED * (high - low):
        reporter.warn(
            f"99 % of their pixels lie between {_number(low)} and {_number(high)}, a small part of that range, and "
            f"become nearly one gray. --range {_ends(low, high)} gives them the whole of it"
        )
    if found.images < seen.images:
        reporter.warn(
            f"{seen.images - found.images:,} images beside them have 8 bits and are read as they are, from 0 to 255"
        )


def _size(size: Size) -> str:
    return f"{size[0]}x{size[1]}"  # as --image-size takes it


def _number(value: float) -> str:
    return f"{value:.7g}"


def _ends(low: float, high: float) -> str:
    return f"{_number(low)},{_number(high)}"
