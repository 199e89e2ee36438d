"""What the service may take, and for how long: read once from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from hardener.config.served import split_name
from hardener.errors import HardenerError

from .access import Rate, read_origins, read_rate
from .log import LogForm

Device = Literal["auto", "cpu", "cuda"]
MAX_WORKERS = 256
MAX_REPORT_SECONDS = 3600.0
CLOSABLE = ("metrics", "docs", "page")


@dataclass(frozen=True)
class Source:
    """A bundle to serve: its folder, and the name to serve it under; None: the name in bundle.json."""

    path: Path
    name: str | None = None


@dataclass(frozen=True)
class Settings:
    """The service's limits.

    Args:
        bundles: what is served side by side.
        default: the name of the model that answers where a request names none; None: the first.
        device: `auto` takes the GPU where there is one, and then refuses to run without it.
        lanes: threads that run a model at once; None: one a core on the CPU, one on a GPU.
        workers: processes.
        body_timeout_s: from a request's headers to the end of its body.
        predict_timeout_s: from a request's headers to its answer; a report's budget is added.
        max_body_bytes: of one request.
        max_pixels: that an image's header may announce; nothing larger is decoded.
        max_batch_images: in one request.
        max_requests: requests in work at once; one whose body is still on its way is not yet.
        max_held_bytes: of all bodies together, from their first byte to the answer.
        max_waiting: images that wait for a lane.
        max_reports: reports in work at once.
        selection_draws, draws, alpha: n0, n and alpha of the certificate.
        draws, queries, report_seconds: what a report may spend where the request does not say.
        max_draws, max_queries, max_report_seconds: the most that a request may ask for.
        tokens: the file of the tokens' hashes; token_hashes: the same as text.
        rate: requests a second that one caller may send, and how many at once; None: any number.
        cors: origins whose pages may call; `*` for all.
        closed: of `CLOSABLE`, what answers 404.
        log: one line a request as text or as JSON.
    """

    bundles: tuple[Source, ...]
    default: str | None = None
    device: Device = "auto"
    lanes: int | None = None
    workers: int = 1
    body_timeout_s: float = 8.0
    predict_timeout_s: float = 10.0
    max_body_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 50_000_000
    max_batch_images: int = 32
    max_requests: int = 64
    max_held_bytes: int = 256 * 1024 * 1024
    max_waiting: int = 32
    max_reports: int = 4
    selection_draws: int = 16
    draws: int = 100
    queries: int = 200
    report_seconds: float = 15.0
    max_draws: int = 1000
    max_queries: int = 2000
    max_report_seconds: float = 60.0
    alpha: float = 0.001
    tokens: Path | None = None
    token_hashes: str = ""
    rate: Rate | None = None
    cors: tuple[str, ...] = ()
    closed: frozenset[str] = frozenset()
    log: LogForm = "text"


def settings_from_environment() -> Settings:
    """Read the `HARDENER_` variables.

    Raises:
        HardenerError: no bundle is named, or a value is out of its range.
    """
    tokens = os.environ.get("HARDENER_TOKENS", "")
    seconds = _number("HARDENER_REPORT_SECONDS", least=0.1, most=MAX_REPORT_SECONDS)
    rate = os.environ.get("HARDENER_RATE", "")
    return Settings(
        bundles=parse_bundles(os.environ.get("HARDENER_BUNDLE", "")),
        default=os.environ.get("HARDENER_DEFAULT") or None,
        device=cast(Device, _one_of("HARDENER_DEVICE", get_args(Device))),
        lanes=_count("HARDENER_LANES", most=256),
        workers=_count("HARDENER_WORKERS", most=MAX_WORKERS) or Settings.workers,
        draws=_count("HARDENER_DRAWS", most=100_000) or Settings.draws,
        queries=_count("HARDENER_QUERIES", most=100_000) or Settings.queries,
        report_seconds=Settings.report_seconds if seconds is None else seconds,
        tokens=Path(tokens) if tokens else None,
        token_hashes=os.environ.get("HARDENER_TOKEN_HASHES", ""),
        rate=read_rate(rate) if rate else None,
        cors=read_origins(os.environ.get("HARDENER_CORS", "")),
        closed=_closed(),
        log=cast(LogForm, _one_of("HARDENER_LOG", get_args(LogForm))),
    )


def worker_count() -> int:
    """Read `HARDENER_WORKERS` alone; 1 where it is not set or wrong, which `settings_from_environment` says."""
    try:
        return _count("HARDENER_WORKERS", most=MAX_WORKERS) or Settings.workers
    except HardenerError:
        return Settings.workers


def longest_request_s() -> float:
    """Read from `HARDENER_REPORT_SECONDS` alone when the last deadline of a request is; see `worker_count`."""
    try:
        default = _number("HARDENER_REPORT_SECONDS", least=0.1, most=MAX_REPORT_SECONDS) or Settings.report_seconds
    except HardenerError:
        default = Settings.report_seconds
    return max(default, Settings.max_report_seconds) + Settings.predict_timeout_s


def parse_bundles(text: str) -> tuple[Source, ...]:
    """Read `PATH` or `NAME=PATH`, several of them separated as in the variable PATH.

    Raises:
        HardenerError: none is named.
    """
    sources = []
    for word in filter(None, text.split(os.pathsep)):
        name, path = split_name(word)
        sources.append(Source(Path(path), name))
    if not sources:
        raise HardenerError("HARDENER_BUNDLE is not set. Set it to a bundle's folder, or start with `hardener serve`.")
    return tuple(sources)


def _one_of(name: str, known: tuple[str, ...]) -> str:
    text = os.environ.get(name) or known[0]
    if text not in known:
        raise HardenerError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}; got {text!r}")
    return text


def _closed() -> frozenset[str]:
    words = _words("HARDENER_CLOSED")
    for word in words:
        if word not in CLOSABLE:
            raise HardenerError(f"HARDENER_CLOSED takes {', '.join(CLOSABLE)}; got {word!r}")
    return frozenset(words)


def _words(name: str) -> list[str]:
    return [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()]


def _count(name: str, *, most: int) -> int | None:
    text = os.environ.get(name, "")
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise HardenerError(f"{name} must be a whole number from 1 to {most}; got {text!r}")
    return int(text)


def _number(name: str, *, least: float, most: float) -> float | None:
    text = os.environ.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise HardenerError(f"{name} must be a number from {least:g} to {most:g}; got {text!r}")
    return value
