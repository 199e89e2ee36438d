"""The mean of robust accuracy over all eps up to one: a figure that no single eps was chosen for."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.config.evaluation_record import Measured, MeasuredFigure
from hardener.measures._sweep import sweep_down
from hardener.measures.run import Case, Found
from hardener.statistics.paired import hoeffding_interval
from hardener.threat import show_eps, with_rounding

PARTS = 8
"""Into how many parts the range up to the evaluation's radius is cut: the attack is made at the end of each."""


def measure(case: Case) -> Found:
    """Sweep from the evaluation's eps down to 0; the values are the shares of [0, eps] in which each image stands."""
    if case.sweep is None or case.ball.eps == 0:
        case.reporter.say("mean-accuracy is not measured: it needs gradients, and an eps above 0")
        return Found(None)
    eps = case.ball.eps
    known = torch.where(case.clean_correct, torch.inf, 0.0) if case.distance is None else case.distance
    radii = [eps * part / PARTS for part in range(1, PARTS + 1)]
    fell = (known <= with_rounding(eps)).nonzero().squeeze(1)  # what stands at eps stands below
    if case.distance is None:
        fell = torch.arange(len(known))
    with case.reporter.track("mean over eps", len(fell) * PARTS, "images") as done:
        distance = known.double().clone()
        if len(fell):
            distance[fell] = sweep_down(
                case.sweep, case.pixels[fell], case.labels[fell], radii, known[fell],
                generator=case.generator(), on_done=done,
            )  # fmt: skip
    shares = standing_share(distance, eps)
    mean, count = float(shares.mean()), len(shares)
    figure = MeasuredFigure(
        name=mean_name(case.ball.norm, eps),
        value=mean,
        interval=hoeffding_interval(mean, count),
        unit="share",
        better="higher",
    )
    note = (
        f"The mean of the robust accuracy over all eps from 0 to the evaluation's own, by an attack at {PARTS} of them "
        "that goes from the largest down; Hoeffding's interval. As any robust accuracy it is an upper bound."
    )
    return Found(
        Measured(title=f"mean robust accuracy up to {case.ball}", samples=count, figures=[figure], note=note), shares
    )


def standing_share(distance: Tensor, eps: float) -> Tensor:
    """Return which share of [0, eps] lies below each image's distance, (N,) in [0, 1]: its robust accuracy's mean."""
    return (distance / eps).clamp(0, 1)


def mean_name(norm: str, eps: float) -> str:
    """Return what the figure is called, in a record and in `hardener gate`."""
    return f"mean-{norm}-{show_eps(eps)}"
