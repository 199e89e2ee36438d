"""A run under way, top to bottom: epochs, validation, and what is kept of them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from hardener.config.run_folder import RunFolder, RunRecord, Status
from hardener.config.schema import Recipe
from hardener.data.loader import LoadedImages
from hardener.errors import Failure, HardenerError, Interrupted, Lost, Told
from hardener.models.normalize import ImageClassifier
from hardener.models.recompute import recompute
from hardener.progress import EpochMetrics, TrainReporter, rank_and_world
from hardener.runtime.device import keep_freed_memory
from hardener.runtime.processes import any_of, lost, sum_of
from hardener.training.averaging import WeightAverage
from hardener.training.build import first_state, held_body, method_for, step_rule
from hardener.training.collapse import CollapseWatch
from hardener.training.compiling import begin_step, compiled_by
from hardener.training.ending import TimeLimit, has_stalled, settles_after, what_is_cut
from hardener.training.eps_schedule import EpsSchedule
from hardener.training.journal import Journal
from hardener.training.keeping import Keeper, drop_spares
from hardener.training.learning_rate import set_learning_rate
from hardener.training.looking_back import look_back
from hardener.training.loop import train_epoch
from hardener.training.order import DataOrder
from hardener.training.parallel import blocks, spread
from hardener.training.state import Progress
from hardener.training.stop import StopRequest
from hardener.training.tracking import Tracking
from hardener.training.validation import Measured, Validator
from hardener.words import duration

AGREE_EVERY = {"cuda": 10}  # steps after which several processes ask each other whether to stop: a GPU's are short


@dataclass(frozen=True)
class Material:
    """What a run works on: a classifier, on the CPU and the same on all processes, two splits of images, a device."""

    classifier: ImageClassifier
    train_images: LoadedImages
    validation_images: LoadedImages
    device: torch.device


@dataclass
class _Sitting:
    """What was done of the epoch under way since `began`; `piece` is how large a minibatch's pieces were then."""

    began: float
    piece: int
    steps: int = 0
    images: int = 0


class TrainingSession:
    """A run under way. `go` is its story; what it comes to lies in `state`."""

    def __init__(
        self, run: RunFolder, record: RunRecord, recipe: Recipe, material: Material, reporter: TrainReporter
    ) -> None:
        self.run, self.record, self.recipe, self.reporter = run, record, recipe, reporter
        self.device = material.device
        self.rank, self.world = rank_and_world()
        material.train_images.keep_on(self.device)
        self.order = DataOrder(material.train_images, recipe, seed=record.seed, device=self.device)
        self.method = method_for(recipe, material.train_images, len(record.classes), self.device)
        if recipe.network.checkpoint:
            recompute(blocks(material.classifier.network))
        self.exchange = spread(
            material.classifier,
            self.method,
            self.device,
            material.train_images.shape,
            sharded=recipe.parallel == "fsdp",
            compiled=compiled_by(recipe, self.device, reporter.warn),
        )
        self.average = WeightAverage(recipe.averaging, material.classifier)
        self.body = held_body(material.classifier, recipe)
        self.rule = step_rule(recipe, self.device)
        self.state = first_state(
            recipe,
            material.classifier.network,
            self.method,
            self.device,
            average=self.average.model,
            sharded=self.exchange.sharded,
            body=self.body,
        )
        self._told_of_answers = False
        self.validation = Validator(
            material.validation_images,
            recipe,
            num_classes=len(record.classes),
            seed=record.seed,
            device=self.device,
            sharded=self.exchange.sharded,
            even=record.asks_evenly,
        )
        self.watch = CollapseWatch(
            self.state,
            run.good_checkpoint,
            most=recipe.validation.rollback,
            samples=self.validation.samples,
            num_classes=len(record.classes),
        )
        self.eps = EpsSchedule(self.state)
        self.journal = Journal(run, reporter.warn, writes=self.rank == 0)
        self.tracking = Tracking(recipe, record, reporter.warn, speaks=self.rank == 0)
        self.keeper = Keeper(run, record, self.state)
        keep_freed_memory()
        self._agree_every = AGREE_EVERY.get(self.device.type, 1) if self.world > 1 else 1
        self._limit, self._is_late, self._spent = TimeLimit(), False, record.seconds

    def go(self, limit: TimeLimit | None = None) -> RunFolder:
        """Train to the end, or until the time limit: of the recipe's epochs, those that fit.

        Raises:
            HardenerError: not one epoch fits into the time limit; the run can be resumed.
            Failure: the loss is no longer finite, or a step fits no memory.
            Interrupted: a stop was asked for; the run can be resumed.
            Lost: another process can no longer be reached; the run can be resumed.
        """
        state, epochs, total = self.state, self.recipe.epochs, self.order.usable * self.recipe.epochs
        self._limit = limit or self._limit
        # torchrun's SIGTERM must not cut the message short
        with StopRequest(self.run) as stop, self._saying_how_to_go_on(), self.tracking.under_way():
            self.journal.keep_rows(state.rows)
            self._put_away("training")  # from here on a run that is killed can be resumed
            with (
                self.journal.events(epochs_done=state.progress.epoch),
                self.reporter.track("training", total, "images") as advance,
            ):
                advance(self.order.done(state.progress))
                self._has_stalled()  # where a run was killed before it could say so
                while state.progress.epoch < epochs and self.record.ended is None:
                    sitting = self._take_steps(stop, advance)
                    if state.progress.images < self.order.usable:
                        if self._is_late and self.record.best is not None:
                            self._end("time limit", f"in epoch {state.progress.epoch + 1}, which is left out")
                            break
                        self._put_away("interrupted")
                        raise self._for_all(self._too_late(sitting) if self._is_late else self._interruption())
                    metrics = self._measure(sitting)
                    is_best = self._judge(metrics)
                    self._put_away("training")
                    self.reporter.epoch(metrics, epochs=epochs, is_best=is_best)
                    if metrics.rolled_back:
                        advance((state.progress.epoch - metrics.epoch) * self.order.usable)
                    else:
                        self._end_early(metrics)
            self._put_away("finished")
            if self.rank == 0:
                drop_spares(self.run)
            if self.rank == 0 and not self.exchange.sharded:
                judged, images = self.average.judged, self.validation.images
                look_back(self.run, self.record, judged, images, self.device, self.reporter.warn)
        return self.run

    def _end_early(self, metrics: EpochMetrics) -> None:
        """End training after this epoch where others are due and bring nothing, or find no time; say why."""
        if metrics.epoch == self.recipe.epochs or self.record.best is None or self._has_stalled():
            return
        if any_of(self.rank == 0 and self._limit.left < metrics.seconds)[0]:
            self._end("time limit", "what is left is less than an epoch takes")
        elif outlook := self._limit.outlook(self.recipe, metrics.epoch, metrics.seconds):
            self.reporter.warn(outlook)

    def _has_stalled(self) -> bool:
        """Tell whether `validation.patience` ends training between these epochs, and say so."""
        best, progress, patience = self.record.best, self.state.progress, self.recipe.validation.patience
        if best is None or progress.images or progress.epoch == self.recipe.epochs:
            return False
        if not has_stalled(best.epoch, progress.epoch, patience, settled=settles_after(self.recipe)):
            return False
        self._end("patience", f"none was better than epoch {best.epoch} since then (validation.patience={patience})")
        return True

    def _end(self, why: Literal["patience", "time limit"], because: str) -> None:
        self.record.ended = why
        done, limit, cut = self.state.progress.epoch, "", ""
        if why == "time limit":
            limit = "" if self._limit.seconds is None else f" of {duration(self._limit.seconds)}"
            cut = what_is_cut(self.recipe, done, self.state.method.eps_share)
            self.record.time_limit_s = self._spent + (self._limit.seconds or 0.0)
        self.reporter.warn(f"training ends after epoch {done} of {self.recipe.epochs} by {why}{limit}: {because}{cut}")

    def _too_late(self, sitting: _Sitting) -> HardenerError:
        took, share = time.monotonic() - sitting.began, sitting.images / self.order.usable
        return HardenerError(self._limit.fault(share, took, self.run.going_on))

    def _share(self) -> float:
        """Return the share of the run that is done."""
        progress = self.state.progress
        return (progress.epoch + progress.images / self.order.usable) / self.recipe.epochs

    def _take_steps(self, stop: StopRequest, advance: Callable[[int], None]) -> _Sitting:
        """Take the epoch's remaining steps, or those until a stop is asked for."""
        state, awp = self.state, self.recipe.awp
        sitting = _Sitting(time.monotonic(), state.piece)
        self.order.wait_time.seconds = 0.0
        self.method.awp_gamma = awp.gamma if awp is not None and state.progress.epoch >= awp.warmup_epochs else 0.0
        if self.body is not None and self.body.hold(state.progress.epoch < self.recipe.network.head_first):
            self.exchange.learn_otherwise()
        self.exchange.training_loss.train()

        def on_step(images: int) -> bool:
            sitting.steps += 1
            sitting.images += images
            advance(images)
            return self._after_step(sitting, stop)

        def before_step() -> None:
            begin_step(self.recipe)
            set_learning_rate(state, self.recipe, self._share())
            self.eps.before_step(self._share())

        train_epoch(
            self.exchange,
            self.order.batches(state.progress),
            state,
            self.rule,
            before_step=before_step,
            on_step=on_step,
        )
        return sitting

    def _after_step(self, sitting: _Sitting, stop: StopRequest) -> bool:
        """Do what is due after a step; return whether another may follow."""
        if sitting.piece != self.state.piece:
            sitting.piece = self.state.piece
            self.reporter.warn(
                f"a minibatch does not fit in the memory of {self.device}: it is cut into pieces of {sitting.piece}"
            )
        self.average.after_step(self._share())
        if sitting.steps % self._agree_every:
            return True
        late = self.rank == 0 and self._is_out_of_time(sitting)
        stops, saves, late = any_of(stop.asked, self.keeper.is_due, late)
        if saves:
            self._put_away("training")
        self._is_late = late and not stops
        return not (stops or late)

    def _is_out_of_time(self, sitting: _Sitting) -> bool:
        """Tell whether the time is up, or, where no epoch is done yet, whether none will be in time."""
        if self._limit.left <= 0 or self.record.best is not None:
            return self._limit.left <= 0
        return self._limit.is_hopeless(sitting.images / self.order.usable, time.monotonic() - sitting.began)

    def _measure(self, sitting: _Sitting) -> EpochMetrics:
        """Close an epoch whose steps are done: its loss, and accuracies on the validation split."""
        state, progress, beta = self.state, self.state.progress, self.method.beta
        loss = float(sum_of(progress.loss_sum)) / self.world / max(progress.losses, 1)
        took = max(time.monotonic() - sitting.began, 1e-9)
        self._check_finite(loss)
        waited = self.order.wait_time.seconds
        self.average.after_epoch(self._share())
        again, piece = self.order.batches(Progress.start_of(progress.epoch, self.device)), state.piece
        self.average.measure_statistics(self.method, again, piece=piece, autocast=self.rule.autocast)
        measured = self.validation.measure(self.average.judged, progress.epoch)
        self._check_answers(measured)
        state.progress = Progress.start_of(progress.epoch + 1, self.device)
        self.record.images_per_s = round(sitting.images / took, 1)
        return EpochMetrics(
            epoch=progress.epoch + 1,
            loss=loss,
            clean_accuracy=measured.clean,
            robust_accuracy=measured.robust,
            balanced_accuracy=measured.balanced,
            balanced_robust_accuracy=measured.balanced_robust,
            class_accuracies=measured.by_class,
            target_mass=float(self.method.target_mass()),
            beta_min=None if beta is None else float(beta.detach().min()),
            beta_max=None if beta is None else float(beta.detach().max()),
            learning_rate=float(state.theta.param_groups[-1]["lr"]),
            images_per_s=sitting.images / took,
            seconds=time.monotonic() - sitting.began,
            waiting=min(waited / took, 1.0),
            rolled_back=self.watch.collapsed(measured.robust) and self.watch.can_go_back,
            eps=self.method.eps,
        )

    def _check_finite(self, loss: float) -> None:
        if math.isfinite(loss):
            return
        raise self._gone(f"the loss became {loss} in epoch {self.state.progress.epoch + 1}")

    def _check_answers(self, measured: Measured) -> None:
        """See that the network answers validation images: batch statistics may be NaN where the loss is not."""
        count, epoch = len(self.validation.images), self.state.progress.epoch + 1
        if measured.unanswered == count:
            raise self._gone(f"after epoch {epoch} the network's answers to all validation images are NaN or infinite")
        if measured.unanswered and not self._told_of_answers:
            self._told_of_answers = True
            self.reporter.warn(
                f"after epoch {epoch} the network's answers to {measured.unanswered} of {count} validation images are "
                "NaN or infinite; they count as wrong"
            )

    def _gone(self, what: str) -> HardenerError:
        """Return what a run ends with whose numbers are no longer finite."""
        self.keeper.fail()
        self.journal.draw(self.recipe, title=self.record.name)
        optimizer = self.recipe.optimizer
        lower, clip = f"--set optimizer.lr={optimizer.lr / 5:g}", "--set optimizer.gradient_clip=1"
        if optimizer.gradient_clip is not None:
            return self._for_all(Failure(f"{what}. Lower the learning rate, such as {lower}.", options=lower))
        advice = f"Clip the gradients: {clip}. Where that is not enough, lower the learning rate, such as {lower}."
        return self._for_all(Failure(f"{what}. {advice}", options=clip))

    def _judge(self, metrics: EpochMetrics) -> bool:
        """Log an epoch, keep its weights if they are the best, or take training back; return whether they are."""
        self.journal.write(metrics)
        self.tracking.write(metrics)
        self.state.rows += 1
        if self.watch.collapsed(metrics.robust_accuracy):
            self._answer_collapse(metrics)
            return False
        self.eps.after_epoch(metrics.clean_accuracy, metrics.robust_accuracy)
        self.watch.keep(metrics.robust_accuracy, write=self.rank == 0)
        score = metrics.score(self.recipe.validation.select, balanced=self.recipe.data.balance != "none")
        if not self.keeper.is_better(metrics, score, self.eps.stage):
            return False
        self.keeper.keep_best(self.exchange.whole(self.average.judged.network), metrics, score)
        return True

    def _answer_collapse(self, metrics: EpochMetrics) -> None:
        fell = (
            f"quick robust accuracy fell from {100 * self.state.best_robust:.1f} to "
            f"{100 * metrics.robust_accuracy:.1f} % in epoch {metrics.epoch}: catastrophic overfitting"
        )
        if not metrics.rolled_back:
            self.reporter.warn(f"{fell}. This epoch's weights are not kept")
            return
        share, lowers = self.method.eps_share, self.eps.answers_collapse
        self.watch.go_back(step_up=not lowers, epochs=self.recipe.epochs)
        self.eps.fall_back(share)
        eps, steps = f"at most {self.state.eps_lid:.0%} of the recipe's", f"{self.method.attack_steps} gradient steps"
        back = f"Back to the end of epoch {self.state.progress.epoch}, from here with"
        self.reporter.warn(f"{fell}. {back} {f'eps {eps}' if lowers else steps}")
        if not lowers and self.state.eps_lid < 1:
            self.reporter.say(f"from here eps is lower too: {eps}")

    def _put_away(self, status: Status) -> None:
        """Bring everything on disk up to now; all processes must ask for it."""
        self.keeper.put_away(status)
        if status != "training":
            self.journal.draw(self.recipe, title=self.record.name)

    def _interruption(self) -> Interrupted:
        return Interrupted(
            f"in epoch {self.state.progress.epoch + 1} of {self.recipe.epochs}; nothing is lost. Go on with: "
            f"{self.run.going_on}"
        )

    def _for_all(self, error: HardenerError) -> HardenerError:
        """Return what each process ends with where all agree: the first with the error, the others silently."""
        return error if self.rank == 0 else Told(error.exit_code)

    @contextmanager
    def _saying_how_to_go_on(self) -> Iterator[None]:
        """Where the disk is full or another process is gone, say what is kept."""
        try:
            yield
        except OSError:  # a full disk; the command line says which
            if self.run.checkpoint.is_file():
                self.reporter.warn(f"what is done up to the last checkpoint is kept: {self.run.going_on}")
            raise
        except RuntimeError as error:
            if self.world == 1 or not lost(error):
                raise
            if int(os.environ.get("LOCAL_RANK", "0")) > 1:  # two of a machine say it: one may be who died
                raise Told(Lost.exit_code) from error
            epoch, images = self.keeper.kept
            raise Lost(
                f"process {self.rank} of {self.world} can no longer reach the others: one of them ended or hangs; its "
                f"own message, or torchrun's, says more. The run can go on from epoch {epoch + 1}, image {images}: "
                f"start torchrun as before, now with: {self.run.going_on}"
            ) from error
