"""Draws and time of a certificate that stops when it is decided, beside those of a plan that is fixed before.

`python bench/certify.py RUN ... [--images 50] [--noise 0.25] [--draws 1000 10000 100000]`. The fixed plan is CERTIFY of
Cohen, Rosenfeld and Kolter (ICML 2019, section 3.2.2): 100 copies choose the class, so many more bound its share by
Clopper and Pearson. `hardener eval --certify` may make as many draws, at the same confidence of 0.999. Seconds are the
process's own, both plans in turns.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import NormalDist

import torch
from scipy.stats import beta
from torch import Tensor, nn

from hardener.config.run_folder import RunFolder
from hardener.evaluation.sample import draw
from hardener.evaluation.subject import run_subject
from hardener.measures.certification import Smoothing, measure_certification
from hardener.progress import Silent
from hardener.runtime.model_state import as_float

ALPHA, AT_ONCE, SELECTION = 0.001, 1000, 100
LISTS = ((0.5,), (0.0, 0.5, 1.0), (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.5, 1.0, 1.5, 2.0))


@torch.no_grad()
def votes(model: nn.Module, image: Tensor, noise: float, draws: int, generator: torch.Generator) -> Tensor:
    """Return how often each class is answered to so many noisy copies, (K,)."""
    counts: Tensor | int = 0
    for first in range(0, draws, AT_ONCE):
        copies = image.expand(min(AT_ONCE, draws - first), -1, -1, -1)
        drawn = torch.randn(copies.shape, generator=generator)
        logits = model(copies + noise * drawn)
        counts = counts + logits.argmax(dim=1).bincount(minlength=logits.shape[1])
    assert isinstance(counts, Tensor), "there is at least one draw"
    return counts


def fixed(
    model: nn.Module, images: Tensor, labels: Tensor, noise: float, draws: int, generator: torch.Generator
) -> Tensor:
    """Return the radius that the fixed plan certifies of each image, nan where it abstains or is wrong, (N,)."""
    found = torch.full((len(images),), torch.nan)
    for place, image in enumerate(images):
        chosen = int(votes(model, image, noise, SELECTION, generator).argmax())
        agreeing = int(votes(model, image, noise, draws, generator)[chosen])
        low = float(beta.ppf(ALPHA, agreeing, draws - agreeing + 1)) if agreeing else 0.0
        if low > 0.5 and chosen == int(labels[place]):
            found[place] = noise * NormalDist().inv_cdf(low)
    return found


def row(cells: list[str]) -> None:
    """Print a row of the table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--noise", type=float, default=0.25)
    parser.add_argument("--draws", nargs="+", type=int, default=[1000, 10_000, 100_000])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    row(["model", "radii, in units of the noise", "draws allowed", "certified, fixed", "sequential", "draws", "time"])
    row(["---"] * 7)
    for folder in asked.runs:
        subject = run_subject(RunFolder(folder), None, Silent())
        sample = draw(subject.images, asked.images, seed=asked.seed)
        model, images = subject.model.eval(), as_float(sample.pixels)
        for draws in asked.draws:
            generator = torch.Generator().manual_seed(asked.seed)
            begun = time.process_time()
            radius = fixed(model, images, sample.labels, asked.noise, draws, generator)
            slow = time.process_time() - begun
            for units in LISTS:
                radii = tuple(unit * asked.noise for unit in units)
                smoothing = Smoothing(asked.noise, draws=draws, alpha=ALPHA, radii=radii)
                begun = time.process_time()
                record, _ = measure_certification(model, images, sample.labels, smoothing, generator=generator)
                quick = time.process_time() - begun
                made = (record.mean_draws or 0.0) + record.selection_draws
                shares = (
                    ", ".join(f"{100 * share:.0f}" for share in found)
                    for found in (
                        [float((radius >= asked_radius).float().mean()) for asked_radius in radii],
                        [point.accuracy for point in record.points],
                    )
                )
                listed = ", ".join(f"{unit:g}" for unit in units)
                used = f"{made:,.0f} ({made / (draws + SELECTION):.3f})"
                row([folder.name, listed, f"{draws:,}", *(f"{s} %" for s in shares), used, f"{quick / slow:.3f}"])


if __name__ == "__main__":
    main()
