"""What the headers of a split's images say, and which levels its deep pixels have."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from hardener.data.cache import Facts, PixelCache
from hardener.data.colors import profile_of, shows_through
from hardener.data.decode import SIDEWAYS, open_image
from hardener.data.image_files import ImageFiles
from hardener.data.levels import FLOAT, SHALLOW, Deep, depth_of, is_deep, is_gray
from hardener.data.threads import mapped
from hardener.errors import BadImage

Size = tuple[int, int]
_EXAMPLES = 4
_SAMPLED = 4096  # pixels of an image that the bulk of the levels is taken from
_GRID = (np.arange(100) + 0.5) / 100


@dataclass(frozen=True)
class Survey:
    """What the headers of a split's images say; those that cannot be read are passed over.

    Attributes:
        sizes: (height, width), the right way up -> how many images have it.
        examples: (height, width) -> places of the first few.
        color: whether any image may hold colour.
        formats, modes, depths: what Pillow calls it, and `depth_of` -> how many images.
        transparent, paged: how many have transparent pixels, and more than one page or frame.
        profiles: how many have a colour profile that changes something.
        broken_profiles: (place, reason) of those that cannot be used.
    """

    sizes: dict[Size, int]
    examples: dict[Size, tuple[int, ...]]
    color: bool
    formats: dict[str, int]
    modes: dict[str, int]
    depths: dict[str, int]
    transparent: int
    paged: int
    profiles: int
    broken_profiles: tuple[tuple[int, str], ...]

    @property
    def images(self) -> int:
        """How many headers could be read."""
        return sum(self.sizes.values())

    @property
    def deep(self) -> int:
        """How many images have pixels of more than 8 bits."""
        return sum(count for depth, count in self.depths.items() if depth not in SHALLOW)

    @property
    def floats(self) -> int:
        """How many images have float pixels."""
        return self.depths.get(FLOAT, 0)


@dataclass(frozen=True)
class Levels:
    """The levels of deep images: of `images`, from `low` to `high`, 99 % of the pixels within `bulk`."""

    images: int
    low: float
    high: float
    bulk: tuple[float, float]


@dataclass(frozen=True)
class _Header:
    size: Size
    color: bool
    format: str
    mode: str
    depth: str
    transparent: bool
    paged: bool
    profile: str | None  # "" for one that can be used, else why not


def survey(
    files: ImageFiles, *, cache: PixelCache | None = None, on_done: Callable[[int], object] = lambda done: None
) -> Survey:
    """Read every header; one that cannot be read is passed over here, and reported by `load_images`.

    Args:
        cache: where the answer is kept; files that it knows are not opened.
        on_done: called with 1 for each image that was dealt with.
    """
    lasting = True
    form = getattr(files.store, "form", "")

    def look(place: int) -> _Header | None:
        nonlocal lasting
        try:
            return _header(open_image(files.open(place)), form)
        except BadImage:
            return None
        except OSError:
            lasting = False
            return None

    def look_at_all() -> Facts:
        return _facts(mapped(look, range(len(files)), on_done))

    key = None if cache is None else cache.key(files, what="headers 3")
    if cache is None or key is None:
        return _survey(look_at_all())
    entry = cache.get(key, 0, lambda write: (look_at_all(), lasting and cache.holds(key, files, what="headers 3")))
    return _survey(look_at_all() if entry is None else entry.facts)


def together(surveys: Iterable[Survey]) -> Survey:
    """Return what several splits say together; places mean nothing there, so there are no examples."""
    every = list(surveys)

    def added(name: str) -> Counter[Any]:
        return sum((Counter(getattr(seen, name)) for seen in every), Counter())

    return Survey(
        sizes=dict(added("sizes").most_common()),
        examples={},
        color=any(seen.color for seen in every),
        formats=dict(added("formats").most_common()),
        modes=dict(added("modes").most_common()),
        depths=dict(added("depths").most_common()),
        transparent=sum(seen.transparent for seen in every),
        paged=sum(seen.paged for seen in every),
        profiles=sum(seen.profiles for seen in every),
        broken_profiles=(),
    )


def measure_levels(
    files: ImageFiles, *, cache: PixelCache | None = None, on_done: Callable[[int], object] = lambda done: None
) -> Levels | None:
    """Measure the levels of all deep images; None where there is none, or no pixel of theirs is a number.

    Args:
        cache, on_done: as for `survey`.
    """
    lasting = True

    def measure(place: int) -> list[float] | None:
        nonlocal lasting
        try:
            image = open_image(files.open(place))
            return _levels(Deep(image)) if is_deep(image) else None
        except OSError:
            lasting = False
        except Exception:  # decoders raise nearly anything; `load_images` reports it
            return None
        return None

    def measure_all() -> Facts:
        rows = [row for row in mapped(measure, range(len(files)), on_done) if row]
        if not rows:
            return {"images": 0}
        table = np.array(rows)
        bulk = np.quantile(table[:, 2:], [0.005, 0.995]).tolist()
        return {"images": len(rows), "low": table[:, 0].min(), "high": table[:, 1].max(), "bulk": bulk}

    key = None if cache is None else cache.key(files, what="levels")
    if cache is None or key is None:
        facts = measure_all()
    else:
        entry = cache.get(key, 0, lambda write: (measure_all(), lasting and cache.holds(key, files, what="levels")))
        facts = measure_all() if entry is None else entry.facts
    if not facts["images"]:
        return None
    low, high = facts["bulk"]
    return Levels(facts["images"], facts["low"], facts["high"], (low, high))


def upright_size(image: Image.Image) -> Size:
    """Return (height, width) of an opened image once it is turned as its EXIF orientation says."""
    width, height = image.size
    return (width, height) if _orientation(image) in SIDEWAYS else (height, width)


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info:  # where a PNG has it behind its pixels, asking would decode them
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a parser of Pillow's, on whatever a camera wrote
        return 1


def _header(image: Image.Image, form: str) -> _Header:
    found = profile_of(image)
    return _Header(
        size=upright_size(image),
        color=not is_gray(image),
        format=form or image.format or "",
        mode=image.mode,
        depth=depth_of(image),
        transparent=shows_through(image),
        paged=image.format != "MPO" and bool(getattr(image, "is_animated", False)),  # MPO: a JPEG with a preview
        profile=found if found is None or isinstance(found, str) else "",
    )


def _facts(headers: Iterable[_Header | None]) -> Facts:
    sizes: dict[Size, list[int]] = {}
    counts: dict[str, Counter[str]] = {"formats": Counter(), "modes": Counter(), "depths": Counter()}
    color, transparent, paged, profiles = False, 0, 0, 0
    broken: list[tuple[int, str]] = []
    seen: Counter[Size] = Counter()
    for place, header in enumerate(headers):
        if header is None:
            continue
        seen[header.size] += 1
        examples = sizes.setdefault(header.size, [])
        if len(examples) < _EXAMPLES:
            examples.append(place)
        for kind, value in (("formats", header.format), ("modes", header.mode), ("depths", header.depth)):
            counts[kind][value] += 1
        color |= header.color
        transparent += header.transparent
        paged += header.paged
        profiles += header.profile == ""
        if header.profile:
            broken.append((place, header.profile))
    return {
        "sizes": [[*size, count, sizes[size]] for size, count in seen.most_common()],
        **{kind: dict(count.most_common()) for kind, count in counts.items()},
        "color": color,
        "transparent": transparent,
        "paged": paged,
        "profiles": profiles,
        "broken_profiles": broken,
    }


def _survey(facts: Facts) -> Survey:
    same = ("color", "formats", "modes", "depths", "transparent", "paged", "profiles")
    return Survey(
        sizes={(height, width): count for height, width, count, _ in facts["sizes"]},
        examples={(height, width): tuple(places) for height, width, _, places in facts["sizes"]},
        broken_profiles=tuple((place, reason) for place, reason in facts["broken_profiles"]),
        **{name: facts[name] for name in same},
    )


def _levels(deep: Deep) -> list[float] | None:
    """Return an image's lowest and highest level, and 100 quantiles."""
    low, high = deep.ends()
    if not low <= high:  # nan
        return None
    step = max(1, deep.image.width * deep.image.height // _SAMPLED)
    some = np.concatenate([deep.colors(levels).reshape(-1)[::step] for _, levels in deep.strips()])
    known = some[np.isfinite(some)]
    return [low, high, *np.quantile(known if known.size else [low, high], _GRID, method="nearest").tolist()]
