from __future__ import annotations

import pytest
import torch
from networks import flat_problem
from torch.nn.functional import cross_entropy

from hardener.config.recipe import load_recipe
from hardener.errors import HardenerError
from hardener.methods.consistency import Consistency


@pytest.mark.parametrize(("copies", "weight", "entropy"), [(2, 10.0, 0.5), (3, 2.5, 0.0), (2, 0.0, 0.0)])
def test_the_loss_is_the_three_terms_of_the_paper_written_out(copies: int, weight: float, entropy: float) -> None:
    network, images, labels = flat_problem()
    method = Consistency(noise_sigma=0.3, copies=copies, weight=weight, entropy=entropy)
    torch.manual_seed(7)
    found = method.loss(network, images, labels)
    torch.manual_seed(7)
    noisy = images.repeat(copies, 1, 1, 1)
    noisy = noisy + 0.3 * torch.randn_like(noisy)
    answers = [network(part).softmax(1) for part in noisy.chunk(copies)]
    mean = torch.stack(answers).mean(0)
    wrong = sum(cross_entropy(network(part), labels) for part in noisy.chunk(copies)) / copies
    apart = sum((mean * (mean / answer).log()).sum(1).mean() for answer in answers) / copies
    torch.testing.assert_close(found, wrong + weight * apart - entropy * (mean * mean.log()).sum(1).mean())


def test_a_network_that_answers_noise_alike_pays_nothing_for_consistency() -> None:
    """One whose answer does not depend on the image at all."""
    _, images, labels = flat_problem()
    logits = torch.tensor([2.0, 0.0, -1.0])

    def constant(batch: torch.Tensor) -> torch.Tensor:
        return logits.expand(len(batch), 3)

    loss = Consistency(noise_sigma=0.3, weight=100.0, entropy=0.0).loss(constant, images, labels % 3)  # type: ignore[arg-type]
    torch.testing.assert_close(loss, cross_entropy(constant(images), labels % 3))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("vicinity.noise_sigma=0", "method consistency needs vicinity.noise_sigma, such as"),
        ("vicinity.mixup_alpha=0.2", "compares noisy copies of the images as they are: no vicinity.mixup_alpha"),
        ("vicinity.adversarial.eps=8/255", "no vicinity.adversarial"),
        ("consistency.copies=1", "consistency.copies: Input should be greater than or equal to 2; got 1"),
    ],
)
def test_what_it_would_pass_over_in_silence_is_refused(override: str, said: str) -> None:
    with pytest.raises(HardenerError, match=said):
        load_recipe("certified", [override])
