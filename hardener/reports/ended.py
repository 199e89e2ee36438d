"""How a run is told of that has fewer epochs than its recipe asks for."""

from __future__ import annotations

from hardener.config.run_folder import RunRecord
from hardener.words import duration


def ended_early(record: RunRecord) -> str:
    """Say why a run has fewer epochs than its recipe; empty where it has all, as far as its record tells."""
    if record.status != "finished":
        return "not trained to its end"
    if record.ended == "time limit":
        limit = record.time_limit_s
        return f"ended by its time limit{'' if limit is None else f' of {duration(limit)}'}"
    return "ended by `validation.patience`, as no epoch was better" if record.ended == "patience" else ""


def not_repeated(record: RunRecord) -> str:
    """Say why the command that trains a run again may come to other weights; empty where nothing tells of that."""
    done = f"after epoch {record.epochs_done}"
    if record.status != "finished":
        return f"The run was stopped {done}: the command trains all epochs of its recipe."
    if record.ended != "time limit":
        return ""
    if record.time_limit_s is None:
        return f"A time limit ended the run {done}: the command, which has none, trains all epochs of its recipe."
    return f"The time limit ended the run {done}: on another machine another number of epochs may fit."
