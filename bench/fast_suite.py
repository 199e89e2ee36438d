"""The suite `fast` beside `standard`: worst case, passes and time.

Asked of the models of bench/fleet.py, and of the masked ones of tests/evaluation/zoo.py.

`python bench/fast_suite.py FOLDER [--samples 200] [--json FILE]`. A pass is one image that goes forward or one gradient
that comes back; they are counted by a hook, the audit's with the suite's own. Seconds are the process's own, since the
cores may be shared. What FILE holds is not measured again, unless `--again SUITE` says so.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from fleet import FLEET
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "evaluation"))

from zoo import FOOLING, HONEST, THREAT, digits, exhibit

from hardener.config.run_folder import RunFolder
from hardener.evaluation.audit import audit
from hardener.evaluation.case import Examined
from hardener.evaluation.robust_accuracy import robust_accuracy
from hardener.evaluation.sample import draw
from hardener.evaluation.subject import run_subject
from hardener.evaluation.suite import suite_plans
from hardener.evaluation.verdict import verdict
from hardener.progress import Silent
from hardener.threat import ThreatModel

Problem = tuple[nn.Module, Tensor, Tensor, ThreatModel]
SUITES = ("standard", "fast")


class Passes:
    """Counts images that go forward through a model, and gradients that come back."""

    def __init__(self, model: nn.Module) -> None:
        self.forward = self.backward = 0
        self._hook = model.register_forward_pre_hook(self._count)

    def _count(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.forward += len(given[0])
        self.backward += len(given[0]) if given[0].requires_grad else 0

    @property
    def total(self) -> int:
        """Of both kinds."""
        return self.forward + self.backward

    def stop(self) -> None:
        """Count no more."""
        self._hook.remove()


def of_fleet(folder: Path, samples: int, seed: int = 0) -> Iterator[tuple[str, Callable[[], Problem]]]:
    """Yield the models that bench/fleet.py has trained there."""
    for member in FLEET:
        run = RunFolder(folder / member.name)
        if not run.record_file.is_file() or run.read_record().status != "finished":
            continue

        def problem(name: str = member.name, norm: str = member.norm, eps: float = member.eps) -> Problem:
            subject = run_subject(RunFolder(folder / name), None, Silent())
            sample = draw(subject.images, samples, seed=seed)
            return subject.model.eval(), sample.pixels, sample.labels, ThreatModel(norm, eps)

        yield member.name, problem


def of_zoo() -> Iterator[tuple[str, Callable[[], Problem]]]:
    """Yield the masked models, and the honest ones beside them."""
    for name in (*HONEST, *FOOLING):

        def problem(name: str = name) -> Problem:
            _, _, images, labels = digits()
            return exhibit(name).model, images, labels, THREAT

        yield f"zoo: {name}", problem


def measured(suite: str, problem: Problem, seed: int = 0) -> dict[str, Any]:
    """Run a suite and the audit after it."""
    model, images, labels, threat = problem
    torch.manual_seed(seed)  # random models draw from torch's own generator
    passes, generator = Passes(model), torch.Generator().manual_seed(seed)
    begun = time.process_time()
    found = robust_accuracy(model, images, labels, suite_plans(suite, threat.norm), threat, generator=generator)
    own, spent = passes.total, time.process_time() - begun
    audited = audit(Examined(model, images, labels, generator=generator), found)
    passes.stop()
    with torch.no_grad():
        classes = model(images[:1].float()).shape[1]
    judged, _ = verdict(audited.result, num_classes=classes, checks=audited.checks)
    return {
        "norm": threat.norm,
        "eps": threat.eps,
        "classes": classes,
        "samples": found.samples,
        "clean": found.clean_accuracy,
        "attacks": found.robust_accuracy,
        "worst": audited.result.robust_accuracy,
        "stands": audited.result.robust_correct.nonzero().squeeze(1).tolist(),
        "passes": own,
        "passes_with_audit": passes.total,
        "seconds": round(spent, 2),
        "seconds_with_audit": round(time.process_time() - begun, 2),
        "verdict": judged,
        "flags": [check.id for check in audited.checks if check.raised],
        "by": [[o.plan.name, o.attacked, o.broken] for o in audited.result.outcomes],
    }


def table(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table for the docs, of models that both suites were run on."""
    yield "| model | norm, eps | clean | `standard` | `fast` | passes | time | time with the audit |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    judged = {name: both for name, both in rows.items() if set(SUITES) <= set(both) and not name.startswith("zoo")}
    for name, both in judged.items():
        old, new = both["standard"], both["fast"]
        told = [name, f"{old['norm']} {old['eps']:.3g}", f"{100 * old['clean']:.1f} %"]
        yield f"| {' | '.join([*told, *_cells([old], [new])])} |"
    if judged:
        every = ([both[suite] for both in judged.values()] for suite in SUITES)
        yield f"| together | | | {' | '.join(_cells(*every))} |"


def _cells(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[str]:
    """Return the mean worst cases of both suites, and the share of the sums that the second takes."""
    worst = [f"{100 * sum(row['worst'] for row in rows) / len(rows):.1f} %" for rows in (old, new)]
    shares = [
        f"{sum(row[key] for row in new) / sum(row[key] for row in old):.3f}"
        for key in ("passes", "seconds", "seconds_with_audit")
    ]
    return worst + shares


def main() -> None:
    """Measure what is not in the file yet, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--json", type=Path, default=Path("fast_suite.json"))
    parser.add_argument("--again", choices=SUITES, default=None, help="measure this suite anew")
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--suite", choices=SUITES, default=None, help="measure only this suite")
    parser.add_argument("--seed", type=int, default=0, help="of the images and of the attacks")
    asked = parser.parse_args()
    rows: dict[str, dict[str, Any]] = json.loads(asked.json.read_text()) if asked.json.is_file() else {}
    for name, problem in (*of_fleet(asked.folder, asked.samples, asked.seed), *of_zoo()):
        if asked.only not in name:
            continue
        for suite in SUITES:
            known = suite in rows.get(name, {}) and asked.again != suite
            if known or asked.suite not in {None, suite}:
                continue
            rows.setdefault(name, {})[suite] = measured(suite, problem(), asked.seed)
            print(name, suite, json.dumps({k: v for k, v in rows[name][suite].items() if k != "stands"}), flush=True)
            asked.json.write_text(json.dumps(rows, indent=1))
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
