"""The robustness report on one answer."""

from __future__ import annotations

import asyncio
import secrets

import numpy as np

from hardener.config.answer import AttackProbe, InputCheck, InputStatistic, Margin, OfflineFigures, Report, ReportBudget
from hardener.config.bundle import Bundle, ServedThreat, Spread, TrainingImages
from hardener.data.statistics import image_statistics

from .budget import Budget
from .certificate import certify
from .found_image import offer
from .probes import probe_stability, softmax
from .square import attack_with_square
from .timed_model import Logits, ModelAccess, Pixels, TimedModel


async def robustness_report(
    image: Pixels,
    logits: Logits,
    bundle: Bundle,
    access: ModelAccess,
    budget: Budget,
    *,
    file_size: tuple[int, int],
    found_image: bool = False,
) -> Report:
    """Examine the answer to one image.

    The parts run side by side, so that whichever is cut short when the time runs out, the others had their share.

    Args:
        image: (H, W, C), the model's input.
        logits: (K,), the model's answer to it.
        access: how the model is asked.
        file_size: width and height of the image as sent, turned the right way up.
        found_image: send the adversarial image along, where the attack finds one.
    """
    model = TimedModel(access, seconds=budget.seconds)
    predicted, margin = int(logits.argmax()), _margin(logits, bundle.classes)
    noise, draws, search = np.random.default_rng(secrets.randbits(128)).spawn(3)  # who knew them could aim between

    async def attacked() -> AttackProbe:
        probe, found = await attack_with_square(
            image,
            predicted,
            margin.logits,
            bundle.classes,
            _threat(bundle),
            model,
            search,
            queries=budget.queries,
        )
        return await offer(probe, found, predicted, bundle.input, model, wanted=found_image)

    try:
        async with asyncio.TaskGroup() as parts:
            stability = parts.create_task(probe_stability(image, predicted, bundle.classes, model, noise))
            certificate = parts.create_task(certify(image, predicted, bundle, model, draws, budget))
            attack = parts.create_task(attacked())
            checked = parts.create_task(
                model.in_thread(lambda: check_input(image, file_size, bundle.training_images)),
            )
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return Report(
        stability=stability.result(),
        certificate=certificate.result(),
        offline=_offline_figures(bundle),
        attack=attack.result(),
        margin=margin,
        input=checked.result(),
        budget=_spent(budget, model),
    )


def _spent(budget: Budget, model: TimedModel) -> ReportBudget:
    return ReportBudget(
        allowed_s=budget.seconds,
        draws_allowed=budget.draws,
        queries_allowed=budget.queries,
        spent_s=model.spent_s,
        model_runs=model.answered,
        cut_short=model.cut_short,
    )


def check_input(image: Pixels, file_size: tuple[int, int], training: TrainingImages | None) -> InputCheck:
    """Compare an image with the training images, in simple statistics.

    Args:
        image: (H, W, C), the model's input.
        file_size: width and height of the image as sent.
        training: None: the bundle has no statistics of them.
    """
    brightness, contrast, noise = image_statistics(image)
    level = "of the model's input, luma in [0, 1]"
    measured: dict[str, tuple[float, str]] = {
        "width": (file_size[0], "pixels, of the image as sent"),
        "height": (file_size[1], "pixels, of the image as sent"),
        "brightness": (brightness, f"mean {level}"),
        "contrast": (contrast, f"standard deviation {level}"),
        "noise": (noise, f"estimated std of the noise {level}; fine texture counts as noise"),
    }
    statistics = {}
    for name, (value, unit) in measured.items():
        spread: Spread | None = None if training is None else getattr(training, name)
        unusual = None if spread is None else not spread.q01 <= value <= spread.q99
        statistics[name] = InputStatistic(value=value, unit=unit, training=spread, unusual=unusual)
    if training is None:
        meaning = "The bundle holds no statistics of training images, so what is unusual is not known."
    else:
        meaning = (
            f"unusual: outside the range of the middle 98 % of {training.images:,} training images. That is a reason "
            "to trust the answer less, not a fault of the image. An image of something else can be usual in all five."
        )
    return InputCheck(**statistics, meaning=meaning)


def _margin(logits: Logits, classes: list[str]) -> Margin:
    first = int(logits.argmax())
    runner_up = int(np.where(np.arange(len(logits)) == first, -np.inf, logits).argmax())
    probabilities = softmax(logits)
    return Margin(
        runner_up=classes[runner_up],
        logits=float(logits[first] - logits[runner_up]),
        probability=float(probabilities[first] - probabilities[runner_up]),
        meaning=(
            "How far the answer is ahead of the next one. It is the model's own opinion: a small margin is a warning, "
            "a large one is no proof of robustness."
        ),
    )


def _threat(bundle: Bundle) -> ServedThreat | None:
    """Norm and eps to attack with; bundles written before they had a field for it are evaluated under one."""
    evaluation = bundle.evaluation
    if bundle.threat is None and evaluation is not None:
        return ServedThreat.of(evaluation.norm, evaluation.eps)
    return bundle.threat


def _offline_figures(bundle: Bundle) -> OfflineFigures:
    evaluation = bundle.evaluation
    name = None if evaluation is None else evaluation.data
    whose = "a test set" if name is None else f"the images of {name}, which are not those held out when it was trained"
    meaning = (
        f"Shares of {whose}, the same for every request: robust_accuracy is the worst case over the named "
        "attacks, image by image, so a stronger attack can only lower it. It is measured, not proved, and "
        "says nothing about this image."
    )
    if evaluation is None and bundle.changed:
        asked = ", ".join(dict.fromkeys(item.threat for item in bundle.changed))
        meaning = (
            "The model was not evaluated under a norm before its export, so its robustness there is not known. How it "
            f"did under {asked} stands in `changed`; that is measured, not proved, and says nothing about this image."
        )
    elif evaluation is None:
        meaning = "The model was exported without an evaluation, so its robustness under attack is not known."
    return OfflineFigures(evaluation=evaluation, changed=bundle.changed, meaning=meaning)
