"""A subject and a plan -> an evaluation under way: images drawn and read, the model where it is to run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from hardener.config.data_findings import Alike
from hardener.errors import HardenerError
from hardener.evaluation.plan import Plan
from hardener.evaluation.sample import Sample, draw
from hardener.evaluation.seen import flag_overwritten, flag_seen
from hardener.evaluation.subject import Subject
from hardener.models.trained import open_classifier
from hardener.progress import Reporter
from hardener.runtime.device import choose_device
from hardener.runtime.model_state import device_of
from hardener.runtime.processes import local_device
from hardener.words import are, counted


@dataclass(frozen=True)
class EvaluationSession:
    """An evaluation under way: who is attacked, how, on which images, and who is told."""

    subject: Subject
    plan: Plan
    sample: Sample
    reporter: Reporter
    started: float = field(default_factory=time.monotonic)

    @property
    def model(self) -> nn.Module:
        """The model under attack."""
        return self.subject.model

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return device_of(self.subject.model)

    def generator(self, offset: int = 0) -> torch.Generator:
        """Return a new generator on the model's device, seeded as the request says, plus the offset."""
        return torch.Generator(self.device).manual_seed(self.plan.request.seed + offset)


def begin(subject: Subject, plan: Plan, reporter: Reporter) -> EvaluationSession:
    """Draw and read the images, and bring the model, and the one to transfer from, to the device.

    Raises:
        HardenerError: no such device, images that cannot be read, or a surrogate of other classes or images.
    """
    started, request = time.monotonic(), plan.request
    device = local_device(choose_device(request.device))
    count = min(request.samples, len(subject.images))
    with reporter.track("reading images", count, "images") as advance:
        sample = draw(
            subject.images, request.samples, request.seed, skip_bad=request.skip_bad_images, on_decoded=advance
        )
    if sample.skipped:
        reporter.warn(
            f"{counted(len(sample.skipped), 'image')} cannot be read and {are(len(sample.skipped))} left out, such as "
            f"{sample.skipped[0].path}"
        )
    if subject.dedupe and not request.dedupe:
        reporter.say("the run was trained with --dedupe: images that it has seen are left out here, too")
    subject, sample = notice(subject, sample, dedupe=request.dedupe or subject.dedupe, reporter=reporter)
    if subject.found is not None:
        reporter.show("data", subject.found.rows())
    if subject.own.known is False and subject.described.run is not None:
        reporter.say(
            f"these are not the images that {subject.described.run} held out: gate, export and card go by evaluations "
            "of those where there are any, and name the data of this one"
        )
    subject.model.to(device).eval()
    if any(attack.entry.needs_surrogate for attack in plan.attacks):
        plan = _with_surrogate(plan, subject, device)
    return EvaluationSession(subject, plan, sample, reporter, started)


def notice(subject: Subject, sample: Sample, *, dedupe: bool, reporter: Reporter) -> tuple[Subject, Sample]:
    """See which images the run has seen before and whether it held them out, and leave out copies if asked.

    Raises:
        HardenerError: the run has seen all of them, and copies are left out.
    """
    flags, own = list(subject.flags), subject.own
    alike: tuple[Alike, ...] = ()
    if sample.prints is not None:
        own = own.settled(len(subject.images), sample.prints)
    if subject.seen is not None and sample.prints is not None:
        alike, known = subject.seen.among(sample.paths, sample.prints)
        changed = flag_overwritten(subject.seen.overwritten(sample.paths, sample.prints))
        if dedupe and known.all():
            raise HardenerError(
                "all images are ones that the run has seen: --dedupe leaves none. Name others with --data."
            )
        if dedupe:
            sample = sample.pick(np.flatnonzero(~known))
            alike = tuple(fact.model_copy(update={"dropped": True}) for fact in alike)
        seen = None if dedupe else flag_seen(alike, len(sample))
        for flag in (seen, changed):
            if flag is not None:
                reporter.warn(flag.message)
                flags.append(flag)
    found = subject.found
    if found is not None:
        found = found.model_copy(update={"alike": alike})
    return replace(subject, flags=flags, found=found, own=own), sample


def _with_surrogate(plan: Plan, subject: Subject, device: torch.device) -> Plan:
    """Load the run to transfer from and hand it to the attacks that take it."""
    surrogate = plan.request.surrogate
    assert surrogate is not None, "the plan was checked"
    record = surrogate.read_record()
    if tuple(record.classes) != subject.classes:
        raise HardenerError(f"the surrogate {surrogate.path} knows other classes than the model under attack.")
    shape = subject.images.shape
    if (record.input.height, record.input.width, record.input.channels) != (shape.height, shape.width, shape.channels):
        raise HardenerError(f"the surrogate {surrogate.path} takes images of another size than the model under attack.")
    network = open_classifier(surrogate, record).to(device).eval()
    return plan.by([attack.lent(network) for attack in plan.attacks])
