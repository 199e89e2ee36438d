"""How an evaluation's time grows with images, restarts and classes, and its memory with images."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import torch
from torch import nn

from hardener.evaluation.robust_accuracy import AttackPlan, robust_accuracy
from hardener.threat import ThreatModel

SIDE, BATCH = 16, 64


def measure(images: int, restarts: int, classes: int) -> tuple[float, float]:
    """Return seconds, and the process's peak memory in MB beyond the images themselves."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, classes)
    ).eval()
    pixels = torch.randint(256, (images, 3, SIDE, SIDE), dtype=torch.uint8)
    with torch.no_grad():
        labels = torch.cat([model(piece.float() / 255).argmax(1) for piece in pixels.split(BATCH)])
    # so small an eps that everything stands: no image leaves, and the work is the most that it can be
    plan, threat = AttackPlan("pgd", {"steps": 10}, restarts), ThreatModel("linf", 1e-7)
    robust_accuracy(model, pixels[:BATCH], labels[:BATCH], [plan], threat, batch_size=BATCH)
    started = time.perf_counter()
    robust_accuracy(model, pixels, labels, [plan], threat, batch_size=BATCH)
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - pixels.nbytes / 2**20


def main() -> None:
    """Print a line a case, each in a process of its own."""
    print(f"{'images':>8} {'restarts':>8} {'classes':>8} {'seconds':>9} {'ms/image':>9} {'peak MB':>9}")
    cases = [(n, 1, 10) for n in (500, 1000, 2000, 4000)]
    cases += [(500, r, 10) for r in (2, 4)] + [(500, 1, k) for k in (2, 100, 1000)]
    for case in cases:
        code = f"import sys; sys.path.insert(0, 'bench'); from evaluation_scaling import measure; print(*measure{case})"
        found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
        seconds, memory = float(found[0]), float(found[1])
        images, restarts, classes = case
        print(f"{images:8} {restarts:8} {classes:8} {seconds:9.2f} {1000 * seconds / images:9.2f} {memory:9.0f}")


if __name__ == "__main__":
    main()
