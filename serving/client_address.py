"""Which address a request comes from: the connection's, or what a trusted proxy says of it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from typing import Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from hardener.errors import HardenerError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ProxyHeader = Literal["x-forwarded-for", "forwarded"]
_FOR = re.compile(r'for="?([^";,\s]*)"?', re.IGNORECASE)


def read_proxies(text: str) -> tuple[Network, ...]:
    """Read the addresses and networks of HARDENER_TRUSTED_PROXIES.

    Raises:
        HardenerError: one is neither.
    """
    found = []
    for word in filter(None, map(str.strip, text.split(","))):
        try:
            found.append(ipaddress.ip_network(word))
        except ValueError:
            raise HardenerError(
                "HARDENER_TRUSTED_PROXIES takes addresses and networks, separated by commas, as 10.0.0.7 or "
                f"10.0.0.0/8; got {word[:80]!r}"
            ) from None
    return tuple(found)


def warn_of_trust(proxies: Iterable[Network], forwarded_allow_ips: str) -> list[str]:
    """Return what to tell at the start: of trust that is not given, and of trust that is given to everyone.

    Args:
        forwarded_allow_ips: the variable of this name, which uvicorn reads elsewhere.
    """
    warnings = []
    if forwarded_allow_ips:
        warnings.append(
            f"FORWARDED_ALLOW_IPS={forwarded_allow_ips[:80]!r} is not read: clients' addresses are taken from the "
            "proxies that HARDENER_TRUSTED_PROXIES names, and from nobody else."
        )
    if any(network.prefixlen == 0 for network in proxies):
        warnings.append(
            "HARDENER_TRUSTED_PROXIES holds every address, so each caller chooses the address that the rate, the "
            "places for reports and the log know it by. Name the proxies alone."
        )
    return warnings


class BehindProxies:
    """Gives a request from a trusted proxy its client's address; what any other client says of itself is not heard."""

    def __init__(self, app: ASGIApp, *, proxies: Collection[Network], header: ProxyHeader = "x-forwarded-for") -> None:
        """Stand before an app.

        Args:
            proxies: who is believed; loopback is no exception.
            header: the one that the proxies write. The other is passed on as a client sent it, and so is not read.
        """
        self._app, self._proxies, self._header = app, tuple(proxies), header.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on."""
        if scope["type"] == "http" and self._proxies:
            peer = _address(str((scope.get("client") or ("",))[0]))
            if peer is not None and self._is_trusted(peer):
                lines = [value.decode("latin-1") for name, value in scope["headers"] if name == self._header]
                scope["client"] = (str(self._client(peer, _hops(lines, forwarded=self._header == b"forwarded"))), 0)
        await self._app(scope, receive, send)

    def _client(self, peer: Address, hops: list[str]) -> Address:
        """Go back from the last hop, as long as who tells of the one before is trusted and says an address."""
        client = peer
        for hop in reversed(hops):
            told = _address(hop)
            if told is None:  # `unknown`, a hidden name, or rubbish: whoever said it is all that is known
                break
            client = told
            if not self._is_trusted(told):
                break
        return client

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)


def _hops(lines: Iterable[str], *, forwarded: bool) -> list[str]:
    """Return what each proxy said, the client's own first.

    Source: RFC 7239, sections 4 and 7.1: several lines are one list.
    """
    elements = [element.strip() for element in ",".join(lines).split(",") if element.strip()]
    if not forwarded:
        return elements
    return [found[1] if (found := _FOR.search(element)) else "" for element in elements]


def _address(text: str) -> Address | None:
    """Read an address with or without a port, brackets or a zone; None: it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
