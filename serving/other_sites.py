"""What a browser may be talked into by a page of another site, and its refusal by a service that asks for no tokens.

A page can make its reader's browser send requests to a service on that reader's machine or network. Two things tell
them: the browser says where a request comes from (Origin, Sec-Fetch-Site), and a page that has its own name lead to the
service's address (DNS rebinding) still asks for it by that name (Host). A token stops both, as no such page knows one.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
from collections.abc import Collection

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hardener.errors import HardenerError

from .problem import Problem, ProblemResponse

RESERVED = ("localhost", "local", "internal", "home.arpa")
"""Names that end so are nobody's to register: RFC 6761, RFC 6762, ICANN's resolution 2024.07.29.06, RFC 8375."""
_HOST = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_WANTED = (b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest")


class OtherSites:
    """Hands on what its own page, a known site's page or a program asks; answers 403 or 421 to all else."""

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str] = (), origins: Collection[str] = (), open_paths: Collection[str]
    ) -> None:
        """Stand before an app.

        Args:
            hosts: names that the service has besides its addresses, as `read_hosts` gives them.
            origins: whose pages may ask; `*` for all.
            open_paths: whoever asks there gets an answer.
        """
        self._app, self._hosts = app, frozenset(hosts)
        self._origins, self._open_paths = frozenset(origins), frozenset(open_paths)
        self._is_own = functools.lru_cache(256)(self._may_be_own)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        if scope["path"] in self._open_paths:
            return None
        said = {name: value.decode("latin-1").strip().lower() for name, value in scope["headers"] if name in _WANTED}
        host = said.get(b"host")  # HTTP/1.0 knows none, and no browser speaks it
        if host is not None and not self._is_own(host):
            return ProblemResponse(Problem(421, _unknown_host(_name_of(host))))
        if self._is_foreign(said, host or ""):
            return ProblemResponse(Problem(403, _foreign_page(said.get(b"origin", ""))))
        return None

    def _is_foreign(self, said: dict[bytes, str], host: str) -> bool:
        """Does a page of another site ask? A link that leads here is none: the browser shows the answer to its user.

        Source: W3C, "Fetch Metadata Request Headers", section 2; a page cannot forge any of them.
        """
        site, origin = said.get(b"sec-fetch-site", ""), said.get(b"origin")
        if origin is None:
            is_link = said.get(b"sec-fetch-mode") == "navigate" and said.get(b"sec-fetch-dest") == "document"
            return site in {"cross-site", "same-site"} and not is_link
        known = site == "same-origin" or "*" in self._origins or origin in self._origins
        return not known and not self._is_same(origin, host)

    def _is_same(self, origin: str, host: str) -> bool:
        """Is a page's origin that which the request asks for, or one of the names that a proxy hides?"""
        scheme, _, authority = origin.partition("://")
        default = f":{_DEFAULT_PORTS.get(scheme, '')}"
        return authority.removesuffix(default) == host.removesuffix(default) or self._is_named(_name_of(authority))

    def _may_be_own(self, host: str) -> bool:
        """Can a name be the service's, and not a stranger's that leads to its address? Addresses are no names."""
        name = _name_of(host)
        if "*" in self._hosts or self._is_named(name) or name == socket.gethostname().lower():
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            # a name of one label, as containers have, is found in the machine's own network alone
            return "." not in name or name.endswith(tuple(f".{end}" for end in RESERVED))
        return True

    def _is_named(self, name: str) -> bool:
        parents = (f"*.{name[place + 1 :]}" for place, letter in enumerate(name) if letter == ".")
        return name in self._hosts or any(parent in self._hosts for parent in parents)


def read_hosts(text: str) -> tuple[str, ...]:
    """Read names of hosts with commas between them: `vision.example.org`, `*.example.org`, or `*` for any.

    Raises:
        HardenerError: one is no name.
    """
    hosts = tuple(word.strip().lower() for word in text.split(",") if word.strip())
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise HardenerError(
                f"--allowed-host (HARDENER_ALLOWED_HOSTS) takes names such as vision.example.org, *.example.org or *, "
                f"without http:// and port; got {host[:80]!r}"
            )
    return hosts


def _name_of(authority: str) -> str:
    """Take the port and brackets away, and the dot at the end."""
    name = authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]
    return name.removesuffix(".")


def _unknown_host(name: str) -> str:
    shown = name if _HOST.fullmatch(name) and len(name) <= 253 else "NAME"
    return (
        f"this service does not go by the name {name[:80]!r}, which a page of another site may have chosen for it. Ask "
        f"it by its address, or start it with --allowed-host {shown} (HARDENER_ALLOWED_HOSTS)."
    )


def _foreign_page(origin: str) -> str:
    page, way = f"a page of {origin[:80]!r}", f"start it with --cors {origin[:80]} (HARDENER_CORS)"
    if not origin.startswith(("http://", "https://")):
        page, way = "a page of another site", "name that site with --cors (HARDENER_CORS)"
    return f"{page} asks, and without tokens the service answers its own page alone. To let that page in, {way}."
