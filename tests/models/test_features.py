"""A linear layer behind features."""

import torch
from torch import nn

from hardener.config.run_folder import HEAD_BEHIND
from hardener.models.features import Headed, gives_features
from hardener.models.head import look_at_answer

IMAGES = torch.rand(3, 1, 4, 4)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.norm(self.conv(images))
        return maps, maps.mean((2, 3))


class Cosine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(7, 16))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight.T


def test_logits_are_a_linear_map_of_the_features_wherever_they_stand() -> None:
    network = Pair().eval()
    answer = look_at_answer(network, IMAGES)
    headed = Headed(network, answer.outputs, 2, answer.way)
    expected = headed.head_behind_features(network(IMAGES)[1])
    torch.testing.assert_close(headed(IMAGES), expected)
    assert headed(IMAGES[:1]).shape == (1, 2)
    assert not headed.training
    assert f"{HEAD_BEHIND}.weight" in headed.state_dict()


def test_features_are_what_no_layer_scores() -> None:
    for network, features in (
        (Pair(), True),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 7)), False),
        (Cosine(), False),
    ):
        assert gives_features(network, look_at_answer(network, IMAGES)) is features


def test_what_a_run_recorded_decides() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 7))
    assert gives_features(network, look_at_answer(network, IMAGES), [HEAD_BEHIND])
    assert not gives_features(Pair(), look_at_answer(Pair(), IMAGES), ["norm"])
