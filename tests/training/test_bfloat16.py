"""Where training computes in bfloat16, and what is said where the device has none of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from test_run import Recorder, request

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import Interrupted
from hardener.runtime.device import has_bfloat16
from hardener.training import settling
from hardener.training.build import autocasts
from hardener.training.prepare import prepare
from hardener.training.run import resume, train


def test_what_a_processor_can_is_asked_of_torch_old_and_new(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert has_bfloat16(cpu)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "sve_max_length": 16}, raising=False)
    assert not has_bfloat16(cpu)
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert has_bfloat16(cpu)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not has_bfloat16(cpu)


@pytest.mark.parametrize("native", [True, False])
def test_auto_takes_bfloat16_on_no_gpu_that_only_emulates_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch says that a T4 or a V100 supports bfloat16, since it emulates it."""

    @contextmanager
    def on(device: torch.device) -> Iterator[None]:
        yield

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert autocasts(load_recipe("natural"), torch.device("cuda")) == native
    assert autocasts(load_recipe("natural", ["precision=bfloat16"]), torch.device("cuda"))


def test_bfloat16_that_is_converted_is_told_with_what_is_faster(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "this processor does not compute in bfloat16 natively, and a step can take ten times as long"
    asked = request(model_file, image_folder, tmp_path, "natural", ("precision=bfloat16",), name="stopped")
    monkeypatch.setattr(settling, "has_bfloat16", lambda device: True)
    assert not told_of_bfloat16(partial(prepare, asked))
    monkeypatch.setattr(settling, "has_bfloat16", lambda device: False)
    assert told_of_bfloat16(partial(prepare, asked)) == [f"{slow}: --precision float32 is faster here"]
    with pytest.raises(Interrupted):
        train(asked, Recorder(interrupt_at=1))
    assert told_of_bfloat16(partial(resume, RunFolder(tmp_path / "stopped"), device="cpu")) == [slow]


def told_of_bfloat16(work: Callable[..., object]) -> list[str]:
    watch = Recorder()
    work(reporter=watch)
    return [line for line in watch.warned if "bfloat16" in line]
