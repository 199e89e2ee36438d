"""What many tests start from."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: threads cost more than they give on 8x8 images

import functools
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from advice import unknown_advice
from oracles import TINY_MODEL, write_image_folder

if TYPE_CHECKING:
    from hardener.config.run_folder import RunFolder

os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.environ["HARDENER_REHEARSAL"] = "0"  # a fresh interpreter a run; the tests of the rehearsal ask for it
os.environ["COLUMNS"] = "200"  # what tables and lines are folded at, whatever the terminal


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over torch and six thousand tests, and over all else less often.

    Of 96 s of strangers' model files it took 7.5, and takes 0.9.
    """
    gc.freeze()
    gc.set_threshold(700, 10, 50)


@pytest.fixture(scope="session", autouse=True)
def commands_built_once() -> Iterator[None]:
    """Let typer build the command line once: its runner does so in each call, for a sixth of a short training."""
    from typer import testing

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(testing), "_get_command", functools.cache(vars(testing)["_get_command"]))
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep decoded images out of the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARDENER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def operators_read_once() -> Iterator[None]:
    """Let torch's exporter read the source of its operators once: it does so in each export, for half of the time."""
    from torch.onnx._internal.exporter import _registration

    apis = vars(_registration)["onnxscript_apis"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apis, "get_torchlib_ops", functools.cache(apis.get_torchlib_ops))
        yield


@pytest.fixture(autouse=True)
def advice_that_can_be_followed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See that no command advises an option that it does not have, in whatever test it fails."""
    from typer._click.globals import get_current_context

    from hardener.cli import console

    say = console._say
    vain: list[str] = []

    def looked_at(kind: str, text: str) -> None:
        context = get_current_context(silent=True)
        if context is not None and context.info_name:
            vain.extend(f"{found}, in: {text}" for found in unknown_advice(text, context.info_name))
        say(kind, text)

    monkeypatch.setattr(console, "_say", looked_at)
    yield
    assert vain == []


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes of twelve gray 8x8 images each, directly below the folder."""
    return write_image_folder(tmp_path / "imgs", {"cat": 12, "dog": 12})


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A model file with build_model."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY_MODEL)
    return path


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunFolder]:
    """What training by a recipe gives without a stop, on images and a model as above; trained once, not to be changed.

    For tests/training, whose `request` it takes.
    """
    from test_run import Recorder, request

    from hardener.training.run import train

    home = tmp_path_factory.mktemp("straight")
    data = write_image_folder(home / "imgs", {"cat": 12, "dog": 12})
    model = home / "tiny.py"
    model.write_text(TINY_MODEL)
    return functools.cache(lambda recipe: train(request(model, data, home / "runs", recipe, name=recipe), Recorder()))
