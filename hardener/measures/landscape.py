"""The loss around one image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hardener.config.evaluation_record import Landscape
from hardener.geometry import norm_geometry
from hardener.measures.run import Case, Found
from hardener.runtime.gradient import gradient_of
from hardener.runtime.model_state import as_float, measuring
from hardener.threat import ThreatModel


def measure(case: Case) -> Found:
    """Measure the loss around the first image that is right."""
    right = case.clean_correct.nonzero().flatten().tolist()
    if not right:
        return Found(None)
    return Found(
        measure_landscape(
            case.model, case.pixels[right[0]], int(case.labels[right[0]]), path=case.paths[right[0]],
            threat=case.ball, batch_size=case.batch_size, generator=case.generator(),
        )
    )  # fmt: skip


def measure_landscape(
    model: nn.Module,
    image: Tensor,
    label: int,
    *,
    path: str,
    threat: ThreatModel,
    points: int = 21,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
) -> Landscape | None:
    """Measure the cross-entropy on a plane through an image, out to 2 `eps` each way.

    The plane is spanned by the steepest direction of the loss at the image (in `linf` the gradient's sign) and by a
    random one of signs; both have size 1 in `norm`. Points outside the box are clipped to it. A smooth bowl is what
    an attack can climb; a plateau, a wall or noise means that its gradients lead nowhere.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K); put into eval mode meanwhile.
        image: (C, H, W), float in [0, 1] or uint8.
        label: the true class.
        path: how the report names the image.
        threat: its eps > 0.
        points: steps along each direction, odd and >= 3, so that the image itself is the middle one.
        batch_size: points of the plane at once.
        generator: of the random direction, on the model's device.
    Returns:
        `loss[i][j]` at image + `steps[i]` * steepest + `steps[j]` * random. Where the gradient is zero, every row
        is the same. None where a loss is not a finite number.
    Raises:
        ValueError: `points` is even or less than 3.
    """
    if points < 3 or points % 2 == 0:
        raise ValueError(f"points must be odd and >= 3; got {points}")
    ball = norm_geometry(threat.norm)
    half = points // 2
    steps = [2 * threat.eps * (place - half) / half for place in range(points)]
    losses: list[float] = []
    with measuring(model) as device:
        clean = as_float(image.to(device)).unsqueeze(0)
        truth = torch.tensor([label], device=device)
        inputs = clean.detach().requires_grad_()
        with torch.enable_grad():
            loss = cross_entropy(model(inputs).float(), truth)
        along = ball.climbing_step(gradient_of(loss, inputs), threat.eps)
        signs = torch.randint(0, 2, clean.shape, generator=generator, device=device)
        across = ball.climbing_step((2 * signs - 1).to(clean.dtype), threat.eps)
        grid = torch.cartesian_prod(*[torch.tensor(steps, device=device, dtype=clean.dtype)] * 2)
        with torch.no_grad():
            for piece in grid.split(batch_size):
                rows, columns = piece.view(-1, 2, 1, 1, 1).unbind(dim=1)
                logits = model((clean + rows * along + columns * across).clamp(0, 1)).double()
                losses += cross_entropy(logits, truth.expand(len(piece)), reduction="none").tolist()
    if not all(map(math.isfinite, losses)):
        return None
    return Landscape(path=path, steps=steps, loss=[losses[row * points : (row + 1) * points] for row in range(points)])
