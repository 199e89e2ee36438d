"""A service without tokens answers programs and its own page, and no page of another site."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from bundles import image_bytes, linear_bundle
from loaded import open_service, send

from hardener.errors import HardenerError
from serving.other_sites import read_hosts
from serving.routes import ENDPOINTS
from serving.service_state import ServiceState

IMAGE = image_bytes(np.zeros((8, 8, 3), np.uint8))
OPEN = {endpoint.path for endpoint in ENDPOINTS if not endpoint.needs_token}


def opened(folder: Any, **settings: Any) -> Any:
    return open_service(linear_bundle(folder, np.zeros((8, 8, 3, 2), np.float32), (0, 1)), **settings)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceState]:
    with opened(tmp_path_factory.mktemp("bundle")) as plain:
        yield plain


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceState]:
    hosts = read_hosts("Vision.example.org, *.test")
    with opened(tmp_path_factory.mktemp("bundle"), hosts=hosts, cors=("https://good.example",)) as opened_:
        yield opened_


def ask(service: ServiceState, **headers: str) -> httpx.Response:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return send(service, "POST", "/predict", files={"image": IMAGE}, headers={"Host": "127.0.0.1:3000"} | headers)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:3000",
        "[::1]:3000",
        "localhost:3000",
        "LOCALHOST",
        "localhost.",
        "app.localhost:3000",
        "192.168.1.7:3000",
        "[fe80::1]",
        "hardener:3000",
        "gpu-box.local",
        "local",
        "hardener.prod.svc.cluster.local:3000",
        "vm.internal",
        socket.gethostname(),
    ],
)
def test_it_goes_by_addresses_and_names_that_nobody_can_buy(service: ServiceState, host: str) -> None:
    assert ask(service, Host=host).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example:3000", "127.0.0.1.evil.example", "localhost.evil.example", "x.test", "a..b", "é.com"]
)
def test_a_name_that_leads_to_its_address_is_not_enough(service: ServiceState, host: str) -> None:
    for method, path in (("POST", "/predict"), ("GET", "/model"), ("GET", "/metrics"), ("GET", "/nothing")):
        assert send(service, method, path, headers={"Host": host.encode()}).status_code == 421


def test_the_refusal_says_what_to_type(service: ServiceState) -> None:
    detail = ask(service, Host="vision.example.org:8443").json()["detail"]
    assert "--allowed-host vision.example.org (HARDENER_ALLOWED_HOSTS)" in detail
    detail = ask(service, Origin="https://good.example").json()["detail"]
    assert "--cors https://good.example (HARDENER_CORS)" in detail


def test_names_that_were_allowed_are_its_own(named: ServiceState) -> None:
    for host in ("vision.example.org", "VISION.example.org:443", "a.test", "a.b.test"):
        assert ask(named, Host=host).status_code == 200, host
    for host in ("x.vision.example.org", "example.org", "atest.org", "a.test.org"):
        assert ask(named, Host=host).status_code == 421, host
    # behind a proxy that puts its own word for Host
    assert ask(named, Host="hardener:3000", Origin="https://vision.example.org").status_code == 200


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {}),
        (200, {"Origin": "http://127.0.0.1:3000"}),
        (200, {"Origin": "http://127.0.0.1:3000", "Sec_Fetch_Site": "same-origin"}),
        (200, {"Host": "vm.internal", "Origin": "https://vm.internal:443"}),
        (200, {"Host": "vm.internal:80", "Origin": "http://vm.internal"}),
        (200, {"Host": "proxied:3000", "Origin": "https://a.example", "Sec_Fetch_Site": "same-origin"}),
        (200, {"Sec_Fetch_Site": "none"}),
        (403, {"Origin": "https://evil.example"}),
        (403, {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}),
        (403, {"Origin": "http://127.0.0.1:8000", "Sec_Fetch_Site": "same-site"}),
        (403, {"Origin": "http://localhost:3000", "Sec_Fetch_Site": "cross-site"}),
        (403, {"Origin": "null"}),
        (403, {"Origin": "file://"}),
        (403, {"Origin": "http://127.0.0.1:3000.evil.example"}),
        (403, {"Origin": "http://127.0.0.1"}),
        (403, {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}),
        (403, {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"}),
    ],
)
def test_the_browser_says_whose_page_asks(service: ServiceState, status: int, headers: dict[str, str]) -> None:
    assert ask(service, **headers).status_code == status


def test_a_link_from_another_site_is_followed_and_a_frame_is_not(service: ServiceState) -> None:
    come = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    for destination, status in (("document", 200), ("iframe", 403)):
        assert send(service, "GET", "/model", headers=come | {"Sec-Fetch-Dest": destination}).status_code == status


def test_the_page_and_the_probes_open_for_everyone(service: ServiceState) -> None:
    for path in OPEN:
        answer = send(service, "GET", path, headers={"Host": "evil.example", "Origin": "https://evil.example"})
        assert answer.status_code == 200


def test_a_site_that_may_call_is_known(named: ServiceState) -> None:
    answer = ask(named, Origin="https://good.example", Sec_Fetch_Site="cross-site")
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://good.example")
    assert ask(named, Origin="https://bad.example").status_code == 403


def test_everyone_may_be_let_in(tmp_path: Any) -> None:
    with opened(tmp_path, hosts=("*",), cors=("*",)) as everyone:
        assert ask(everyone, Host="evil.example", Origin="https://other.example").status_code == 200


def test_a_token_says_enough(tmp_path: Any) -> None:
    hashes = f"me {hashlib.sha256(b'secret').hexdigest()}"
    with opened(tmp_path, token_hashes=hashes) as closed:
        foreign = {"Host": "vision.example.org", "Origin": "https://vision.example.com"}
        assert ask(closed, **foreign).status_code == 401
        assert ask(closed, **foreign, Authorization="Bearer secret").status_code == 200


@pytest.mark.parametrize("text", ["http://a.example", "a.example:3000", "*a", "a.*", "a b", "[::1]", ".a", "a/b"])
def test_a_host_is_a_name(text: str) -> None:
    with pytest.raises(HardenerError, match="takes names such as vision"):
        read_hosts(f"fine.example,{text}")
