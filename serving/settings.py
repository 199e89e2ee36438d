"""What the service may take, and for how long: read once from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from hardener.errors import HardenerError

Device = Literal["auto", "cpu", "cuda"]
PREDICT_TIMEOUT_S = 10.0
REPORT_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Settings:
    """The service's limits.

    Args:
        bundle: the folder with `bundle.json` and the model file.
        device: `auto` takes the GPU where there is one, and then refuses to run without it.
        lanes: threads that run the model at once; None: one a core on the CPU, one on a GPU.
        predict_timeout_s, report_timeout_s: from the request's first byte to its answer.
        max_body_bytes: of one request.
        max_pixels: that an image's header may announce; nothing larger is decoded.
        max_requests: `/predict` requests in work at once, so that bodies in memory stay bounded.
        max_waiting: images that wait for a lane.
        max_reports: reports in work at once.
        selection_draws, draws, alpha: n0, n and alpha of the certificate.
    """

    bundle: Path
    device: Device = "auto"
    lanes: int | None = None
    predict_timeout_s: float = PREDICT_TIMEOUT_S
    report_timeout_s: float = REPORT_TIMEOUT_S
    max_body_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000
    max_requests: int = 64
    max_waiting: int = 32
    max_reports: int = 4
    selection_draws: int = 16
    draws: int = 100
    alpha: float = 0.001


def settings_from_environment() -> Settings:
    """Read `HARDENER_BUNDLE`, and where set `HARDENER_DEVICE`, `HARDENER_LANES` and `HARDENER_DRAWS`.

    Raises:
        HardenerError: no bundle is named, or a value is out of its range.
    """
    bundle = os.environ.get("HARDENER_BUNDLE", "")
    if not bundle:
        raise HardenerError("HARDENER_BUNDLE is not set. Set it to a bundle's folder, or start with `hardener serve`.")
    return Settings(
        bundle=Path(bundle),
        device=_device(os.environ.get("HARDENER_DEVICE", "auto")),
        lanes=_count("HARDENER_LANES", most=256) if os.environ.get("HARDENER_LANES") else None,
        draws=_count("HARDENER_DRAWS", most=10_000) if os.environ.get("HARDENER_DRAWS") else Settings.draws,
    )


def _device(text: str) -> Device:
    for device in get_args(Device):
        if text == device:
            return cast(Device, device)
    raise HardenerError(f"HARDENER_DEVICE must be auto, cpu or cuda; got {text!r}")


def _count(name: str, *, most: int) -> int:
    text = os.environ[name]
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise HardenerError(f"{name} must be a whole number from 1 to {most}; got {text!r}")
    return int(text)
