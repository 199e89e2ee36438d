"""MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from hardener.training.trackers._common import PROJECT, TrackedRun

_TAG = "hardener.run"
_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""Of its own it asks a server that does not answer for minutes."""
_MOST_AT_ONCE = 100
"""Parameters in one request."""


class Mlflow:
    """A run of MLflow, in the experiment of MLFLOW_EXPERIMENT_NAME or `hardener`."""

    def __init__(self) -> None:
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        import mlflow

        self._client = mlflow.MlflowClient()
        self._run = ""

    def begin(self, run: TrackedRun) -> None:
        """See `Tracker`."""
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        before = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{run.id}'", max_results=1)
        if before:
            self._run = before[0].info.run_id
            self._client.set_terminated(self._run, "RUNNING")
            return
        made = self._client.create_run(experiment, tags={_TAG: run.id}, run_name=run.name)
        self._run = made.info.run_id
        settings = [Param(key, str(value)) for key, value in run.settings.items()]
        for place in range(0, len(settings), _MOST_AT_ONCE):
            self._client.log_batch(self._run, params=settings[place : place + _MOST_AT_ONCE])

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
        """See `Tracker`."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, epoch) for name, value in figures.items()])

    def end(self, figures: Mapping[str, float | str], *, finished: bool) -> None:
        """See `Tracker`."""
        for name, value in figures.items():
            add: Any = self._client.set_tag if isinstance(value, str) else self._client.log_metric
            add(self._run, name, value)
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")
