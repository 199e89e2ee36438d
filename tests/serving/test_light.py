"""hardener-light: the client and the service without torch, beside hardener and without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import image_bytes, linear_bundle
from packaging.requirements import Requirement
from running import server
from test_dependencies import PROJECT, ROOT, canonical, loaded_by, serving_requirements

LIGHT: dict[str, Any] = tomllib.loads((ROOT / "light" / "pyproject.toml").read_text())
COPIES: dict[str, str] = LIGHT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
FOLDER = "hardener_light/hardener/"
ASK = """
import json, sys
from hardener.client import Client
import hardener
with Client(sys.argv[1]) as client:
    answer = client.report(sys.argv[2], draws=4, queries=4)
print(json.dumps([answer.label, answer.report is not None, hardener.__file__, "torch" in sys.modules]))
"""


def listed(*extras: str) -> dict[str, Requirement]:
    extra = LIGHT["project"]["optional-dependencies"]
    lines = [*LIGHT["project"]["dependencies"], *(line for name in extras for line in extra[name])]
    return {canonical(found.name): found for found in map(Requirement, lines)}


def test_its_files_are_those_that_the_client_and_the_service_load_and_no_others() -> None:
    needed = {path.relative_to(ROOT) for path in loaded_by("serving", "hardener/client")}
    copied = {Path(source).relative_to("..") for source, place in COPIES.items() if place.startswith(FOLDER)}
    whole = {path for path in copied if (ROOT / path).is_dir()}
    assert whole == {Path("serving"), Path("hardener/client")}
    alone = {path for path in needed if not any(path.is_relative_to(folder) for folder in whole)}
    assert copied - whole == alone | {Path("hardener/py.typed")}, "the list in light/pyproject.toml"
    for source, place in COPIES.items():
        assert (ROOT / "light" / source).exists()
        assert place in {FOLDER + source.removeprefix("../hardener/").removeprefix("../"), "hardener_light.pth"} or (
            source == "../LICENSE"
        )


def test_it_shares_no_file_with_hardener() -> None:
    """What two distributions both own is gone once either is removed."""
    tops = {place.partition("/")[0] for place in COPIES.values()}
    assert tops == {"hardener_light", "hardener_light.pth"}
    assert "scripts" not in LIGHT["project"]
    assert (ROOT / "light" / "hardener_light.pth").read_text() == "hardener_light\n"


def test_its_requirements_are_those_of_the_client_and_of_the_service() -> None:
    whole = {canonical(found.name): found for found in map(Requirement, PROJECT["dependencies"])}
    client, serving = listed(), listed("service", "serving")
    assert client.keys() == {"httpx", "pydantic", "pillow"}
    assert serving.keys() - {"hardener-light"} == serving_requirements().keys() | client.keys()
    for name, found in serving.items():
        if name not in {"hardener-light", "onnxruntime"}:
            assert found.specifier == whole[name].specifier
    (cuda,) = (line for line in listed("serving-cuda").values() if line.name == "onnxruntime-gpu")
    assert cuda.extras == {"cuda", "cudnn"}
    assert cuda.specifier == listed("serving")["onnxruntime"].specifier == whole["onnxruntime"].specifier


def test_what_it_lacks_is_said(tmp_path: Path) -> None:
    code = "import sys; sys.modules['hardener.api'] = None\nfrom hardener import train"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.stderr.splitlines()[-1] == (
        "ImportError: hardener.train is not part of hardener-light, the client and the service: pip install hardener"
    )


class Machine:
    """A fresh virtual environment, asked as if nothing else were installed."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.folder, self.python = folder, folder / "bin" / "python"
        self._environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def pip(self, *words: str) -> None:
        done = self._run("-m", "pip", "-q", *words)
        if "No matching distribution" in done.stderr or "ConnectionError" in done.stderr:
            pytest.skip("pip reaches no package index")
        assert done.returncode == 0, done.stderr

    def ask(self, url: str, image: Path) -> tuple[str, Path]:
        """Ask a service by the client; return the label, and where hardener was imported from."""
        done = self._run("-c", ASK, url, str(image))
        assert done.returncode == 0, done.stderr
        label, reported, file, torch_loaded = json.loads(done.stdout)
        assert reported
        assert not torch_loaded
        return label, Path(file).parent.relative_to(self.folder / "lib")

    def installed(self) -> set[str]:
        return {
            canonical(found["name"]) for found in json.loads(self._run("-m", "pip", "list", "--format=json").stdout)
        }

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.python), *words], cwd=self.folder, env=self._environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.mark.long
def test_machines_without_torch_serve_and_ask_and_either_distribution_can_go(tmp_path: Path) -> None:
    weights = np.zeros((8, 8, 3, 2), np.float32)
    weights[..., 1] = 0.1
    bundle = linear_bundle(tmp_path / "bundle", weights, (0.0, -1.0), classes=("dark", "bright"))
    image = tmp_path / "white.png"
    image.write_bytes(image_bytes(np.full((8, 8, 3), 255, np.uint8)))

    serves, asks = Machine(tmp_path / "serves"), Machine(tmp_path / "asks")
    constraints = ["-c", str(ROOT / "constraints.txt")]
    wheels = tmp_path / "wheels"
    serves.pip("wheel", "--no-deps", "-w", str(wheels), str(ROOT / "light"), str(ROOT))
    (light,), (whole,) = wheels.glob("hardener_light-*.whl"), wheels.glob("hardener-*.whl")
    asks.pip("install", *constraints, str(light))
    serves.pip("install", *constraints, f"hardener-light[serving] @ file://{light}")
    assert {"torch", "hardener"} & (asks.installed() | serves.installed()) == set()
    assert "bentoml" not in asks.installed()

    own_folder = {
        "python": str(serves.python),
        "service": "hardener.serving.service:HardenerService",
        "folder": str(serves.folder),
    }
    packages = Path(f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
    with server(bundle, **own_folder, PYTHONPATH="") as service:
        service.wait_until_ready()
        url = service.url
        assert asks.ask(url, image) == ("bright", packages / "hardener_light" / "hardener")
        asks.pip("install", "--no-deps", str(whole))
        assert asks.ask(url, image) == ("bright", packages / "hardener")
        asks.pip("uninstall", "-y", "hardener-light")
        assert asks.ask(url, image) == ("bright", packages / "hardener")
        asks.pip("install", "--no-deps", str(light))
        asks.pip("uninstall", "-y", "hardener")
        assert asks.ask(url, image) == ("bright", packages / "hardener_light" / "hardener")
