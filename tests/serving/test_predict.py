"""`POST /predict`: right answers, and the right refusal for everything else."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bundles import image_bytes, linear_bundle, softmax
from numpy.typing import NDArray
from rooms import open_room, send, send_image, talk

from serving.app import Room, create_app
from serving.openapi import openapi_document
from serving.schemas import ModelInfo, Prediction

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
def room(bundle: Path) -> Iterator[Room]:
    with open_room(bundle, max_body_bytes=50_000) as opened:
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


def test_the_answer_is_the_softmax_of_the_linear_model(room: Room) -> None:
    pixels = RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    answer = send_image(room, image_bytes(pixels))
    assert answer.status_code == 200
    prediction = Prediction.model_validate_json(answer.content)
    wanted = expected(pixels)
    assert list(prediction.probabilities) == list(CLASSES)
    np.testing.assert_allclose(list(prediction.probabilities.values()), wanted, rtol=1e-5)
    assert prediction.index == wanted.argmax()
    assert prediction.label == CLASSES[prediction.index]
    assert prediction.confidence == max(prediction.probabilities.values())
    assert prediction.model.fingerprint == "f" * 64
    assert prediction.report is None


def test_concurrent_images_get_the_answers_they_get_alone(room: Room) -> None:
    images = RANDOM.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)  # fewer than may wait

    async def all_at_once(client: httpx.AsyncClient) -> list[httpx.Response]:
        uploads = [client.post("/predict", files={"image": image_bytes(pixels)}) for pixels in images]
        return await asyncio.gather(*uploads)

    sizes = room.metrics.registry.get_sample_value
    runs = sizes("hardener_batch_images_count") or 0
    for pixels, answer in zip(images, talk(room, all_at_once), strict=True):
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(list(answer.json()["probabilities"].values()), expected(pixels), rtol=1e-5)
    assert (sizes("hardener_batch_images_count") or 0) - runs <= 30
    alone = [send_image(room, image_bytes(pixels)).json()["label"] for pixels in images[:5]]
    assert alone == [CLASSES[expected(pixels).argmax()] for pixels in images[:5]]


def test_a_truncated_image_among_good_ones_spoils_none_of_them(room: Room) -> None:
    uploads = [JPEG[: len(JPEG) // 2] if index == 11 else GOOD for index in range(24)]

    async def all_at_once(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/predict", files={"image": data}) for data in uploads))

    statuses = [answer.status_code for answer in talk(room, all_at_once)]
    assert statuses == [422 if index == 11 else 200 for index in range(24)]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_formats_are_told_by_the_bytes_not_by_name_or_stated_type(room: Room, file_format: str) -> None:
    data = image_bytes(np.full((20, 12, 3), 100, np.uint8), file_format)
    for name, stated in (("cat.gif", "image/gif"), ("cat", "text/plain")):
        answer = send(room, "POST", "/predict", files={"image": (name, data, stated)})
        assert answer.status_code == 200, answer.text


MULTIPART = {"Content-Type": "multipart/form-data; boundary=X"}
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
    "JSON": (415, "the body is application/json", {"json": {"image": "cat.jpg"}}),
    "nothing at all": (415, "of no stated type", {}),
    "no image part": (400, "the body has no field image; it has ['picture']", {"files": {"picture": GOOD}}),
    "no boundary": (
        400,
        "Missing boundary",
        {"content": b"--X--", "headers": {"Content-Type": "multipart/form-data"}},
    ),
    "another boundary": (400, "cannot be read", {"content": b"--Y\r\n\r\n", "headers": MULTIPART}),
    "a body that breaks off": (
        400,
        "no field image",
        {
            "content": b'--X\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n\xff',
            "headers": MULTIPART,
        },
    ),
    "two images": (400, "Too many files", {"files": [("image", GOOD), ("image", GOOD)]}),
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
        "unknown option 'reprot'. Known: report. Did you mean 'report'?",
        {"files": {"image": GOOD}, "params": {"reprot": "true"}},
    ),
    "an option given twice": (
        422,
        "report is given twice",
        {"files": {"image": GOOD}, "data": {"report": "false"}, "params": {"report": "true"}},
    ),
    "too many pixels": (413, "8000 x 6251 pixels", {"files": {"image": png_header(8000, 6251)}}),
    "too many bytes": (413, "more than the 50,000 bytes", {"files": {"image": bytes(60_000)}}),
}


@pytest.mark.parametrize(("status", "detail", "request_"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_has_its_status_and_says_why(room: Room, status: int, detail: str, request_: dict[str, Any]) -> None:
    answer = send(room, "POST", "/predict", **request_)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), problem
    assert detail in problem["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail"}
    assert "Traceback" not in answer.text
    assert str(status) in openapi_document()["paths"]["/predict"]["post"]["responses"]


def test_an_image_at_the_pixel_limit_is_looked_at(room: Room) -> None:
    """8000 x 6250 is exactly 50 million: the refusal now is about the missing pixels."""
    assert send_image(room, png_header(8000, 6250)).status_code == 422


def test_a_body_of_unstated_length_is_cut_at_the_limit(room: Room) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--X\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while True:
            sent += 10_000
            yield bytes(10_000)

    assert send(room, "POST", "/predict", content=endless(), headers=MULTIPART).status_code == 413
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
    room: Room, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = send(room, method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert path in answer.json()["detail"]
    found = answer.headers.get("allow")
    assert found is None if allow is None else set(found.split(", ")) == set(allow.split(", "))


def test_a_full_queue_is_said_at_once_with_a_time_to_come_back(bundle: Path) -> None:
    with open_room(bundle, max_waiting=0) as room:
        answer = send_image(room, GOOD)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_requests_in_work_are_bounded(bundle: Path) -> None:
    async def all_at_once(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/predict", files={"image": GOOD}) for _ in range(6)))

    with open_room(bundle, max_requests=2) as room:
        answers = talk(room, all_at_once)
        assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503, 503]
        assert {answer.headers.get("retry-after") for answer in answers} == {None, "1"}
        assert send_image(room, GOOD).status_code == 200


def test_reports_in_work_are_bounded(bundle: Path) -> None:
    async def both(client: httpx.AsyncClient) -> list[httpx.Response]:
        upload: dict[str, Any] = {"files": {"image": GOOD}, "params": {"report": "true"}}
        return await asyncio.gather(*(client.post("/predict", **upload) for _ in range(2)))

    with open_room(bundle, max_reports=1, draws=2000) as room:
        answers = talk(room, both)
    assert sorted(answer.status_code for answer in answers) == [200, 503]


def test_a_slow_body_meets_the_deadline(bundle: Path) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"--X\r\n"
        await asyncio.sleep(5)

    with open_room(bundle, predict_timeout_s=0.1) as room:
        answer = send(room, "POST", "/predict", content=slow(), headers=MULTIPART)
    assert (answer.status_code, answer.json()["title"]) == (504, "Gateway Timeout")


def test_a_report_past_its_deadline_leaves_no_work_behind(bundle: Path) -> None:
    async def report_then_plain(client: httpx.AsyncClient) -> None:
        late = await client.post("/predict", files={"image": GOOD}, data={"report": "true"})
        assert (late.status_code, late.json()["status"]) == (504, 504)
        images = count("hardener_batch_images_sum") or 0
        assert images < 10_000
        assert (await client.post("/predict", files={"image": GOOD})).status_code == 200
        assert count("hardener_batch_images_sum") == images + 1

    with open_room(bundle, report_timeout_s=0.3, draws=10_000) as room:
        count = room.metrics.registry.get_sample_value
        talk(room, report_then_plain)


def test_a_report_stops_when_its_client_goes(bundle: Path) -> None:
    head = b'--X\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": head + GOOD + b"\r\n--X--\r\n", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send_nowhere(message: Any) -> None: ...

    with open_room(bundle, draws=10_000) as room:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/predict",
            "query_string": b"report=true",
            "headers": [(b"content-type", b"multipart/form-data; boundary=X")],
        }
        asyncio.run(create_app(room)(scope, receive, send_nowhere))  # type: ignore[arg-type]
        assert room.metrics.registry.get_sample_value("hardener_reports_total") == 0
        assert (room.metrics.registry.get_sample_value("hardener_batch_images_sum") or 0) < 1000


def test_a_model_that_overflows_is_a_fault_of_the_model(tmp_path: Path) -> None:
    weights = np.full((8, 8, 3, 2), 3e38, np.float32)
    with open_room(linear_bundle(tmp_path, weights, (0, 0))) as room:
        answer = send_image(room, GOOD)
        assert (answer.status_code, "not finite" in answer.json()["detail"]) == (500, True)


def test_metrics_count_by_route_and_unknown_paths_share_one_series(bundle: Path) -> None:
    async def scan(client: httpx.AsyncClient) -> str:
        await client.post("/predict", files={"image": GOOD})
        for number in range(50):
            await client.get(f"/random-{number}")
        return (await client.get("/metrics")).text

    with open_room(bundle) as room:
        lines = talk(room, scan).splitlines()
    assert 'hardener_requests_total{route="/predict",status="200"} 1.0' in lines
    assert 'hardener_requests_total{route="unknown",status="404"} 50.0' in lines
    assert 'hardener_waiting_images{kind="plain"} 0.0' in lines
    assert "hardener_batch_images_sum 1.0" in lines
    assert not any("random" in line for line in lines)


def test_the_bundle_is_described(room: Room) -> None:
    info = ModelInfo.model_validate_json(send(room, "GET", "/model").content)
    assert (info.classes, info.input.height, info.provider) == (list(CLASSES), 8, "CPUExecutionProvider")


def test_every_reference_of_the_openapi_document_resolves(room: Room) -> None:
    document = send(room, "GET", "/openapi.json").json()
    references = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                references.append(node["$ref"])
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(document)
    assert "#/components/schemas/Prediction" in references
    names = {reference.removeprefix("#/components/schemas/") for reference in references}
    assert names <= set(document["components"]["schemas"])
    assert set(send(room, "GET", "/").json()["routes"]) == set(document["paths"])
