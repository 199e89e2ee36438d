"""What an interruption keeps of an evaluation, so that the same command goes on from there."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hardener.config.files import written_whole
from hardener.errors import HardenerError, Paused
from hardener.evaluation.faster_answers import FasterAnswers
from hardener.evaluation.precision import Choice
from hardener.evaluation.session import EvaluationSession
from hardener.evaluation.standing import Standing
from hardener.evaluation.suite import Timing
from hardener.progress import rank_and_world
from hardener.runtime.device import describe_versions

SAVE_EVERY_S = 30.0


@dataclass(frozen=True)
class KeptEvaluation:
    """An evaluation to go on with: what has fallen, and in which numbers attacks go."""

    standing: Standing
    choice: Choice


class Partial:
    """The file beside a run's evaluations that an interrupted evaluation goes on from."""

    def __init__(self, file: Path, warn: Callable[[str], None]) -> None:
        self.file = file
        self._warn = warn
        self._latest: KeptEvaluation | None = None
        self._saved = time.monotonic()

    @classmethod
    def of(cls, folder: Path, session: EvaluationSession) -> Partial:
        """Name the file after everything that decides the result."""
        plan, request = session.plan, session.plan.request
        asked = [
            (
                p.name, sorted((k, str(v)) for k, v in p.settings.items() if k not in {"surrogate", "bf16"}),
                p.restarts, p.share, p.sample, p.warm,
            )
            for p in plan.attacks
        ]  # fmt: skip
        told = (
            asked, request.precision, plan.threat, request.seed, request.samples, request.batch_size,
            session.sample.fingerprint, len(session.sample),
            None if request.surrogate is None else str(request.surrogate.path),
            session.subject.described.fingerprint, rank_and_world(), describe_versions()["torch"],
        )  # fmt: skip
        name = f".partial-{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}.pt"
        return cls(folder / name, session.reporter.warn)

    def load(self) -> KeptEvaluation | None:
        """Return what to go on with, or None.

        Raises:
            HardenerError: the file is damaged.
        """
        if not self.file.is_file():
            return None
        try:
            held = torch.load(self.file, weights_only=True)
            choice = Choice(**{**held["choice"], "timing": Timing(**held["timing"])})
            return KeptEvaluation(Standing.from_state(held["standing"]), choice)
        except Exception:  # torch raises nearly anything on a damaged file, and a whole one may hold something else
            raise HardenerError(
                f"{self.file}, where an evaluation was interrupted, is damaged. Remove it, and the evaluation starts "
                "anew."
            ) from None

    def keep(self, standing: Standing, choice: Choice) -> None:
        """Remember the state, and write it down now and then."""
        self._latest = KeptEvaluation(standing, choice)
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            try:
                self.save()
            except OSError as error:
                self._saved = time.monotonic()
                self._warn(f"the evaluation goes on, but where it stands cannot be written down: {error}")

    def keeper(self, choice: Choice, faster: FasterAnswers | None) -> Callable[[Standing], None]:
        """Return what is to be called with the state after each batch: it keeps the choice of a copy as well."""
        return lambda standing: self.keep(standing, replace(choice, copied=None if faster is None else faster.copied))

    def save(self) -> bool:
        """Write the state down; False where there is none yet."""
        if self._latest is None:
            return False
        choice = dict(vars(self._latest.choice))
        held = {
            "standing": self._latest.standing.state(),
            "timing": dict(vars(choice.pop("timing"))),
            "choice": choice,
        }
        self.file.parent.mkdir(exist_ok=True)
        packed = io.BytesIO()  # torch's own writer turns a full disk into an error without its cause
        torch.save(held, packed)
        with written_whole(self.file) as beside:
            beside.write_bytes(packed.getbuffer())
        self._saved = time.monotonic()
        return True

    def remove(self) -> None:
        """Forget: all is written."""
        self.file.unlink(missing_ok=True)


@contextmanager
def pausing(partial: Partial | None) -> Iterator[None]:
    """Turn Ctrl-C into a pause where there is something to go on from.

    Raises:
        Paused: the same request goes on.
    """
    try:
        yield
    except KeyboardInterrupt:
        try:
            kept = partial is not None and partial.save()
        except OSError as error:
            assert partial is not None, "it was to be saved"
            next_time = "goes on from an earlier state" if partial.file.is_file() else "starts anew"
            raise Paused(
                f"where the evaluation stands cannot be written down ({error.strerror}): the same command {next_time}."
            ) from None
        if not kept:
            raise
        raise Paused("nothing is lost: the same command goes on from here.") from None
