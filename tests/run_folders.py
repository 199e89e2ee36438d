"""Run folders and evaluations written by hand: what `hardener train` and `hardener eval` leave, without the work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hardener.config.bundle import sha256_of
from hardener.config.evaluation_record import (
    Certification,
    CorruptionKind,
    Corruptions,
    CurvePoint,
    EvaluatedAttack,
    EvaluatedChange,
    EvaluatedData,
    EvaluatedModel,
    EvaluatedThreat,
    Evaluation,
    InvarianceCurve,
    PerClass,
)
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import (
    BestRecord,
    DataRecord,
    InputRecord,
    ModelRecord,
    RunFolder,
    RunRecord,
    SplitRecord,
)
from hardener.statistics.interval import clopper_pearson
from hardener.threat import ChangeThreat

Bits = Sequence[bool]
Attacks = Sequence[tuple[str, dict[str, Any], float]]


def bits(right: int, of: int, *, first: int = 0) -> list[bool]:
    """`right` images that stand, from place `first` on, among `of`."""
    return [first <= place < first + right for place in range(of)]


def write_run(
    folder: Path,
    name: str,
    *,
    recipe: str = "natural",
    seed: int = 0,
    seconds: float = 100.0,
    parameters: int = 700_000,
    root: str = "imgs",
    hardware: dict[str, Any] | None = None,
) -> RunFolder:
    """A trained run whose weights are a few bytes of its own."""
    run = RunFolder(folder / name)
    run.evaluations.mkdir(parents=True)
    run.weights.write_bytes(f"weights of {name}".encode())
    run.write_recipe(load_recipe(recipe))
    split = SplitRecord(images=900, skipped=0, fingerprint=f"{seed:064x}")
    run.write_record(
        RunRecord(
            name=name,
            status="finished",
            created_at=f"2026-01-01T00:00:{seed:02d}+00:00",
            seed=seed,
            device="cpu",
            precision="float32",
            classes=["cat", "dog"],
            model=ModelRecord(
                spec="net.py",
                name="net",
                file="net.py",
                entry=None,
                fingerprint="f" * 64,
                parameters=parameters,
                init=None,
                pretrained=False,
                replaced_head=None,
            ),
            data=DataRecord(
                root=root,
                validation_root=None,
                skip_bad_images=False,
                splits={"train": split, "validation": split},
                listings={},
            ),
            input=InputRecord(height=8, width=8, channels=1, mean=[0.5], std=[0.25]),
            epochs_done=3,
            seconds=seconds,
            best=BestRecord(epoch=3, score=0.5, clean_accuracy=0.9, robust_accuracy=0.1),
            hardware={"threads": 2} if hardware is None else hardware,
        )
    )
    return run


def write_evaluation(
    run: RunFolder,
    clean: Bits,
    robust: Bits,
    *,
    minute: int = 0,
    norm: str = "linf",
    eps: float = 8 / 255,
    threat: ChangeThreat | None = None,
    attacks: Attacks | None = None,
    verdict: Literal["robust", "partly robust", "not robust", "inconclusive"] = "partly robust",
    reason: str = "the worst case lies above chance",
    images: str = "a",
    paths: Sequence[str] | None = None,
    root: str = "imgs",
    own: bool | None = None,
    split: Literal["test", "validation", "all"] = "test",
    seed: int = 0,
    suite: str | None = None,
    per_image: bool = True,
    **sections: Any,
) -> Evaluation:
    """Write an evaluation at a minute of one day; `images` stands for what was evaluated on."""
    n = len(clean)
    accuracy = {"clean": sum(clean) / n, "robust": sum(robust) / n}
    steps = [("pgd", {"steps": 20, "restarts": 1}, accuracy["robust"])] if attacks is None else attacks
    stem = f"20260102T00{minute:02d}00-000000"
    names = [f"{images}/{place:04d}.png" for place in range(n)] if paths is None else list(paths)
    evaluation = Evaluation(
        created_at=f"2026-01-02T00:{minute:02d}:00.000000+00:00",
        model=EvaluatedModel(name=run.path.name, run=run.path.name, recipe="x", fingerprint=sha256_of(run.weights)),
        data=EvaluatedData(root=root, split=split, images_in_split=n, skipped=0, fingerprint=f"{images}-{n}", own=own),
        threat=EvaluatedThreat(norm=norm, eps=eps)
        if threat is None
        else EvaluatedChange(
            kind=threat.kind, settings=dict(threat.settings), given=list(threat.given), reach=threat.reach
        ),
        suite=suite,
        samples=n,
        clean_accuracy=accuracy["clean"],
        clean_interval=clopper_pearson(sum(clean), n),
        robust_accuracy=accuracy["robust"],
        interval=clopper_pearson(sum(robust), n),
        verdict=verdict,
        reason=reason,
        attacks=[
            EvaluatedAttack(name=name, settings=settings, attacked=n, broken=0, robust_accuracy=left, seconds=1.0)
            for name, settings, left in steps
        ],
        per_class=sections.pop("per_class", [PerClass(name="cat", samples=n, clean_accuracy=0.5, robust_accuracy=0.5)]),
        per_image=f"{stem}.npz" if per_image else None,
        flags=sections.pop("flags", []),
        seed=seed,
        device="cpu",
        versions={},
        hardware={},
        **sections,
    )
    (run.evaluations / f"{stem}.json").write_text(json.dumps(evaluation.model_dump(by_alias=True)))
    if per_image:
        np.savez(run.evaluations / f"{stem}.npz", path=names, clean=np.array(clean), robust=np.array(robust))
    return evaluation


def curve(name: str, accuracies: Sequence[float], *, identity: float = 0.0, samples: int = 100) -> InvarianceCurve:
    """A curve over 0, 1, 2, …"""
    return InvarianceCurve(
        name=name,
        unit="",
        identity=identity,
        samples=samples,
        points=[point(place, accuracy, samples) for place, accuracy in enumerate(accuracies)],
    )


def corruptions(*accuracies: float, samples: int = 100) -> Corruptions:
    """Each kind equally accurate at every severity."""
    return Corruptions(
        samples=samples,
        kinds=[
            CorruptionKind(name=f"noise-{place}", family="noise", accuracies=[accuracy] * 5)
            for place, accuracy in enumerate(accuracies)
        ],
        mean_corruption_error=1 - sum(accuracies) / len(accuracies),
        note="",
    )


def certification(accuracies: dict[float, float], *, samples: int = 100) -> Certification:
    """Certified accuracies at radii."""
    return Certification(
        samples=samples,
        noise_sigma=0.25,
        selection_draws=100,
        draws=1000,
        confidence=0.999,
        abstained=3,
        smoothed_accuracy=0.8,
        points=[point(radius, accuracy, samples) for radius, accuracy in accuracies.items()],
    )


def point(parameter: float, accuracy: float, samples: int) -> CurvePoint:
    """With the exact interval of that many images."""
    return CurvePoint(
        parameter=parameter, accuracy=accuracy, interval=clopper_pearson(round(accuracy * samples), samples)
    )
