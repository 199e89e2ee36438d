from __future__ import annotations

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from oracles import Linear
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.measures import corruption as room
from hardener.measures.corruption import CORRUPTIONS, measure_corruptions

LABELS = torch.tensor([1, 1, 0])
needs_library = pytest.mark.skipif(
    importlib.util.find_spec("imagecorruptions") is None, reason="the extra `corruptions` is not installed"
)


class Watching(nn.Module):
    """Says class 1 to everything and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        """(N, 2)."""
        self.seen.append(images.clone())
        return torch.tensor([0.0, 1.0]).repeat(len(images), 1)


def seen_by(
    images: Tensor, *, kinds: tuple[str, ...] = tuple(CORRUPTIONS), batch_size: int = 8, seed: int = 0
) -> Tensor:
    """What a model is asked about each image, (N, kinds * 5, C, H, W)."""
    model = Watching()
    measure_corruptions(
        model,
        images,
        torch.ones(len(images), dtype=torch.int64),
        batch_size=batch_size,
        kinds=kinds,
        generator=torch.Generator().manual_seed(seed),
    )
    calls = 5 * len(kinds)
    return torch.cat([torch.stack(model.seen[i : i + calls], dim=1) for i in range(0, len(model.seen), calls)])


@needs_library
@pytest.mark.parametrize(("channels", "size"), [(3, (32, 36)), (1, (8, 12)), (3, (20, 16))])
def test_all_fifteen_give_images_of_the_same_shape_that_differ_from_the_clean_ones(
    channels: int, size: tuple[int, int]
) -> None:
    images = torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(0))
    np.random.seed(5)
    drawn = np.random.random()
    np.random.seed(5)
    model, done = Watching(), []  # type: tuple[Watching, list[int]]
    found = measure_corruptions(model, images, torch.tensor([1, 0]), batch_size=1, on_done=done.append)
    assert np.random.random() == drawn, "numpy's global state is as it was"
    assert [kind.name for kind in found.kinds] == list(CORRUPTIONS)
    assert {kind.family for kind in found.kinds} == {"noise", "blur", "weather", "digital"}
    assert all(kind.accuracies == [0.5] * 5 for kind in found.kinds)
    assert found.mean_corruption_error == 0.5
    assert sum(done) == found.samples == 2
    assert len(model.seen) == 2 * 75
    for place, asked in enumerate(model.seen):
        assert asked.shape[1:] == images.shape[1:]
        assert 0 <= float(asked.min()) <= float(asked.max()) <= 1
        if place % 5 == 4:  # a weak impulse noise may leave a small image as it was
            assert float((asked - images[place // 75]).abs().mean()) > 0.01


@needs_library
def test_brightness_adds_a_tenth_a_severity_and_contrast_leaves_a_flat_image() -> None:
    """ImageNet-C adds 0.1 ... 0.5 to the value of HSV; a flat gray image keeps its mean whatever its contrast."""
    values = torch.tensor([0.2, 0.4, 0.55])
    images = values.view(3, 1, 1, 1).expand(3, 3, 10, 10)
    model = Linear(torch.full((3, 10, 10), 1 / 300), -0.625)
    found = measure_corruptions(model, images, torch.ones(3).long(), kinds=("brightness", "contrast"))
    bright, contrast = (kind.accuracies for kind in found.kinds)
    assert bright == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 1.0])
    assert contrast == [0.0] * 5
    assert found.mean_corruption_error == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 / 3 + 5) / 10)


@needs_library
@pytest.mark.parametrize("channels", [1, 3])
def test_gaussian_noise_has_the_papers_strength_at_any_size(channels: int) -> None:
    """Std 0.08 at severity 1; also for gray images and below 32 pixels, where an enlargement would average it out."""
    noisy = seen_by(torch.full((4, channels, 20, 20), 0.5), kinds=("gaussian_noise",))[:, 0]
    assert float(noisy.std()) == pytest.approx(0.08, rel=0.1)


@needs_library
def test_the_pixels_depend_on_seed_and_place_alone() -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    kinds = ("impulse_noise", "glass_blur", "frost")
    first = seen_by(images, kinds=kinds, batch_size=2)
    assert torch.equal(first, seen_by(images, kinds=kinds, batch_size=1))
    other = seen_by(images, kinds=kinds, seed=1)
    assert all(not torch.equal(first[:, i], other[:, i]) for i in range(first.shape[1]))


@pytest.mark.parametrize(
    ("side", "said", "unsaid"),
    [
        (224, ["1 - accuracy"], ["made for"]),
        (32, ["These images have 32"], ["Below"]),
        (8, ["Below 32 pixels, 10 of"], []),
    ],
)
def test_the_note_says_how_far_the_images_are_from_the_papers(side: int, said: list[str], unsaid: list[str]) -> None:
    note = room._note(side)
    assert all(text in note for text in said)
    assert not any(text in note for text in unsaid)


def test_a_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    with pytest.raises(HardenerError, match=r"not installed. Install it: pip install 'hardener\[corruptions\]'"):
        measure_corruptions(Watching(), torch.rand(3, 3, 32, 32), LABELS)


def test_a_library_that_is_installed_but_broken_does_not_read_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="cv2"):
        measure_corruptions(Watching(), torch.rand(3, 3, 32, 32), LABELS)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(HardenerError, match="these have 4 channels"):
        measure_corruptions(Watching(), torch.rand(3, 4, 8, 8), LABELS)
    with pytest.raises(HardenerError, match="unknown corruption 'fogg'.*Did you mean 'fog'"):
        measure_corruptions(Watching(), torch.rand(3, 3, 8, 8), LABELS, kinds=["fogg"])


@needs_library
def test_the_curve_and_the_classes_are_means_of_the_same_answers() -> None:
    images = torch.tensor([0.2, 0.4, 0.55]).view(3, 1, 1, 1).expand(3, 3, 10, 10)
    model = Linear(torch.full((3, 10, 10), 1 / 300), -0.625)
    labels = torch.tensor([1, 0, 1])
    found = measure_corruptions(model, images, labels, kinds=("brightness", "contrast"), classes=("dark", "light"))
    expected = torch.tensor([kind.accuracies for kind in found.kinds]).mean(dim=0)
    assert [point.accuracy for point in found.by_severity] == pytest.approx(expected.tolist())
    assert [point.parameter for point in found.by_severity] == [1, 2, 3, 4, 5]
    assert [(item.name, item.samples) for item in found.classes] == [("dark", 1), ("light", 2)]
    for place, point in enumerate(found.by_severity):
        assert sum(item.samples * item.accuracies[place] for item in found.classes) == pytest.approx(3 * point.accuracy)
        assert point.interval[0] <= point.accuracy <= point.interval[1]
    assert found.standing_out == [], "two kinds have no rest to fall behind"


def test_a_cell_is_named_where_it_surely_falls_more_than_the_rest() -> None:
    rest = [180, 175, 170, 182, 178, 176, 181, 174, 173, 179, 177, 172, 171, 183]
    assert room.fallen_out([60, *rest], 200) == [0]
    assert room.fallen_out([160, *rest], 200) == [], "too near for 200 images"
    assert room.fallen_out([5, *(count // 20 for count in rest)], 10) == [], "ten images are too few"
    assert room.fallen_out([0, 10, 10], 10) == []
