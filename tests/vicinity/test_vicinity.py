from __future__ import annotations

import pytest
import torch
from torch.nn.functional import one_hot

from hardener.augmentation.patch_gaussian import noisy_patches
from hardener.vicinity.cutmix import cutmix
from hardener.vicinity.dirichlet import (
    budget_concentration,
    dirichlet,
    mean_label,
    paper_concentration,
    printed_concentration,
    reference_concentration,
)
from hardener.vicinity.gaussian import gaussian
from hardener.vicinity.mixup import mixup
from hardener.vicinity.patch_gaussian import NoisyPatch, noisy_patch


def labels(count: int, classes: int) -> torch.Tensor:
    return one_hot(torch.arange(count) % classes, classes).float()


def test_noise_has_the_mean_and_std_that_were_asked_for() -> None:
    images = torch.full((64, 3, 16, 16), 0.5)
    noisy, kept = gaussian(images, labels(64, 4), noise_sigma=0.2)
    assert abs(float((noisy - images).mean())) < 0.005
    assert abs(float((noisy - images).std()) - 0.2) < 0.005
    assert torch.equal(kept, labels(64, 4))


def test_switched_off_noise_and_mixup_return_the_very_same_tensors() -> None:
    images, soft = torch.rand(4, 1, 2, 2), labels(4, 2)
    for drawn, kept in (gaussian(images, soft, noise_sigma=0), mixup(images, soft, mixup_alpha=0)):
        assert drawn is images
        assert kept is soft


def test_mixup_mixes_images_and_labels_with_the_same_weights() -> None:
    soft = labels(8, 8)
    images = soft.view(8, 8, 1, 1)  # an image that is its own label
    mixed, mixed_labels = mixup(images, soft, mixup_alpha=1.0)
    torch.testing.assert_close(mixed.flatten(1), mixed_labels)
    torch.testing.assert_close(mixed_labels.sum(1), torch.ones(8))
    torch.testing.assert_close(mixed.mean(0), images.mean(0))  # partners are a permutation


def test_mixup_lam_follows_the_beta_law() -> None:
    torch.manual_seed(0)
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    lams = []
    for _ in range(1500):
        mixed, _ = mixup(images, labels(2, 2), mixup_alpha=0.5)
        lams.append(float(mixed[1]))
    moments = torch.tensor(lams)
    # identity permutations leave the images as they are, so half of the draws show lam and half show 1
    lam = moments[moments < 1]
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)) = 1/8 for a = 1/2
    assert abs(float(lam.mean()) - 0.5) < 0.04
    assert abs(float(lam.var()) - 0.125) < 0.02


def test_paper_and_printed_weights_are_each_others_mirror() -> None:
    y, beta = labels(3, 5), torch.rand(5) + 0.5
    torch.testing.assert_close(paper_concentration(y, beta, alpha=0.01), printed_concentration(y, beta, alpha=0.99))
    torch.testing.assert_close(paper_concentration(y, beta, alpha=0.01), 0.99 * y + 0.01 * beta)


@pytest.mark.parametrize(
    ("classes", "reference", "paper"), [(2, 11 / 12, 1 / 1.01), (10, 0.55, 0.917), (1000, 0.011, 0.091)]
)
def test_mean_target_mass_at_the_start(classes: int, reference: float, paper: float) -> None:
    """The raw laws leave ever less mass on the label as classes grow; the budget law leaves (1 - m) + m / K."""
    eye, ones = torch.eye(classes), torch.ones(classes)

    def mass(concentration: torch.Tensor) -> float:
        return float(mean_label(concentration).diagonal().mean())

    assert mass(reference_concentration(eye, ones, scale=10)) == pytest.approx(reference, abs=5e-4)
    assert mass(paper_concentration(eye, ones, alpha=0.01)) == pytest.approx(paper, abs=5e-4)
    budget = budget_concentration(eye, torch.zeros(classes), smoothing=0.2, total_concentration=10)
    assert mass(budget) == pytest.approx(0.8 + 0.2 / classes, abs=1e-6)
    torch.testing.assert_close(budget.sum(1), torch.full((classes,), 10.0))


def test_the_mean_of_many_draws_is_the_expected_label_with_the_variance_of_a_dirichlet() -> None:
    torch.manual_seed(0)
    row = torch.tensor([4.0, 0.5, 1.5])
    concentration = row.expand(40_000, 3)
    images = torch.zeros(40_000, 1, 1, 1)
    _, drawn = dirichlet(images, torch.zeros(40_000, 3), concentration=concentration, sampled=True)
    _, expected = dirichlet(images, torch.zeros(40_000, 3), concentration=concentration, sampled=False)
    mean = row / row.sum()
    torch.testing.assert_close(expected[0], mean)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.005, rtol=0)
    torch.testing.assert_close(drawn.var(0), mean * (1 - mean) / (row.sum() + 1), atol=0.002, rtol=0)
    torch.testing.assert_close(drawn.sum(1), torch.ones(40_000))


def test_a_zero_concentration_can_be_sampled() -> None:
    _, drawn = dirichlet(
        torch.zeros(50, 1, 1, 1),
        torch.zeros(50, 3),
        concentration=torch.tensor([1.0, 0.0, 0.0]).expand(50, 3),
        sampled=True,
    )
    assert drawn.isfinite().all()
    assert drawn[:, 0].mean() > 0.95


def test_draws_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, drawn = dirichlet(torch.zeros(4, 1, 1, 1), torch.zeros(4, 3), concentration=torch.ones(4, 3), sampled=True)
    assert drawn.dtype == torch.float32


def test_cutmix_mixes_labels_as_the_areas_of_its_rectangles() -> None:
    torch.manual_seed(0)
    values = torch.arange(400.0)
    images = values.view(-1, 1, 1, 1).expand(-1, 2, 16, 12)
    mixed, soft = cutmix(images, torch.eye(400), alpha=1.0)
    own = (mixed[:, 0] == values.view(-1, 1, 1)).float().mean(dim=(1, 2))
    torch.testing.assert_close(soft.diagonal(), own)
    other = soft - torch.diag(soft.diagonal())
    pasted = own < 1
    partner = mixed[:, 0].flatten(1).sub(values[:, None]).abs().argmax(dim=1)
    assert torch.equal(
        other.argmax(dim=1)[pasted].float(), mixed[:, 0].flatten(1).gather(1, partner[:, None])[pasted, 0]
    )
    assert torch.equal(mixed[:, 0], mixed[:, 1])
    assert 0.55 < float(own.mean()) < 0.75, "half of the area is drawn, and a part of it sticks out"


def test_a_label_is_as_certain_as_its_image_is_free_of_noise() -> None:
    torch.manual_seed(0)
    images, given = torch.full((500, 1, 8, 8), 0.5), labels(500, 4)
    noisy, soft = noisy_patch(images, given, chance=0.5, sigma=0.2, least=0.25, confidence=0.2, power=1.0)
    torch.testing.assert_close(soft.sum(1), torch.ones(500))
    kept = (soft * given).sum(1)
    touched = (noisy != images).flatten(1).any(1)
    assert torch.equal(kept[~touched], torch.ones(int((~touched).sum())))
    assert 0.2 <= float(kept.min()) < 0.4, "all but 0.2 of the mass moves to the other classes"
    torch.testing.assert_close(soft[given == 0], ((1 - kept) / 3).repeat_interleave(3))
    noise = (noisy - images).square().mean((1, 2, 3))
    assert float(torch.corrcoef(torch.stack([noise, kept]))[0, 1]) < -0.8
    assert torch.equal(
        noisy_patch(images, given, chance=1.0, sigma=0.2, least=1.0, confidence=1.0, power=1.0)[1], given
    )


def test_the_confidence_under_noise_is_that_of_the_published_code() -> None:
    """1 - (1 - 0.3) (std x area)^2, by augmentations/patch_gaussian.py of the code to arXiv 2507.16427."""
    torch.manual_seed(0)
    images, given = torch.full((50, 1, 64, 64), 0.5), labels(50, 10)
    torch.manual_seed(1)
    _, soft = noisy_patch(images, given, chance=1.0, sigma=1.0, least=1.0, confidence=0.3, power=2.0)
    torch.manual_seed(1)
    _, std = noisy_patches(images, chance=1.0, sigma=1.0, least=1.0)
    torch.testing.assert_close((soft * given).sum(1), 1 - 0.7 * std.square())


@pytest.mark.parametrize(("least", "power"), [(0.25, 1.0), (0.1, 2.0), (1.0, 1.0)])
def test_what_noise_on_a_patch_leaves_of_labels_is_told_in_the_mean(least: float, power: float) -> None:
    torch.manual_seed(0)
    patch = NoisyPatch(chance=0.7, sigma=0.3, least=least, confidence=0.1, power=power)
    given = labels(20_000, 4)
    _, soft = patch(torch.rand(len(given), 1, 1, 1), given)
    told = patch.mean(given, None)
    assert float((soft * given).sum(1).mean()) == pytest.approx(float((told * given).sum(1).mean()), abs=0.01)
    torch.testing.assert_close(told.sum(1), torch.ones(len(given)))
