"""`POST /predict/batch`: answers in order, and a bad image spoils no other."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import image_bytes, linear_bundle
from loaded import open_service, send, send_image

from hardener.config.answer import BatchAnswer
from serving.engine import Engine
from serving.service_state import ServiceState

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(8, 8, 3, 3)).astype(np.float32)
IMAGES = [image_bytes(pixels) for pixels in RANDOM.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)]
JPEG = image_bytes(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8), "JPEG", quality=95)


def base64_of(*images: bytes) -> list[str]:
    return [base64.b64encode(image).decode() for image in images]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linear_bundle(tmp_path_factory.mktemp("bundle"), WEIGHTS, (0, 0, 0))


@pytest.fixture(scope="module")
def service(bundle: Path) -> Iterator[ServiceState]:
    with open_service(bundle, max_batch_images=7) as opened:
        yield opened


def test_answers_come_in_the_order_of_the_images(service: ServiceState) -> None:
    alone = [send_image(service, image, top_k="2").json() for image in IMAGES]
    form = {"files": [("image", image) for image in IMAGES], "data": {"top_k": "2"}}
    for body in (form, {"json": {"images": base64_of(*IMAGES), "top_k": 2}}):
        answer = post(service, **body)
        assert answer.status_code == 200
        items = BatchAnswer.model_validate_json(answer.content).items
        assert all(item.problem is None for item in items)
        found = [item["prediction"]["probabilities"] for item in answer.json()["items"]]
        assert found == [pytest.approx(prediction["probabilities"]) for prediction in alone]


def test_a_bad_image_gets_its_own_problem(service: ServiceState) -> None:
    bad = {1: (JPEG[: len(JPEG) // 2], 422), 2: (b"text", 415), 4: (b"", 415)}
    images = [bad[place][0] if place in bad else IMAGES[place] for place in range(6)]
    answer = send(service, "POST", "/predict/batch", json={"images": [*base64_of(*images), "no base64!"]})
    assert answer.status_code == 200
    items = answer.json()["items"]
    for place, item in enumerate(items):
        status = 422 if place == 6 else bad[place][1] if place in bad else None
        assert (item["problem"] or {}).get("status") == status
        assert (item["prediction"] is None) == (status is not None)


def test_a_value_of_a_batch_that_is_no_text_spoils_no_other(service: ServiceState) -> None:
    items = post(service, json={"images": [*base64_of(IMAGES[0]), 3, None, "bad!", *base64_of(IMAGES[0])]}).json()[
        "items"
    ]
    assert [(item["problem"] or {}).get("status") for item in items] == [None, 422, 422, 422, None]
    assert "images[1] must be the image file in base64" in items[1]["problem"]["detail"]


def test_a_model_that_overflows_on_one_image_answers_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "_warm", lambda self, sizes: None)  # the start asks about a white image, and refuses
    weights = np.full((8, 8, 3, 2), 3e38, np.float32)
    black, white = (image_bytes(np.full((8, 8, 3), level, np.uint8)) for level in (0, 255))
    with open_service(linear_bundle(tmp_path, weights, (0, 0))) as service:
        items = post(service, json={"images": base64_of(black, white, black)}).json()["items"]
    assert [(item["problem"] or {}).get("status") for item in items] == [None, 500, None]


def post(service: ServiceState, **request: Any) -> Any:
    return send(service, "POST", "/predict/batch", **request)


@pytest.mark.parametrize(
    ("status", "detail", "request_"),
    [
        (413, "the batch has 8 images; at most 7", {"json": {"images": base64_of(*[IMAGES[0]] * 8)}}),
        (413, "the batch has 8 images; at most 7", {"files": [("image", IMAGES[0])] * 8}),
        (400, "Too many parts", {"files": [("image", IMAGES[0])] * 40}),
        (422, "unknown option 'report'", {"files": {"image": IMAGES[0]}, "params": {"report": "true"}}),
        (
            422,
            "top_k must be a whole number from 1 to 3; got 9",
            {"files": {"image": IMAGES[0]}, "data": {"top_k": "9"}},
        ),
        (422, "images must be a list", {"json": {"images": []}}),
        (422, "images must be a list", {"json": {"images": "x"}}),
        (422, "images[0] must be the image file in base64", {"json": {"images": [3]}}),
        (400, "has no images; it has ['image']", {"json": {"image": "x"}}),
        (415, "the field image holds text", {"files": [("image", IMAGES[0]), ("image", (None, "http://127.0.0.1/"))]}),
        (415, "the body is image/png", {"content": IMAGES[0], "headers": {"Content-Type": "image/png"}}),
    ],
)
def test_a_batch_that_is_refused(service: ServiceState, status: int, detail: str, request_: dict[str, Any]) -> None:
    answer = post(service, **request_)
    assert answer.status_code == status, answer.text
    assert detail in answer.json()["detail"]


def test_a_batch_that_finds_no_room_in_the_queue_is_refused_as_a_whole(bundle: Path) -> None:
    with open_service(bundle, max_waiting=1, lanes=1) as service:
        answer = post(service, json={"images": base64_of(*IMAGES)})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
