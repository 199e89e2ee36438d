"""Catastrophic overfitting: adversarial training that one day resists its own attack alone."""

from __future__ import annotations

from pathlib import Path

from hardener.errors import DamagedCheckpoint, HardenerError
from hardener.statistics.interval import clopper_pearson
from hardener.training.checkpoint import load_checkpoint, save_checkpoint
from hardener.training.state import TrainingState
from hardener.vicinity.worst_point import steps_at

LEAST_SHARE = 0.25
"""Of the recipe's eps: below it an epoch is neither judged nor kept to go back to. What a network resists that hardly
trains against an attack is chance, which comes and goes: that is no collapse."""


class CollapseWatch:
    """Compares each epoch with the best one before, whose state it keeps, and takes training back there.

    Epochs whose eps is below `LEAST_SHARE` of the recipe's are left out.
    """

    def __init__(self, state: TrainingState, good: Path, *, most: int, samples: int, num_classes: int) -> None:
        """Watch a run.

        Args:
            good: where the state to go back to is kept.
            most: how often training is taken back, where its method can take another gradient step.
            samples: images behind a robust accuracy.
        """
        self.state, self.good = state, good
        self._most = most if state.method.can_step_up else 0
        self._samples, self._num_classes = samples, num_classes

    @property
    def can_go_back(self) -> bool:
        """Whether another collapse would be answered."""
        return self.state.rollbacks < self._most

    def collapsed(self, robust: float) -> bool:
        """Tell whether an epoch with this robust accuracy is a collapse; see the function."""
        if not self._attacks:
            return False
        return collapsed(robust, max(self.state.best_robust, 0.0), self._samples, num_classes=self._num_classes)

    @property
    def _attacks(self) -> bool:
        method = self.state.method
        return method.attack_steps > 0 and method.eps_share >= LEAST_SHARE

    def keep(self, robust: float, *, write: bool) -> None:
        """Take an epoch that did not collapse for the one to go back to, if it is the best."""
        if robust < self.state.best_robust or not self._attacks:
            return
        self.state.best_robust = robust
        if self.can_go_back:
            save_checkpoint(self.good, self.state, keep_before=False, write=write)

    def go_back(self, *, step_up: bool, epochs: int) -> None:
        """Go back to the epoch with the best robust accuracy.

        Args:
            step_up: attack with one more gradient step from there than it had there.
            epochs: of the run.
        Raises:
            HardenerError: its state is damaged.
        """
        state = self.state
        kept = {name: getattr(state, name) for name in ("best_score", "best", "rollbacks", "seconds", "rows")}
        steps = state.method.attack_steps
        try:
            load_checkpoint(self.good, state)
        except DamagedCheckpoint as error:
            raise HardenerError(
                f"adversarial training collapsed and cannot be taken back: {error} The best weights are kept in "
                f"{self.good.parent.parent}. Train anew, with more gradient steps or validation.rollback=0."
            ) from None
        for name, value in kept.items():
            setattr(state, name, value)
        state.rollbacks += 1
        climb = state.method.progression
        if step_up and climb is not None:  # with as many as it had, that part of the run would come out the same
            steps = max(steps, steps_at(climb, state.progress.epoch / epochs))
        state.method.attack_steps = steps + step_up


def collapsed(robust: float, best: float, samples: int, *, num_classes: int) -> bool:
    """Tell whether robust accuracy fell too far below the best epoch's for chance to explain it.

    It has more than halved, the exact 95 % intervals of the two lie apart, and the best one was better than guessing.

    Args:
        robust, best: accuracies under the same many-step attack, fractions of `samples` images.
        samples: images, >= 1.
        num_classes: >= 2; a network that answers at random is right on one image in so many.
    Source: the phenomenon: Wong, Rice, Kolter, "Fast is Better than Free", ICLR 2020; this rule is ours.
    """
    if robust >= best / 2 or best <= 1 / num_classes:
        return False
    _, upper = clopper_pearson(round(robust * samples), samples)
    lower, _ = clopper_pearson(round(best * samples), samples)
    return upper < lower
