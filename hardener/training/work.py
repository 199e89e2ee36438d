"""A run under way: epochs, validation, and what is written of them."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

import torch
from torch import Tensor, nn

from hardener.config.run_folder import BestRecord, RunFolder, RunRecord
from hardener.config.schema import Recipe
from hardener.data.loader import Images
from hardener.data.waiting import Waiting
from hardener.errors import Failure, HardenerError, Interrupted, Lost, Told
from hardener.models.normalize import ImageClassifier
from hardener.models.weights import save_weights
from hardener.progress import rank_and_world
from hardener.reports.training_curves import draw_curves
from hardener.runtime.device import keep_freed_memory
from hardener.runtime.model_state import as_float
from hardener.runtime.processes import any_of, lost, sum_of
from hardener.training.augment import augment
from hardener.training.build import build_average, build_method, build_optimizers
from hardener.training.checkpoint import TrainingState, before, load_newest, save_checkpoint
from hardener.training.loop import Progress, StepRule, train_epoch
from hardener.training.metrics import EpochMetrics, TrainReporter
from hardener.training.objective import Objective
from hardener.training.parallel import (
    Copies,
    Exchange,
    Shares,
    gathered,
    shard,
    sync_batch_norm,
)
from hardener.training.schedule import learning_rate
from hardener.training.stop import StopRequest
from hardener.training.validation import Validation
from hardener.training.watch import Watch

SAVE_EVERY_S = 60.0
AGREE_EVERY = {"cuda": 10}  # steps after which several processes ask each other whether to stop: a GPU's are short


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
        self.images = train_images
        self.images.keep_on(device)
        self.rank, self.world = rank_and_world()
        self.method = build_method(recipe, len(record.classes)).to(device)
        self.exchange = self._spread(classifier)
        self.classifier = classifier
        self.validation = Validation(
            validation_images,
            recipe.validation,
            seed=record.seed,
            batch_size=recipe.batch_size,
            device=device,
            sharded=self.exchange.sharded,
        )
        theta, beta = build_optimizers(recipe, self.classifier.network, self.method, sharded=self.exchange.sharded)
        self.state = TrainingState(
            network=self.classifier.network,
            method=self.method,
            theta=theta,
            beta=beta,
            average=build_average(recipe.averaging, self.classifier),
            progress=self._start_of(0),
            attack_steps=self.method.attack_steps,
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
        self.watch = Watch(
            self.state,
            run.good_checkpoint,
            most=recipe.validation.rollback if self.method.can_step_up else 0,
            samples=self.validation.samples,
            num_classes=len(record.classes),
        )
        self.waiting = Waiting()
        keep_freed_memory()
        self._agree_every = AGREE_EVERY.get(device.type, 1) if self.world > 1 else 1
        self._timed = self._saved = time.monotonic()
        self._kept = (0, 0)

    def _spread(self, classifier: ImageClassifier) -> Exchange:
        """Bring the classifier to the device, or this process's share of it, and bind the processes together."""
        recipe, device = self.recipe, self.device
        self._whole: nn.Module | None = None
        compiled = compiles(recipe, device)
        if self.world == 1:
            classifier.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            return Exchange(Objective(classifier, self.method, compiled=compiled))
        sync_batch_norm(classifier, device)
        if recipe.parallel == "fsdp":
            self._whole = shard(classifier, device)
            return Shares(Objective(classifier, self.method, compiled=compiled))
        classifier.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = self.images.shape
        return Copies(
            Objective(classifier, self.method, compiled=compiled), device, (image.channels, image.height, image.width)
        )

    def resume(self) -> None:
        """Take up the run's last checkpoint.

        Raises:
            HardenerError: none that can be used.
        """
        fault = load_newest(self.run.checkpoint, self.state)
        if fault is not None:
            self.reporter.warn(f"{fault} Going on from the checkpoint before it.")
        self._apply_state()

    def go(self) -> RunFolder:
        """Train to the end.

        Raises:
            Failure: the loss is no longer finite, or a step fits no memory.
            Interrupted: a stop was asked for; the run can be resumed.
        """
        try:
            return self._go()
        except OSError:  # a full disk; the command line says which
            if self.run.checkpoint.is_file():
                self.reporter.warn(
                    f"what is done up to the last checkpoint is kept: hardener train --resume {self.run.path}"
                )
            raise
        except RuntimeError as error:
            if self.world == 1 or not lost(error):
                raise
            if int(os.environ.get("LOCAL_RANK", "0")) > 1:  # two of a machine say it: one may be who died
                raise Told(Lost.exit_code) from error
            epoch, images = self._kept
            raise Lost(
                f"process {self.rank} of {self.world} can no longer reach the others: one of them ended or hangs; its "
                f"own message, or torchrun's, says more. The run can go on from epoch {epoch + 1}, image {images}: "
                f"start torchrun as before, now with: hardener train --resume {self.run.path}"
            ) from error

    def _go(self) -> RunFolder:
        recipe, run = self.recipe, self.run
        if self.rank == 0:
            self._drop_rows_after_checkpoint()
        self._put_away("training")  # from here on a run that is killed can be resumed
        with StopRequest() as stop, ExitStack() as stack:
            done = self.state.progress.epoch * self._usable() + self.state.progress.images
            log = stack.enter_context(self._events())
            advance = stack.enter_context(self.reporter.track("training", self._usable() * recipe.epochs, "images"))
            advance(done)
            while self.state.progress.epoch < recipe.epochs:
                if not self._train_epoch(stop, advance):
                    self._put_away("interrupted")
                    raise self._for_all(
                        Interrupted(
                            f"in epoch {self.state.progress.epoch + 1} of {recipe.epochs}; nothing is lost. Go on "
                            f"with: hardener train --resume {run.path}"
                        )
                    )
                metrics = self._measure_epoch()
                is_best = self._judge(metrics)
                log(metrics)
                self._put_away("training")
                self.reporter.epoch(metrics, epochs=recipe.epochs, is_best=is_best)
                if metrics.rolled_back:
                    advance((self.state.progress.epoch - metrics.epoch) * self._usable())
        self._put_away("finished")
        if self.rank == 0:
            for spare in (before(run.checkpoint), run.good_checkpoint):
                spare.unlink(missing_ok=True)
        return run

    @contextmanager
    def _events(self) -> Iterator[Callable[[EpochMetrics], None]]:
        """Yield what puts an epoch on TensorBoard, on the first process."""
        if self.rank != 0:
            yield lambda metrics: None
            return
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self.run.tensorboard), purge_step=self.state.progress.epoch + 1) as events:

            def log(metrics: EpochMetrics) -> None:
                for name, value in asdict(metrics).items():
                    if value is not None and name != "epoch":
                        events.add_scalar(name, value, metrics.epoch)
                events.flush()

            yield log

    def _for_all(self, error: HardenerError) -> HardenerError:
        """Return what each process ends with where all agree: the first with the error, the others silently."""
        return error if self.rank == 0 else Told(error.exit_code)

    def _train_epoch(self, stop: StopRequest, advance: Callable[[int], None]) -> bool:
        """Take the epoch's remaining steps; return whether it is complete."""
        state = self.state
        self._epoch_began, self._epoch_seen, steps = time.monotonic(), 0, 0
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
            nonlocal steps
            steps += 1
            if steps % self._agree_every:
                return True
            stops, saves = any_of(stop.asked, self.rank == 0 and time.monotonic() - self._saved > SAVE_EVERY_S)
            if saves:
                self._put_away("training")
            return not stops

        awp = self.recipe.awp
        self.method.awp_gamma = awp.gamma if awp is not None and state.progress.epoch >= awp.warmup_epochs else 0.0
        self.exchange.objective.train()
        train_epoch(
            self.exchange,
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
        loss = float(sum_of(progress.loss_sum)) / self.world / max(progress.losses, 1)
        took = max(time.monotonic() - self._epoch_began, 1e-9)
        if not math.isfinite(loss):
            self.record.status = "failed"
            if self.rank == 0:
                self.run.write_record(self.record)
            raise self._for_all(
                Failure(
                    f"the loss became {loss} in epoch {progress.epoch + 1}. Lower the learning rate, such as --set "
                    f"optimizer.lr={recipe.optimizer.lr / 5:g}, or set optimizer.gradient_clip=1."
                )
            )
        if state.average is not None and self._averages_each_epoch():
            state.average.update_parameters(self.classifier)
        clean, robust = self.validation.measure(self._judged(), progress.epoch)
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
            rolled_back=self.watch.collapsed(robust) and self.watch.can_go_back,
        )

    def _judge(self, metrics: EpochMetrics) -> bool:
        """Log an epoch, keep its weights if they are the best, or take training back; return whether they are."""
        state = self.state
        if self.rank == 0:
            with self.run.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(metrics)) + "\n")
        state.rows += 1
        if self.watch.collapsed(metrics.robust_accuracy):
            fell = (
                f"quick robust accuracy fell from {100 * state.best_robust:.1f} to "
                f"{100 * metrics.robust_accuracy:.1f} % in epoch {metrics.epoch}: catastrophic overfitting"
            )
            if metrics.rolled_back:
                self.watch.go_back()
                self._apply_state()
                self.reporter.warn(
                    f"{fell}. Back to the end of epoch {state.progress.epoch}, from here with {state.attack_steps} "
                    "gradient steps"
                )
            else:
                self.reporter.warn(f"{fell}. This epoch's weights are not kept")
            return False
        self.watch.keep(metrics.robust_accuracy, write=self.rank == 0)
        score = _score(metrics, self.recipe.validation.select)
        if score <= state.best_score:
            return False
        state.best_score = score
        self._save_best()
        self.record.best = BestRecord(
            epoch=metrics.epoch,
            score=score,
            clean_accuracy=metrics.clean_accuracy,
            robust_accuracy=metrics.robust_accuracy,
        )
        return True

    def _save_best(self) -> None:
        network: nn.Module = self._judged().network
        if self._whole is not None:
            shares = gathered(network.state_dict())
            network = self._whole
            network.load_state_dict(shares)
        if self.rank == 0:
            save_weights(network, self.run.weights)

    def _apply_state(self) -> None:
        """Bring what follows from the state in line with it."""
        self.rule.piece = self.state.piece
        if self.method.can_step_up:
            self.method.attack_steps = self.state.attack_steps

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

    def _batches(self, progress: Progress) -> Iterator[tuple[Tensor, Tensor, int]]:
        recipe, epoch, place = self.recipe, progress.epoch, progress.images
        usable, together = self._usable(), recipe.batch_size * self.world
        shuffle = torch.Generator().manual_seed(self.record.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.images), generator=shuffle)[place:usable]
        if len(order) == 0:  # a checkpoint of the epoch's end
            return
        own = torch.cat([whole.tensor_split(self.world)[self.rank] for whole in order.split(together)])
        pieces = self.images.batches(own, recipe.batch_size, pin=self.device.type == "cuda")
        for images, labels in self.waiting(pieces):
            # all of a step's draws, of noise, mixup and attacks, follow from its place: no checkpoint holds any
            torch.manual_seed(_step_seed(self.record.seed, epoch, place, self.rank))
            whole = min(together, usable - place)
            place += whole
            moved = as_float(images.to(self.device, non_blocking=True)).contiguous(memory_format=torch.channels_last)
            yield (
                augment(moved, shift=recipe.augment.shift, flip=recipe.augment.flip),
                labels.to(self.device, non_blocking=True),
                whole,
            )

    def _usable(self) -> int:
        """Images of an epoch: a last minibatch that leaves a process one image or none is left out.

        Batch norm cannot train on one.
        """
        count = len(self.images)
        rest = count % (self.recipe.batch_size * self.world)
        return count - rest if 0 < rest < 2 * self.world and rest < count else count

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

    def _put_away(self, status: str) -> None:
        """Bring everything on disk up to now; all processes must ask for it, and the first writes."""
        state, record = self.state, self.record
        now = time.monotonic()
        state.seconds += now - self._timed
        self._timed = now
        if self.world > 1:
            state.progress.loss_sum = sum_of(state.progress.loss_sum) / self.world
        save_checkpoint(self.run.checkpoint, state, write=self.rank == 0)
        self._saved = time.monotonic()
        self._kept = (state.progress.epoch, state.progress.images)
        record.status = status  # type: ignore[assignment]
        record.epochs_done = state.progress.epoch
        record.seconds = round(state.seconds, 3)
        if self.rank != 0:
            return
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


def _step_seed(seed: int, epoch: int, place: int, rank: int) -> int:
    """Return a seed of its own for every step of every run, on each of several processes."""
    where = f"{seed} {epoch} {place}" + (f" {rank}" if rank else "")
    digest = hashlib.blake2b(where.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def _score(metrics: EpochMetrics, select: str) -> float:
    clean, robust = metrics.clean_accuracy, metrics.robust_accuracy
    return {"clean": clean, "robust": robust, "mean": (clean + robust) / 2}[select]
