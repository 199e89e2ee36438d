"""What a run that was stopped goes on with: the recipe that it was begun with, and its last checkpoint."""

from __future__ import annotations

from collections.abc import Callable

from hardener.config.run_folder import RunFolder, RunRecord
from hardener.config.train_command import train_command
from hardener.errors import HardenerError, UnfitCheckpoint
from hardener.training.checkpoint import load_newest
from hardener.training.state import TrainingState


def check_recipe_kept(run: RunFolder, record: RunRecord) -> None:
    """See that `recipe.yaml` holds what the run was begun with; runs of version 0.2 and before do not say what.

    Raises:
        HardenerError: it was changed.
    """
    if record.recipe_sha256 not in {None, run.recipe_sha256()}:
        raise HardenerError(
            f"{run.recipe_file} has changed since the run began, and a run ends with the recipe that it began with. "
            f"Put the file back as it was, or begin a new run with it: {train_command(run, record)}"
        )


def take_up(run: RunFolder, record: RunRecord, state: TrainingState, warn: Callable[[str], None]) -> None:
    """Take up the run's last checkpoint: `state` gets its values, and `record` its best epoch.

    Raises:
        HardenerError: none that can be used.
    """
    state.best = record.best  # a checkpoint of version 0.2 does not hold it
    try:
        fault = load_newest(run.checkpoint, state)
    except UnfitCheckpoint as error:
        advice = f"Put recipe.yaml and model/ of {run.path} back as they were, or begin a new run"
        raise HardenerError(f"{error} {advice}: {train_command(run, record)}") from None
    record.best = state.best
    if fault is not None:
        warn(f"{fault} Going on from the checkpoint before it.")
