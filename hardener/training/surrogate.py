"""A natural model to transfer attacks from: the same architecture, trained on the same images."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from hardener.config.recipe import check_recipe, load_recipe
from hardener.config.run_folder import RunFolder
from hardener.config.run_lock import holder
from hardener.errors import HardenerError
from hardener.evaluation.plan import EvaluateRequest, wants_surrogate
from hardener.progress import TrainReporter, rank_and_world
from hardener.runtime.processes import from_first
from hardener.training.run import TrainRequest, train
from hardener.training.stop import stopping_after


def with_surrogate(run: RunFolder, request: EvaluateRequest, reporter: TrainReporter) -> EvaluateRequest:
    """Return the request with a surrogate, the run's own, where an attack wants one and the request names none.

    Raises:
        HardenerError: a mistake in what was asked for; or as `surrogate_of`.
    """
    if not wants_surrogate(request):
        return request
    return replace(request, surrogate=surrogate_of(run, reporter, device=request.device))


def surrogate_of(run: RunFolder, reporter: TrainReporter, *, device: str = "auto") -> RunFolder:
    """Return the surrogate that lies inside the run, trained now where there is none yet.

    Raises:
        HardenerError: the run's data is no longer there, or does not fit its model any more.
    """
    record, recipe = run.read_record(), run.read_recipe()
    found = RunFolder(run.path / "surrogate" / "natural")
    ready = found.weights.is_file() and found.read_record().status == "finished"
    if from_first(ready):
        return found
    reporter.say(f"training a natural model to transfer attacks from, once: {found.path}")
    natural = load_recipe("natural").model_copy(
        update={
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "optimizer": recipe.optimizer.model_copy(update={"layer_decay": 1.0}),  # it starts from no weights
            "network": recipe.network.model_copy(update={"freeze": [], "head_first": 0}),
            "validation": recipe.validation,
            "data": recipe.data.model_copy(
                update={
                    "image_size": (record.input.height, record.input.width),
                    "range": record.input.pixels.range,
                    "channels": record.input.channels,
                    "normalize": "none" if not record.input.mean else recipe.data.normalize,
                }
            ),
        }
    )
    fields = {**natural.model_dump(mode="json"), "augment": recipe.augment.model_dump(mode="json")}
    if found.path.is_dir() and rank_and_world()[0] == 0:  # an earlier one that was stopped
        by = holder(found.path)
        if by is not None:
            raise HardenerError(f"{found.path}, which the attack needs, is being trained by {by}. Wait until it ends.")
        shutil.rmtree(found.path)
    with stopping_after():
        return train(
            TrainRequest(
                model=record.model.spec if record.model.file is None else str(run.path / record.model.file),
                data=Path(record.data.root),
                recipe=check_recipe(fields, "natural"),
                entry=record.model.entry,
                model_args=record.model.arguments,
                root=None if record.model.file is None else run.model_files,
                replace_head=record.model.replaced_head is not None,
                **record.data.other_roots(),
                skip_bad_images=record.data.skip_bad_images,
                reading=record.data.reading,
                device=device,
                seed=record.seed,
                out=found.path.parent,
                name=found.path.name,
            ),
            reporter,
        )
