"""The OpenAPI document: complete, its references resolve, its examples are what it says they are."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import linear_bundle
from loaded import open_service, send, send_image
from pydantic import BaseModel

from hardener.config.answer import BatchAnswer, ModelInfo, ModelList, Prediction
from serving.app import create_app
from serving.examples import EXAMPLES
from serving.openapi import STATUSES
from serving.service_state import ServiceState


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceState]:
    bundle = linear_bundle(tmp_path_factory.mktemp("bundle"), np.zeros((8, 8, 3, 2), np.float32), (0, 0))
    with open_service(bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def document(service: ServiceState) -> dict[str, Any]:
    return send(service, "GET", "/openapi.json").json()  # type: ignore[no-any-return]


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    references = {node["$ref"] for node in walk(document) if "$ref" in node}
    assert "#/components/schemas/Prediction" in references
    names = {reference.removeprefix("#/components/schemas/") for reference in references}
    assert names <= set(document["components"]["schemas"])


def test_every_path_answers_and_no_other_does(service: ServiceState, document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method in methods:
            if path != "/model/card":
                assert send(service, method.upper(), path).status_code in {200, 415}, path
    for path in ("/predict/", "/schema.json", "/docs.json", "/page.html"):
        assert send(service, "GET", path).status_code == 404


def test_every_operation_has_examples_and_says_how_it_fails(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                (content,) = answer["content"].values()
                assert "example" in content or content["examples"]
                assert ("Retry-After" in answer.get("headers", {})) == (status in {"429", "503"})
                assert status == "200" or int(status) in STATUSES


def test_programs_that_make_clients_find_files_and_nothing_of_the_models(document: dict[str, Any]) -> None:
    assert document["servers"][0]["url"] == "."
    assert "linear" not in {value for node in walk(document) for value in node.values() if isinstance(value, str)}
    for path, many in (("/predict", False), ("/report", False), ("/predict/batch", True)):
        operation = document["paths"][path]["post"]
        body = operation["requestBody"]
        assert not any("json" in kind for kind in body["content"])  # where there is one, a form's client sends no file
        reference = body["content"]["multipart/form-data"]["schema"]["$ref"]
        form = document["components"]["schemas"][reference.removeprefix("#/components/schemas/")]
        assert list(form["properties"]) == ["image"]  # an option that stands in two places has two names in a client
        image = form["properties"]["image"]["items"] if many else form["properties"]["image"]
        assert (image["type"], image["format"]) == ("string", "binary")
        assert {parameter["name"] for parameter in operation["parameters"]} >= {"top_k", "model"}


def test_the_examples_are_valid(service: ServiceState) -> None:
    models: dict[str, type[BaseModel]] = {
        "prediction": Prediction,
        "report": Prediction,
        "batch": BatchAnswer,
        "model": ModelInfo,
        "models": ModelList,
    }
    for name, model in models.items():
        model.model_validate(EXAMPLES[name])
    assert send_image(service, base64.b64decode(EXAMPLES["base64"])).status_code == 200


def test_the_json_that_is_told_in_words_is_taken(service: ServiceState, document: dict[str, Any]) -> None:
    for path in ("/predict", "/predict/batch"):
        words = document["paths"][path]["post"]["requestBody"]["description"]
        body = json.loads(words[words.index("{") : words.index("}") + 1])
        assert send(service, "POST", path, json=body | {"top_k": 1}).status_code == 200


def test_what_is_closed_answers_404_and_is_not_described(service: ServiceState) -> None:
    with open_service(*service.settings.bundles, closed=frozenset({"metrics", "docs", "page"})) as closed:
        for path in ("/", "/page.js", "/page.css", "/metrics", "/openapi.json", "/docs", "/docs.js"):
            assert send(closed, "GET", path).status_code == 404
        assert send(closed, "GET", "/models").status_code == 200
    hashes = f"me {hashlib.sha256(b'secret').hexdigest()}"
    with open_service(*service.settings.bundles, closed=frozenset({"metrics", "page"}), token_hashes=hashes) as closed:
        document = send(closed, "GET", "/openapi.json", headers={"Authorization": "Bearer secret"}).json()
        assert not {"/", "/page.js", "/page.css", "/metrics"} & set(document["paths"])
        assert document["paths"]["/predict"]["post"]["security"] == [{"token": []}]
        assert "security" not in document["paths"]["/healthz"]["get"]


def test_the_page_comes_with_a_policy_that_lets_nothing_else_in(service: ServiceState) -> None:
    pages = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}
    pages |= {"/docs": "text/html", "/docs.css": "text/css", "/docs.js": "text/javascript"}
    for path, kind in pages.items():
        answer = send(service, "GET", path)
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["content-security-policy"].startswith("default-src 'self'; img-src 'self' blob: data:")
        assert send(service, "HEAD", path).status_code == 200
    folder = Path(create_app.__code__.co_filename).parent / "page"
    assert send(service, "GET", "/").content == (folder / "index.html").read_bytes()
