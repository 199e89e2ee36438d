"""How a run normalises its images, where its network may do so by itself."""

from __future__ import annotations

from hardener.models.build import Built
from hardener.models.conditions import noise
from hardener.models.normalization_done import BYTES
from hardener.models.own_normalization import fault_of_normalization, normalization_of
from hardener.progress import Reporter


def settle_normalization(built: Built, asked: str, left: str | None, reporter: Reporter) -> str:
    """Return how images are normalised: what the network does by itself is left to it, unless more was asked for."""
    images = noise(2, built.channels, built.height, built.width)
    own = normalization_of(built.network, images) if asked == "data" else None
    if own is not None and own.of_bytes:
        reporter.say(
            f"the model takes numbers from 0 to 255 ({own.told}): it is given them, as with --normalize {BYTES}"
        )
        return own.normalize
    if own is not None:
        reporter.say(f"the model normalises images by itself ({own.told}): nothing else does, as with --normalize none")
        return own.normalize
    fault = fault_of_normalization(built.network, asked, left, images)
    if fault is not None:
        reporter.warn(fault)
    return asked
