"""Model, data and recipe, read and seen to fit together; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hardener.config.data_path import is_there
from hardener.config.pixels import PixelRule
from hardener.config.reading import OtherRoots, Reading, ignoring
from hardener.config.run_folder import RunFolder, RunRecord
from hardener.config.schema import Recipe
from hardener.data.cache import PixelCache
from hardener.data.class_names import refuse_unserved
from hardener.data.data_set import DataSet, read_data_set, say_how
from hardener.data.image_files import ImageFiles
from hardener.data.input_rule import Cut, bulk_size, choose_range, cut_by_crop, tell_cut, tell_pixels, tell_size
from hardener.data.loader import ImageShape, LoadedImages, load_images, shape_of
from hardener.data.survey import Size, Survey, survey
from hardener.errors import HardenerError
from hardener.models.activation import replace_activations
from hardener.models.buffers import keep_all_buffers
from hardener.models.build import Built, build_for
from hardener.models.conditions import Conditions, tell
from hardener.models.dry_run import dry_run
from hardener.models.freeze import HeldBody, freeze
from hardener.models.load import LoadedModel, ModelChoice
from hardener.models.normalize import ImageClassifier, normalization
from hardener.models.trained import changed_code, open_classifier
from hardener.progress import Reporter, rank_and_world
from hardener.runtime.model_state import seed_draws
from hardener.training.augmentation import Pictured, settle_augmentation
from hardener.training.balance import describe_balance
from hardener.training.build import autocasts, freeze_as_asked
from hardener.training.eps_schedule import short_ramp
from hardener.training.files_around_a_run import say_what_it_reads
from hardener.training.first_weights import give_weights_and_head
from hardener.training.idle import idle_here
from hardener.training.launch import own_device
from hardener.training.look import Looked, Splits, drop_copies, look_at_data
from hardener.training.loop import smallest_piece
from hardener.training.named_files import see_what_is_named
from hardener.training.order import single_step
from hardener.training.own_normalization import choose_normalization
from hardener.training.request import TrainRequest
from hardener.training.resizing import check_smallest
from hardener.training.seen_before import SeenBefore, seen_before, seen_before_again
from hardener.training.session import Material
from hardener.training.settling import say_if_converted, settle_recipe
from hardener.words import are, counted, listed

_FITS = (
    "--set data.fit=letterbox keeps all of every image, --set data.fit=stretch too, in other proportions. The worst "
    "are shown in the run's cropped.jpg"
)
_MANY_FLAT = 0.01


@dataclass(frozen=True)
class Prepared:
    """What a new run works on, and what its record says of that.

    Attributes:
        recipe: as it was asked for, with what it left to the images, the weights and the size.
        mean, std: by which the classifier normalises; empty for not at all.
        replaced_head: the name of the fresh final layer, if there is one.
        cut: what the crop takes away, where that is much from many images.
        which: the set of weights that was taken, of several in a file.
    """

    recipe: Recipe
    material: Material
    folder: DataSet
    looked: Looked
    loaded: LoadedModel
    mean: tuple[float, ...]
    std: tuple[float, ...]
    replaced_head: str | None
    cut: Cut | None = None
    which: str | None = None


def prepare(request: TrainRequest, reporter: Reporter) -> Prepared:
    """Read what a new run needs.

    Raises:
        HardenerError: something is not there, cannot be read, or does not fit the rest.
    """
    recipe, device = request.recipe, own_device(request.device)
    see_what_is_named(request)
    others: OtherRoots = {"validation_root": request.validation_root, "test_root": request.test_root}
    folder = _read_folder(request.data, others, recipe, request.seed, request.reading, reporter)
    say_how(folder, reporter)
    cache = _pixel_cache(recipe, reporter)
    seen, size, rule, cut = _look(folder.train, recipe, cache, reporter)
    seed_draws(request.seed)
    built = _build(request, folder.classes, size, color=seen.color)
    loaded, shape = built.loaded, ImageShape(built.height, built.width, built.channels, rule)
    recipe = settle_recipe(request, min(shape.height, shape.width), reporter)
    for line in idle_here(recipe, folder, shape):
        reporter.warn(line)
    say_if_converted(recipe, device, reporter, ": --precision float32 is faster here")
    for note in loaded.notes:
        reporter.say(note)
    say_what_it_reads(loaded, reporter)
    color = seen.color and shape.channels == 3
    if seen.color and not color:
        reporter.warn("the images hold colour and the model takes one channel: they are turned to gray")
    built, replaced, began = give_weights_and_head(built, request, folder.classes, reporter)
    loaded = built.loaded
    drawn = loaded.bare and request.init is None
    _change_network(built, recipe, shape, len(folder.classes), reporter, drawn=drawn)
    pictured = Pictured(shape.height, shape.width, len(folder.train), color, folder.classes)
    recipe = settle_augmentation(recipe, pictured, reporter, told=request.recipe.augment.model_fields_set)
    keep_all_buffers(loaded.network)
    normalize, recipe = choose_normalization(built, recipe, request, began, reporter)
    tried = _dry_run(built, recipe, folder, device, reporter)
    before = seen_before(began.told.run, request)
    splits = _load(folder, shape, request.skip_bad_images, request.reading.dedupe, cache, reporter, before)
    train_images = splits.train
    check_enough(train_images, folder.classes)
    looked = look_at_data(
        folder,
        splits,
        seen,
        recipe.data.image_size,
        cache,
        reporter,
        balance=recipe.data.balance,
        dedupe=request.reading.dedupe,
    )
    balance = describe_balance(recipe, train_images.labels, folder.classes)
    if balance is not None:
        reporter.say(balance)
    for told in (short_ramp, single_step):
        if (short := told(recipe, len(train_images), rank_and_world()[1])) is not None:
            reporter.warn(short)
    mean, std = normalization(normalize, channels=shape.channels, mean=train_images.mean, std=train_images.std)
    classifier = ImageClassifier(loaded.network, mean=mean, std=std, classes=folder.classes).treated_like(tried)
    material = Material(classifier, train_images, splits.validation, device)
    return Prepared(recipe, material, folder, looked, loaded, mean, std, replaced, cut, began.which or request.weights)


def prepare_again(run: RunFolder, record: RunRecord, recipe: Recipe, device: str, reporter: Reporter) -> Material:
    """Read what an unfinished run was begun with; the classifier's weights come from its checkpoint later.

    Raises:
        HardenerError: something is no longer there, or has changed.
    """
    chosen = own_device(device)
    say_if_converted(recipe, chosen, reporter)
    others = record.data.other_roots()
    places = {"--data": Path(record.data.root), "--val": others["validation_root"], "--test": others["test_root"]}
    for option, root in places.items():
        if root is not None and not is_there(root):
            raise HardenerError(
                f"the run's images are no longer at {root}. Name the place where they lie now: "
                f"{run.going_on} {option} DIR"
            )
    folder = _read_folder(Path(record.data.root), others, recipe, record.seed, record.data.reading, reporter)
    if (changed := changed_code(run, record)) is not None:
        reporter.warn(changed)
    classifier = open_classifier(run, record, weights=False)
    freeze_as_asked(classifier, recipe)
    shape = shape_of(record.input)
    cache = _pixel_cache(recipe, reporter)
    before = seen_before_again(run, record)
    splits = _load(folder, shape, record.data.skip_bad_images, record.data.reading.dedupe, cache, reporter, before)
    _check_same(record, folder, {"train": splits.train, "validation": splits.validation})
    check_enough(splits.train, folder.classes)
    return Material(classifier, splits.train, splits.validation, chosen)


def _check_same(record: RunRecord, folder: DataSet, splits: dict[str, LoadedImages]) -> None:
    """See that the images are those that the run was begun with; else say what differs."""
    listings = folder.listings()
    differing = []
    for name, images in splits.items():
        was = record.data.splits[name]
        if images.fingerprint == was.fingerprint:
            continue
        if len(images) != was.images:
            differing.append(f"the {name} split has {len(images)} images and had {was.images}")
        elif listings.get(name) != record.data.listings.get(name, listings.get(name)):
            differing.append(f"the {name} split's {was.images} images have other names")
        else:
            differing.append(f"the {name} split's {was.images} images have the same names and other contents")
    if differing:
        raise HardenerError(
            f"{record.data.root} has changed since the run began: {'; '.join(differing)}. A resumed run would not be "
            "the one that was started. Restore the images, name the place where they lie now with --data DIR, or start "
            "a new run."
        )


def check_enough(images: LoadedImages, classes: Sequence[str]) -> None:
    """See that each process has images to train on, and each class one.

    Raises:
        HardenerError: there are too few.
    """
    counts = torch.bincount(images.labels, minlength=len(classes)).tolist()
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        raise HardenerError(
            f"no training image of {listed(empty, 5)} can be read: nothing of it can be learned. Repair the files, "
            f"or leave them out: {ignoring(empty)}."
        )
    world = rank_and_world()[1]
    if world > 1 and len(images) < 2 * world:
        raise HardenerError(f"{len(images)} training images are too few for {world} processes: each needs two.")


def _read_folder(
    root: Path, others: OtherRoots, recipe: Recipe, seed: int, reading: Reading, reporter: Reporter
) -> DataSet:
    folder = read_data_set(
        root,
        reading=reading.grouped(recipe.data.group_by),
        **others,
        seed=seed,
        val_fraction=recipe.data.val_fraction,
        test_fraction=recipe.data.test_fraction,
        reporter=reporter,
    )
    refuse_unserved(folder.classes)
    return folder


def _pixel_cache(recipe: Recipe, reporter: Reporter) -> PixelCache | None:
    return PixelCache(recipe.data.cache_gb, reporter.warn) if recipe.data.cache else None


def _look(
    files: ImageFiles, recipe: Recipe, cache: PixelCache | None, reporter: Reporter
) -> tuple[Survey, Size, PixelRule, Cut | None]:
    """Return what the headers say, the size and the rule that images are brought to, and what a crop takes away."""
    with reporter.track("reading headers", len(files), "images") as advance:
        seen = survey(files, cache=cache, on_done=advance)
    asked = recipe.data
    size = asked.image_size or bulk_size(seen)
    if asked.image_size is None:
        tell_size(seen, files, size, reporter)
    ends = choose_range(files, seen, asked.range, cache, reporter)
    rule = PixelRule(fit=asked.fit, background=asked.background, range=ends)
    tell_pixels(seen, files, rule, reporter)
    cut = cut_by_crop(seen, size)
    is_much = tell_cut(cut, files, size, rule.fit, _FITS, reporter)
    return seen, size, rule, cut if is_much else None


def _build(request: TrainRequest, classes: Sequence[str], size: Size, *, color: bool) -> Built:
    """Return the network as it is built, and what it takes."""
    height, width = size
    asked = request.recipe.data.channels
    return build_for(
        ModelChoice(
            request.model,
            request.entry,
            request.model_args,
            request.root,
            request.pretrained,
            offers_head=not request.replace_head,
        ),
        num_classes=len(classes),
        channels=[asked] if asked != "auto" else [3, 1] if color else [1, 3],
        height=height,
        width=width,
    )


def _change_network(
    built: Built, recipe: Recipe, shape: ImageShape, num_classes: int, reporter: Reporter, *, drawn: bool
) -> None:
    """Replace activations and freeze what the recipe names.

    Args:
        drawn: its code would have fetched weights, and nothing gives it any.
    """
    activation, network = recipe.network.activation, built.network
    smooth = replace_activations(network, activation, channels=shape.channels, height=shape.height, width=shape.width)
    if smooth:
        reporter.say(f"{smooth} ReLUs replaced by {activation}")
    head = next(iter(built.answer.heads), None)
    still = freeze(network, recipe.network.freeze, num_classes=num_classes, head=head)
    learning = sum(p.numel() for p in network.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in network.parameters())
    if still:
        reporter.say(f"frozen: {', '.join(still)}; {learning:,} parameters learn")
    elif 2 * learning < whole:
        reporter.warn(
            f"{learning:,} of {whole:,} parameters learn: the model's own code freezes the others. "
            + (
                "They stay as they were drawn at random, since their weights were not fetched: give weights by --init, "
                "or switch the freezing off by the file's own argument"
                if drawn
                else "--freeze PATTERN also holds their batch statistics"
            )
        )
    if recipe.network.head_first:
        names = HeldBody(network, num_classes=num_classes, head=head).names
        reporter.say(f"{counted(recipe.network.head_first, 'epoch')} of the head first: {', '.join(names)} learn after")


def _dry_run(
    built: Built, recipe: Recipe, folder: DataSet, device: torch.device, reporter: Reporter
) -> ImageClassifier:
    """Try a step of training, say what is found, and return a classifier that is given its images as it needs them."""
    half = (0.5,) * built.channels if recipe.data.normalize != "none" else ()
    tried = ImageClassifier(built.network, mean=half, std=half, classes=folder.classes)
    tried.way, tried.heads = built.way, built.answer.heads
    conditions = Conditions(
        built.channels,
        built.height,
        built.width,
        device,
        batch=smallest_piece(len(folder.train), recipe.batch_size, recipe.accumulate, rank_and_world()[1]),
        autocast=autocasts(recipe, device),
    )
    for remark in built.remarks:
        reporter.say(remark)
    tell(dry_run(tried, conditions), reporter)
    check_smallest(tried, recipe, ImageShape(built.height, built.width, built.channels))
    return tried


def _load(
    folder: DataSet,
    shape: ImageShape,
    skip_bad: bool,
    dedupe: bool,
    cache: PixelCache | None,
    reporter: Reporter,
    before: SeenBefore | None,
) -> Splits:
    """Return the images of the training and the validation split; if asked without what training has seen already."""
    with reporter.track("reading images", len(folder.train) + len(folder.validation), "images") as advance:
        train_images, validation_images = (
            load_images(files, shape, skip_bad=skip_bad, cache=cache, on_decoded=advance)
            for files in (folder.train, folder.validation)
        )
    skipped = train_images.skipped + validation_images.skipped
    if skipped:
        named = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
        reporter.warn(
            f"{counted(len(skipped), 'image')} cannot be read and {are(len(skipped))} left out: {named}"
            f"{' …' if len(skipped) > 3 else ''}"
        )
    if train_images.flat > len(train_images) * _MANY_FLAT:
        reporter.warn(
            f"{train_images.flat:,} of {len(train_images):,} training images are of one single colour, as the model "
            "sees them. If their shape is in their alpha channel, choose another background, such as "
            "--set data.background=black"
        )
    splits = Splits(train_images, validation_images, validation_images.prints, before)
    if not dedupe:
        return splits
    return drop_copies(folder, splits, lambda files: load_images(files, shape, skip_bad=skip_bad, cache=cache))
