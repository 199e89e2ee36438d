"""GPUs that are there and that the installed torch cannot compute on; the GPUs are told by torch, which is told so."""

from __future__ import annotations

import pytest
import torch

from hardener.errors import HardenerError
from hardener.runtime.device import choose_device

OF_CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


def pretend(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], built: list[str]) -> None:
    found = {"is_available": True, "device_count": 1, "get_arch_list": built}
    told = {"get_device_capability": capability, "get_device_name": "Tesla V100"}
    for name, value in found.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    for name, answer in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, answer=answer: answer)
    monkeypatch.setattr(torch.version, "hip", None)


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
@pytest.mark.parametrize(
    ("capability", "built"),
    [
        ((7, 5), OF_CUDA_13),
        ((8, 7), OF_CUDA_13),
        ((12, 1), OF_CUDA_13),
        ((9, 0), ["sm_90a"]),
        ((10, 0), ["sm_80", "compute_90"]),
        ((8, 0), []),
    ],
)
def test_a_gpu_with_kernels_is_taken(
    name: str, capability: tuple[int, int], built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, capability, built)
    assert choose_device(name).type == "cuda"


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
@pytest.mark.parametrize(
    ("capability", "built"),
    [((7, 0), OF_CUDA_13), ((6, 1), OF_CUDA_13), ((8, 0), ["sm_86"]), ((7, 0), ["sm_80", "compute_90"])],
)
def test_a_gpu_without_kernels_is_named_with_what_to_type(
    name: str, capability: tuple[int, int], built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, capability, built)
    with pytest.raises(HardenerError) as caught:
        choose_device(name)
    told = str(caught.value)
    assert told.startswith(f"Tesla V100 is a GPU of compute capability {capability[0]}.{capability[1]}, and the ")
    assert told.endswith("Use --device cpu, or install a torch that is built for it.")
    assert choose_device("cpu").type == "cpu"
