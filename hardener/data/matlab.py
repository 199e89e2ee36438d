"""MATLAB files that lie beside images and tell their classes or splits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from hardener.errors import HardenerError


def variables(shown: str, source: Path | bytes) -> dict[str, Any]:
    """Return the variables of a file, arrays without axes of one; nothing in it is run.

    Args:
        shown: what messages call it.
        source: where it lies, or what it holds.
    Raises:
        HardenerError: scipy is not installed, or the file cannot be read.
    """
    try:
        from scipy.io import loadmat
    except ModuleNotFoundError as error:
        if error.name not in {"scipy", "scipy.io"}:
            raise
        raise HardenerError(f"{shown} is read by scipy. Install it: pip install 'hardener[convert]'.") from None
    try:
        found: dict[str, Any] = loadmat(io.BytesIO(source) if isinstance(source, bytes) else source, squeeze_me=True)
    except Exception as error:  # its parser raises nearly anything on a file that was cut
        raise HardenerError(
            f"{shown} is no MATLAB file that can be read ({type(error).__name__}). Fetch it again."
        ) from None
    return found
