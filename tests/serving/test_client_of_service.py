"""`hardener.client` and `hardener predict` against the service itself, over a socket."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from bundles import image_bytes, linear_bundle
from loaded import open_service
from PIL import Image
from starlette.types import ASGIApp
from typer.testing import CliRunner, Result

from hardener.cli.app import app as command_line
from hardener.client import AsyncClient, Client, Refused, Retry, Unavailable
from serving.app import create_app

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(8, 8, 3, 3)).astype(np.float32)
PIXELS = RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8)
CLASSES = ("cat", "dog", "frog")


@contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """Let an app listen on a free port of loopback; gives its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linear_bundle(tmp_path_factory.mktemp("bundle"), WEIGHTS, (0.1, -0.2, 0.3), classes=CLASSES)


@pytest.fixture(scope="module")
def url(bundle: Path) -> Iterator[str]:
    with open_service(bundle) as service, listening(create_app(service)) as found:
        yield found


def hardener(*words: object) -> Result:
    return CliRunner().invoke(command_line, [str(word) for word in words], env={"COLUMNS": "140"})


def test_every_form_of_an_image_gets_the_same_answer(url: str, tmp_path: Path) -> None:
    data = image_bytes(PIXELS)
    (tmp_path / "image.png").write_bytes(data)
    with Client(url) as client:
        forms = (tmp_path / "image.png", str(tmp_path / "image.png"), data, Image.fromarray(PIXELS), PIXELS)
        answers = [client.predict(form) for form in forms]
    assert all(answer == answers[0] for answer in answers)
    assert set(answers[0].probabilities) == set(CLASSES)


def test_a_report_within_its_budget(url: str) -> None:
    with Client(url) as client:
        answer = client.report(PIXELS, draws=20, queries=10, budget_s=50)
    assert answer.report is not None
    assert 0 < answer.report.certificate.draws <= 20  # fewer where they settle it
    assert answer.report.attack.queries_allowed == 10
    assert answer.report.budget.allowed_s == 50


def test_a_batch_in_which_one_image_is_bad(url: str) -> None:
    with Client(url) as client:
        alone = client.predict(PIXELS, top_k=2)
        items = client.predict_batch([PIXELS, b"no image", *[PIXELS] * 40], top_k=2)
    assert len(items) == 42
    assert [item.problem.status if item.problem else None for item in items[:3]] == [None, 415, None]
    assert all(item.prediction == alone for item in (items[0], *items[2:]))
    assert len(alone.probabilities) == 2


def test_the_models_are_listed(url: str) -> None:
    with Client(url) as client:
        models = client.models()
        assert client.model() == client.model(models.default) == models.models[0]
        assert client.model().classes == list(CLASSES)
        with pytest.raises(Refused, match="nobody") as error:
            client.model("nobody")
        assert (error.value.status, error.value.problem is not None) == (404, True)


def test_refusals_say_why(url: str) -> None:
    with Client(url) as client:
        for image, status, words in ((b"no image", 415, "known format"), (image_bytes(PIXELS)[:60], 422, "truncated")):
            with pytest.raises(Refused, match=words) as error:
                client.predict(image)
            assert error.value.problem is not None
            assert error.value.problem.status == status
        with pytest.raises(Refused, match="top_k") as error:
            client.predict(PIXELS, top_k=99)
        assert error.value.status == 422


def test_a_full_service_is_unavailable_and_says_when_to_come_back(bundle: Path) -> None:
    with (
        open_service(bundle, max_waiting=0) as service,
        listening(create_app(service)) as url,
        Client(url, retry=Retry(times=0)) as client,
        pytest.raises(Unavailable) as error,
    ):
        client.predict(PIXELS)
    assert error.value.status == 503
    assert (error.value.retry_after_s or 0) >= 1


def test_the_async_client_answers_alike_and_side_by_side(url: str) -> None:
    async def run() -> None:
        async with AsyncClient(url) as client:
            answers = await asyncio.gather(*(client.predict(PIXELS) for _ in range(8)))
            assert all(answer == answers[0] for answer in answers)
            assert (await client.model()).name == answers[0].model.name
            assert (await client.report(PIXELS, draws=20)).report is not None
            assert [item.prediction for item in await client.predict_batch([PIXELS] * 3)] == answers[:3]

    asyncio.run(run())


def test_the_command_shows_a_report_of_the_service(url: str, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(image_bytes(PIXELS))
    found = hardener("predict", path, "--url", url, "--report")
    assert found.exit_code == 0, found.output
    words = ("same answer under", "noise", "certificate", "offline", "clean 90.0 %, robust 40.0 %")
    assert all(word in found.stdout for word in words), found.stdout
    (tmp_path / "bad.png").write_bytes(b"no image")
    found = hardener("predict", path, tmp_path / "bad.png", "--url", url, "--json")
    assert found.exit_code == 2
    assert [json.loads(line)["problem"] is None for line in found.stdout.splitlines()] == [True, False]
    assert "bad.png was not answered: 415" in found.stderr
