"""Time and robust accuracy of PGD with the same network, images, steps and step size: ours against other libraries'.

`python bench/pgd.py --run runs/NAME --run runs/OTHER --samples 1000` for trained runs; without `--run`, on a natural
and an adversarially trained small network, both trained on Digits for some seconds. foolbox, torchattacks and ART are
measured where they can be imported; the last two need environments of their own, for instance one that sees this
project's packages through a .pth file. All attack the images that the network gets right and no others, since those
need no attack, and draw their random starts from the same seed. They take turns, and each round begins with another
one; the seconds are medians over the rounds, of wall-clock and of the processor, and hold nothing but the attack: what
is left standing is counted afterwards. Ratios are to the fastest of the others, within each round. `hardener` takes
gradients in the precision that `hardener eval` would choose here; where that is bfloat16, float32 is measured as well,
since the others have no other.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from standard_suite import of_run, on_digits
from torch import Tensor, nn

from hardener.attacks.pgd import pgd
from hardener.config.quantity import parse_quantity
from hardener.evaluation.precision import choose_precision
from hardener.runtime.device import choose_device

Attack = Callable[[Tensor, Tensor], Tensor]


def ours(model: nn.Module, asked: argparse.Namespace, *, rescale: bool, bf16: bool = False) -> Attack:
    """This project's attack, with rescaled logits (the default) or the plain cross-entropy (what the others climb)."""

    def attack(images: Tensor, labels: Tensor) -> Tensor:
        return pgd(
            model,
            images,
            labels,
            norm="linf",
            eps=asked.eps,
            steps=asked.steps,
            step_size=asked.step_size,
            rescale=rescale,
            bf16=bf16,
        )

    return attack


def by_foolbox(model: nn.Module, asked: argparse.Namespace) -> Attack:
    """foolbox, by the call that leaves out its own count of successes."""
    foolbox = import_module("foolbox")
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=asked.device)
    attack = foolbox.attacks.LinfPGD(abs_stepsize=asked.step_size, steps=asked.steps, random_start=True)
    return lambda images, labels: attack.run(wrapped, images, labels, epsilon=asked.eps)


def by_torchattacks(model: nn.Module, asked: argparse.Namespace) -> Attack:
    """torchattacks."""
    attack: Attack = import_module("torchattacks").PGD(
        model, eps=asked.eps, alpha=asked.step_size, steps=asked.steps, random_start=True
    )
    return attack


def by_art(model: nn.Module, asked: argparse.Namespace) -> Attack:
    """The Adversarial Robustness Toolbox, its PyTorch variant; arrays go in and come out, as its users have them."""
    classifier = import_module("art.estimators.classification").PyTorchClassifier(
        model,
        loss=nn.CrossEntropyLoss(),
        input_shape=asked.shape,
        nb_classes=asked.classes,
        clip_values=(0.0, 1.0),
        device_type="gpu" if asked.device.type == "cuda" else "cpu",
    )
    room: Any = import_module("art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_pytorch")
    attack = room.ProjectedGradientDescentPyTorch(
        classifier, eps=asked.eps, eps_step=asked.step_size, max_iter=asked.steps, num_random_init=1,
        batch_size=asked.batch_size, verbose=False,
    )  # fmt: skip

    def run(images: Tensor, labels: Tensor) -> Tensor:
        found = attack.generate(x=images.cpu().numpy(), y=labels.cpu().numpy())
        return torch.as_tensor(found).to(images)

    return run


PEERS = {"foolbox": ("foolbox", by_foolbox), "torchattacks": ("torchattacks", by_torchattacks), "ART": ("art", by_art)}


def once(attack: Attack, images: Tensor, labels: Tensor, batch_size: int, seed: int) -> tuple[float, float, Tensor]:
    """Wall-clock seconds, processor seconds, and the adversarial images; all draw random starts from the same seed."""
    torch.manual_seed(seed)
    started, used = time.perf_counter(), time.process_time()
    found = [attack(*rows) for rows in zip(images.split(batch_size), labels.split(batch_size), strict=True)]
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started, time.process_time() - used, torch.cat(found)


def right(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> Tensor:
    """Which images are classified as labelled."""
    with torch.no_grad():
        answers = [model(rows).argmax(dim=1) for rows in images.split(batch_size)]
    return torch.cat(answers) == labels


def compare(name: str, model: nn.Module, images: Tensor, labels: Tensor, asked: argparse.Namespace) -> None:
    """Print a line an attack: seconds, ratio to the fastest of the others, robust accuracy."""
    asked.shape, asked.classes = tuple(images.shape[1:]), int(model(images[:1]).shape[1])
    samples, clean = len(images), right(model, images, labels, asked.batch_size)
    images, labels = images[clean], labels[clean]
    choice = choose_precision("auto", model, images, batch_size=asked.batch_size)
    attacks = {"hardener": ours(model, asked, rescale=True, bf16=choice.bf16)}
    if choice.bf16:
        attacks["hardener, float32"] = ours(model, asked, rescale=True)
    attacks["hardener, plain cross-entropy"] = ours(model, asked, rescale=False)
    attacks |= {peer: build(model, asked) for peer, (package, build) in PEERS.items() if find_spec(package)}
    names = list(attacks)
    for attack in attacks.values():
        once(
            attack, images[: asked.batch_size], labels[: asked.batch_size], asked.batch_size, 0
        )  # the first call is slow
    walls: dict[str, list[float]] = {label: [] for label in names}
    used: dict[str, list[float]] = {label: [] for label in names}
    robust: dict[str, list[float]] = {label: [] for label in names}
    for turn in range(asked.rounds):
        for label in names[turn % len(names) :] + names[: turn % len(names)]:
            wall, processor, found = once(attacks[label], images, labels, asked.batch_size, turn)
            assert bool(((found - images).abs() <= asked.eps + 1e-6).all()), f"{label} left the ball"
            walls[label].append(wall)
            used[label].append(processor)
            robust[label].append(int(right(model, found, labels, asked.batch_size).sum()) / samples)
    print(
        f"{name}: {samples} images of {'x'.join(map(str, asked.shape))}, {len(images)} right; linf "
        f"{asked.eps:.4f}, {asked.steps} steps of {asked.step_size:.4f}, batches of {asked.batch_size}, "
        f"{torch.get_num_threads()} threads, {asked.device}, {asked.rounds} rounds\n"
        f"  hardener's gradients in {'bfloat16' if choice.bf16 else 'float32'}: {choice.reason}"
    )
    others = [label for label in names if label in PEERS]
    fastest = min(others, key=lambda label: statistics.median(walls[label]), default=None)
    for label in names:
        spread = f"{min(walls[label]):.2f}-{max(walls[label]):.2f}"
        ratios = "" if fastest is None else (
            f"  ratio to {fastest} {statistics.median(map(divided, walls[label], walls[fastest])):5.2f} wall, "
            f"{statistics.median(map(divided, used[label], used[fastest])):5.2f} processor"
        )  # fmt: skip
        print(
            f"  {label:30} {statistics.median(walls[label]):7.2f} s ({spread}), "
            f"{statistics.median(used[label]):7.2f} s of the processor{ratios}"
            f"  robust {100 * statistics.mean(robust[label]):.2f} %",
            flush=True,
        )


def divided(first: float, second: float) -> float:
    """first / second."""
    return first / second


def main() -> None:
    """Compare on each run, or on two small networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, action="append", default=[], help="a run folder; may be repeated")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--eps", type=parse_quantity, default=None, help="8/255 on runs, 0.1 on Digits")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--step-size", type=parse_quantity, default=None, help="2.5 eps / steps")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    asked.device = choose_device(asked.device)
    if asked.eps is None:
        asked.eps = 8 / 255 if asked.run else 0.1
    if asked.step_size is None:
        asked.step_size = 2.5 * asked.eps / asked.steps
    for peer, (package, _) in PEERS.items():
        if find_spec(package) is None:
            print(f"{peer} cannot be imported here and is left out.")
    for path in asked.run:
        compare(path.name, *of_run(path, asked.samples, asked.device), asked)
    if not asked.run:
        for name, adversarial in (("natural", False), ("adversarial", True)):
            compare(f"{name} network on Digits", *on_digits(adversarial, asked.samples, asked.device), asked)


if __name__ == "__main__":
    main()
