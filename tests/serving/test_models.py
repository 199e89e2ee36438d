"""Several models side by side, what is said about them, and their exchange under traffic."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bundles import INT8, image_bytes, linear_bundle
from loaded import open_service, send, send_image, talk

from hardener.config.answer import ModelInfo, ModelList
from hardener.errors import HardenerError
from serving.registry import check_bundles
from serving.service_state import ServiceState
from serving.settings import BundleSource, Settings

WEIGHTS = np.zeros((8, 8, 3, 2), np.float32)
GOOD = image_bytes(np.full((8, 8, 3), 100, np.uint8))
CAT, DOG = (5.0, 0.0), (0.0, 5.0)  # biases: with these weights, the answer to every image


def animal_bundle(folder: Path, bias: tuple[float, float], *, name: str = "linear", fingerprint: str = "f") -> Path:
    changes = {"name": name, "fingerprint": fingerprint * 64}
    return linear_bundle(folder, WEIGHTS, bias, classes=("cat", "dog"), changes=changes)


def test_each_model_answers_under_its_name(tmp_path: Path) -> None:
    first, second = animal_bundle(tmp_path / "a", CAT, name="a"), animal_bundle(tmp_path / "b", DOG, name="b")
    with open_service(first, second, BundleSource(first, "again"), default="b") as service:
        for name, label in ((None, "dog"), ("a", "cat"), ("b", "dog"), ("again", "cat")):
            fields = {} if name is None else {"model": name}
            answer = send_image(service, GOOD, **fields).json()
            assert (answer["label"], answer["model"]["name"]) == (label, name or "b")
            assert send(service, "POST", "/predict", files={"image": GOOD}, params=fields).json() == answer
        listed = ModelList.model_validate_json(send(service, "GET", "/models").content)
        assert (listed.default, [model.name for model in listed.models]) == ("b", ["a", "b", "again"])
        assert send(service, "GET", "/model").json()["name"] == "b"
        assert send(service, "GET", "/model", params={"model": "a"}).json()["name"] == "a"
        missing = send(service, "GET", "/model", params={"model": "c"})
        assert (missing.status_code, "Known: a, b, again" in missing.json()["detail"]) == (404, True)
        options = send(service, "GET", "/openapi.json").json()["paths"]["/predict"]["post"]["parameters"]
        assert "enum" not in next(option["schema"] for option in options if option["name"] == "model")


def test_the_bundle_is_described(tmp_path: Path) -> None:
    bundle = animal_bundle(tmp_path, CAT)
    with open_service(bundle) as service:
        info = ModelInfo.model_validate_json(send(service, "GET", "/model").content)
        assert (info.classes, info.input.height, info.provider) == (["cat", "dog"], 8, "CPUExecutionProvider")
        assert send(service, "GET", "/model/card").status_code == 404
        assert send(service, "GET", "/model", params={"name": "x"}).status_code == 422
    (bundle / "model_card.md").write_text("# Cats — and dogs\n", encoding="utf-8")
    with open_service(bundle) as service:
        card = send(service, "GET", "/model/card")
        assert card.text == "# Cats — and dogs\n"
        assert card.headers["content-type"].startswith("text/markdown")


def test_names_are_unique_and_the_default_is_one_of_them(tmp_path: Path) -> None:
    first, second = animal_bundle(tmp_path / "a", CAT), animal_bundle(tmp_path / "b", DOG)
    same = Settings(bundles=(BundleSource(first), BundleSource(second)), device="cpu")
    unknown = Settings(bundles=(BundleSource(first),), default="liner", device="cpu")
    for settings, match in (
        (same, f"two models have the name 'linear': .* Give one another name: NAME={second}"),
        (unknown, "the default model 'liner' is not served. Known: linear. Did you mean 'linear'?"),
    ):
        for load in (ServiceState, check_bundles):
            with pytest.raises(HardenerError, match=match.replace("?", r"\?")):
                load(settings)


def test_the_int8_file_of_a_run_is_told_from_its_float32_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = animal_bundle(tmp_path / "bundle", CAT)
    second = linear_bundle(tmp_path / "bundle-int8", WEIGHTS, DOG, changes={"quantization": INT8})
    shas = [json.loads((bundle / "bundle.json").read_text())["model"]["sha256"] for bundle in (first, second)]
    current = tmp_path / "current"
    current.symlink_to(first)
    caplog.set_level("INFO", logger="hardener.serving")
    with open_service(BundleSource(current, "prod")) as service:
        infos, answers, metrics = [], [], []
        for target in (first, second):
            current.unlink()
            current.symlink_to(target)
            assert asyncio.run(service.reload())
            infos.append(send(service, "GET", "/model").json())
            answers.append(send_image(service, GOOD).json()["model"])
            metrics.append(send(service, "GET", "/metrics").text)
    for told in (infos, answers):
        assert [(each["file_sha256"], each["quantization"]) for each in told] == [(shas[0], None), (shas[1], "int8")]
    labels = f'file="{shas[1]}",fingerprint="{"f" * 64}",model="prod",provider="CPUExecutionProvider"'
    assert f'hardener_model_info{{{labels},quantization="int8"}} 1.0' in metrics[1]
    assert [record.getMessage() for record in caplog.records] == [
        f"reloaded prod ({'f' * 12}), file {shas[0][:12]}, the same as before",
        f"reloaded prod ({'f' * 12}), file {shas[1][:12]} in int8",
    ]


def test_a_reload_serves_the_new_bundle_and_loses_no_request(tmp_path: Path) -> None:
    bundle = animal_bundle(tmp_path, CAT)

    async def exchange(client: httpx.AsyncClient) -> None:
        answers = [await predict(client)]
        animal_bundle(tmp_path, DOG, fingerprint="e")
        reload = asyncio.create_task(service.registry.reload())
        while not reload.done():
            answers += await asyncio.gather(*(predict(client) for _ in range(4)))
        assert await reload
        assert {(answer["label"], answer["model"]["fingerprint"][0]) for answer in answers} <= {
            ("cat", "f"),
            ("dog", "e"),
        }
        after = await predict(client)
        assert (answers[0]["label"], after["label"], after["model"]["fingerprint"]) == ("cat", "dog", "e" * 64)

    async def predict(client: httpx.AsyncClient) -> dict[str, Any]:
        answer = await client.post("/predict", files={"image": GOOD})
        assert answer.status_code == 200
        return answer.json()  # type: ignore[no-any-return]

    with open_service(bundle) as service:
        talk(service, exchange)


def test_a_request_in_work_is_finished_by_the_model_that_it_began_with(tmp_path: Path) -> None:
    bundle = animal_bundle(tmp_path, CAT)

    async def exchange(client: httpx.AsyncClient) -> None:
        report = asyncio.create_task(client.post("/report", files={"image": GOOD}, data={"draws": "400"}))
        model = service.registry.find(None)
        while not model.batcher.waiting(1):  # type: ignore[arg-type]
            await asyncio.sleep(0)
        animal_bundle(tmp_path, DOG)
        assert await service.registry.reload()
        assert not report.done()
        answer = (await report).json()
        assert (answer["label"], answer["report"]["certificate"]["agreeing_draws"]) == ("cat", 400)
        assert (await client.post("/predict", files={"image": GOOD})).json()["label"] == "dog"

    with open_service(bundle, lanes=1) as service:
        talk(service, exchange)


def test_a_broken_new_bundle_leaves_the_old_one_in_service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundle = animal_bundle(tmp_path, CAT)

    async def exchange(client: httpx.AsyncClient) -> None:
        (bundle / "model.onnx").write_bytes(b"broken")
        assert not any(await asyncio.gather(service.registry.reload(), service.registry.reload()))
        assert (await client.post("/predict", files={"image": GOOD})).json()["label"] == "cat"

    with open_service(bundle) as service:
        talk(service, exchange)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "the models were not exchanged" in errors[0]
    assert "is not the file that bundle.json describes" in errors[0]
