"""What an ablation finds: each combination's figures, what its training costs, and what each module gives."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from hardener.config.ablation_record import MODULES, Ablation, Change, Combination, Effect, Module
from hardener.config.evaluation_record import Evaluation
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.statistics.paired import Outcomes, adjusted_interval, mean_differences, read_outcomes
from hardener.training.module_sets import module_sets, name_of


def put_on_record(
    ablation: Ablation, modules: tuple[Module, ...], run: RunFolder, found: Evaluation, file: Path
) -> None:
    """Add a combination that is trained and evaluated."""
    record = run.read_record()
    assert record.best is not None, "a finished run has a best epoch"
    if ablation.data_fingerprint not in {None, found.data.fingerprint}:
        raise HardenerError(
            f"the images changed since the ablation was begun: {run.path} was evaluated on others. Restore them, or "
            "begin anew with another --name."
        )
    ablation.split, ablation.samples = found.data.split, found.samples
    ablation.data_fingerprint, ablation.hardware = found.data.fingerprint, record.hardware
    rates = [row["images_per_s"] for row in run.read_metrics() if row.get("images_per_s")] or [
        record.images_per_s or 1.0
    ]
    ablation.combinations.append(
        Combination(
            name=name_of(modules),
            modules=list(modules),
            run=run.path.name,
            evaluation=str(file.relative_to(run.path)),
            fingerprint=found.model.fingerprint,
            device=str(record.hardware.get("gpu", record.device)),
            best_epoch=record.best.epoch,
            clean_accuracy=found.clean_accuracy,
            clean_interval=found.clean_interval,
            robust_accuracy=found.robust_accuracy,
            interval=found.interval,
            verdict=found.verdict,
            flags=[flag.id for flag in found.flags],
            seconds=record.seconds,
            epoch_seconds=record.data.splits["train"].images / median(rates),
        )
    )


def compare_costs(ablation: Ablation) -> None:
    """Bring the combinations in order, and relate what their training took to natural's."""
    order = [name_of(modules) for modules in module_sets()]
    ablation.combinations.sort(key=lambda done: order.index(done.name))
    natural = ablation.combinations[0]
    for done in ablation.combinations:
        done.cost = done.epoch_seconds / natural.epoch_seconds if done.device == natural.device else None


def effects_of(ablation: Ablation, folder: Path) -> list[Effect]:
    """Return each module's effect, from the results of each image."""
    outcomes: dict[frozenset[Module], Outcomes] = {
        frozenset(done.modules): read_outcomes((folder / done.run / done.evaluation).with_suffix(".npz"))
        for done in ablation.combinations
    }
    effects = []
    for module in MODULES:
        pairs = [(found, outcomes[without | {module}]) for without, found in outcomes.items() if module not in without]
        clean, robust = (mean_differences(pairs, which) for which in ("clean", "robust"))
        effects.append(
            Effect(
                module=module,
                clean=Change(difference=float(clean.mean()), interval=adjusted_interval(clean)),
                robust=Change(difference=float(robust.mean()), interval=adjusted_interval(robust)),
            )
        )
    return effects
