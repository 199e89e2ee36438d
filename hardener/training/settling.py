"""A recipe, as it is for the weights to start from and the size of the images, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from hardener.config.recipe import LARGE_SIDE, fine_tuned, settle
from hardener.config.schema import OPTIMIZERS, Recipe
from hardener.methods import METHODS
from hardener.progress import Reporter
from hardener.runtime.device import has_bfloat16, kind_of
from hardener.training.ending import late
from hardener.training.idle import idle
from hardener.training.request import TrainRequest
from hardener.vicinity.worst_point import Settings as Ball
from hardener.words import counted

MUCH = 10
_HELD = (
    "`hardened` kept 36 % of photographs at 4/255 without, 2 % with layer_decay=0.9, and 4 % with frozen first blocks"
)
_EPS = "vicinity.adversarial.eps"


def _doubtful(recipe: Recipe, *, trained: bool) -> Iterator[str]:
    """Yield what a recipe asks for and can hardly be meant, with what to type instead."""
    optimizer, noise, ball = recipe.optimizer, recipe.vicinity.noise_sigma, recipe.vicinity.find(Ball)
    times = optimizer.lr / OPTIMIZERS[optimizer.name]
    if optimizer.name != "sgd" and times > MUCH:
        yield (
            f"{times:.0f} times the rate that torch has for {optimizer.name}, "
            f"{'which unlearns trained weights' if trained else 'at which few networks learn'}. --set "
            f"optimizer.lr={OPTIMIZERS[optimizer.name]:g} takes that"
        )
    if 1 < recipe.batch_size <= recipe.accumulate:
        yield (
            f"accumulate={recipe.accumulate} cuts a minibatch of {recipe.batch_size} into single images: each takes a "
            "pass of its own, and batch norm sees no other. --set accumulate="
            f"{max(recipe.batch_size // 8, 1)} leaves more in a piece"
        )
    if noise > 1:
        yield (
            f"noise of a standard deviation of {noise:g} drowns images: their pixels lie between 0 and 1. Of 255 "
            f"levels it is --set vicinity.noise_sigma={noise / 255:.3g}"
        )
    steps = 0 if ball is None else ball.steps * (recipe.theta_steps if METHODS[recipe.method].replays else 1)
    carries_on = ball is not None and ball.origin == "prior"
    if ball is not None and ball.step_size is not None and steps * ball.step_size < ball.eps and not carries_on:
        yield (
            f"{counted(steps, 'step')} of {ball.step_size:.4g} cannot cross a ball of eps {ball.eps:.4g}: it "
            "trains against a weaker attacker. --set vicinity.adversarial.step_size=null fits the step to eps"
        )
    held = [f"layer_decay={optimizer.layer_decay:g}"] * (optimizer.layer_decay < 1)
    held += ["frozen layers"] * bool(recipe.network.freeze)
    if ball is not None and trained and held:
        yield (
            f"{' and '.join(held)}: it is the first layers that have to change against an attacker. {_HELD}. Leave "
            "it out unless you know better"
        )
    for what, after in late(recipe):
        if after >= recipe.epochs:
            yield (
                f"{what} never begins: it comes after {counted(after, 'epoch')}, and the run has {recipe.epochs}. Take "
                "more --epochs, or bring it in sooner"
            )


def settle_recipe(request: TrainRequest, side: int, reporter: Reporter) -> Recipe:
    """Return the recipe with what it holds for trained weights and large images, and say what that changed.

    Also said: the eps that it attacks with in training, a ramp's shares that nothing asks for, and what recipes gave
    where they were fine-tuned.

    Args:
        side: pixels of the shorter side of the images.
    """
    recipe, given = settle(request.recipe, trained=request.starts_trained, side=side)
    if given:
        why = ["it starts from trained weights"] * request.starts_trained
        why += [f"images have {side} pixels"] * (bool(request.recipe.large_images) and side >= LARGE_SIDE)
        changed = ", ".join(f"{key}={value}" for key, value in given.items())
        reporter.say(f"{recipe.name}, since {' and '.join(why)}: {changed}. --set has the last word")
    optimizer = recipe.optimizer
    if optimizer.name != "sgd":
        reporter.say(
            f"{optimizer.name} at a learning rate of {optimizer.lr:g}. --set optimizer.lr=RATE chooses another, and "
            "--find-lr tries them"
        )
    ball = recipe.vicinity.find(Ball)
    if ball is not None:
        asks = recipe.validation.threat
        apart = "" if asks == ball.threat else f", and chooses the epoch that it keeps at {asks}"
        reporter.say(f"trains against an attacker: {ball.threat}{apart}. --set {_EPS}=EPS chooses another eps")
    for line in (*idle(request.recipe, recipe), *_doubtful(recipe, trained=request.starts_trained)):
        reporter.warn(line)
    gave = "; ".join(f"{name}: {figures}" for name, figures in fine_tuned().items())
    if request.starts_trained and gave:
        reporter.say(
            f"of 3,068 photographs at 128 pixels, fine-tuning made: {gave}. Where an attacker counts, take --recipe "
            "hardened; for noise, blur and weather --recipe sturdy"
        )
    return recipe


def say_if_converted(recipe: Recipe, device: torch.device, reporter: Reporter, instead: str = "") -> None:
    """Warn where training is to compute in bfloat16 on a device that has none of its own; `instead` follows."""
    if recipe.precision == "bfloat16" and not has_bfloat16(device):
        slow = f"this {kind_of(device)} does not compute in bfloat16 natively, and a step can take ten times as long"
        reporter.warn(slow + instead)
