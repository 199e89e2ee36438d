"""A run under way: epochs, validation, and what is written of them."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from hardener.config.run_folder import BestRecord, RunFolder, RunRecord
from hardener.config.schema import Recipe
from hardener.data.loader import Images
from hardener.data.waiting import Waiting
from hardener.errors import Failure, HardenerError
from hardener.evaluation.robust_accuracy import AttackPlan, as_float, robust_accuracy
from hardener.methods.vicinity_risk import VicinityRisk
from hardener.models.normalize import ImageClassifier
from hardener.models.weights import save_weights
from hardener.progress import Reporter
from hardener.training.augment import augment
from hardener.training.build import build_average, build_method, build_optimizers
from hardener.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from hardener.training.curves import draw_curves
from hardener.training.loop import Progress, StepRule, train_epoch
from hardener.training.objective import Objective
from hardener.training.schedule import learning_rate
from hardener.training.stop import StopRequest
from hardener.training.watch import collapsed

SAVE_EVERY_S = 60.0


@dataclass(frozen=True)
class EpochMetrics:
    """A line of metrics.jsonl. Accuracies are of the validation split; the robust one is of a quick PGD.

    `waiting`: the share of the epoch's steps that was spent waiting for images. `rolled_back`: training collapsed in
    this epoch and was taken back to the best one before.
    """

    epoch: int
    loss: float
    clean_accuracy: float
    robust_accuracy: float
    target_mass: float
    beta_min: float | None
    beta_max: float | None
    learning_rate: float
    images_per_s: float
    seconds: float
    waiting: float
    rolled_back: bool = False


class TrainReporter(Reporter, Protocol):
    """A reporter that also shows epochs."""

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Show what an epoch gave."""


class Interrupted(HardenerError):
    """Ctrl-C or a termination signal; the run can go on."""

    exit_code = 130


def autocasts(recipe: Recipe, device: torch.device) -> bool:
    """Tell whether training computes in bfloat16 where that is safe; `auto` does on a GPU that can."""
    if recipe.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return recipe.precision == "bfloat16"


def compiles(recipe: Recipe, device: torch.device) -> bool:
    """Tell whether the network goes through torch.compile; `auto` does on a GPU, where it gains most."""
    return device.type == "cuda" if recipe.compile == "auto" else recipe.compile == "on"


class Work:
    """A run under way."""

    def __init__(
        self,
        run: RunFolder,
        record: RunRecord,
        recipe: Recipe,
        classifier: ImageClassifier,
        train_images: Images,
        validation_images: Images,
        device: torch.device,
        reporter: TrainReporter,
    ) -> None:
        self.run, self.record, self.recipe, self.device, self.reporter = run, record, recipe, device, reporter
        self.images, self.validation = train_images, validation_images
        self.images.keep_on(device)
        self.classifier: ImageClassifier = classifier.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.method = build_method(recipe, len(record.classes)).to(device)
        self.objective = Objective(self.classifier, self.method, compiled=compiles(recipe, device))
        theta, beta = build_optimizers(recipe, self.classifier.network, self.method)
        adversarial = recipe.vicinity.adversarial
        self.state = TrainingState(
            network=self.classifier.network,
            method=self.method,
            theta=theta,
            beta=beta,
            average=build_average(recipe.averaging, self.classifier),
            progress=self._start_of(0),
            attack_steps=0 if adversarial is None else adversarial.steps,
            piece=math.ceil(recipe.batch_size / recipe.accumulate),
        )
        self.rule = StepRule(
            theta_steps=recipe.theta_steps,
            beta_on_clean=recipe.beta_batch == "clean",
            gradient_clip=recipe.optimizer.gradient_clip,
            autocast=autocasts(recipe, device),
            piece=self.state.piece,
            divisible=self.method.divisible,
        )
        self.waiting = Waiting()
        self._timed = self._saved = time.monotonic()

    def resume(self) -> None:
        """Take up the run's last checkpoint.

        Raises:
            HardenerError: none that can be used.
        """
        fault = load_checkpoint(self.run.checkpoint, self.state)
        if fault is not None:
            self.reporter.warn(f"{fault} Going on from the checkpoint before it.")
        self._apply_state()

    def go(self) -> RunFolder:
        """Train to the end.

        Raises:
            Failure: the loss is no longer finite, or a step fits no memory.
            Interrupted: a stop was asked for; the run can be resumed.
        """
        recipe, run = self.recipe, self.run
        self._drop_rows_after_checkpoint()
        self._put_away("training")  # from here on a run that is killed can be resumed
        from torch.utils.tensorboard import SummaryWriter

        with StopRequest() as stop, ExitStack() as stack:
            done = self.state.progress.epoch * self._usable() + self.state.progress.images
            events = stack.enter_context(SummaryWriter(str(run.tensorboard), purge_step=self.state.progress.epoch + 1))
            advance = stack.enter_context(self.reporter.track("training", self._usable() * recipe.epochs, "images"))
            advance(done)
            while self.state.progress.epoch < recipe.epochs:
                if not self._train_epoch(stop, advance):
                    self._put_away("interrupted")
                    raise Interrupted(
                        f"in epoch {self.state.progress.epoch + 1} of {recipe.epochs}; nothing is lost. Go on "
                        f"with: hardener train --resume {run.path}"
                    )
                metrics = self._measure_epoch()
                is_best = self._judge(metrics)
                for name, value in asdict(metrics).items():
                    if value is not None and name != "epoch":
                        events.add_scalar(name, value, metrics.epoch)
                events.flush()
                self._put_away("training")
                self.reporter.epoch(metrics, epochs=recipe.epochs, is_best=is_best)
                if metrics.rolled_back:
                    advance((self.state.progress.epoch - metrics.epoch) * self._usable())
        self._put_away("finished")
        return run

    def _train_epoch(self, stop: StopRequest, advance: Callable[[int], None]) -> bool:
        """Take the epoch's remaining steps; return whether it is complete."""
        state = self.state
        self._epoch_began, self._epoch_seen = time.monotonic(), 0
        self.waiting.seconds = 0.0

        def on_step(images: int) -> bool:
            self._epoch_seen += images
            advance(images)
            if self.rule.piece != state.piece:
                state.piece = self.rule.piece
                self.reporter.warn(
                    f"a minibatch does not fit in the memory of {self.device}: it is cut into pieces of {state.piece}"
                )
            if state.average is not None and self._averages_each_step():
                state.average.update_parameters(self.classifier)
            if time.monotonic() - self._saved > SAVE_EVERY_S:
                self._put_away("training")
            return not stop.asked

        self.objective.train()
        awp = self.recipe.awp
        self.method.awp_gamma = awp.gamma if awp is not None and state.progress.epoch >= awp.warmup_epochs else 0.0
        train_epoch(
            self.objective,
            self._batches(state.progress),
            state.theta,
            state.beta,
            self.rule,
            state.progress,
            set_learning_rate=self._set_learning_rate,
            on_step=on_step,
        )
        return state.progress.images >= self._usable()

    def _measure_epoch(self) -> EpochMetrics:
        """Close an epoch whose steps are done: its loss, and accuracies on the validation split."""
        state, recipe = self.state, self.recipe
        progress = state.progress
        loss = float(progress.loss_sum) / max(progress.losses, 1)
        took = max(time.monotonic() - self._epoch_began, 1e-9)
        if not math.isfinite(loss):
            self.record.status = "failed"
            self.run.write_record(self.record)
            raise Failure(
                f"the loss became {loss} in epoch {progress.epoch + 1}. Lower the learning rate, such as --set "
                f"optimizer.lr={recipe.optimizer.lr / 5:g}, or set optimizer.gradient_clip=1."
            )
        if state.average is not None and self._averages_each_epoch():
            state.average.update_parameters(self.classifier)
        clean, robust = self._validate(progress.epoch)
        state.progress = self._start_of(progress.epoch + 1)
        beta = None if self.method.beta is None else self.method.beta.detach()
        self.record.images_per_s = round(self._epoch_seen / took, 1)
        return EpochMetrics(
            epoch=progress.epoch + 1,
            loss=loss,
            clean_accuracy=clean,
            robust_accuracy=robust,
            target_mass=float(self.method.target_mass()),
            beta_min=None if beta is None else float(beta.min()),
            beta_max=None if beta is None else float(beta.max()),
            learning_rate=float(state.theta.param_groups[-1]["lr"]),
            images_per_s=self._epoch_seen / took,
            seconds=time.monotonic() - self._epoch_began,
            waiting=min(self.waiting.seconds / took, 1.0),
            rolled_back=self._collapsed(robust) and self._can_roll_back(),
        )

    def _judge(self, metrics: EpochMetrics) -> bool:
        """Log an epoch, keep its weights if they are the best, or take training back; return whether they are."""
        state = self.state
        with self.run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(metrics)) + "\n")
        state.rows += 1
        if self._collapsed(metrics.robust_accuracy):
            fell = (
                f"quick robust accuracy fell from {100 * state.best_robust:.1f} to "
                f"{100 * metrics.robust_accuracy:.1f} % in epoch {metrics.epoch}: catastrophic overfitting"
            )
            if metrics.rolled_back:
                self._roll_back()
                self.reporter.warn(
                    f"{fell}. Back to the end of epoch {state.progress.epoch}, from here with {state.attack_steps} "
                    "gradient steps"
                )
            else:
                self.reporter.warn(f"{fell}. This epoch's weights are not kept")
            return False
        if metrics.robust_accuracy >= state.best_robust:
            state.best_robust = metrics.robust_accuracy
            if self._can_roll_back():
                save_checkpoint(self.run.good_checkpoint, state, keep_before=False)
        score = _score(metrics, self.recipe.validation.select)
        if score <= state.best_score:
            return False
        state.best_score = score
        save_weights(self._judged().network, self.run.weights)
        self.record.best = BestRecord(
            epoch=metrics.epoch,
            score=score,
            clean_accuracy=metrics.clean_accuracy,
            robust_accuracy=metrics.robust_accuracy,
        )
        return True

    def _collapsed(self, robust: float) -> bool:
        if self.recipe.vicinity.adversarial is None:  # nothing but chance holds the others up
            return False
        samples = min(self.recipe.validation.samples, len(self.validation))
        return collapsed(robust, max(self.state.best_robust, 0.0), samples)

    def _can_roll_back(self) -> bool:
        single = isinstance(self.method, VicinityRisk) and self.method.worst_point is not None
        return single and self.state.rollbacks < self.recipe.validation.rollback

    def _roll_back(self) -> None:
        """Go back to the epoch with the best robust accuracy, and attack with one more gradient step from there."""
        kept = {name: getattr(self.state, name) for name in ("best_score", "rollbacks", "seconds", "rows")}
        steps = self.state.attack_steps
        load_checkpoint(self.run.good_checkpoint, self.state)
        for name, value in kept.items():
            setattr(self.state, name, value)
        self.state.rollbacks += 1
        self.state.attack_steps = steps + 1
        self._apply_state()

    def _apply_state(self) -> None:
        """Bring what follows from the state in line with it."""
        self.rule.piece = self.state.piece
        if isinstance(self.method, VicinityRisk) and self.method.worst_point is not None:
            self.method.worst_point = replace(self.method.worst_point, steps=self.state.attack_steps)

    def _start_of(self, epoch: int) -> Progress:
        return Progress(epoch, 0, torch.zeros((), device=self.device))

    def _share(self) -> float:
        """Return the share of the run that is done."""
        progress = self.state.progress
        return (progress.epoch + progress.images / self._usable()) / self.recipe.epochs

    def _averages_each_step(self) -> bool:
        asked = self.recipe.averaging
        return asked is not None and asked.name == "ema" and self._share() >= asked.start

    def _averages_each_epoch(self) -> bool:
        asked = self.recipe.averaging
        return asked is not None and asked.name == "swa" and self._share() >= asked.start

    def _judged(self) -> ImageClassifier:
        """Return what is validated and kept: the averaged classifier, once the average has begun."""
        average = self.state.average
        if average is not None and int(average.n_averaged) > 0:
            averaged = average.module
            assert isinstance(averaged, ImageClassifier), "it was copied from one"
            return averaged
        return self.classifier

    def _batches(self, progress: Progress) -> Iterator[tuple[Tensor, Tensor]]:
        recipe, epoch, place = self.recipe, progress.epoch, progress.images
        shuffle = torch.Generator().manual_seed(self.record.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.images), generator=shuffle)[: self._usable()]
        pieces = self.images.batches(order[place:], recipe.batch_size, pin=self.device.type == "cuda")
        for images, labels in self.waiting(pieces):
            # all of a step's draws, of noise, mixup and attacks, follow from its place: no checkpoint holds any
            torch.manual_seed(_step_seed(self.record.seed, epoch, place))
            place += len(images)
            moved = as_float(images.to(self.device, non_blocking=True)).contiguous(memory_format=torch.channels_last)
            yield (
                augment(moved, shift=recipe.augment.shift, flip=recipe.augment.flip),
                labels.to(self.device, non_blocking=True),
            )

    def _usable(self) -> int:
        """Images of an epoch: a last minibatch of one image is left out, since batch norm cannot train on it."""
        count = len(self.images)
        return count - 1 if count > 1 and count % self.recipe.batch_size == 1 else count

    def _set_learning_rate(self, progress: Progress) -> None:
        settings, recipe = self.recipe.optimizer, self.recipe
        rate = learning_rate(
            self._share(),
            peak=settings.lr,
            schedule=settings.schedule,
            milestones=settings.milestones,
            warmup=min(settings.warmup_epochs / recipe.epochs, 0.5),
        )
        for group in self.state.theta.param_groups:
            group["lr"] = rate * group["lr_scale"]
        if self.state.beta is not None and recipe.beta.lr is None:
            self.state.beta.param_groups[0]["lr"] = rate

    def _validate(self, epoch: int) -> tuple[float, float]:
        """Return clean accuracy on the whole validation split and quick robust accuracy on part of it."""
        rule, images, judged = self.recipe.validation, self.validation, self._judged()
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.record.seed))
        quick, labels = images.take(order[: rule.samples])
        attacked = robust_accuracy(
            judged,
            quick,
            labels,
            [AttackPlan("pgd", {"steps": rule.steps})],
            rule.threat,
            batch_size=max(self.recipe.batch_size, 128),
            generator=torch.Generator(self.device).manual_seed(self.record.seed + epoch),
        )
        judged.eval()
        right = 0
        with torch.no_grad():
            for pixels, truth in images.batches(torch.arange(len(images)), 256):
                guess = judged(as_float(pixels.to(self.device))).argmax(dim=1)
                right += int((guess == truth.to(self.device)).sum())
        return right / len(images), attacked.robust_accuracy

    def _put_away(self, status: str) -> None:
        """Bring everything on disk up to now."""
        state, record = self.state, self.record
        now = time.monotonic()
        state.seconds += now - self._timed
        self._timed = now
        save_checkpoint(self.run.checkpoint, state)
        self._saved = time.monotonic()
        record.status = status  # type: ignore[assignment]
        record.epochs_done = state.progress.epoch
        record.seconds = round(state.seconds, 3)
        self.run.write_record(record)
        if status != "training" and state.rows:
            rows = [json.loads(line) for line in self.run.metrics.read_text(encoding="utf-8").splitlines()]
            draw_curves(rows, self.run.curves, title=record.name, threat=str(self.recipe.validation.threat))

    def _drop_rows_after_checkpoint(self) -> None:
        """Forget epochs that were logged and then lost with the machine: they are trained again."""
        if not self.run.metrics.is_file():
            return
        lines = self.run.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        self.run.metrics.write_text("".join(lines[: self.state.rows]), encoding="utf-8")


def _step_seed(seed: int, epoch: int, place: int) -> int:
    """Return a seed of its own for every step of every run."""
    digest = hashlib.blake2b(f"{seed} {epoch} {place}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def _score(metrics: EpochMetrics, select: str) -> float:
    clean, robust = metrics.clean_accuracy, metrics.robust_accuracy
    return {"clean": clean, "robust": robust, "mean": (clean + robust) / 2}[select]
