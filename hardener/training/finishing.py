"""A run whose training ended and whose page did not come: what it lacks is made later."""

from __future__ import annotations

from hardener.config.run_folder import RunFolder, RunRecord
from hardener.config.schema import Recipe
from hardener.progress import TrainReporter
from hardener.training.journal import Journal
from hardener.training.keeping import drop_spares, spares
from hardener.training.looking_back import look_back
from hardener.training.prepare import prepare_again


def lacks(run: RunFolder, record: RunRecord, recipe: Recipe) -> bool:
    """Tell whether a finished run was left before its curves, its page and its folder were in order."""
    return record.best is not None and (bool(spares(run)) or _lacks_curves(run) or _lacks_page(run, recipe))


def finish_up(run: RunFolder, record: RunRecord, recipe: Recipe, device: str, reporter: TrainReporter) -> None:
    """Make what a finished run lacks, in one process.

    Raises:
        HardenerError: its images, which the page shows, are no longer there or have changed.
    """
    drop_spares(run)
    if _lacks_curves(run):
        Journal(run, reporter.warn, writes=True).draw(recipe, title=record.name)
    if _lacks_page(run, recipe):
        reporter.say(f"{run.path} is finished: {record.epochs_done} epochs are done. Its page is made")
        found = prepare_again(run, record, recipe, device, reporter)
        classifier = found.classifier.to(found.device)
        look_back(run, record, classifier, found.validation_images, found.device, reporter.warn)


def _lacks_curves(run: RunFolder) -> bool:
    return not run.curves.is_file() and bool(run.read_metrics())


def _lacks_page(run: RunFolder, recipe: Recipe) -> bool:
    return recipe.parallel != "fsdp" and not run.train_page.is_file()  # nobody holds all of a network that is sharded
