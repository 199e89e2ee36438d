"""Networks that take each image as a row of numbers, or as a sequence of its lines."""

from __future__ import annotations

import copy

import torch
from torch import nn

from hardener.models.rows import lay_out_as_rows


class Lines(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reader = nn.LSTM(6, 5, batch_first=True)
        self.out = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.reader(x)[0][:, -1])
        return out


def test_a_row_is_the_image_flattened_and_the_names_of_its_numbers_stay() -> None:
    network = nn.Sequential(nn.Linear(3 * 4 * 5, 7), nn.ReLU(), nn.Linear(7, 2))
    images, names = torch.rand(2, 3, 4, 5), list(network.state_dict())
    expected = network(images.flatten(1))
    assert lay_out_as_rows(network, images) == "each image goes in as one row of 60 numbers, which 0 takes"
    torch.testing.assert_close(network(images), expected)
    torch.testing.assert_close(copy.deepcopy(network)(images), expected)
    assert list(network.state_dict()) == names


def test_lines_are_those_of_a_gray_image() -> None:
    network, images = Lines(), torch.rand(2, 1, 4, 6)
    expected = network(images.squeeze(1))
    assert lay_out_as_rows(network, images) == "each image goes in as its 4 lines of 6 numbers, as reader takes"
    torch.testing.assert_close(network(images), expected)


def test_what_takes_images_is_left_alone_and_so_is_what_rows_do_not_help() -> None:
    images = torch.rand(2, 1, 4, 6)
    flattens = nn.Sequential(nn.Flatten(), nn.Linear(24, 2))
    later = nn.Sequential(nn.Conv2d(1, 24, (4, 6)), nn.Linear(24, 2))  # fails at its second layer
    fails_again = nn.Sequential(nn.Linear(24, 2), nn.Linear(3, 2))
    for network in (flattens, later, fails_again, Lines().out):
        assert lay_out_as_rows(network, images) == ""
        assert not any(module._forward_pre_hooks for module in network.modules())
    assert lay_out_as_rows(Lines(), torch.rand(2, 3, 4, 6)) == "", "colours have no place in a line"


def test_looking_changes_no_number_of_a_network_and_draws_none() -> None:
    network = nn.Sequential(nn.Linear(24, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2)).train()
    before, drawn = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    assert lay_out_as_rows(network, torch.rand(2, 1, 4, 6, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(module.training for module in network.modules())
