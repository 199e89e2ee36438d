"""Architectures of three libraries, from random weights to a checked ONNX file; `bench/architectures_table.py` writes
the table of the docs from the same list."""

from __future__ import annotations

from pathlib import Path

import pytest
from architectures import SIZES, done, images


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images(tmp_path_factory.mktemp("architectures"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", SIZES)
def test_an_architecture_trains_opens_again_is_attacked_and_exported(name: str, data: Path, tmp_path: Path) -> None:
    found = done(name, data, tmp_path)
    assert 0 <= found.robust_accuracy <= found.clean_accuracy <= 1


def test_the_list_is_long_and_of_three_libraries() -> None:
    assert len(SIZES) >= 25
    assert {name.partition(":")[0] for name in SIZES} == {"torchvision", "timm", "transformers"}
