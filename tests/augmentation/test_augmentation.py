"""The augmentations: the laws of their room, torchvision's operations as oracles, and what each draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as oracle

from hardener.augmentation import AUGMENTATIONS, AugmentationEntry
from hardener.augmentation._operations import Span, apply
from hardener.augmentation.augmix import SPACE, augmix
from hardener.augmentation.chain import Augmentation, augmentations_of
from hardener.augmentation.color import jitter
from hardener.augmentation.crop import crop
from hardener.augmentation.erase import erase
from hardener.augmentation.flip import mirror
from hardener.augmentation.patch_gaussian import noisy_patches
from hardener.augmentation.shift import shift
from hardener.augmentation.trivial import trivial_augment
from hardener.config.section import key_of

STANDING = {"shift": 0.25, "flip": True}
NAMES = list(AUGMENTATIONS)


def one(name: str) -> Augmentation:
    """An augmentation with its default settings, at work on every image."""
    entry = AUGMENTATIONS[name]
    key = key_of(name, entry)
    settings: Any = STANDING[key] if entry.settings is None else entry.load_settings()()
    if hasattr(settings, "chance"):
        settings = settings.model_copy(update={"chance": 1.0})
    (found,) = augmentations_of({key: settings})
    return found


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photographs(count: int, channels: int = 3, side: int = 12) -> Tensor:
    return torch.rand(count, channels, side, side, generator=seeded(5))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_generator_alone_decides_and_nothing_is_written_to(name: str, channels: int) -> None:
    images = photographs(16, channels)
    given, state = images.clone(), torch.get_rng_state()
    first, again, other = (one(name)(images, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(images, given)
    assert torch.equal(torch.get_rng_state(), state), "the generator that everybody shares was not asked"
    assert first.shape == images.shape
    assert first.dtype == images.dtype
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_without_a_generator_the_seed_decides_and_equal_images_become_different_ones(name: str) -> None:
    images = photographs(1).repeat(24, 1, 1, 1)
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(one(name)(images))
    assert torch.equal(found[0], found[1])
    least = 2 if name == "flip" else 8  # a fifth of TrivialAugment's draws change nothing
    assert len({tuple(image.flatten().tolist()) for image in found[0]}) >= least


def test_runs_of_earlier_versions_meet_the_draws_that_they_met() -> None:
    """The order and the kind of draws of version 0.1: offsets down, offsets across, then mirrored or not."""
    images = photographs(6, side=8)
    torch.manual_seed(11)
    found = images
    for augment in augmentations_of({"flip": True, "shift": 0.25}):
        found = augment(found)
    torch.manual_seed(11)
    top, left = torch.randint(0, 5, (6, 1)), torch.randint(0, 5, (6, 1))
    mirrored = torch.rand(6, 1, 1, 1) < 0.5
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    for place in range(6):
        y, x = int(top[place]), int(left[place])
        expected = padded[place, :, y : y + 8, x : x + 8]
        assert torch.equal(found[place], expected.flip(2) if mirrored[place] else expected)


def test_shift_moves_whole_images_by_at_most_its_reach() -> None:
    images = torch.zeros(200, 2, 8, 10)
    images[:, :, 4, 5] = 1.0
    moved = shift(images, shift=0.25, generator=seeded())
    assert (moved.sum((2, 3)) == 1).all()
    spots = moved[:, 0].flatten(1).argmax(1)
    rows, columns = spots // 10 - 4, spots % 10 - 5
    assert set(rows.tolist()) == {-2, -1, 0, 1, 2}
    assert set(columns.tolist()) == {-2, -1, 0, 1, 2}
    assert torch.equal(moved[:, 0], moved[:, 1])


def test_flip_mirrors_about_half_of_the_images_and_only_those() -> None:
    images = torch.rand(400, 1, 2, 3, generator=seeded(1))
    found = mirror(images, generator=seeded())
    mirrored = (found == images.flip(3)).flatten(1).all(1)
    kept = (found == images).flatten(1).all(1)
    assert (mirrored | kept).all()
    assert 150 < int(mirrored.sum()) < 250


def test_what_is_off_is_no_augmentation_and_the_order_is_the_catalogs() -> None:
    assert augmentations_of({}) == ()
    images = torch.rand(3, 1, 4, 4)
    assert shift(images, shift=0.0) is images
    assert mirror(images, flip=False) is images
    on = {"flip": True, "shift": 0.1, "trivial": AUGMENTATIONS["trivial"].load_settings()()}
    expected: list[object] = [shift, mirror, trivial_augment]
    assert [getattr(each, "func", None) for each in augmentations_of(on)] == expected


ORACLES: dict[str, tuple[Span, Callable[[Tensor], Tensor]]] = {
    "rotate": (Span(30.0, 30.0), lambda x: oracle.rotate(x, 30.0, InterpolationMode.BILINEAR)),
    "shear_x": (Span(0.5, 0.5), lambda x: _sheared(x, [26.56505118, 0.0])),
    "shear_y": (Span(0.5, 0.5), lambda x: _sheared(x, [0.0, 26.56505118])),
    "translate_x": (Span(0.25, 0.25), lambda x: oracle.affine(x, 0.0, [-3, 0], 1.0, [0.0, 0.0])),
    "translate_y": (Span(0.25, 0.25), lambda x: oracle.affine(x, 0.0, [0, -3], 1.0, [0.0, 0.0])),
    "brightness": (Span(0.4, 0.4), lambda x: oracle.adjust_brightness(x, 1.4)),
    "color": (Span(-0.4, -0.4), lambda x: oracle.adjust_saturation(x, 0.6)),
    "contrast": (Span(0.4, 0.4), lambda x: oracle.adjust_contrast(x, 1.4)),
    "sharpness": (Span(0.9, 0.9), lambda x: oracle.adjust_sharpness(x, 1.9)),
    "posterize": (Span(3.0, 3.0), lambda x: oracle.posterize(x, 3)),
    "solarize": (Span(0.6, 0.6), lambda x: oracle.solarize(x, 0.6)),
    "autocontrast": (Span(), oracle.autocontrast),
    "equalize": (Span(), oracle.equalize),
    "identity": (Span(), lambda x: x),
}


def _sheared(images: Tensor, degrees: list[float]) -> Tensor:
    moved: Tensor = oracle.affine(images, 0.0, [0, 0], 1.0, degrees, InterpolationMode.BILINEAR)
    return moved


@pytest.mark.parametrize("name", ORACLES)
def test_an_operation_does_what_torchvisions_does(name: str) -> None:
    span, expected = ORACLES[name]
    images = photographs(3)
    found = apply(images, {name: span}, torch.zeros(3), seeded())
    torch.testing.assert_close(found, expected(images), atol=2e-5, rtol=0)


def test_each_image_goes_through_one_operation_and_all_are_drawn_evenly() -> None:
    space = {"identity": Span(), "brightness": Span(0.5, 0.5), "solarize": Span(0.0, 0.0)}
    images = torch.full((3000, 3, 2, 2), 0.4)
    values = apply(images, space, torch.zeros(3000), seeded())[:, 0, 0, 0]
    counts = [int(values.sub(value).abs().lt(1e-6).sum()) for value in (0.4, 0.6, 0.6)]
    assert counts[0] + counts[1] == 3000
    assert 900 < counts[0] < 1100
    gray = apply(images[:, :1], {"identity": Span(), "color": Span(-1.0, -1.0)}, torch.zeros(3000), seeded())
    assert torch.equal(gray, images[:, :1]), "of gray images no draw is spent on colour"


def test_a_crop_of_everything_is_the_image_and_of_a_part_shows_only_that() -> None:
    images = photographs(4)
    torch.testing.assert_close(crop(images, least=1.0, ratio=1.0, generator=seeded()), images)
    ramp = torch.linspace(0, 1, 40).expand(64, 1, 40, 40)
    found = crop(ramp, least=0.25, ratio=1.0, generator=seeded())
    spans = found[:, 0, 0, -1] - found[:, 0, 0, 0]
    assert 0.45 < float(spans.min()) < 0.7
    assert 0.9 < float(spans.max()) <= 1.0


def test_erasing_takes_its_share_of_the_area_and_leaves_the_rest() -> None:
    images = torch.full((300, 3, 40, 40), 2.0)  # no noise of [0, 1) is a 2
    found = erase(images, chance=0.5, least=0.1, most=0.2, ratio=2.0, generator=seeded())
    gone = (found != 2.0).all(dim=1).float().mean(dim=(1, 2))
    assert torch.equal((found != 2.0).any(dim=1), (found != 2.0).all(dim=1))
    assert 110 < int((gone > 0).sum()) < 190
    assert 0.08 < float(gone[gone > 0].min()) < 0.12
    assert 0.18 < float(gone.max()) < 0.22


def test_noise_on_a_patch_says_how_much_of_the_image_it_takes() -> None:
    images = torch.full((400, 3, 24, 24), 0.5)
    found, severity = noisy_patches(images, chance=0.5, sigma=0.1, least=0.25, generator=seeded())
    changed = found != images
    assert torch.equal(changed.flatten(1).any(1), severity > 0)
    assert 150 < int((severity > 0).sum()) < 250
    area = changed[:, 0].float().mean(dim=(1, 2))
    hit = severity > 0.05
    assert 0.04 < float(area[severity > 0].min()) < 0.1
    stds = ((found - images).square().sum((1, 2, 3)) / changed.sum((1, 2, 3)).clamp(min=1)).sqrt()
    torch.testing.assert_close(stds[hit] / 0.1 * area[hit], severity[hit], rtol=0.2, atol=0.02)


def test_colour_keeps_luma_when_hue_turns_and_gray_when_saturation_changes() -> None:
    images = 0.4 + 0.2 * photographs(8)
    still: dict[str, float] = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    torch.testing.assert_close(jitter(images, **still, generator=seeded()), images)
    turned = jitter(images, **{**still, "hue": 0.5}, generator=seeded())
    luma = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(
        torch.einsum("c,nchw->nhw", luma, turned), torch.einsum("c,nchw->nhw", luma, images), atol=1e-3, rtol=0
    )
    assert not torch.allclose(turned, images, atol=0.01)
    gray = images[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(
        jitter(gray, **{**still, "saturation": 1.0}, generator=seeded()), gray, atol=1e-3, rtol=0
    )
    torch.testing.assert_close(
        jitter(images, **{**still, "brightness": 0.5}, generator=seeded()) / images,
        (jitter(images, **{**still, "brightness": 0.5}, generator=seeded()) / images)[:, :1, :1, :1].expand_as(images),
    )


def test_an_entry_says_which_of_its_settings_need_colour() -> None:
    for entry in AUGMENTATIONS.values():
        assert isinstance(entry, AugmentationEntry)
        assert set(entry.needs_color) <= (set(entry.load_settings().model_fields) if entry.settings else set())


def test_augmix_is_finite_where_all_its_chains_draw_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hardener.augmentation.augmix.numbers", lambda count, _, low=0.0, high=1.0: torch.full((count,), low)
    )
    assert augmix(torch.rand(3, 1, 8, 8), width=1, severity=1.0).isfinite().all()


@pytest.mark.parametrize("level", [0.1, 1.2, 2.4, 2.6, 3.0, 5.1, 7.4, 9.9])
def test_augmix_keeps_as_many_bits_as_the_published_code(level: float) -> None:
    """There `posterize` of a level up to 10 keeps `4 - int(level * 4 / 10)` bits."""
    images = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    found = apply(images, {"posterize": SPACE["posterize"]}, torch.tensor([level / 10]), seeded())
    assert len(found.unique()) == 2 ** (4 - int(level * 4 / 10))
