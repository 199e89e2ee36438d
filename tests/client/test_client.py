"""The two clients: the same requests, retries and errors. Every test runs on both."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from scripted_server import Reply, prediction, problem, scripted

from hardener.client import (
    AsyncClient,
    Client,
    ClientError,
    ImageNotRead,
    NoAnswer,
    Refused,
    Retry,
    StrangeAnswer,
    Unavailable,
)
from hardener.client._call import BATCH_BYTES, chunks
from hardener.client.image import file_bytes
from hardener.client.retry import read_retry_after
from hardener.data.decode import decode_image

QUICK = Retry(first_s=0.001)
GOOD = Reply(body=json.dumps(prediction()))
BUSY = Reply(503, json.dumps(problem(503, "Service Unavailable", "too many images wait.")))
Handler = Callable[[httpx.Request], httpx.Response]


class Both:
    """Talks with either client; `call` names the method."""

    def __init__(self, kind: str) -> None:
        self.asynchronous = kind == "async"

    def ask(self, url: str, call: str, *words: Any, retry: Retry = QUICK, settings: Any = None, **options: Any) -> Any:
        settings = settings or {}
        if not self.asynchronous:
            with Client(url, retry=retry, **settings) as client:
                return getattr(client, call)(*words, **options)

        async def run() -> Any:
            async with AsyncClient(url, retry=retry, **settings) as client:
                return await getattr(client, call)(*words, **options)

        return asyncio.run(run())

    def ask_handler(self, handler: Handler, call: str, *words: Any, **options: Any) -> Any:
        """Let `handler` answer, without a network."""
        return self.ask("http://service", call, *words, settings={"transport": httpx.MockTransport(handler)}, **options)


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest) -> Both:
    return Both(request.param)


def test_an_image_goes_as_multipart_with_options_token_and_without_its_name(both: Both, tmp_path: Path) -> None:
    path = tmp_path / "secret-name.jpg"
    path.write_bytes(b"\xff\xd8 bytes")
    with scripted([GOOD]) as (url, asked):
        answer = both.ask(url, "predict", path, top_k=2, model="tiny", settings={"token": "t0ken"})
    assert (answer.label, answer.confidence, answer.model.name) == ("cat", 0.75, "tiny")
    (request,) = asked
    assert request.path == "/predict?top_k=2&model=tiny"
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["user-agent"].startswith("hardener-client/")
    assert b'name="image"' in request.body
    assert b"\xff\xd8 bytes" in request.body
    assert b"secret" not in request.body


def test_a_report_is_asked_for_with_its_budget_and_waits_longer_than_that(both: Both) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=prediction())

    both.ask_handler(answer, "report", b"image", draws=500, queries=50, budget_s=120)
    both.ask_handler(answer, "report", b"image")
    assert dict(seen[0].url.params) == {"report": "true", "draws": "500", "queries": "50", "budget_s": "120"}
    assert seen[0].extensions["timeout"]["read"] > 120
    assert dict(seen[1].url.params) == {"report": "true"}
    assert seen[1].extensions["timeout"]["read"] == 60


def test_a_batch_of_any_length_goes_in_requests_of_32_and_comes_back_in_order(both: Both) -> None:
    sizes = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies = [part.split(b"\r\n\r\n")[1][:2] for part in request.content.split(b"\r\n--")[:-1]]
        sizes.append(len(bodies))
        items: list[dict[str, Any]] = [{"prediction": prediction(body.decode()), "problem": None} for body in bodies]
        bad = [index for index, body in enumerate(bodies) if body == b"40"]
        for index in bad:
            items[index] = {"prediction": None, "problem": problem(422, "Unprocessable Content", "truncated")}
        return httpx.Response(200, json={"items": items})

    items = both.ask_handler(answer, "predict_batch", (b"%02d" % number for number in range(70)))
    assert sizes == [32, 32, 6]
    assert items[40].problem.detail == "truncated"
    assert [item.prediction.label for item in items if item.prediction] == [f"{n:02d}" for n in range(70) if n != 40]


def test_a_batch_is_cut_before_it_exceeds_a_body() -> None:
    large, small = bytes(BATCH_BYTES - 1), b"xx"
    assert list(map(len, chunks([small, large, small, small, bytes(BATCH_BYTES + 1), small]))) == [1, 1, 2, 1, 1]
    assert list(chunks([])) == []


def test_a_batch_with_a_wrong_number_of_answers_is_no_answer(both: Both) -> None:
    with pytest.raises(StrangeAnswer, match="http://service/predict/batch answered 0 items for 2 images"):
        both.ask_handler(lambda _: httpx.Response(200, json={"items": []}), "predict_batch", [b"1", b"2"])


def test_an_image_of_a_batch_that_cannot_be_read_gets_its_own_problem(both: Both, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    items: list[dict[str, Any]] = [{"prediction": prediction("cat"), "problem": None}]
    batch: list[Any] = [tmp_path / "empty.png", b"1", tmp_path / "none.png", 3]
    found = both.ask_handler(lambda _: httpx.Response(200, json={"items": items}), "predict_batch", batch)
    assert [item.prediction and item.prediction.label for item in found] == [None, "cat", None, None]
    told = [item.problem.detail for item in found if item.problem]
    for detail, said in zip(told, ("is empty (0 bytes)", "No such file or directory", "got int"), strict=True):
        assert said in detail
    assert both.ask_handler(lambda _: httpx.Response(500), "predict_batch", [3])[0].problem.status == 415


def test_models_are_described(both: Both) -> None:
    spec = {"height": 8, "width": 8, "channels": 3, "resize": "cover-center-bilinear"}
    info = {
        "name": "tiny", "fingerprint": "f", "recipe": "sprout", "created_at": "now", "hardener_version": "0.1.0",
        "input": spec, "classes": ["cat"], "noise_sigma": None, "evaluation": None, "provider": "CPU",
    }  # fmt: skip
    paths = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path.decode())
        return httpx.Response(200, json={"default": "tiny", "models": [info]} if "models" in paths[-1] else info)

    assert both.ask_handler(answer, "model").classes == ["cat"]
    assert both.ask_handler(answer, "model", "tiny").input.height == 8
    assert both.ask_handler(answer, "models").models[0].name == "tiny"
    assert paths == ["/model", "/model?model=tiny", "/models"]


def test_503_then_200_is_an_answer(both: Both) -> None:
    with scripted([BUSY, BUSY, GOOD]) as (url, asked):
        assert both.ask(url, "predict", b"image").label == "cat"
    assert [request.body.count(b"image") > 0 for request in asked] == [True, True, True]


def test_429_is_tried_again_and_a_connection_that_breaks_is_too(both: Both) -> None:
    with scripted([Reply(429), Reply(0), GOOD]) as (url, asked):
        assert both.ask(url, "predict", b"image").label == "cat"
    assert len(asked) == 3


def test_retry_after_is_waited_for(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("hardener.client.client.time.sleep", waited.append)
    monkeypatch.setattr("hardener.client.client.asyncio.sleep", wait)
    answers = [httpx.Response(503, headers={"Retry-After": "7"}), httpx.Response(200, json=prediction())]
    both.ask_handler(lambda _: answers.pop(0), "predict", b"image")
    assert len(waited) == 1
    assert 7 <= waited[0] <= 7.1


def test_what_stays_unavailable_is_said_with_the_services_own_words(both: Both) -> None:
    busy = Reply(BUSY.status, BUSY.body, {"Retry-After": "0", "X-Request-Id": "r-1"})
    with scripted([busy]) as (url, asked), pytest.raises(Unavailable, match="answered 503 .*too many images") as error:
        both.ask(url, "predict", b"image", retry=Retry(times=2, first_s=0.001))
    assert len(asked) == 3
    found = error.value
    assert found.problem is not None
    assert (found.status, found.problem.detail) == (503, "too many images wait.")
    assert (found.request_id, found.retry_after_s, found.exit_code) == ("r-1", 0, 1)


def test_a_pause_beyond_all_patience_is_not_waited_for(both: Both) -> None:
    with scripted([Reply(503, headers={"Retry-After": "3600"})]) as (url, asked), pytest.raises(Unavailable) as error:
        both.ask(url, "predict", b"image")
    assert len(asked) == 1
    assert error.value.retry_after_s == 3600


@pytest.mark.parametrize("status", [400, 401, 404, 405, 408, 413, 415, 422])
def test_other_4xx_are_never_sent_again(both: Both, status: int) -> None:
    refusal = Reply(status, json.dumps(problem(status, "No", "not like this")))
    with scripted([refusal]) as (url, asked), pytest.raises(Refused, match="not like this") as error:
        both.ask(url, "predict", b"image")
    assert len(asked) == 1
    assert error.value.problem is not None
    assert (error.value.status, error.value.problem.status, error.value.exit_code) == (status, status, 2)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_faults_and_late_answers_are_not_sent_again_either(both: Both, status: int) -> None:
    """A request that was too slow once only adds to the load when it is repeated."""
    with scripted([Reply(status, "<h1>oops</h1>")]) as (url, asked), pytest.raises(Unavailable) as error:
        both.ask(url, "predict", b"image")
    assert len(asked) == 1
    assert error.value.problem is None
    assert "without a problem document, so it may be a proxy that speaks" in str(error.value)


def test_nobody_there(both: Both) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(NoAnswer, match=f"cannot connect to {url}/predict, 3 times .*Is the service up") as error:
        both.ask(url, "predict", b"image", retry=Retry(times=2, first_s=0.001))
    assert (error.value.exit_code, error.value.status) == (1, None)


def test_a_connection_that_always_breaks(both: Both) -> None:
    with scripted([Reply(0)]) as (url, asked), pytest.raises(NoAnswer, match="broke off, 3 times"):
        both.ask(url, "predict", b"image", retry=Retry(times=2, first_s=0.001))
    assert len(asked) == 3


def test_silence_ends_in_an_error_and_is_not_repeated(both: Both) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes the connection; nobody answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NoAnswer, match="was silent for too long. Ask for less"):
            both.ask(url, "predict", b"image", settings={"timeout_s": 0.3})


def test_an_answer_of_something_else_is_named(both: Both) -> None:
    for reply, message in (
        (Reply(200, "<html>login</html>"), "answered 200, but not as this version of the service does"),
        (Reply(200, "{}"), r"6 faults, first: label: Field required\). Is the URL right\?"),
        (Reply(302, headers={"Location": "http://elsewhere/"}), "it points to http://elsewhere/; give that URL if"),
    ):
        with scripted([reply]) as (url, _), pytest.raises(StrangeAnswer, match=message):
            both.ask(url, "predict", b"image", settings={"token": "secret"})


def test_a_newer_service_may_say_more(both: Both) -> None:
    more = prediction(model={"name": "tiny", "fingerprint": "f", "new": 1}, also_new=2)
    answer = both.ask_handler(lambda _: httpx.Response(200, json=more), "predict", b"image")
    assert answer.model.name == "tiny"


@pytest.mark.parametrize(
    ("url", "token", "message"),
    [
        ("127.0.0.1:3000", None, "is no URL of a service. It looks like http://127.0.0.1:3000"),
        ("ftp://host", None, "is no URL of a service"),
        ("http://", None, "is no URL of a service"),
        ("http://host:port", None, "'http://host:port' is no URL"),
        ("http://host", "", "one word of printable ASCII"),
        ("http://host", "sec\nret", "one word of printable ASCII"),
        ("http://host", "geheim ß", "one word of printable ASCII"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_wrong_url_or_token_is_said_at_once(
    kind: type[Client] | type[AsyncClient], url: str, token: str | None, message: str
) -> None:
    with pytest.raises(ClientError, match=message) as error:
        kind(url, token=token)
    assert "sec" not in str(error.value).replace("service", "")


def test_a_service_below_a_path_and_a_password_that_is_not_shown(both: Both) -> None:
    refusal = Reply(404, json.dumps(problem(404, "Not Found", "no such model")))
    with scripted([refusal]) as (url, asked), pytest.raises(Refused) as error:
        both.ask(url.replace("http://", "http://user:password@") + "/vision/", "predict", b"image")
    assert asked[0].path == "/vision/predict"
    assert f"{url}/vision/predict answered 404" in str(error.value)
    assert "password" not in str(error.value)


def test_pauses_double_are_random_by_half_and_end() -> None:
    retry = Retry(times=4, first_s=1, most_s=4)
    for sent, longest in ((1, 1), (2, 2), (3, 4), (4, 4)):
        pauses = [retry.pause_s(sent, None) or 0 for _ in range(200)]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest
    assert retry.pause_s(5, None) is None
    assert Retry(times=0).pause_s(1, 0) is None
    assert retry.pause_s(1, 60) is not None
    assert retry.pause_s(1, 60.5) is None


def test_retry_after_is_read_as_seconds_or_a_date() -> None:
    assert read_retry_after("120") == 120
    assert read_retry_after("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    assert (read_retry_after("Fri, 31 Dec 2999 23:59:59 GMT") or 0) > 1e9
    assert (read_retry_after("Fri, 31 Dec 2999 23:59:59 -0000") or 0) > 1e9
    for unreadable in (None, "", "soon", "-1"):
        assert read_retry_after(unreadable) is None


PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def decoded(data: bytes, channels: int = 3) -> np.ndarray[Any, Any]:
    height, width = Image.open(io.BytesIO(data)).size[::-1]
    return decode_image(data, height=height, width=width, channels=channels)


def test_files_and_bytes_are_sent_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "cat").write_bytes(b"whatever")
    assert file_bytes(tmp_path / "cat") == file_bytes(str(tmp_path / "cat")) == file_bytes(b"whatever") == b"whatever"


def test_arrays_are_sent_without_loss() -> None:
    assert (decoded(file_bytes(PIXELS)) == PIXELS).all()
    for gray in (PIXELS[:, :, 0], PIXELS[:, :, :1], PIXELS[::-1, ::-1, 0]):
        assert (decoded(file_bytes(gray), 1)[:, :, 0] == gray.reshape(6, 5)).all()
    with_alpha = np.concatenate([PIXELS, PIXELS[:, :, :1]], axis=2)
    sent = Image.open(io.BytesIO(file_bytes(with_alpha)))
    assert (sent.mode, np.asarray(sent).tolist()) == ("RGBA", with_alpha.tolist())


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "I;16"]
)
def test_a_pil_image_is_sent_as_the_service_would_see_it(mode: str) -> None:
    rgb = Image.fromarray(PIXELS)
    if mode.startswith("I"):
        image = Image.fromarray(np.arange(30, dtype=np.int32).reshape(6, 5) * 2000)
        image = image.convert(mode) if mode != "I" else image
        expected = np.repeat((np.arange(30).reshape(6, 5, 1) * 2000) >> 8, 3, axis=2)
    else:
        image = rgb.convert("LA").convert("PA") if mode == "PA" else rgb.convert(mode)
        expected = np.asarray(image.convert("RGB"))
    assert (decoded(file_bytes(image)) == expected).all()


def test_alpha_is_sent_and_levels_that_no_png_holds_are_refused() -> None:
    clear = Image.fromarray(PIXELS).quantize(8).convert("PA")
    clear.putalpha(0)
    assert (decoded(file_bytes(clear)) == 255).all()
    signed = Image.fromarray(np.arange(-10, 20, dtype=np.int32).reshape(6, 5))
    with pytest.raises(ImageNotRead, match="levels from -10 to 19 do not fit into a PNG; send the TIFF file"):
        file_bytes(signed)


def test_inks_with_a_profile_that_cannot_be_used_are_refused() -> None:
    image = Image.new("CMYK", (5, 6))
    image.info["icc_profile"] = b"none"
    with pytest.raises(ImageNotRead, match="cannot be read"):
        file_bytes(image)


def test_a_pil_image_keeps_the_orientation_that_its_file_states() -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(file, "PNG", exif=exif)
    turned = decode_image(file.getvalue(), height=5, width=6, channels=3)
    opened = Image.open(io.BytesIO(file.getvalue()))
    assert (decode_image(file_bytes(opened), height=5, width=6, channels=3) == turned).all()
    assert not (turned == PIXELS.transpose(1, 0, 2)).all()


def test_what_is_no_image_is_said_before_anything_is_sent(both: Both, tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    truncated = Image.open(io.BytesIO(file_bytes(np.zeros((200, 200, 3), np.uint8))[:100]))
    cases: list[tuple[Any, str]] = [
        (tmp_path / "none.png", r"cannot read the image .*none.png: No such file or directory\."),
        (tmp_path, "Is a directory"),
        (tmp_path / "empty.png", r"empty.png is empty \(0 bytes\)"),
        (PIXELS / 255, "an array must be uint8, from 0 to 255; got float64. For floats in"),
        (PIXELS[None], r"must be \(H, W\), .*; got \(1, 6, 5, 3\)"),
        (PIXELS[:0], r"got \(0, 5, 3\)"),
        (truncated, "the PIL image cannot be read"),
        (Image.new("F", (2, 2)), "32-bit float pixels have no known range"),
        (3, "an image is a path, the bytes of a file, a PIL image or a uint8 array; got int"),
    ]
    for image, message in cases:
        with scripted([GOOD]) as (url, asked), pytest.raises(ImageNotRead, match=message):
            both.ask(url, "predict", image)
        assert asked == []


def test_requests_can_be_made_side_by_side() -> None:
    async def run(url: str) -> list[str]:
        async with AsyncClient(url) as client:
            answers: list[Awaitable[Any]] = [client.predict(b"image") for _ in range(8)]
            return [answer.label for answer in await asyncio.gather(*answers)]

    with scripted([GOOD]) as (url, asked):
        assert asyncio.run(run(url)) == ["cat"] * 8
    assert len(asked) == 8
