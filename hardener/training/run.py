"""Config -> trained model and a run folder."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from hardener.config.run_folder import (
    BestRecord,
    DataRecord,
    InputRecord,
    ModelRecord,
    RunFolder,
    RunRecord,
    SplitRecord,
    now,
)
from hardener.config.schema import Recipe
from hardener.data.image_folder import ImageFolder, read_image_folder
from hardener.data.loader import DEFAULT_SIZE, Images, ImageShape, load_images, survey
from hardener.errors import Failure, HardenerError
from hardener.evaluation.device import choose_device, describe_hardware, describe_versions
from hardener.evaluation.robust_accuracy import AttackPlan, as_float, robust_accuracy
from hardener.methods.vicinity_risk import VicinityRisk, WorstPoint
from hardener.models.load import LoadedModel, fingerprint
from hardener.models.normalize import ImageClassifier, normalization
from hardener.models.rebuild import build_for, fit_head
from hardener.models.trained import open_classifier
from hardener.models.weights import save_weights
from hardener.progress import Reporter
from hardener.training.augment import augment
from hardener.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from hardener.training.curves import draw_curves
from hardener.training.loop import Progress, StepRule, train_epoch
from hardener.training.schedule import learning_rate
from hardener.training.stop import StopRequest


@dataclass(frozen=True)
class TrainRequest:
    """What `hardener train` was asked for."""

    model: str
    data: Path
    recipe: Recipe
    entry: str | None = None
    init: Path | None = None
    pretrained: bool = False
    replace_head: bool = False
    allow_pickle: bool = False
    validation_root: Path | None = None
    skip_bad_images: bool = False
    device: str = "auto"
    seed: int = 0
    out: Path = Path("runs")
    name: str | None = None


@dataclass(frozen=True)
class EpochMetrics:
    """A line of metrics.jsonl. Accuracies are of the validation split; the robust one is of a quick PGD."""

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


class TrainReporter(Reporter, Protocol):
    """A reporter that also shows epochs."""

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Show what an epoch gave."""


class Interrupted(HardenerError):
    """Ctrl-C or a termination signal; the run can go on."""

    exit_code = 130


def train(request: TrainRequest, reporter: TrainReporter) -> RunFolder:
    """Train a model by a recipe and return its run folder.

    Nothing is written before model, data and recipe are known to fit together.

    Raises:
        HardenerError: a mistake in what was asked for.
        Failure: the loss is no longer finite.
        Interrupted: a stop was asked for; the run can be resumed.
    """
    recipe = request.recipe
    device = choose_device(request.device)
    folder = read_image_folder(
        request.data,
        validation_root=request.validation_root,
        seed=request.seed,
        val_fraction=recipe.data.val_fraction,
        test_fraction=recipe.data.test_fraction,
    )
    sizes, color = survey(folder.train)
    height, width = _image_size(recipe, sizes)
    torch.manual_seed(request.seed)
    loaded, channels, outputs = build_for(
        request.model,
        num_classes=len(folder.classes),
        channels=[recipe.data.channels] if recipe.data.channels != "auto" else [3, 1] if color else [1, 3],
        height=height,
        width=width,
        entry=request.entry,
        pretrained=request.pretrained,
    )
    if color and channels == 1:
        reporter.warn("the images hold colour and the model takes one channel: they are turned to gray")
    replaced, extra = fit_head(
        loaded,
        outputs,
        len(folder.classes),
        replace=request.replace_head,
        init=request.init,
        allow_pickle=request.allow_pickle,
    )
    if replaced:
        reporter.say(f"final layer {replaced} replaced: {outputs} → {len(folder.classes)} outputs")
    if extra:
        reporter.warn(f"{request.init} holds {len(extra)} tensors that the model has no place for, such as {extra[0]}")
    shape = ImageShape(height, width, channels)
    train_images, validation_images = _load(folder, shape, request.skip_bad_images, reporter)
    mean, std = normalization(recipe.data.normalize, channels=channels, mean=train_images.mean, std=train_images.std)
    classifier = ImageClassifier(loaded.network, mean=mean, std=std, classes=folder.classes)

    run = _new_folder(request, loaded.name)
    try:
        record = RunRecord(
            name=run.path.name,
            status="training",
            created_at=now(),
            seed=request.seed,
            device=str(device),
            precision="bfloat16" if _autocast(recipe, device) else "float32",
            classes=list(folder.classes),
            model=_model_record(request, loaded, replaced, _copy_sources(loaded, run)),
            data=DataRecord(
                root=str(request.data.resolve()),
                validation_root=None if request.validation_root is None else str(request.validation_root.resolve()),
                skip_bad_images=request.skip_bad_images,
                splits={"train": _split_record(train_images), "validation": _split_record(validation_images)},
                listings=folder.listings(),
            ),
            input=InputRecord(height=height, width=width, channels=channels, mean=list(mean), std=list(std)),
            versions=describe_versions(),
            hardware=describe_hardware(device),
        )
        run.write_recipe(recipe)
        run.write_record(record)
        work = _Work(run, record, recipe, classifier, train_images, validation_images, device, reporter)
        return work.go()
    finally:
        if not run.checkpoint.is_file():  # it can neither be used nor resumed
            shutil.rmtree(run.path, ignore_errors=True)


def resume(run: RunFolder, reporter: TrainReporter, *, device: str = "auto") -> RunFolder:
    """Go on with a run from its last checkpoint, on the data and with the recipe that it names.

    Raises:
        HardenerError: the run is finished, has no checkpoint, or its data has changed.
    """
    record = run.read_record()
    recipe = run.read_recipe()
    if record.status == "finished":
        raise HardenerError(f"{run.path} is finished: {record.epochs_done} epochs are done.")
    chosen = choose_device(device)
    folder = read_image_folder(
        Path(record.data.root),
        validation_root=None if record.data.validation_root is None else Path(record.data.validation_root),
        seed=record.seed,
        val_fraction=recipe.data.val_fraction,
        test_fraction=recipe.data.test_fraction,
    )
    classifier = open_classifier(run, record, weights=False)
    shape = ImageShape(record.input.height, record.input.width, record.input.channels)
    train_images, validation_images = _load(folder, shape, record.data.skip_bad_images, reporter)
    for name, images in (("train", train_images), ("validation", validation_images)):
        if images.fingerprint != record.data.splits[name].fingerprint:
            raise HardenerError(
                f"{record.data.root} has changed since the run began ({name} split): a resumed run would not be "
                "the one that was started. Restore the images, or start a new run."
            )
    record.status = "training"
    work = _Work(run, record, recipe, classifier, train_images, validation_images, chosen, reporter)
    load_checkpoint(run.checkpoint, work.state)
    return work.go()


class _Work:
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
        layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        self.classifier = classifier.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        labels, settings = recipe.vicinity.labels, recipe.optimizer
        self.method = VicinityRisk(
            num_classes=len(record.classes),
            noise_sigma=recipe.vicinity.noise_sigma,
            mixup_alpha=recipe.vicinity.mixup_alpha,
            law=labels.law,
            sampled=labels.draw == "sampled",
            smoothing=labels.smoothing,
            total_concentration=labels.total_concentration,
            alpha=labels.alpha,
            scale=labels.scale,
            beta_max=recipe.beta.max,
            worst_point=_worst_point(recipe),
        ).to(device)
        parameters = [p for p in self.classifier.parameters() if p.requires_grad]
        theta: torch.optim.Optimizer
        if settings.name == "sgd":
            theta = torch.optim.SGD(
                parameters,
                lr=settings.lr,
                momentum=settings.momentum,
                weight_decay=settings.weight_decay,
                nesterov=settings.momentum > 0,
            )
        else:
            theta = torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
        beta = None
        if self.method.beta is not None:
            beta = torch.optim.SGD(
                [self.method.beta],
                lr=recipe.beta.lr or settings.lr,
                momentum=recipe.beta.momentum,
                weight_decay=recipe.beta.weight_decay,
                maximize=True,
            )
        self.state = TrainingState(
            network=self.classifier.network,
            method=self.method,
            theta=theta,
            beta=beta,
            progress=Progress(0, 0, torch.zeros((), device=device)),
            best_score=-1.0,
            seconds=0.0,
            rows=0,
        )
        self.rule = StepRule(
            theta_steps=recipe.theta_steps,
            beta_on_clean=recipe.beta_batch == "clean",
            gradient_clip=settings.gradient_clip,
            autocast=_autocast(recipe, device),
        )
        self.steps = math.ceil(self._usable() / recipe.batch_size)

    def go(self) -> RunFolder:
        recipe, state, run = self.recipe, self.state, self.run
        run.write_record(self.record)
        self._drop_rows_after_checkpoint()
        from torch.utils.tensorboard import SummaryWriter

        with StopRequest() as stop, ExitStack() as stack:
            events = stack.enter_context(SummaryWriter(str(run.tensorboard), purge_step=state.progress.epoch + 1))
            done_before = (state.progress.epoch * self.steps + state.progress.step) * recipe.batch_size
            advance = stack.enter_context(self.reporter.track("training", self._usable() * recipe.epochs, "images"))
            advance(done_before)
            while state.progress.epoch < recipe.epochs:
                started = time.monotonic()
                metrics = self._epoch(stop, advance)
                if metrics is None:
                    state.seconds += time.monotonic() - started
                    self._put_away("interrupted")
                    raise Interrupted(
                        f"in epoch {state.progress.epoch + 1} of {recipe.epochs}; nothing is lost. Go on "
                        f"with: hardener train --resume {run.path}"
                    )
                score = _score(metrics, recipe.validation.select)
                is_best = score > state.best_score
                if is_best:
                    state.best_score = score
                    save_weights(self.classifier.network, run.weights)
                    self.record.best = BestRecord(
                        epoch=metrics.epoch,
                        score=score,
                        clean_accuracy=metrics.clean_accuracy,
                        robust_accuracy=metrics.robust_accuracy,
                    )
                with run.metrics.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(metrics)) + "\n")
                for name, value in asdict(metrics).items():
                    if value is not None and name != "epoch":
                        events.add_scalar(name, value, metrics.epoch)
                events.flush()
                state.rows += 1
                self.record.images_per_s = round(metrics.images_per_s, 1)
                state.seconds += time.monotonic() - started
                self._put_away("training")
                self.reporter.epoch(metrics, epochs=recipe.epochs, is_best=is_best)
        self._put_away("finished")
        return run

    def _epoch(self, stop: StopRequest, advance: object) -> EpochMetrics | None:
        assert callable(advance)
        state, recipe = self.state, self.recipe
        progress = state.progress
        started, seen = time.monotonic(), 0

        def on_step(images: int) -> bool:
            nonlocal seen
            seen += images
            advance(images)
            return not stop.asked

        train_epoch(
            self.classifier,
            self.method,
            self._batches(progress),
            state.theta,
            state.beta,
            self.rule,
            progress,
            set_learning_rate=self._set_learning_rate,
            on_step=on_step,
        )
        if progress.step < self.steps:
            return None
        loss = float(progress.loss_sum) / max(progress.losses, 1)
        rate = seen / max(time.monotonic() - started, 1e-9)
        if not math.isfinite(loss):
            self.record.status = "failed"
            self.run.write_record(self.record)
            raise Failure(
                f"the loss became {loss} in epoch {progress.epoch + 1}. Lower the learning rate, such as --set "
                f"optimizer.lr={recipe.optimizer.lr / 5:g}, or set optimizer.gradient_clip=1."
            )
        clean, robust = self._validate(progress.epoch)
        state.progress = Progress(progress.epoch + 1, 0, torch.zeros((), device=self.device))
        beta = None if self.method.beta is None else self.method.beta.detach()
        return EpochMetrics(
            epoch=progress.epoch + 1,
            loss=loss,
            clean_accuracy=clean,
            robust_accuracy=robust,
            target_mass=float(self.method.target_mass()),
            beta_min=None if beta is None else float(beta.min()),
            beta_max=None if beta is None else float(beta.max()),
            learning_rate=float(state.theta.param_groups[0]["lr"]),
            images_per_s=rate,
            seconds=time.monotonic() - started,
        )

    def _batches(self, progress: Progress) -> Iterator[tuple[Tensor, Tensor]]:
        recipe = self.recipe
        shuffle = torch.Generator().manual_seed(self.record.seed * 1_000_003 + progress.epoch)
        order = torch.randperm(len(self.images), generator=shuffle)[: self._usable()]
        left = order[progress.step * recipe.batch_size :]
        for images, labels in self.images.batches(left, recipe.batch_size):
            moved = as_float(images.to(self.device, non_blocking=True))
            if self.device.type == "cuda":
                moved = moved.contiguous(memory_format=torch.channels_last)
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
        share = (progress.epoch + progress.step / self.steps) / recipe.epochs
        rate = learning_rate(
            share,
            peak=settings.lr,
            schedule=settings.schedule,
            milestones=settings.milestones,
            warmup=min(settings.warmup_epochs / recipe.epochs, 0.5),
        )
        self.state.theta.param_groups[0]["lr"] = rate
        if self.state.beta is not None and recipe.beta.lr is None:
            self.state.beta.param_groups[0]["lr"] = rate

    def _validate(self, epoch: int) -> tuple[float, float]:
        """Return clean accuracy on the whole validation split and quick robust accuracy on part of it."""
        rule, images = self.recipe.validation, self.validation
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.record.seed))
        quick, labels = images.take(order[: rule.samples])
        attacked = robust_accuracy(
            self.classifier,
            quick,
            labels,
            [AttackPlan("pgd", {"steps": rule.steps})],
            rule.threat,
            batch_size=max(self.recipe.batch_size, 128),
            generator=torch.Generator(self.device).manual_seed(self.record.seed + epoch),
        )
        self.classifier.eval()
        right = 0
        with torch.no_grad():
            for pixels, truth in images.batches(torch.arange(len(images)), 256):
                guess = self.classifier(as_float(pixels.to(self.device))).argmax(dim=1)
                right += int((guess == truth.to(self.device)).sum())
        return right / len(images), attacked.robust_accuracy

    def _put_away(self, status: str) -> None:
        """Bring everything on disk up to now."""
        state, record = self.state, self.record
        save_checkpoint(self.run.checkpoint, state)
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


def _image_size(recipe: Recipe, sizes: set[tuple[int, int]]) -> tuple[int, int]:
    if recipe.data.image_size is not None:
        return recipe.data.image_size
    return next(iter(sizes)) if len(sizes) == 1 else (DEFAULT_SIZE, DEFAULT_SIZE)


def _load(folder: ImageFolder, shape: ImageShape, skip_bad: bool, reporter: Reporter) -> tuple[Images, Images]:
    with reporter.track("reading images", len(folder.train) + len(folder.validation), "images") as advance:
        train_images, validation_images = (
            load_images(files, shape, skip_bad=skip_bad, on_decoded=advance)
            for files in (folder.train, folder.validation)
        )
    skipped = train_images.skipped + validation_images.skipped
    if skipped:
        named = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
        reporter.warn(
            f"{len(skipped)} images cannot be read and are left out: {named}{' …' if len(skipped) > 3 else ''}"
        )
    return train_images, validation_images


def _new_folder(request: TrainRequest, model_name: str) -> RunFolder:
    if request.name is not None:
        path = request.out / request.name
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise HardenerError(
                f"{path} exists. Choose another --name, or go on with it: hardener train --resume {path}"
            ) from None
        return RunFolder(path)
    stem = f"{model_name}-{request.recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for attempt in range(1, 1000):
        path = request.out / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return RunFolder(path)
    raise Failure(f"no free name for a run below {request.out}.")


def _copy_sources(loaded: LoadedModel, run: RunFolder) -> str | None:
    """Copy the model file, and what it imports from beside it, into the run; return where the model file went."""
    if not loaded.sources:
        return None
    main, *beside = loaded.sources
    for source in (main, *beside):
        target = run.model_files / source.resolve().relative_to(main.resolve().parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return str((run.model_files / main.name).relative_to(run.path))


def _model_record(request: TrainRequest, loaded: LoadedModel, replaced: str | None, file: str | None) -> ModelRecord:
    return ModelRecord(
        spec=request.model,
        name=loaded.name,
        file=file,
        entry=request.entry,
        fingerprint=fingerprint(loaded),
        parameters=sum(p.numel() for p in loaded.network.parameters()),
        init=None if request.init is None else str(request.init),
        pretrained=request.pretrained,
        replaced_head=replaced,
    )


def _split_record(images: Images) -> SplitRecord:
    return SplitRecord(images=len(images), skipped=len(images.skipped), fingerprint=images.fingerprint)


def _worst_point(recipe: Recipe) -> WorstPoint | None:
    asked = recipe.vicinity.adversarial
    return None if asked is None else WorstPoint(asked.norm, asked.eps, asked.steps, asked.step_size)


def _autocast(recipe: Recipe, device: torch.device) -> bool:
    if recipe.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return recipe.precision == "bfloat16"


def _score(metrics: EpochMetrics, select: str) -> float:
    clean, robust = metrics.clean_accuracy, metrics.robust_accuracy
    return {"clean": clean, "robust": robust, "mean": (clean + robust) / 2}[select]
