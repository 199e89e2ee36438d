"""`POST /predict`: right answers, and the right refusal for everything else."""

from __future__ import annotations

import asyncio
import base64
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bundles import image_bytes, linear_bundle, softmax
from loaded import open_service, send, send_image, talk
from numpy.typing import NDArray

from hardener.config.answer import Prediction
from serving.app import create_app
from serving.batcher import Priority
from serving.budget import allowed_budget
from serving.openapi import STATUSES
from serving.options import Options
from serving.service_state import ServiceState
from serving.settings import Settings

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(8, 8, 3, 3)).astype(np.float32)
BIAS = (0.1, -0.2, 0.3)
CLASSES = ("cat", "dog", "frog")
GOOD = image_bytes(np.full((8, 8, 3), 100, np.uint8))
JPEG = image_bytes(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8), "JPEG", quality=95)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linear_bundle(tmp_path_factory.mktemp("bundle"), WEIGHTS, BIAS, classes=CLASSES)


@pytest.fixture(scope="module")
def service(bundle: Path) -> Iterator[ServiceState]:
    with open_service(bundle, max_body_bytes=50_000) as opened:
        yield opened


def expected(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    logits = pixels.astype(np.float64).reshape(-1) / 255 @ WEIGHTS.astype(np.float64).reshape(-1, 3) + BIAS
    return softmax(logits)


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces its size and holds no pixel: decoding it would fail."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def test_the_answer_is_the_softmax_of_the_linear_model(service: ServiceState) -> None:
    pixels = RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    answer = send_image(service, image_bytes(pixels))
    assert answer.status_code == 200
    prediction = Prediction.model_validate_json(answer.content)
    wanted = expected(pixels)
    assert list(prediction.probabilities) == [CLASSES[index] for index in np.argsort(-wanted)]
    np.testing.assert_allclose(list(prediction.probabilities.values()), sorted(wanted)[::-1], rtol=1e-5)
    assert prediction.index == wanted.argmax()
    assert prediction.label == CLASSES[prediction.index]
    assert prediction.confidence == max(prediction.probabilities.values())
    assert prediction.model.fingerprint == "f" * 64
    assert prediction.report is None


def test_concurrent_images_get_the_answers_they_get_alone(service: ServiceState) -> None:
    images = RANDOM.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)  # fewer than may wait

    async def all_at_once(client: httpx.AsyncClient) -> list[httpx.Response]:
        uploads = [client.post("/predict", files={"image": image_bytes(pixels)}) for pixels in images]
        return await asyncio.gather(*uploads)

    sizes = service.metrics.registry.get_sample_value
    runs = sizes("hardener_batch_images_count") or 0
    for pixels, answer in zip(images, talk(service, all_at_once), strict=True):
        assert answer.status_code == 200, answer.text
        by_class = [answer.json()["probabilities"][label] for label in CLASSES]
        np.testing.assert_allclose(by_class, expected(pixels), rtol=1e-5)
    assert (sizes("hardener_batch_images_count") or 0) - runs <= 30
    alone = [send_image(service, image_bytes(pixels)).json()["label"] for pixels in images[:5]]
    assert alone == [CLASSES[expected(pixels).argmax()] for pixels in images[:5]]


def test_a_truncated_image_among_good_ones_spoils_none_of_them(service: ServiceState) -> None:
    uploads = [JPEG[: len(JPEG) // 2] if index == 11 else GOOD for index in range(24)]

    async def all_at_once(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/predict", files={"image": data}) for data in uploads))

    statuses = [answer.status_code for answer in talk(service, all_at_once)]
    assert statuses == [422 if index == 11 else 200 for index in range(24)]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_formats_are_told_by_the_bytes_not_by_name_or_stated_type(service: ServiceState, file_format: str) -> None:
    data = image_bytes(np.full((20, 12, 3), 100, np.uint8), file_format)
    for name, stated in (("cat.gif", "image/gif"), ("cat", "text/plain")):
        answer = send(service, "POST", "/predict", files={"image": (name, data, stated)})
        assert answer.status_code == 200, answer.text


MULTIPART = {"Content-Type": "multipart/form-data; boundary=X"}
HEAD = b'--X\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
RAW = {"Content-Type": "image/png"}
JSON = {"Content-Type": "application/json"}
BASE64 = base64.b64encode(GOOD).decode()
REFUSED: dict[str, tuple[int, str, dict[str, Any]]] = {
    "truncated": (422, "truncated or damaged", {"files": {"image": JPEG[: len(JPEG) // 2]}}),
    "random bytes": (415, "not an image of a known format", {"files": {"image": RANDOM.bytes(3000)}}),
    "empty file": (415, "0 bytes", {"files": {"image": b""}}),
    "an image format that is not taken": (
        415,
        "not an image of a known format",
        {"files": {"image": image_bytes(np.zeros((8, 8, 3), np.uint8), "TIFF")}},
    ),
    "a URL in the image field": (
        415,
        "nothing is fetched from a URL",
        {"files": {"image": (None, "http://127.0.0.1/cat.jpg")}},
    ),
    "another kind of body": (415, "the body is text/csv", {"content": b"1,2", "headers": {"Content-Type": "text/csv"}}),
    "nothing at all": (415, "of no stated type", {}),
    "a raw body that is empty": (415, "0 bytes", {"content": b"", "headers": RAW}),
    "a raw body that is truncated": (422, "truncated or damaged", {"content": JPEG[:-900], "headers": RAW}),
    "no image part": (400, "the body has no field image; it has ['picture']", {"files": {"picture": GOOD}}),
    "no boundary": (
        400,
        "Missing boundary",
        {"content": b"--X--", "headers": {"Content-Type": "multipart/form-data"}},
    ),
    "another boundary": (400, "is not in the body", {"content": b"--Y\r\n\r\n", "headers": MULTIPART}),
    "a body that breaks off": (400, "breaks off", {"content": HEAD + b"\xff", "headers": MULTIPART}),
    "a part without a name": (
        400,
        "no name",
        {"content": b"--X\r\nContent-Type: image/png\r\n\r\n1\r\n--X--", "headers": MULTIPART},
    ),
    "a boundary inside a line": (400, "at end of boundary", {"content": b"--Xy\r\n\r\n", "headers": MULTIPART}),
    "a part with a header of 5,000 bytes": (
        400,
        "Maximum header size exceeded",
        {"content": HEAD.replace(b"--X", b"--X\r\nX-Long: " + b"a" * 5000) + b"\r\n--X--", "headers": MULTIPART},
    ),
    "a part with nine headers": (
        400,
        "Maximum header count exceeded",
        {"content": HEAD.replace(b"--X", b"--X" + b"\r\nX-More: 1" * 8) + b"\r\n--X--", "headers": MULTIPART},
    ),
    "a boundary of 300 bytes": (
        400,
        "Boundary length 300 exceeds",
        {
            "content": b"--" + b"X" * 300 + b"--",
            "headers": {"Content-Type": f"multipart/form-data; boundary={'X' * 300}"},
        },
    ),
    "two images": (400, "send one, or several to /predict/batch", {"files": [("image", GOOD), ("image", GOOD)]}),
    "too many parts": (400, "Too many parts", {"files": {"image": GOOD}, "data": {"top_k": ["1"] * 30}}),
    "an option as a file": (422, "an option is a short text", {"files": {"image": GOOD, "top_k": b"1"}}),
    "an option that is no boolean": (
        422,
        "report must be true or false; got 'maybe'",
        {"files": {"image": GOOD}, "data": {"report": "maybe"}},
    ),
    "the same in the query": (
        422,
        "report must be true or false; got '2'",
        {"files": {"image": GOOD}, "params": {"report": "2"}},
    ),
    "an unknown option": (
        422,
        "unknown option 'reprot'. Known: top_k, report, model, draws, queries, budget_s, found_image. Did you mean",
        {"files": {"image": GOOD}, "params": {"reprot": "true"}},
    ),
    "an option given twice": (
        422,
        "report is given twice, as false and as true",
        {"files": {"image": GOOD}, "data": {"report": ["false", "true"]}},
    ),
    "top_k zero": (
        422,
        "top_k must be a whole number, at least 1; got 0",
        {"files": {"image": GOOD}, "params": {"top_k": 0}},
    ),
    "top_k above the classes": (422, "from 1 to 3; got 4", {"files": {"image": GOOD}, "params": {"top_k": 4}}),
    "no draws": (422, "draws must be a whole number, at least 1", {"files": {"image": GOOD}, "data": {"draws": "0"}}),
    "queries in words": (422, "queries must be a whole number", {"files": {"image": GOOD}, "data": {"queries": "ten"}}),
    "a number of thousands of digits": (
        422,
        "draws must be a whole number",
        {"files": {"image": GOOD}, "params": {"draws": "9" * 5000}},
    ),
    "no time": (
        422,
        "budget_s must be a number, at least 0.1",
        {"files": {"image": GOOD}, "params": {"budget_s": "nan"}},
    ),
    "an unknown model": (
        404,
        "there is no model 'liner'. Known: linear. Did you mean 'linear'?",
        {"files": {"image": GOOD}, "data": {"model": "liner"}},
    ),
    "too many pixels": (413, "8000 x 6251 pixels", {"files": {"image": png_header(8000, 6251)}}),
    "too many bytes": (413, "more than the 50,000 bytes", {"files": {"image": bytes(60_000)}}),
    "JSON that is none": (400, "the body is no JSON", {"content": b"{", "headers": JSON}),
    "JSON that is too deep": (422, "more values than", {"content": b"[" * 40_000, "headers": JSON}),
    "JSON of many values": (422, "more values than", {"json": {"image": BASE64, "top_k": [[] for _ in range(1000)]}}),
    "JSON of many keys": (422, "more values than", {"json": {"image": BASE64} | dict.fromkeys(map(str, range(600)))}),
    "JSON that is no object": (422, "must be an object", {"json": [BASE64]}),
    "JSON without an image": (400, "has no image; it has ['img']", {"json": {"img": BASE64}}),
    "JSON with a number": (422, "image must be the image file in base64", {"json": {"image": 5}}),
    "JSON without base64": (422, "image is no base64", {"json": {"image": "cat.jpg"}}),
    "JSON with a data URL": (
        422,
        "Leave out all up to the comma",
        {"json": {"image": f"data:image/png;base64,{BASE64}"}},
    ),
    "JSON with a text for a number": (422, "top_k must be a whole number", {"json": {"image": BASE64, "top_k": "2"}}),
    "JSON with true for a number": (422, "got true", {"json": {"image": BASE64, "top_k": True}}),
    "JSON with a number for a boolean": (422, "true or false; got 1", {"json": {"image": BASE64, "report": 1}}),
    "JSON with a number for a name": (422, "model must be a name", {"json": {"image": BASE64, "model": 1}}),
    "JSON with endless time": (
        422,
        "budget_s must be",
        {"content": f'{{"image": "{BASE64}", "budget_s": Infinity}}', "headers": JSON},
    ),
}


@pytest.mark.parametrize(("status", "detail", "request_"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_has_its_status_and_says_why(
    service: ServiceState, status: int, detail: str, request_: dict[str, Any]
) -> None:
    answer = send(service, "POST", "/predict", **request_)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), problem
    assert detail in problem["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail"}
    assert "Traceback" not in answer.text
    assert status in STATUSES


def test_an_image_at_the_pixel_limit_is_looked_at(service: ServiceState) -> None:
    """8000 x 6250 is exactly 50 million: the refusal now is about the missing pixels."""
    assert send_image(service, png_header(8000, 6250)).status_code == 422


def test_a_body_of_unstated_length_is_cut_at_the_limit(service: ServiceState) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield HEAD
        while True:
            sent += 10_000
            yield bytes(10_000)

    assert send(service, "POST", "/predict", content=endless(), headers=MULTIPART).status_code == 413
    assert sent <= 70_000


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/predict", 405, "POST"),
        ("DELETE", "/model", 405, "GET, HEAD"),
        ("GET", "/nothing", 404, None),
    ],
)
def test_wrong_methods_and_paths_get_a_problem(
    service: ServiceState, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = send(service, method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert path in answer.json()["detail"]
    found = answer.headers.get("allow")
    assert found is None if allow is None else set(found.split(", ")) == set(allow.split(", "))


def test_a_full_queue_is_said_at_once_with_a_time_to_come_back(bundle: Path) -> None:
    with open_service(bundle, max_waiting=0) as service:
        answer = send_image(service, GOOD)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_requests_in_work_are_bounded(bundle: Path) -> None:
    async def all_at_once(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/predict", files={"image": GOOD}) for _ in range(6)))

    with open_service(bundle, max_requests=2) as service:
        answers = talk(service, all_at_once)
        assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503, 503]
        assert {answer.headers.get("retry-after") for answer in answers} == {None, "1"}
        assert send_image(service, GOOD).status_code == 200


def test_bodies_that_trickle_in_keep_nobody_out(bundle: Path) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b"--X\r\n"
        await asyncio.sleep(5)

    async def beside(client: httpx.AsyncClient) -> tuple[list[int], int]:
        slow = [asyncio.create_task(client.post("/predict", content=trickle(), headers=MULTIPART)) for _ in range(8)]
        await asyncio.sleep(0)
        good = await client.post("/predict", files={"image": GOOD})
        return [answer.status_code for answer in await asyncio.gather(*slow)], good.status_code

    with open_service(bundle, max_requests=2, body_timeout_s=0.5) as service:
        assert talk(service, beside) == ([408] * 8, 200)


def test_the_bodies_of_all_requests_together_are_bounded(bundle: Path) -> None:
    with open_service(bundle, max_held_bytes=len(GOOD) - 1) as service:
        for _ in range(2):
            answer = send_image(service, GOOD)
            assert (answer.status_code, "fill the memory" in answer.json()["detail"]) == (503, True)
            assert answer.headers["retry-after"] == "1"
    with open_service(bundle, max_held_bytes=len(GOOD) + 1000) as service:
        assert [send_image(service, GOOD).status_code for _ in range(3)] == [200] * 3  # given back each time


def test_reports_in_work_are_bounded(bundle: Path) -> None:
    async def both(client: httpx.AsyncClient) -> list[httpx.Response]:
        upload: dict[str, Any] = {"files": {"image": GOOD}, "params": {"report": "true"}}
        return await asyncio.gather(*(client.post("/predict", **upload) for _ in range(2)))

    with open_service(bundle, max_reports=1, draws=2000) as service:
        answers = talk(service, both)
    assert sorted(answer.status_code for answer in answers) == [200, 503]


def test_a_body_that_does_not_arrive_ends_the_request(bundle: Path) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"--X\r\n"
        await asyncio.Event().wait()

    with open_service(bundle, body_timeout_s=0.05) as service:
        answer = send(service, "POST", "/predict", content=slow(), headers=MULTIPART)
    assert (answer.status_code, answer.json()["title"]) == (408, "Request Timeout")
    assert "within 0.05 seconds: 5 bytes of it did" in answer.json()["detail"]
    assert answer.headers["connection"] == "close"


def test_a_report_whose_time_runs_out_is_answered_and_leaves_no_work_behind(bundle: Path) -> None:
    async def report_then_plain(client: httpx.AsyncClient) -> None:
        late = await client.post("/predict", files={"image": GOOD}, data={"report": "true"})
        assert (late.status_code, late.json()["report"]["budget"]["cut_short"]) == (200, True)
        assert late.json()["report"]["certificate"]["draws"] < 100_000
        images = count("hardener_batch_images_sum") or 0
        assert images < 100_000
        assert (await client.post("/predict", files={"image": GOOD})).status_code == 200
        assert count("hardener_batch_images_sum") == images + 1

    with open_service(bundle, report_seconds=0.001, draws=100_000) as service:
        count = service.metrics.registry.get_sample_value
        talk(service, report_then_plain)


def test_a_report_stops_when_its_client_goes(bundle: Path) -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": HEAD + GOOD + b"\r\n--X--\r\n", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send_nowhere(message: Any) -> None: ...

    with open_service(bundle, draws=10_000) as service:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/predict",
            "query_string": b"report=true",
            "headers": [(b"content-type", b"multipart/form-data; boundary=X")],
        }
        asyncio.run(create_app(service)(scope, receive, send_nowhere))  # type: ignore[arg-type]
        assert service.metrics.registry.get_sample_value("hardener_reports_total", {"model": "linear"}) == 0
        assert (service.metrics.registry.get_sample_value("hardener_batch_images_sum") or 0) < 1000


def test_a_model_that_overflows_on_some_images_is_a_fault_of_the_model(tmp_path: Path) -> None:
    class Overflowing:
        def run(self, names: list[str], images: dict[str, NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
            return [np.full((len(images["images"]), 2), np.inf, np.float32)] * 2

    with open_service(linear_bundle(tmp_path, np.zeros((8, 8, 3, 2), np.float32), (0, 0))) as service:
        service.registry.find(None).engine._session = Overflowing()
        answer = send_image(service, GOOD)
        assert (answer.status_code, "not finite" in answer.json()["detail"]) == (500, True)


def test_metrics_count_by_route_and_unknown_paths_share_one_series(bundle: Path) -> None:
    async def scan(client: httpx.AsyncClient) -> str:
        await client.post("/predict", files={"image": GOOD})
        for number in range(50):
            await client.get(f"/random-{number}")
        return (await client.get("/metrics")).text

    with open_service(bundle) as service:
        lines = talk(service, scan).splitlines()
    assert 'hardener_requests_total{route="/predict",status="200"} 1.0' in lines
    assert 'hardener_requests_total{route="unknown",status="404"} 50.0' in lines
    assert 'hardener_waiting_images{kind="plain"} 0.0' in lines
    assert "hardener_batch_images_sum 1.0" in lines
    assert not any("random" in line for line in lines)


def test_top_k_lists_the_most_likely(service: ServiceState) -> None:
    pixels = RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    best = [CLASSES[index] for index in np.argsort(-expected(pixels))]
    for count in (1, 2, 3):
        answer = send_image(service, image_bytes(pixels), top_k=str(count)).json()
        assert list(answer["probabilities"]) == best[:count]
        assert answer["label"] == best[0]


def test_an_option_in_the_body_goes_before_one_in_the_url(service: ServiceState) -> None:
    json_body = {"image": BASE64, "top_k": 1}
    for body in ({"files": {"image": GOOD}, "data": {"top_k": "1"}}, {"json": json_body}):
        answer = send(service, "POST", "/predict", params={"top_k": "2"}, **body)
        assert len(answer.json()["probabilities"]) == 1
        assert send(service, "POST", "/predict", params={"top_k": "4"}, **body).status_code == 422


def test_every_kind_of_body_gets_the_same_answer(service: ServiceState) -> None:
    form = send_image(service, JPEG, top_k="2").json()
    query = {"params": {"top_k": "2"}}
    for kind in ("image/jpeg", "image/x-unheard", "application/octet-stream"):
        raw = send(service, "POST", "/predict", content=JPEG, headers={"Content-Type": kind}, **query)
        assert (raw.status_code, raw.json()) == (200, form)
    for top_k in (2, 2.0):
        body = {"image": base64.b64encode(JPEG).decode(), "top_k": top_k}
        assert send(service, "POST", "/predict", json=body).json() == form
    nameless = HEAD.replace(b'; filename="a"', b"\r\nContent-Type: image/jpeg")
    for head in (
        HEAD,
        nameless,
        b"a preamble\r\n" + HEAD,
        HEAD.replace(b'"image"', b"image"),
    ):
        body_bytes = head + JPEG + b"\r\n--X--\r\nan epilogue"
        answer = send(service, "POST", "/predict", content=body_bytes, headers=MULTIPART, **query)
        assert (answer.status_code, answer.json()) == (200, form), answer.text


def test_a_large_body_is_parsed_like_a_small_one(service: ServiceState) -> None:
    noise = image_bytes(RANDOM.integers(0, 256, (120, 120, 3), dtype=np.uint8), "BMP")
    assert 40_000 < len(noise) < 50_000
    form = send_image(service, noise)
    assert form.status_code == 200
    with open_service(service.settings.bundles[0], max_body_bytes=100_000) as larger:
        body = {"image": base64.b64encode(noise + bytes(20_000)).decode()}
        assert send(larger, "POST", "/predict", json=body).json()["probabilities"] == form.json()["probabilities"]


def test_an_image_of_many_pixels_is_decoded_too(service: ServiceState) -> None:
    wide = image_bytes(np.full((2000, 2100, 3), 100, np.uint8))
    answer = send_image(service, wide)
    assert answer.json()["probabilities"] == pytest.approx(send_image(service, GOOD).json()["probabilities"])


def test_a_report_route_reports_and_takes_its_budget(service: ServiceState) -> None:
    answer = send(service, "POST", "/report", files={"image": GOOD}, data={"draws": "30"})
    assert answer.status_code == 200
    assert answer.json()["report"]["certificate"]["draws"] == 30
    refused = send(service, "POST", "/report", files={"image": GOOD}, data={"report": "false"})
    assert (refused.status_code, "unknown option 'report'" in refused.json()["detail"]) == (422, True)


def test_a_budget_is_cut_to_what_the_server_allows() -> None:
    settings = Settings(bundles=(), draws=100, max_draws=50, queries=10, max_queries=40, report_seconds=3)
    default = allowed_budget(Options(), settings)
    assert (default.draws, default.queries, default.seconds) == (100, 10, 3)
    asked = allowed_budget(Options(draws=5000, queries=5000, budget_s=1e9), settings)
    assert (asked.draws, asked.queries, asked.seconds) == (100, 40, settings.max_report_seconds)
    less = allowed_budget(Options(draws=1, queries=2, budget_s=0.5), settings)
    assert (less.draws, less.queries, less.seconds) == (1, 2, 0.5)


def test_a_refused_request_is_refused_before_its_body_is_read(bundle: Path) -> None:
    reads = []

    async def body() -> AsyncIterator[bytes]:
        reads.append(1)
        yield b""

    def status(service: ServiceState, **request: Any) -> int:
        return send(service, "POST", "/predict", content=body(), **({"headers": MULTIPART} | request)).status_code

    with open_service(bundle, max_requests=0) as service:
        assert status(service) == 503
    with open_service(bundle, max_waiting=0) as service:
        assert status(service) == 503
        assert status(service, params={"model": "x"}) == 404
    with open_service(bundle) as service:
        assert status(service, headers={"Content-Type": "text/csv"}) == 415
        assert status(service, headers=MULTIPART | {"Content-Length": str(10**9)}) == 413
    assert not reads


def test_a_request_that_the_stopping_server_ends_is_told_to_come_back(bundle: Path) -> None:
    async def stop(client: httpx.AsyncClient) -> httpx.Response:
        request = asyncio.create_task(client.post("/report", files={"image": GOOD}))
        while not held.registry.waiting(Priority.REPORT):
            await asyncio.sleep(0)
        request.cancel()
        return await request

    with open_service(bundle, lanes=1, draws=10_000) as held:
        answer = talk(held, stop)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "the server is stopping" in answer.json()["detail"]
