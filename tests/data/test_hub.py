"""Data sets of the hub, from a server that answers as the hub does, with the real library in between."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.inspection_record import DataInspection

_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_OWN, _RESOLVE = "/api/datasets/someone/pets", "/datasets/someone/pets/resolve/"
_ASK = """
import sys
from pathlib import Path
from hardener.data.data_set import read_data_set
from hardener.errors import HardenerError
try:
    found = read_data_set(Path(sys.argv[1]))
    print({name: len(files) for name, files in found.splits.items()}, found.classes, found.train.open(0)[1:4])
except HardenerError as error:
    print(error)
"""


class Served(NamedTuple):
    """Where a server listens, and what it was asked for."""

    url: str
    asked: list[str]


def mark(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def shard(images: int) -> bytes:
    random = np.random.default_rng(images)
    rows = []
    for _ in range(images):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(file, "PNG")
        rows.append({"bytes": file.getvalue(), "path": None})
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"image": rows, "label": [place % 2 for place in range(images)]}), out)
    return out.getvalue()


@pytest.fixture(scope="module")
def hub() -> Iterator[Served]:
    """A server with one data set: two shards, a page, and a loading script that must never be fetched."""
    files = {
        "README.md": b"# pets",
        "pets.py": b"raise SystemExit('code of the data set has run')",
        "data/train-00000-of-00001.parquet": shard(20),
        "data/test-00000-of-00001.parquet": shard(6),
    }
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            asked.append(f"{self.command} {urlparse(self.path).path}")

        def do_GET(self) -> None:
            path = unquote(urlparse(self.path).path)
            name = path.removeprefix(_RESOLVE).partition("/")[2]
            tree = [{"type": "file", "path": own, "size": len(data), "oid": mark(data)} for own, data in files.items()]
            if path in (_OWN, f"{_OWN}/revision/main", f"{_OWN}/revision/{_COMMIT}"):
                siblings = [{"rfilename": own} for own in files]
                self.answer(200, json.dumps({"id": "someone/pets", "sha": _COMMIT, "siblings": siblings}).encode())
            elif path.startswith(f"{_OWN}/tree/"):
                self.answer(200, json.dumps(tree).encode())
            elif path.startswith(_RESOLVE) and name in files:
                self.answer(200, files[name], {"ETag": f'"{mark(files[name])}"', "X-Repo-Commit": _COMMIT})
            else:
                self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_GET

        def answer(self, code: int, body: bytes, more: dict[str, str] | None = None) -> None:
            self.send_response(code)
            for key, value in {"Content-Length": str(len(body)), **(more or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Served(f"http://127.0.0.1:{server.server_address[1]}", asked)
    server.shutdown()
    server.server_close()
    thread.join()


def ask(name: str, home: Path, endpoint: str) -> str:
    # the library reads these when it is imported
    settings = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    settings.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run([sys.executable, "-c", _ASK, name], env=settings, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_data_set_is_fetched_once_and_no_code_of_it(hub: Served, tmp_path: Path) -> None:
    told = "{'train': 18, 'validation': 2, 'test': 6} ('0', '1') b'PNG'"
    assert ask("hf:datasets/someone/pets", tmp_path, hub.url) == told
    fetched = [line for line in hub.asked if line.startswith(f"GET {_RESOLVE}")]
    assert len([line for line in fetched if line.endswith(".parquet")]) == 2
    assert not [line for line in hub.asked if line.endswith(".py")]
    hub.asked.clear()
    assert ask("hf:someone/pets", tmp_path, hub.url) == told
    assert not [line for line in hub.asked if _RESOLVE in line], "it is in the cache now"


def test_what_the_server_does_not_have_is_refused_with_the_way(hub: Served, tmp_path: Path) -> None:
    told = ask("hf:someone/none", tmp_path, hub.url)
    assert "hf:someone/none is not in the cache and could not be fetched" in told
    assert "hf download someone/none --repo-type dataset" in told


def test_inspect_reads_a_data_set_of_the_cache_as_training_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "datasets--someone--pets"
    for file, content in (
        ("refs/main", _COMMIT.encode()),
        (f"snapshots/{_COMMIT}/data/train-0-of-1.parquet", shard(20)),
    ):
        (own / file).parent.mkdir(parents=True)
        (own / file).write_bytes(content)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused = CliRunner().invoke(app, ["inspect", "hf:someone/pets"])  # which names a network
    assert refused.exit_code == 2
    assert "hardener inspect hf:datasets/someone/pets" in refused.stderr
    done = CliRunner().invoke(app, ["inspect", "hf:datasets/someone/pets", "--json", "-"])
    assert done.exit_code == 0, done.output
    found = DataInspection.model_validate_json(done.stdout)
    assert found.splits == {"train": 16, "validation": 2, "test": 2}
    assert found.advice[-1].command == "hardener train MODEL --data hf:datasets/someone/pets"
