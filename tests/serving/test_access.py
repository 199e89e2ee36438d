"""Who may come in: tokens, the rate limit, CORS."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from hardener.errors import HardenerError
from serving.access import (
    Access,
    Rate,
    RateLimit,
    Tokens,
    allow_origins,
    find_tokens,
    read_origins,
    read_rate,
    tokens_from_file,
    tokens_from_text,
)
from serving.notes import notes_of
from serving.routes import ENDPOINTS

PREDICTING = ("/predict", "/predict/batch", "/report")
EVERY_PATH = (*(endpoint.path for endpoint in ENDPOINTS), "/nothing")
OPEN_PATHS = [endpoint.path for endpoint in ENDPOINTS if not endpoint.needs_token]


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def tokens(*names: str) -> Tokens:
    """The token of NAME is `NAME-secret`."""
    text = "".join(f"{name} {sha256(f'{name}-secret')}\n" for name in names)
    return tokens_from_text(text, source="a test")


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """Says whose token came in."""
    await PlainTextResponse(f"in: {notes_of(scope).token}")(scope, receive, send)


def talk(
    app: ASGIApp, *requests: tuple[str, str, dict[str, str]], client: tuple[str, int] = ("127.0.0.1", 1)
) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://hardener") as caller:
            return [await caller.request(method, path, headers=headers) for method, path, headers in requests]

    return asyncio.run(run())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_tokens_everyone_comes_in() -> None:
    assert {answer.status_code for answer in talk(Access(inner), *(("GET", path, {}) for path in EVERY_PATH))} == {200}


def test_with_tokens_all_but_health_and_the_page_needs_one() -> None:
    app = Access(inner, tokens=tokens("alice"), open_paths=OPEN_PATHS)
    answers = talk(app, *(("GET", path, {}) for path in EVERY_PATH))
    free = {path for path, answer in zip(EVERY_PATH, answers, strict=True) if answer.status_code == 200}
    assert free == {"/", "/page.css", "/page.js", "/docs", "/docs.css", "/docs.js", "/healthz", "/livez", "/readyz"}
    assert {answer.status_code for answer in answers} == {200, 401}


def test_a_token_is_taken_for_its_owner() -> None:
    app = Access(inner, tokens=tokens("alice", "bob"))
    answers = talk(
        app,
        ("POST", "/predict", bearer("bob-secret")),
        ("POST", "/predict", {"Authorization": "bearer   alice-secret "}),
    )
    assert [answer.text for answer in answers] == ["in: bob", "in: alice"]


@pytest.mark.parametrize(
    ("header", "said", "challenge"),
    [
        (None, "a token is needed", 'Bearer realm="hardener"'),
        ("Bearer wrong", "the token is not known", 'Bearer realm="hardener", error="invalid_token"'),
        (f"Bearer {sha256('alice-secret')}", "not known", 'Bearer realm="hardener", error="invalid_token"'),
        ("Bearer alice-secre", "not known", 'Bearer realm="hardener", error="invalid_token"'),
        ("Bearer ", "a token is needed", 'Bearer realm="hardener"'),
        ("Basic alice-secret", "a token is needed", 'Bearer realm="hardener"'),
        ("alice-secret", "a token is needed", 'Bearer realm="hardener"'),
    ],
)
def test_any_other_header_is_a_401_that_names_the_way_in(header: str | None, said: str, challenge: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    (answer,) = talk(Access(inner, tokens=tokens("alice")), ("POST", "/predict", headers))
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (401, 401)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == challenge
    assert said in problem["detail"]
    assert "`Authorization: Bearer TOKEN`" in problem["detail"]
    assert "secre" not in answer.text


def test_two_authorization_headers_are_none() -> None:
    async def run() -> int:
        status = 0

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        headers = [(b"authorization", b"Bearer alice-secret"), (b"authorization", b"Bearer x")]
        scope = {"type": "http", "method": "GET", "path": "/model", "headers": headers}
        await Access(inner, tokens=tokens("alice"))(scope, receive, send)
        return status

    assert asyncio.run(run()) == 401


def test_every_hash_is_compared_wherever_the_match_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    original = hmac.compare_digest

    def compare(left: bytes, right: bytes) -> bool:
        compared.append(right)
        return original(left, right)

    known = tokens("first", "second", "third")
    monkeypatch.setattr("hmac.compare_digest", compare)
    for token, name in ((b"first-secret", "first"), (b"third-secret", "third"), (b"none", None)):
        compared.clear()
        assert known.name_of(token) == name
        assert len(compared) == 3


def test_a_preflight_carries_no_token_and_passes() -> None:
    (answer,) = talk(Access(inner, tokens=tokens("alice")), ("OPTIONS", "/predict", {}))
    assert answer.text == "in: None"


def test_a_tokens_file_has_comments_blank_lines_and_upper_case(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# who may come in\n\n  alice\t{sha256('a').upper()}  # until May\nbob {sha256('b')}\n")
    known = tokens_from_file(path)
    assert [known.name_of(token) for token in (b"a", b"b", b"c")] == ["alice", "bob", None]


def test_one_name_may_have_two_tokens_so_that_they_can_be_changed() -> None:
    known = tokens_from_text(f"alice {sha256('old')}\nalice {sha256('new')}", source="a test")
    assert known.name_of(b"old") == known.name_of(b"new") == "alice"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"a {sha256('a')}\n\nb", "line 3 of a test has 1 words where a name and a hash belong"),
        (f"a {sha256('a')} b", "line 1 of a test has 3 words"),
        ("alice TopSecretToken", "line 1 of a test has no sha256 of 64 hex digits after the name"),
        (f"alice {sha256('a')[:-1]}g", "line 1 of a test has no sha256"),
        (f"al:ice {sha256('a')}", "line 1 of a test has a name that is not"),
        (f"a {sha256('a')}\nb {sha256('a')}", "line 2 of a test repeats the hash of an earlier line"),
        ("# nobody\n", "a test has no token, so nobody could come in"),
    ],
)
def test_a_malformed_line_is_named_and_not_repeated(text: str, message: str) -> None:
    with pytest.raises(HardenerError) as caught:
        tokens_from_text(text, source="a test")
    assert message in str(caught.value)
    assert "sha256sum" in str(caught.value)
    assert "TopSecretToken" not in str(caught.value)


def test_a_tokens_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match="tokens cannot be read: No such file or directory"):
        tokens_from_file(tmp_path / "tokens")
    (tmp_path / "tokens").write_bytes(b"\xff\xfe")
    with pytest.raises(HardenerError, match="it is no UTF-8 text"):
        tokens_from_file(tmp_path / "tokens")


def test_a_reload_takes_the_new_tokens_and_keeps_the_old_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"alice {sha256('a')}\n")
    known = tokens_from_file(path)
    path.write_text(f"bob {sha256('b')}\n")
    assert known.name_of(b"b") is None
    known.reload()
    assert (known.name_of(b"a"), known.name_of(b"b")) == (None, "bob")
    path.write_text("bob\n")
    with pytest.raises(HardenerError, match="line 1"):
        known.reload()
    assert known.name_of(b"b") == "bob"


def test_the_settings_name_one_source_of_tokens_or_none(tmp_path: Path) -> None:
    path, text = tmp_path / "tokens", f"alice {sha256('a')}"
    path.write_text(text)
    assert find_tokens(None, "") is None
    for known in (find_tokens(path, ""), find_tokens(None, text)):
        assert known is not None
        assert known.name_of(b"a") == "alice"
    with pytest.raises(HardenerError, match="not from both"):
        find_tokens(path, text)
    with pytest.raises(HardenerError, match="line 1 of HARDENER_TOKEN_HASHES"):
        find_tokens(None, "alice")


class Clock:
    """A clock that a test turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_in_and_then_the_rate() -> None:
    clock = Clock()
    limit = RateLimit(Rate(per_second=2, burst=3), clock=clock)
    assert [limit.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.5]
    clock.now += 0.25
    assert limit.wait_s("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert [limit.wait_s("a") for _ in range(2)] == [0, 0.5]
    clock.now += 3600
    assert [limit.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.5]  # a pause saves up one burst, no more
    assert limit.wait_s("b") == 0


def test_over_an_hour_no_caller_gets_more_than_rate_and_burst() -> None:
    clock = Clock()
    limit = RateLimit(Rate(per_second=0.5, burst=5), clock=clock)
    admitted = 0
    for _ in range(3600 * 4 + 1):
        admitted += limit.wait_s("a") == 0
        clock.now += 0.25
    assert admitted == 5 + 3600 // 2


def test_buckets_are_bounded_and_the_one_unused_for_longest_is_forgotten() -> None:
    limit = RateLimit(Rate(per_second=1e-6, burst=1), most=3, clock=Clock())
    for caller in ("a", "b", "c"):
        assert limit.wait_s(caller) == 0
    assert limit.wait_s("a") > 0  # used just now, so b is the oldest
    assert limit.wait_s("d") == 0
    assert [limit.wait_s(caller) > 0 for caller in ("a", "c", "d")] == [True, True, True]
    assert limit.wait_s("b") == 0
    assert len(limit._buckets) == 3


def test_beyond_the_rate_the_answer_is_429_and_when_to_come_back() -> None:
    limit = RateLimit(Rate(0.1, 1), clock=Clock())
    app = Access(inner, tokens=tokens("alice", "bob"), rate_limit=limit, open_paths=OPEN_PATHS)
    alice, bob = bearer("alice-secret"), bearer("bob-secret")
    asked = [("POST", "/predict", headers) for headers in (alice, alice, bob)]
    answers = talk(app, *asked, ("GET", "/page.css", alice))
    assert [answer.status_code for answer in answers] == [200, 429, 200, 200]
    assert answers[1].headers["retry-after"] == "10"
    assert answers[1].json()["detail"] == "too many requests with this token. Try again in 10 s."
    assert answers[1].headers["content-type"] == "application/problem+json"


def test_without_tokens_the_rate_is_an_address_s_and_an_ipv6_client_has_one_for_its_network() -> None:
    app = Access(inner, rate_limit=RateLimit(Rate(0.1, 1), clock=Clock()))
    statuses = [
        talk(app, ("GET", "/model", {}), client=(host, 1))[0].status_code
        for host in ("10.0.0.1", "10.0.0.2", "10.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "fe80::1%x")
    ]
    assert statuses == [200, 200, 429, 200, 429, 200, 200]


def test_a_refused_token_spends_nobody_s_rate() -> None:
    app = Access(inner, tokens=tokens("alice"), rate_limit=RateLimit(Rate(0.1, 1), clock=Clock()))
    answers = talk(app, *[("GET", "/model", bearer("wrong"))] * 5, ("GET", "/model", bearer("alice-secret")))
    assert [answer.status_code for answer in answers] == [401] * 5 + [200]


@pytest.mark.parametrize(
    ("text", "rate"),
    [("5", Rate(5, 10)), ("0.25", Rate(0.25, 1)), ("0.5:10", Rate(0.5, 10)), (" 3:1 ", Rate(3, 1))],
)
def test_a_rate_is_read(text: str, rate: Rate) -> None:
    assert read_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf", "5:", "5:0", "5:1.5", "5:2:3", "1e9"])
def test_no_rate_is_said_with_an_example(text: str) -> None:
    with pytest.raises(HardenerError, match="as 5 or 0.5:10; got") as caught:
        read_rate(text)
    assert repr(text) in str(caught.value)


PAGE = "https://shop.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


def test_without_origins_no_answer_allows_a_foreign_page() -> None:
    app = Access(inner)
    assert allow_origins(app, ()) is app
    (answer,) = talk(app, ("GET", "/model", {"Origin": PAGE}))
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_named_origin_may_call_and_reads_refusals_too() -> None:
    app = allow_origins(Access(inner, tokens=tokens("alice")), read_origins(f"{PAGE}, http://127.0.0.1:8080"))
    answers = talk(
        app,
        ("OPTIONS", "/predict", PREFLIGHT),
        ("POST", "/predict", {"Origin": PAGE}),
        ("POST", "/predict", {"Origin": PAGE} | bearer("alice-secret")),
        ("POST", "/predict", {"Origin": "https://evil.example"} | bearer("alice-secret")),
    )
    assert [answer.status_code for answer in answers] == [200, 401, 200, 200]
    assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [PAGE, PAGE, PAGE, None]
    assert "authorization" in answers[0].headers["access-control-allow-headers"].lower()
    assert "X-Request-Id" in answers[2].headers["access-control-expose-headers"]
    assert all("access-control-allow-credentials" not in answer.headers for answer in answers)


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "https://a@b", "file://", "https://a b"])
def test_what_is_no_origin_is_said(origin: str) -> None:
    with pytest.raises(HardenerError, match="as https://host or https://host:port, without a path; got") as caught:
        read_origins(f"*,{origin}")
    assert repr(origin) in str(caught.value)


def test_other_kinds_of_connection_are_handed_on() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*message: Any) -> Any: ...

    quiet: Callable[..., Awaitable[Any]] = nothing
    asyncio.run(Access(app, tokens=tokens("alice"))({"type": "lifespan"}, quiet, quiet))
    assert seen == ["lifespan"]
