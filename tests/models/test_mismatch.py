"""A size that an argument made, and the one that it should have equalled."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hardener.models.choosing.mismatch import fitting_value

TOKENS = torch.zeros(2, 65, 8)


def error_of(length: int, device: str, *, multiplied: bool) -> Exception:
    tokens = TOKENS.to(device)
    with pytest.raises((RuntimeError, ValueError)) as caught:
        if multiplied:
            nn.Linear(length, 3, device=device)(tokens.transpose(1, 2))
        else:
            tokens + torch.zeros(1, length, 8, device=device)
    return caught.value


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("multiplied", [False, True])
@pytest.mark.parametrize(
    ("value", "made", "fits"),
    [(197, 197, 65), (196, 197, 64), (14, 197, 8), (196, 198, 63), (12, 197, None), (1, 197, None)],
)
def test_the_value_that_fits_is_read_from_the_error(
    device: str, multiplied: bool, value: int, made: int, fits: int | None
) -> None:
    assert fitting_value(error_of(made, device, multiplied=multiplied), value) == fits


def test_other_errors_and_values_tell_nothing() -> None:
    assert fitting_value(None, 4) is None
    assert fitting_value(ValueError("of length 4"), 4) is None
    assert fitting_value(error_of(97, "cpu", multiplied=False), "97") is None
