"""Whose word on a client's address is taken, and that no other's is."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from hardener.errors import HardenerError
from serving.client_address import BehindProxies, ProxyHeader, read_proxies, warn_of_trust


def address_of(
    peer: str, *headers: tuple[str, str], proxies: str = "10.0.0.0/8, ::1", header: ProxyHeader = "x-forwarded-for"
) -> str:
    seen = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["client"][0])

    async def nothing(*message: Message) -> Message:
        raise AssertionError("nobody reads or answers")

    lines = [(name.lower().encode(), value.encode()) for name, value in headers]
    scope = {"type": "http", "client": (peer, 5), "headers": lines}
    app = BehindProxies(inner, proxies=read_proxies(proxies), header=header)
    asyncio.run(app(scope, nothing, nothing))  # type: ignore[arg-type]
    return str(seen[0])


FOR = "X-Forwarded-For"


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("10.0.0.7", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.7", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.7", "1.1.1.1, 203.0.113.9, 10.0.0.8", "203.0.113.9"),  # what the client itself wrote is not heard
        ("10.0.0.7", "10.0.0.9, 10.0.0.8", "10.0.0.9"),  # from inside
        ("10.0.0.7", "203.0.113.9, unknown", "10.0.0.7"),
        ("10.0.0.7", "<script>", "10.0.0.7"),
        ("10.0.0.7", "", "10.0.0.7"),
        ("::ffff:10.0.0.7", "203.0.113.9", "203.0.113.9"),
        ("::1", "203.0.113.9", "203.0.113.9"),
        ("203.0.113.1", "203.0.113.9", "203.0.113.1"),
        ("127.0.0.1", "203.0.113.9", "127.0.0.1"),  # loopback is no exception
    ],
)
def test_a_trusted_proxy_s_word_is_taken_and_no_other(peer: str, told: str, client: str) -> None:
    assert address_of(peer, (FOR, told)) == client


def test_several_lines_are_one_list() -> None:
    assert address_of("10.0.0.7", (FOR, "1.1.1.1"), (FOR, "203.0.113.9")) == "203.0.113.9"


@pytest.mark.parametrize(
    ("told", "client"),
    [
        ("for=203.0.113.9;proto=https;by=10.0.0.7", "203.0.113.9"),
        ('proto=http;For="[2001:db8::1]:4711", for=10.0.0.8', "2001:db8::1"),
        ("for=203.0.113.9, for=_hidden", "10.0.0.7"),
        ("proto=https", "10.0.0.7"),
    ],
)
def test_the_standard_s_header_is_read_where_the_proxies_write_it(told: str, client: str) -> None:
    both = ("Forwarded", told), (FOR, "9.9.9.9")
    assert address_of("10.0.0.7", *both, header="forwarded") == client
    assert address_of("10.0.0.7", *both) == "9.9.9.9"


def test_trust_that_is_not_given_and_trust_in_everyone_are_said_at_the_start() -> None:
    assert warn_of_trust(read_proxies("10.0.0.0/8,::1"), "") == []
    (unread,) = warn_of_trust(read_proxies("10.0.0.7"), "*")
    assert unread.startswith("FORWARDED_ALLOW_IPS='*' is not read")
    assert "HARDENER_TRUSTED_PROXIES" in unread
    for everyone in ("0.0.0.0/0", "10.0.0.7,::/0"):
        (told,) = warn_of_trust(read_proxies(everyone), "")
        assert told.startswith("HARDENER_TRUSTED_PROXIES holds every address")


def test_by_default_nobody_is_believed() -> None:
    assert address_of("127.0.0.1", (FOR, "203.0.113.9"), proxies="") == "127.0.0.1"


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.7/8", "*"])
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(HardenerError, match="HARDENER_TRUSTED_PROXIES takes addresses and networks"):
        read_proxies(text)
