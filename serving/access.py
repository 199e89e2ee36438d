"""Who may come in: bearer tokens, a rate limit, and CORS for named origins.

A token is any long random text; the service knows its sha256 alone. Make one and its line for the tokens file:

    python -c "import hashlib, secrets; t = secrets.token_urlsafe(32); print(t, hashlib.sha256(t.encode()).hexdigest())"
    printf %s "$TOKEN" | sha256sum
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hardener.config.serving_limits import FIXED
from hardener.errors import HardenerError

from .notes import notes_of
from .problem import Problem, ProblemResponse

HOW_TO_HASH = 'Each line is `NAME SHA256`; make the hash with: printf %s "$TOKEN" | sha256sum'
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_ORIGIN = re.compile(r"https?://[^\s/?#@]+")
_MOST_BUCKETS = FIXED["rate_callers"].value


class Tokens:
    """The tokens that let a caller in, known by their sha256. `reload` reads them again."""

    def __init__(self, read: Callable[[], str], *, source: str) -> None:
        """Read the hashes.

        Args:
            read: gives the text of the tokens file.
            source: where that text is from, for messages.
        Raises:
            HardenerError: a line is malformed, or there is no token.
        """
        self._read, self._source = read, source
        self._digests: tuple[tuple[str, bytes], ...] = ()
        self.reload()

    def reload(self) -> None:
        """Take the hashes as they are now; what was known before stays where they can't be read.

        Raises:
            HardenerError: a line is malformed, or there is no token.
        """
        self._digests = _read_digests(self._read(), self._source)

    def name_of(self, token: bytes) -> str | None:
        """Find whose token it is; None: nobody's. Every hash is looked at, so the time tells nothing of a match."""
        digest = hashlib.sha256(token).digest()
        found = None
        for name, known in self._digests:
            if hmac.compare_digest(digest, known):
                found = name
        return found


def tokens_from_file(path: Path) -> Tokens:
    """Read a tokens file.

    Raises:
        HardenerError: it can't be read, a line is malformed, or it has no token.
    """

    def read() -> str:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise HardenerError(f"the tokens file {path} cannot be read: {reason}. {HOW_TO_HASH}") from None

    return Tokens(read, source=str(path))


def tokens_from_text(text: str, *, source: str) -> Tokens:
    """Take the hashes from the text of a tokens file.

    Raises:
        HardenerError: a line is malformed, or there is no token.
    """
    return Tokens(lambda: text, source=source)


def find_tokens(path: Path | None, text: str) -> Tokens | None:
    """Read the tokens from where the settings say; None: they name none, and everyone may come in.

    Raises:
        HardenerError: both are given, or what is given can't be read, has a malformed line, or no token.
    """
    if path is not None and text:
        raise HardenerError("tokens come from HARDENER_TOKENS or from HARDENER_TOKEN_HASHES, not from both. Unset one.")
    if path is not None:
        return tokens_from_file(path)
    return tokens_from_text(text, source="HARDENER_TOKEN_HASHES") if text else None


@dataclass(frozen=True)
class Rate:
    """Requests a second, and how many may come at once after a pause."""

    per_second: float
    burst: int


def read_rate(text: str) -> Rate:
    """Read `RATE` or `RATE:BURST`, e.g. `5` or `0.5:10`; without BURST it is twice the rate, at least 1.

    Raises:
        HardenerError: it is neither, or a number is out of its range.
    """
    rate, colon, burst = text.strip().partition(":")
    try:
        per_second = float(rate)
        most = int(burst) if colon else max(1, math.ceil(2 * per_second))
    except (ValueError, OverflowError):
        per_second, most = math.nan, 0
    if not 0 < per_second <= 1e6 or not 1 <= most <= 1_000_000:
        raise HardenerError(
            "HARDENER_RATE must be requests a second, and after a colon the most at once where it matters, "
            f"as 5 or 0.5:10; got {text!r}"
        )
    return Rate(per_second, most)


def read_origins(text: str) -> tuple[str, ...]:
    """Read the comma-separated origins whose pages may call from a browser, or `*` for all.

    Raises:
        HardenerError: one is no origin.
    """
    origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise HardenerError(
                f"HARDENER_CORS takes * or origins as https://host or https://host:port, without a path; got {origin!r}"
            )
    return origins


class RateLimit:
    """A token bucket a caller. The buckets are bounded: of too many, those unused for longest are forgotten, full."""

    def __init__(self, rate: Rate, *, most: int = _MOST_BUCKETS, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._most, self._clock = rate, most, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller -> (left, when)

    def wait_s(self, caller: str) -> float:
        """Let one request in, and return 0; or return the seconds until one may come."""
        now = self._clock()
        left, when = self._buckets.pop(caller, (float(self._rate.burst), now))
        left = min(float(self._rate.burst), left + (now - when) * self._rate.per_second)
        admitted = left >= 1
        self._buckets[caller] = (left - admitted, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0 if admitted else (1 - left) / self._rate.per_second


class Access:
    """Lets a request in, or answers 401 or 429 in place of the app.

    The limit holds in each worker process on its own: with several workers a caller whose connections reach all of
    them gets as much from each.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Tokens | None = None,
        rate_limit: RateLimit | None = None,
        open_paths: Collection[str] = (),
    ) -> None:
        """Stand before an app.

        Args:
            open_paths: whoever asks there comes in.
            tokens: None: everyone may come in.
            rate_limit: a token's name, or where there are no tokens a client's address, see `client_address`.
        """
        self._app, self._tokens, self._rate_limit = app, tokens, rate_limit
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        if scope["path"] in self._open_paths or scope["method"] == "OPTIONS":  # a browser's preflight carries no token
            return None
        caller = notes_of(scope).caller = _address(scope)
        if self._tokens is not None:
            token = _bearer_token(scope)
            name = None if token is None else self._tokens.name_of(token)
            if name is None:
                return _unauthorized(given=token is not None)
            notes_of(scope).token = notes_of(scope).caller = caller = name
        wait_s = self._rate_limit.wait_s(caller) if self._rate_limit is not None else 0
        if not wait_s:
            return None
        seconds = math.ceil(wait_s)
        whose = "this address" if self._tokens is None else "this token"
        detail = f"too many requests with {whose}. Try again in {seconds} s."
        return ProblemResponse(Problem(429, detail, retry_after_s=seconds))


def allow_origins(app: ASGIApp, origins: Collection[str]) -> ASGIApp:
    """Let the pages of some origins call from a browser; without an origin the app stays as it is.

    It stands outside `Access`: a refusal must carry the headers too, or the page can't read it.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
        expose_headers=["Retry-After", "X-Request-Id"],
    )


def _read_digests(text: str, source: str) -> tuple[tuple[str, bytes], ...]:
    names: dict[bytes, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        fault = _fault(words, names)
        if fault:  # the line itself may hold a token by mistake, so no message repeats it
            raise HardenerError(f"line {number} of {source} {fault}. {HOW_TO_HASH}")
        names[bytes.fromhex(words[1])] = words[0]
    if not names:
        raise HardenerError(f"{source} has no token, so nobody could come in. {HOW_TO_HASH}")
    return tuple((name, digest) for digest, name in names.items())


def _fault(words: list[str], names: dict[bytes, str]) -> str | None:
    if len(words) != 2:
        return f"has {len(words)} words where a name and a hash belong"
    if not _NAME.fullmatch(words[0]):
        return "has a name that is not 1 to 64 of A-Z a-z 0-9 . _ -"
    if not _DIGEST.fullmatch(words[1]):
        return "has no sha256 of 64 hex digits after the name"
    if bytes.fromhex(words[1]) in names:
        return "repeats the hash of an earlier line"
    return None


def _bearer_token(scope: Scope) -> bytes | None:
    given = [cast(bytes, value) for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = given[0].strip().partition(b" ") if len(given) == 1 else (b"", b"", b"")
    return token.strip() if scheme.lower() == b"bearer" and token.strip() else None


def _unauthorized(*, given: bool) -> Response:
    said = "the token is not known" if given else "a token is needed"
    challenge = 'Bearer realm="hardener"' + (', error="invalid_token"' if given else "")
    detail = f"{said}. Send the header `Authorization: Bearer TOKEN`."
    return ProblemResponse(Problem(401, detail, headers={"WWW-Authenticate": challenge}))


def _address(scope: Scope) -> str:
    """Name a client by its address; an IPv6 client owns a /64 and could come from each address of it."""
    client = scope.get("client")
    host = str(client[0]) if client else ""
    if ":" not in host:
        return host
    try:
        return str(ipaddress.IPv6Network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return host
