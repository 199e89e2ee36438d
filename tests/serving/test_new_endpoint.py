"""An endpoint of one's own is one file and two lines: what is done here to a copy is what CONTRIBUTING tells."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import linear_bundle

ROOT = Path(__file__).parents[2]
FILE = "serving/endpoints/classes.py"
CODE = '''
"""The names of a model's classes."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.requests import Request

from ..endpoint import Endpoint, model_asked_for
from ..service_state import ServiceState


class ClassNames(BaseModel):
    """The names of a model's classes, in the order of its logits."""

    classes: list[str]


async def _classes(service: ServiceState, request: Request) -> ClassNames:
    return ClassNames(classes=service.registry.find(model_asked_for(request)).bundle.classes)


CLASSES = Endpoint(
    path="/classes",
    name="classes",
    summary="The names of a model's classes",
    options=("model",),
    answer=_classes,
    returns=ClassNames,
    example={"classes": ["cat", "dog"]},
)
'''
TABLE = "serving/routes.py"
IMPORT = "from .endpoints.classes import CLASSES\n"
LINE = "    CLASSES,\n"
TALK = """
import asyncio, json, sys
from pathlib import Path
import httpx
from loaded import open_service
from serving.app import create_app

async def talk(service):
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://hardener") as client:
        secret = {"Authorization": "Bearer secret"}
        told = {}
        for name, path, headers in (
            ("good", "/classes", secret),
            ("other", "/classes?model=nowhere", secret),
            ("wrong", "/classes?top_k=1", secret),
            ("stranger", "/classes", {}),
            ("openapi", "/openapi.json", secret),
            ("metrics", "/metrics", secret),
        ):
            answer = await client.get(path, headers=headers)
            told[name] = (answer.status_code, answer.text)
        return told

with open_service(Path(sys.argv[1]), token_hashes=sys.argv[2]) as service:
    print(json.dumps(asyncio.run(talk(service))))
"""
SECRET = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"  # sha256 of `secret`


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The answers of a copy of the service with one endpoint more."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "serving", folder / "serving", ignore=shutil.ignore_patterns("__pycache__", "deploy"))
    (folder / FILE).write_text(CODE.lstrip())
    table = (folder / TABLE).read_text()
    table = table.replace("from .endpoints.health", IMPORT + "from .endpoints.health", 1)
    table = table.replace("    *PROBES,\n", "    *PROBES,\n" + LINE, 1)
    (folder / TABLE).write_text(table)
    bundle = linear_bundle(folder / "bundle", np.zeros((8, 8, 3, 2), np.float32), (0, 0), classes=("cat", "dog"))
    paths = os.pathsep.join(map(str, (folder, ROOT, Path(__file__).parent)))
    command = [sys.executable, "-c", TALK, str(bundle), f"me {SECRET}"]
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_answers_and_refuses_as_the_others_do(told: dict[str, Any]) -> None:
    assert told["good"] == [200, '{"classes":["cat","dog"]}']
    assert {name: told[name][0] for name in ("other", "wrong", "stranger")} == {
        "other": 404,
        "wrong": 422,
        "stranger": 401,
    }
    assert "Known: model" in told["wrong"][1]


def test_it_is_described_and_counted(told: dict[str, Any]) -> None:
    document = json.loads(told["openapi"][1])
    operation = document["paths"]["/classes"]["get"]
    assert (operation["operationId"], operation["security"]) == ("classes", [{"token": []}])
    (content,) = operation["responses"]["200"]["content"].values()
    assert content["schema"] == {"$ref": "#/components/schemas/ClassNames"}
    assert document["components"]["schemas"]["ClassNames"]["required"] == ["classes"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["model"]
    assert 'hardener_requests_total{route="/classes",status="200"} 1.0' in told["metrics"][1]
