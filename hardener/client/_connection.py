"""How a service is reached: its URL, the token, how long to wait, and the proxy where the environment names one."""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.request import getproxies, proxy_bypass

import httpx

from hardener import __version__
from hardener.client.error import ClientError

CONNECT_S = 5.0
MOST_SILENCE_S = 7 * 24 * 3600.0  # sockets wait for at most 24 days

Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)


def opened(kind: Callable[..., Http], url: str, token: str | None, silence_s: float, transport: Any) -> Http:
    """Make one of httpx's clients; it goes by the proxy that the environment names, and to this machine by none.

    Args:
        transport: of httpx; None: the usual one.
    Raises:
        ClientError: the URL is none of http or https, the token cannot stand in a header, `silence_s` is no time, or
            what the environment says of proxies and certificates cannot be used.
    """
    settings = _settings(url, token, silence_s)
    if transport is not None:
        return kind(transport=transport, **settings)
    return kind(trust_env=False, proxy=_proxy(settings["base_url"]), verify=_certificates(), **settings)


def shown(url: httpx.URL) -> str:
    """Return a URL for a message: without a final slash, and without a user's name and password."""
    return str(url.copy_with(username=None, password=None)).rstrip("/")


def way_to(url: httpx.URL) -> str:
    """Say for a message which proxy a URL is reached by; an empty string where by none."""
    found = next(_proxies(url), None)
    return "" if found is None else f" It was asked through the proxy {shown(httpx.URL(found[1]))} ({found[0]})."


def timeout(silence_s: float) -> httpx.Timeout:
    """Bound how long to wait for a connection, and then for each byte."""
    silence_s = min(silence_s, MOST_SILENCE_S)
    return httpx.Timeout(silence_s, connect=min(CONNECT_S, silence_s))


def check_seconds(name: str, value: float) -> None:
    """See that a number is a time.

    Raises:
        ClientError: it is NaN, infinite or not above 0.
    """
    if not 0 < value < math.inf:
        raise ClientError(f"{name} must be a number of seconds above 0; got {value}.")


def _settings(url: str, token: str | None, silence_s: float) -> dict[str, Any]:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ClientError(f"{url!r} is no URL: {error}.") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ClientError(f"{url!r} is no URL of a service. It looks like http://127.0.0.1:3000.")
    headers = {"User-Agent": f"hardener-client/{__version__}"}
    if token is not None:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ClientError("the token must be one word of printable ASCII characters.")  # and is shown to nobody
        headers["Authorization"] = f"Bearer {token}"
    check_seconds("timeout_s", silence_s)
    return {"base_url": parsed, "headers": headers, "timeout": timeout(silence_s)}


def _proxy(url: httpx.URL) -> httpx.Proxy | None:
    for variable, named in _proxies(url):
        try:
            proxy = httpx.Proxy(named)
            httpx.HTTPTransport(verify=False, proxy=proxy).close()
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise ClientError(
                f"{variable} in the environment names a proxy that cannot be used ({error}). "
                f"Change it, or set NO_PROXY={url.host}."
            ) from None
        return proxy
    return None


def _proxies(url: httpx.URL) -> Iterator[tuple[str, str]]:
    """Yield the variables that name a proxy for a URL, and the proxies; none is meant for this machine itself."""
    if _is_this_machine(url.host) or proxy_bypass(url.netloc.decode("ascii")):
        return
    named = getproxies()
    for scheme in (url.scheme, "all"):
        if proxy := named.get(scheme):
            name = f"{scheme}_proxy"
            variable = name if os.environ.get(name) else name.upper()
            yield variable, proxy if "://" in proxy else f"http://{proxy}"


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _certificates() -> Any:
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        variable = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
        where = "the certificates" if variable is None else f"{variable}={os.environ[variable]} in the environment"
        raise ClientError(f"{where} cannot be read ({error}). Name a file of certificates, or unset it.") from None
