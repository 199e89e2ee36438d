"""Time and robust accuracy of AutoAttack's standard suite, against pyautoattack, on the same network and images.

`python bench/standard_suite.py --run runs/NAME --run runs/OTHER --samples 500` for trained runs; without `--run`, on a
natural and an adversarially trained small network, both trained on Digits for some seconds. The two take turns, each
beginning every other round, each time in a process of its own, because what one asks of the C library's allocator
would reach the other; wall-clock and processor seconds are medians over the rounds. Ours takes gradients in the
precision that `hardener eval` would choose here, or in the one that `--precision` names; theirs has float32 alone.
Where `hardener eval` would make a copy in ONNX Runtime, so does this, and the time that it takes counts.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hardener.config.quantity import parse_quantity
from hardener.config.run_folder import RunFolder
from hardener.evaluation.faster_answers import FasterAnswers
from hardener.evaluation.precision import PRECISIONS, choose_precision
from hardener.evaluation.robust_accuracy import AttackPlan, Course, robust_accuracy
from hardener.evaluation.sample import draw
from hardener.evaluation.subject import run_subject
from hardener.progress import Silent
from hardener.runtime.device import choose_device
from hardener.runtime.model_state import as_float
from hardener.threat import ThreatModel

Problem = tuple[nn.Module, Tensor, Tensor]
SIDES = ("ours", "pyautoattack")


def of_run(path: Path, samples: int, device: torch.device) -> Problem:
    """A run's model and images that it was not trained on."""
    subject = run_subject(RunFolder(path), None, Silent())
    sample = draw(subject.images, samples, seed=0)
    return subject.model.to(device).eval(), as_float(sample.pixels).to(device), sample.labels.to(device)


def on_digits(adversarial: bool, samples: int, device: torch.device) -> Problem:
    """A small network trained on 8x8 digits, naturally or on one signed step from a random start (l_inf 0.15)."""
    data: Any = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(data.target)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    radius = 0.15 if adversarial else 0.0
    for _ in range(15):
        for rows in torch.randperm(1200).split(64):
            inputs, truth = images[rows], labels[rows]
            if adversarial:
                start = ((2 * torch.rand_like(inputs) - 1) * radius).requires_grad_()
                (gradient,) = torch.autograd.grad(cross_entropy(model(inputs + start), truth), start)
                moved = (start.detach() + 1.25 * radius * gradient.sign()).clamp(-radius, radius)
                inputs = (inputs + moved).clamp(0, 1)
            optimizer.zero_grad()
            cross_entropy(model(inputs), truth).backward()
            optimizer.step()
    return model.to(device).eval(), images[1200 : 1200 + samples].to(device), labels[1200 : 1200 + samples].to(device)


def ours(problem: Problem, threat: ThreatModel, asked: argparse.Namespace, *, bf16: bool) -> float:
    """Robust accuracy by the attacks of this project."""
    model, images, labels = problem
    climbing = {"steps": asked.steps, "bf16": bf16}
    plans = [
        AttackPlan("apgd", {"loss": "ce", **climbing}),
        AttackPlan("apgd-t", climbing),
        AttackPlan("fab-t", climbing),
        AttackPlan("square", {"queries": asked.queries}),
    ]
    generator = torch.Generator(images.device).manual_seed(0)
    faster = FasterAnswers(model, lambda text: print(f"    {text}", file=sys.stderr))
    found = robust_accuracy(
        model, images, labels, plans, threat,
        batch_size=asked.batch_size, generator=generator,
        course=Course(asked=faster if asked.precision != "float32" else None),
    )  # fmt: skip
    left = ", ".join(f"{o.plan.name} {o.attacked}-{o.broken} in {o.seconds:.1f} s wall" for o in found.outcomes)
    print(f"    ours: {left}", file=sys.stderr)
    return found.robust_accuracy


def peer_rooms() -> dict[str, Any]:
    """Import the modules of pyautoattack's attacks."""
    return {name: import_module(f"pyautoattack.{name}") for name in ("autopgd_base", "fab_pt", "square")}


def theirs(problem: Problem, threat: ThreatModel, asked: argparse.Namespace) -> float:
    """Robust accuracy by pyautoattack, a fork of the authors' program."""
    model, images, labels = problem
    rooms = peer_rooms()
    norm = {"linf": "Linf", "l2": "L2"}[threat.norm]
    shared = {"eps": threat.eps, "norm": norm, "seed": 0, "verbose": False, "device": images.device, "n_restarts": 1}
    climbing = {**shared, "n_iter": asked.steps, "logger": logging.getLogger("pyautoattack")}
    program = import_module("pyautoattack").AutoAttack(
        model, norm=norm, eps=threat.eps, seed=0, version="standard", device=images.device
    )
    program.apgd = rooms["autopgd_base"].APGDAttack(model, **climbing)
    program.apgd_targeted = rooms["autopgd_base"].APGDAttack_targeted(model, n_target_classes=9, **climbing)
    program.fab = rooms["fab_pt"].FABAttack_PT(model, n_iter=asked.steps, n_target_classes=9, **shared)
    program.square = rooms["square"].SquareAttack(
        model, n_queries=asked.queries, p_init=0.8, resc_schedule=False, **shared
    )
    adversarial, _ = program.run_standard_evaluation(images, labels, batch_size=asked.batch_size)
    right = 0
    with torch.no_grad():
        for rows in torch.arange(len(images)).split(asked.batch_size):
            right += int((model(adversarial[rows]).argmax(dim=1) == labels[rows]).sum())
    return right / len(images)


def timed(work: Callable[[], float]) -> tuple[float, float, float]:
    """Wall-clock seconds, processor seconds and the result."""
    started, used = time.perf_counter(), time.process_time()
    found = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started, time.process_time() - used, found


def measure(side: str, problem: Problem, threat: ThreatModel, asked: argparse.Namespace) -> tuple[float, float, float]:
    """Time one side once."""
    if side == "pyautoattack":
        peer_rooms()  # importing is no part of the attack
        return timed(lambda: theirs(problem, threat, asked))
    choice = choose_precision(asked.precision, problem[0], problem[1], batch_size=asked.batch_size)
    print(f"    gradients in {'bfloat16' if choice.bf16 else 'float32'}, {choice.reason}", file=sys.stderr)
    return timed(lambda: ours(problem, threat, asked, bf16=choice.bf16))


def measure_apart(side: str, name: str) -> tuple[float, float, float]:
    """Time one side once in a process of its own, which prints its figures as its last line."""
    command = [sys.executable, __file__, *sys.argv[1:], "--one", side, name]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    wall, used, accuracy = json.loads(printed.splitlines()[-1])
    return wall, used, accuracy


def main() -> None:
    """Print, for each network, both robust accuracies, both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, action="append", default=[], help="a run folder; may be repeated")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--norm", choices=["linf", "l2"], default="linf")
    parser.add_argument(
        "--eps", type=str, default=None, help="8/255 for runs in l_inf, 0.5 in l2; 0.1 and 0.5 on Digits"
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--one", nargs=2, metavar=("SIDE", "NETWORK"), help="time one side once, for the bench itself")
    asked = parser.parse_args()

    device = choose_device(asked.device)
    eps = asked.eps or {"linf": "8/255" if asked.run else "0.1", "l2": "0.5"}[asked.norm]
    threat = ThreatModel(asked.norm, parse_quantity(eps))
    problems: dict[str, Callable[[], Problem]] = {
        str(path): lambda path=path: of_run(path, asked.samples, device)  # type: ignore[misc]
        for path in asked.run
    } or {
        "Digits, natural": lambda: on_digits(False, asked.samples, device),
        "Digits, adversarially trained": lambda: on_digits(True, asked.samples, device),
    }
    if asked.one:
        side, name = asked.one
        print(json.dumps(measure(side, problems[name](), threat, asked)))
        return
    print(f"{threat}, {asked.samples} images, {asked.steps} steps, {asked.queries} queries, {device}, ", end="")
    print(f"{torch.get_num_threads()} threads, {asked.rounds} rounds")
    for name in problems:
        print(name, flush=True)
        found: dict[str, list[tuple[float, float, float]]] = {side: [] for side in SIDES}
        for turn in range(asked.rounds):
            for side in SIDES[:: 1 if turn % 2 == 0 else -1]:
                found[side].append(measure_apart(side, name))
        middle = {
            side: [statistics.median(column) for column in zip(*rows, strict=True)] for side, rows in found.items()
        }
        for side, (wall, used, accuracy) in middle.items():
            print(f"  {side:13} robust accuracy {100 * accuracy:5.1f} %  {wall:8.1f} s wall  {used:8.1f} s processor")
        wall, used = (middle["ours"][column] / middle["pyautoattack"][column] for column in (0, 1))
        print(f"  ratio of times {wall:.2f} wall, {used:.2f} processor", flush=True)


if __name__ == "__main__":
    main()
