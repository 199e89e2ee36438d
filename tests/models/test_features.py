"""A linear layer behind features."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from hardener.config.run_folder import HEAD_BEHIND
from hardener.errors import HardenerError
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


class Gives(nn.Module):
    """A network that gives whatever is made of its maps, 16 of 2 x 2."""

    def __init__(self, made: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.made = nn.Conv2d(1, 16, 2, stride=2), made

    def forward(self, images: torch.Tensor) -> Any:
        return self.made(self.conv(images))


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda maps: maps, "16 maps of 2 x 2"),
        (lambda maps: maps.permute(0, 2, 3, 1), "16 maps of 2 x 2"),
        (lambda maps: maps.flatten(2), "4 tokens of 16 features"),
        (lambda maps: maps.flatten(2).transpose(1, 2), "4 tokens of 16 features"),
        (lambda maps: [maps[:, :8], maps, maps[:, :8]], "16 maps of 2 x 2 (output 2)"),
        (lambda maps: {"c4": maps * 2, "c5": maps}, "16 maps of 2 x 2 ('c5')"),
    ],
)
def test_maps_and_tokens_are_averaged(made: Callable[[torch.Tensor], Any], told: str) -> None:
    network = Gives(made).eval()
    answer = look_at_answer(network, IMAGES, 3)
    assert (answer.outputs, answer.averaged) == (16, told)
    assert gives_features(network, answer)
    headed = Headed(network, answer.outputs, 3, answer.way, averages=True)
    torch.testing.assert_close(headed(IMAGES), headed.head_behind_features(network.conv(IMAGES).mean((2, 3))))


@pytest.mark.parametrize(
    "made",
    [
        lambda maps: nn.functional.interpolate(maps, scale_factor=2.0),  # a score of each place
        lambda maps: maps[:, :3],  # a map of each class
        lambda maps: maps[:, :12].unflatten(1, (3, 4)).flatten(2),  # a capsule of each class
    ],
)
def test_a_score_of_each_place_or_a_row_of_each_class_is_no_feature(made: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises(HardenerError, match="a classifier returns logits"):
        look_at_answer(Gives(made), IMAGES, 3)


def test_features_that_training_does_not_return_are_said() -> None:
    network = Gives(lambda maps: {"maps": maps})
    headed = Headed(network, 16, 3, ("maps",), averages=True)
    network.made = lambda maps: {"loss": maps.mean()}
    with pytest.raises(HardenerError, match="did not return its features at 'maps'"):
        headed(IMAGES)
