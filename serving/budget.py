"""What one report may spend: the server's default, or what the request asks for up to the server's cap."""

from __future__ import annotations

from dataclasses import dataclass

from .options import Options
from .settings import Settings


@dataclass(frozen=True)
class Budget:
    """What one report may spend.

    Attributes:
        draws: n of the certificate, >= 1.
        queries: model runs of the attack, >= 1.
        seconds: from its start; what is finished by then is answered.
        selection_draws: n0 of the certificate, >= 1.
        alpha: the chance, in (0, 1), that the certificate is wrong.
    """

    draws: int
    queries: int
    seconds: float
    selection_draws: int = Settings.selection_draws
    alpha: float = Settings.alpha


def allowed_budget(options: Options, settings: Settings) -> Budget:
    """Cut what a request asks for to what the server allows; its defaults are always allowed."""

    def within(asked: float | None, default: float, cap: float) -> float:
        return default if asked is None else min(asked, max(default, cap))

    return Budget(
        draws=int(within(options.draws, settings.draws, settings.max_draws)),
        queries=int(within(options.queries, settings.queries, settings.max_queries)),
        seconds=within(options.budget_s, settings.report_seconds, settings.max_report_seconds),
        selection_draws=settings.selection_draws,
        alpha=settings.alpha,
    )
