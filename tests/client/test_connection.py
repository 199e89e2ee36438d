"""How a service is reached: proxies and certificates of the environment, and times that are none."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest
from scripted_server import Reply, prediction, scripted

from hardener.client import AsyncClient, Client, ClientError, NoAnswer, Refused, Retry

GOOD = Reply(body=json.dumps(prediction()))
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")
ONCE = Retry(times=0)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        for each in (name, name.upper()):
            monkeypatch.delenv(each, raising=False)


def ask(kind: type[Client] | type[AsyncClient], url: str) -> Any:
    if kind is Client:
        with Client(url, retry=ONCE) as client:
            return client.predict(b"image")

    async def run() -> Any:
        async with AsyncClient(url, retry=ONCE) as client:
            return await client.predict(b"image")

    return asyncio.run(run())


both = pytest.mark.parametrize("kind", [Client, AsyncClient])


@both
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_images_for_this_machine_go_to_no_proxy_and_others_do(
    kind: type[Client] | type[AsyncClient], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted([GOOD]) as (proxy, through), scripted([GOOD]) as (url, asked):
        monkeypatch.setenv(variable, proxy)
        for host in ("127.0.0.1", "localhost"):
            assert ask(kind, url.replace("127.0.0.1", host)).label == "cat"
        assert ([request.path for request in asked], through) == (["/predict", "/predict"], [])
        assert ask(kind, "http://service.invalid").label == "cat"
        assert [request.path for request in through] == ["http://service.invalid/predict"]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,service.invalid")
        with pytest.raises(NoAnswer) as error:
            ask(kind, "http://service.invalid")
    assert "proxy" not in str(error.value)
    assert len(through) == 1


@both
def test_a_proxy_that_does_not_answer_is_named_without_its_password(
    kind: type[Client] | type[AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "user:secret@127.0.0.1:9")
    with pytest.raises(NoAnswer) as error:
        ask(kind, "http://service.invalid")
    assert str(error.value).endswith(" It was asked through the proxy http://127.0.0.1:9 (HTTP_PROXY).")
    with scripted([Reply(403, "no entry")]) as (proxy, _):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        with pytest.raises(Refused, match=rf"through the proxy {proxy} \(HTTP_PROXY\)"):
            ask(kind, "http://service.invalid")


@both
def test_what_the_environment_says_and_nobody_can_use_is_named(
    kind: type[Client] | type[AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
    with pytest.raises(ClientError, match=r"ALL_PROXY in the environment names a proxy that cannot be used .*gopher"):
        kind("http://service.invalid")
    with scripted([GOOD]) as (url, _):
        assert ask(kind, url).label == "cat"
    monkeypatch.delenv("ALL_PROXY")
    monkeypatch.setenv("SSL_CERT_FILE", "/nope")
    with pytest.raises(ClientError, match="SSL_CERT_FILE=/nope in the environment cannot be read"):
        kind("https://service.invalid")


def test_a_proxy_of_socks_asks_for_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setitem(__import__("sys").modules, "socksio", None)
    with pytest.raises(ClientError, match=r"ALL_PROXY .*socksio.* set NO_PROXY=service.invalid"):
        Client("http://service.invalid")


@pytest.mark.parametrize("number", [math.inf, math.nan, -1.0, 0.0])
def test_a_time_that_is_none_is_refused(number: float) -> None:
    with pytest.raises(ClientError, match="timeout_s must be a number of seconds above 0"):
        Client(timeout_s=number)
    with scripted([GOOD]) as (url, asked), Client(url) as client:
        with pytest.raises(ClientError, match="budget_s must be a number of seconds above 0"):
            client.report(b"image", budget_s=number)
        assert client.report(b"image", budget_s=1e300).label == "cat"
    assert len(asked) == 1
    with Client(url, timeout_s=1e300, retry=ONCE) as client, pytest.raises(NoAnswer):
        client.predict(b"image")


@pytest.mark.parametrize("name", ["times", "first_s", "most_s", "patience_s"])
def test_a_retry_takes_numbers_that_can_be_waited_for(name: str) -> None:
    for number in (-1, math.nan, math.inf, 1e9):
        given: dict[str, Any] = {name: number}
        with pytest.raises(ClientError, match=f"{name} of Retry must lie from 0 to 604800"):
            Retry(**given)
    assert Retry(times=5000).pause_s(5000, None) is not None
