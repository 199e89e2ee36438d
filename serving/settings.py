"""What is served, to whom, and within which limits: read once from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from hardener.config.served import split_name
from hardener.config.serving_limits import LIMITS, read_limits
from hardener.errors import HardenerError

from .access import Rate, read_origins, read_rate
from .client_address import Network, ProxyHeader, read_proxies
from .log import LogForm
from .other_sites import read_hosts

Device = Literal["auto", "cpu", "cuda"]
ACCEPTED_VARIABLE = "HARDENER_ACCEPTED_FOLDER"
BUNDLES_VARIABLE = "HARDENER_BUNDLE"
CLOSABLE = ("metrics", "docs", "page")


@dataclass(frozen=True)
class BundleSource:
    """A bundle to serve: its folder, and the name to serve it under; None: the name in bundle.json."""

    path: Path
    name: str | None = None


def _default(name: str) -> Any:
    return LIMITS[name].default


@dataclass(frozen=True)
class Settings:
    """What the service goes by. Each number is a limit, and `hardener.config.serving_limits` says what it bounds.

    Args:
        bundles: what is served side by side.
        default: the name of the model that answers where a request names none; None: the first.
        device: `auto` takes the GPU where there is one, and then refuses to run without it.
        lanes: threads that run a model at once; None: one on a GPU and on one core; of several cores one each and one
            more.
        max_connections: None: what the system's bound on open files leaves room for, at most 1,000.
        tokens: the file of the tokens' hashes; token_hashes: the same as text.
        rate: requests a second that one caller may send, and how many at once; None: any number.
        cors: origins whose pages may call; `*` for all.
        hosts: names that the service goes by besides its addresses, where it has no tokens; `*` for any.
        closed: of `CLOSABLE`, what answers 404.
        proxies: whose word on a client's address is taken; proxy_header: where they write it.
        log: one line a request as text or as JSON.
        accepted: the folder of what this server's supervisor took; None: there is no supervisor.
    """

    bundles: tuple[BundleSource, ...]
    default: str | None = None
    device: Device = "auto"
    lanes: int | None = None
    workers: int = _default("workers")
    body_timeout_s: float = _default("body_timeout_s")
    predict_timeout_s: float = _default("predict_timeout_s")
    max_body_bytes: int = _default("max_body_bytes")
    max_connections: int | None = None
    max_headers: int = _default("max_headers")
    max_header_bytes: int = _default("max_header_bytes")
    header_timeout_s: float = _default("header_timeout_s")
    keep_alive_timeout_s: float = _default("keep_alive_timeout_s")
    write_timeout_s: float = _default("write_timeout_s")
    drain_s: float = _default("drain_s")
    stop_s: float = _default("stop_s")
    max_quick_deaths: int = _default("max_quick_deaths")
    max_pixels: int = _default("max_pixels")
    max_side: int = _default("max_side")
    max_decode_bytes: int = _default("max_decode_bytes")
    max_batch_images: int = _default("max_batch_images")
    max_requests: int = _default("max_requests")
    max_held_bytes: int = _default("max_held_bytes")
    max_waiting: int = _default("max_waiting")
    max_reports: int = _default("max_reports")
    selection_draws: int = _default("selection_draws")
    draws: int = _default("draws")
    queries: int = _default("queries")
    report_seconds: float = _default("report_seconds")
    max_draws: int = _default("max_draws")
    max_queries: int = _default("max_queries")
    max_report_seconds: float = _default("max_report_seconds")
    alpha: float = _default("alpha")
    tokens: Path | None = None
    token_hashes: str = ""
    rate: Rate | None = None
    cors: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    closed: frozenset[str] = frozenset()
    proxies: tuple[Network, ...] = ()
    proxy_header: ProxyHeader = "x-forwarded-for"
    log: LogForm = "text"
    accepted: Path | None = None


def settings_from_environment() -> Settings:
    """Read the `HARDENER_` variables.

    Raises:
        HardenerError: no bundle is named, or a value is out of its range.
    """
    tokens = os.environ.get("HARDENER_TOKENS", "")
    rate = os.environ.get("HARDENER_RATE", "")
    accepted = os.environ.get(ACCEPTED_VARIABLE)
    limits: dict[str, Any] = read_limits(os.environ)
    return Settings(
        bundles=parse_bundles(os.environ.get(BUNDLES_VARIABLE, "")),
        default=os.environ.get("HARDENER_DEFAULT") or None,
        device=cast(Device, _one_of("HARDENER_DEVICE", get_args(Device))),
        tokens=Path(tokens) if tokens else None,
        token_hashes=os.environ.get("HARDENER_TOKEN_HASHES", ""),
        rate=read_rate(rate) if rate else None,
        cors=read_origins(os.environ.get("HARDENER_CORS", "")),
        hosts=read_hosts(os.environ.get("HARDENER_ALLOWED_HOSTS", "")),
        closed=_closed(),
        proxies=read_proxies(os.environ.get("HARDENER_TRUSTED_PROXIES", "")),
        proxy_header=cast(ProxyHeader, _one_of("HARDENER_PROXY_HEADER", get_args(ProxyHeader))),
        log=cast(LogForm, _one_of("HARDENER_LOG", get_args(LogForm))),
        accepted=Path(accepted) if accepted else None,
        **limits,
    )


def worker_count() -> int:
    """Read `HARDENER_WORKERS` alone; the default where it is wrong, which `settings_from_environment` says."""
    return int(_read_or_default("workers"))


def longest_request_s() -> float:
    """Say when the last deadline of a request is, from the variables alone; see `worker_count`."""
    report = max(_read_or_default("report_seconds"), _read_or_default("max_report_seconds"))
    return report + _read_or_default("predict_timeout_s")


def _read_or_default(name: str) -> float:
    limit = LIMITS[name]
    try:
        found = limit.read(os.environ)
    except HardenerError:
        found = limit.default
    assert found is not None, f"{name} has a default"
    return found


def parse_bundles(text: str) -> tuple[BundleSource, ...]:
    """Read `PATH` or `NAME=PATH`, several of them separated as in the variable PATH.

    Raises:
        HardenerError: none is named.
    """
    sources = []
    for word in filter(None, text.split(os.pathsep)):
        name, path = split_name(word)
        sources.append(BundleSource(Path(path), name))
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
