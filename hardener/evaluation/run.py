"""A model and images -> how robust it is, written where it was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hardener.config.evaluation_record import Check, Evaluation
from hardener.config.files import check_writable
from hardener.config.run_folder import RunFolder
from hardener.errors import Unwritten
from hardener.evaluation.audit import audit
from hardener.evaluation.case import Examined
from hardener.evaluation.failures import clean_scores, galleries
from hardener.evaluation.faster_answers import FasterAnswers
from hardener.evaluation.going_on import why_go_on, with_more
from hardener.evaluation.joined import join
from hardener.evaluation.lending import case_of
from hardener.evaluation.pause import KeptEvaluation, Partial, pausing
from hardener.evaluation.plan import EvaluateRequest, Plan, make_plan, without_gradients
from hardener.evaluation.precision import Choice, choose_precision
from hardener.evaluation.record import Findings, make_record, per_image, worst_images, write_record
from hardener.evaluation.robust_accuracy import AttackPlan, Course, RobustAccuracy, robust_accuracy
from hardener.evaluation.session import EvaluationSession, begin
from hardener.evaluation.subject import (
    ForeignModel,
    Subject,
    exported_from,
    foreign_subject,
    onnx_subject,
    run_subject,
)
from hardener.evaluation.suite import GOES_ON, most_seconds
from hardener.measures.certification import asked_smoothing
from hardener.measures.run import measure
from hardener.progress import Reporter, Silent, rank_and_world
from hardener.reports.page import Gallery, WorstImage, write_report
from hardener.runtime.model_state import device_of, in_eval_mode
from hardener.runtime.processes import from_first, own_share
from hardener.threat import DEFAULT_THREAT, norm_of, show_eps
from hardener.words import duration

KEPT_EXAMPLES = 48


def evaluate_run(run: RunFolder, request: EvaluateRequest, reporter: Reporter) -> tuple[Evaluation, Path] | None:
    """Attack a run's model on images that it was not trained on, and write the result into the run.

    Returns:
        The evaluation, and the JSON file that holds it; None on every process of torchrun's but the first.
    Raises:
        HardenerError: a mistake in what was asked for.
        Paused: interrupted; the same request goes on.
    """
    reporter, plan = _speaking(reporter), make_plan(request)
    subject = run_subject(run, request.data, reporter, request.reading)
    _say_what_it_was_chosen_at(run, request, reporter)
    run.evaluations.mkdir(exist_ok=True)
    run.tidy()
    check_writable(run.evaluations / "result.json", run.report)
    made = _evaluate(subject, plan, reporter, folder=run.evaluations)
    if made is None:
        return None
    stamp = made.evaluation.created_at.replace(":", "").replace("-", "").partition("+")[0].replace(".", "-")
    target = run.evaluations / f"{stamp}.json"
    places = [target] if request.json_file is None else [target, request.json_file]
    evaluation = _write(made, places, run.report, curves=run.curves)
    if made.partial is not None:
        made.partial.remove()  # only now: until all is written, the same command can go on
    return evaluation, target


def evaluate_run_at(
    run: RunFolder, request: EvaluateRequest, reporter: Reporter
) -> tuple[Evaluation, Path | None] | None:
    """Attack a run's model at the request's `image_size`; where that is the run's own, as `evaluate_run` does.

    At another size JSON and report are written where `json_file` says, if it does, and not into the run: its gate, card
    and bundle are about its own.

    Raises:
        HardenerError: a mistake in what was asked for, or the network does not take images of that size.
    """
    own = None if request.image_size is None else run.read_record().input
    if own is None or request.image_size == (own.height, own.width):
        return evaluate_run(run, request, reporter)
    reporter, plan = _speaking(reporter), make_plan(request)
    subject = run_subject(run, request.data, reporter, request.reading, request.image_size)
    return _written(_evaluate(subject, plan, reporter), request)


def _say_what_it_was_chosen_at(run: RunFolder, request: EvaluateRequest, reporter: Reporter) -> None:
    """Say it where the ball of an evaluation that names none is another."""
    chosen = run.read_recipe().validation.threat
    if (request.norm, request.eps, request.threat) == (None, None, None) and chosen != DEFAULT_THREAT:
        reporter.say(
            f"the epochs of {run.path.name} were chosen at {chosen}; it is attacked at {DEFAULT_THREAT}, the default "
            f"for every model. --norm {chosen.norm} --eps {show_eps(chosen.eps)} attacks it there"
        )


def evaluate_foreign(
    model: ForeignModel, request: EvaluateRequest, reporter: Reporter
) -> tuple[Evaluation, Path | None] | None:
    """Attack a model that was not trained here; JSON and report are written where `json_file` says, if it does.

    Raises:
        HardenerError: a mistake in what was asked for.
    """
    reporter, plan = _speaking(reporter), make_plan(request)
    subject = foreign_subject(model, request.data, reporter, request.reading)
    return _written(_evaluate(subject, plan, reporter), request)


def evaluate_onnx(
    path: Path,
    request: EvaluateRequest,
    reporter: Reporter,
    *,
    normalize: str = "none",
    ends: tuple[float, float] | None = None,
) -> tuple[Evaluation, Path | None] | None:
    """Attack an ONNX file: by the gradients of the run `request.surrogate`, or of the run whose bundle holds the file;
    else without gradients.

    Args:
        normalize, ends: see `onnx_subject`.
    Raises:
        HardenerError: a mistake in what was asked for.
    """
    if request.surrogate is None:
        request = replace(request, surrogate=exported_from(path))
    reporter, plan = _speaking(reporter), make_plan(request)
    subject = onnx_subject(
        path, request.data, request.surrogate, normalize, reporter, reading=request.reading, ends=ends
    )
    if not subject.differentiable:
        plan = without_gradients(plan, path)
    return _written(_evaluate(subject, plan, reporter), request)


def evaluate_module(
    subject: Subject, request: EvaluateRequest, reporter: Reporter, *, measures: bool = True
) -> Evaluation | None:
    """Attack a module in memory on images in memory; nothing is written unless `json_file` says where.

    The module is left as it was found, and with `device="auto"` it stays where it is.

    Args:
        subject: as `memory_subject` makes it.
        measures: False leaves out all but the attacks and the audit.
    Returns:
        The evaluation; None on every process of torchrun's but the first.
    Raises:
        HardenerError: a mistake in what was asked for.
    """
    reporter, before = _speaking(reporter), device_of(subject.model)
    if request.device == "auto":
        request = replace(request, device=str(before))
    plan = make_plan(request)
    with in_eval_mode(subject.model):
        try:
            written = _written(_evaluate(subject, plan, reporter, measures=measures), request)
        finally:
            subject.model.to(before)
    return None if written is None else written[0]


@dataclass(frozen=True)
class _Made:
    evaluation: Evaluation
    arrays: dict[str, Any]
    pictures: list[WorstImage]
    galleries: list[Gallery]
    partial: Partial | None


def _written(made: _Made | None, request: EvaluateRequest) -> tuple[Evaluation, Path | None] | None:
    """Write an evaluation that belongs to no run where the request says."""
    if made is None:
        return None
    if request.json_file is None:
        return made.evaluation, None
    return _write(made, [request.json_file], request.json_file.with_suffix(".html")), request.json_file


def _write(made: _Made, records: Sequence[Path], report: Path, **settings: Any) -> Evaluation:
    """Write the record to each of these places, and the report; return the record as the first holds it.

    Raises:
        Unwritten: some of it could not be; the rest is.
    """
    evaluation, faults = made.evaluation, []
    for place in reversed(records):
        try:
            evaluation = write_record(made.evaluation, made.arrays, place)
        except OSError as error:
            faults.append(f"{place}: {error.strerror or error}")
    try:
        write_report(evaluation, report, pictures=made.pictures, galleries=made.galleries, **settings)
    except OSError as error:
        faults.append(f"{report}: {error.strerror or error}")
    if faults:
        kept = made.partial is not None and made.partial.file.is_file()
        again = "the same command then goes on from the attacks that are kept" if kept else "then ask again"
        raise Unwritten(
            f"the evaluation is made, and these could not be written: {'; '.join(faults)}. Make room there; {again}.",
            evaluation,
        )
    return evaluation


def _speaking(reporter: Reporter) -> Reporter:
    return reporter if rank_and_world()[0] == 0 else Silent()


def _evaluate(
    subject: Subject, plan: Plan, reporter: Reporter, *, folder: Path | None = None, measures: bool = True
) -> _Made | None:
    """Read, attack, audit, measure, and put it on record; interrupted, it goes on where there is a folder."""
    if plan.request.radii:
        asked_smoothing(subject.noise_sigma, plan.request.radii)  # what no draws can certify is said before all work
    session = begin(subject, plan, reporter)
    partial = None if folder is None else Partial.of(folder, session)
    before = None if partial is None else partial.load()
    choice = _choose(session, before)
    session = replace(session, plan=session.plan.by(choice.apply(session.plan.attacks)))
    _announce(session, choice)
    faster = None
    if plan.request.precision != "float32" and subject.differentiable:
        faster = FasterAnswers(session.model, reporter.say, copied=choice.copied)

    course = Course(
        keep_examples=KEPT_EXAMPLES,
        standing=None if before is None else before.standing,
        on_batch=None if partial is None else partial.keeper(choice, faster),
        asked=faster,
    )
    with pausing(partial):
        judged = _judge(session, choice, course)
        if judged is None:
            return None
        session, result, checks, because = judged
        scores = clean_scores(session)
        sections, arrays = (
            measure(case_of(session, result, went_on=bool(because)), plan.request.sections) if measures else ({}, {})
        )
        copied = frozenset() if faster is None else frozenset(faster.used)
        told = {name: values.numpy() for name, values in scores.items()}
        found = Findings(result, checks, choice, copied, sections, told | arrays, because)
        evaluation = make_record(session, found)
        rows = per_image(session.sample, subject.classes, found)
        shown = galleries(session, result, scores)
        return _Made(evaluation, rows, worst_images(session, result), shown, partial)


_Judged = tuple[EvaluationSession, RobustAccuracy, list[Check], list[str]]


def _judge(session: EvaluationSession, choice: Choice, course: Course) -> _Judged | None:
    """Attack and audit, and where the audit says so do both again with the suite that comes after.

    Returns:
        The evaluation with all its attacks, their result as the audit left it, its answers, and why it went on; None on
        every process of torchrun's but the first.
    """
    because = [] if course.standing is None else course.standing.because
    if because:
        session = with_more(session, choice)
    part = _attack(session, course)
    audited = _audited(session, part)
    if not because and session.plan.suite in GOES_ON:
        because = from_first([] if audited is None else why_go_on(session, *audited))
        if because:
            session.reporter.say(
                f"the audit raised {', '.join(because)} after the suite {session.plan.suite}, so the evaluation goes "
                f"on to {GOES_ON[session.plan.suite]} by itself"
            )
            session = with_more(session, choice)
            audited = _audited(session, _attack(session, replace(course, standing=part.standing(because))))
    return None if audited is None else (session, *audited, because)


def _audited(session: EvaluationSession, part: RobustAccuracy) -> tuple[RobustAccuracy, list[Check]] | None:
    """Join what all processes found, and audit it; None on every process but the first."""
    result = join(part, len(session.sample))
    return None if result is None else _audit(session, result)


def _choose(session: EvaluationSession, before: KeptEvaluation | None) -> Choice:
    """Choose the numbers that gradients are taken in, as it was done before an interruption."""
    choice, request = None if before is None else before.choice, session.plan.request
    if choice is None and rank_and_world()[0] == 0:
        choice = choose_precision(
            request.precision, session.model, session.sample.pixels, batch_size=request.batch_size
        )
    return from_first(choice)


def _announce(session: EvaluationSession, choice: Choice) -> None:
    plan, images = session.plan, len(session.sample)
    seconds = most_seconds(
        plan.attacks,
        choice.timing,
        images=images,
        num_classes=len(session.subject.classes),
        norm=norm_of(plan.threat),
    )
    seconds /= rank_and_world()[1]
    many = f"{len(plan.attacks)} attack{'s' if len(plan.attacks) > 1 else ''}"
    session.reporter.say(f"{many} on {images} images: at most about {duration(seconds)}, less the sooner images fall")
    rough = [attack for attack in plan.attacks if attack.settings.get("bf16")]
    if rough:
        takes = "takes" if len({attack.name for attack in rough}) == 1 else "take"
        session.reporter.say(
            f"{_names(rough)} {takes} gradients in bfloat16, and every success is checked in float32: {choice.reason} "
            "(--precision float32 for none)"
        )


def _attack(session: EvaluationSession, course: Course) -> RobustAccuracy:
    """Attack this process's share of the images, from where an interruption left it."""
    plans, sample, standing = session.plan.attacks, session.sample, course.standing
    share = own_share(len(sample))
    rank, world = rank_and_world()
    if standing is not None and not (standing.because and standing.targets is None):
        at = plans[standing.place].name if standing.place < len(plans) else "the audit"
        session.reporter.say(f"going on with the evaluation that was interrupted at {at}")
    passes = sum(plan.restarts for plan in plans)
    with session.reporter.track(f"attacking with {_names(plans)}", len(share) * passes, "images") as advance:
        if standing is not None:
            advance(len(share) * (sum(p.restarts for p in plans[: standing.place]) + standing.restart))
        return robust_accuracy(
            session.model,
            sample.pixels[share] if world > 1 else sample.pixels,
            sample.labels[share] if world > 1 else sample.labels,
            plans,
            session.plan.threat,
            batch_size=session.plan.request.batch_size,
            generator=session.generator(rank),
            course=replace(course, on_attacked=advance),
        )


def _audit(session: EvaluationSession, result: RobustAccuracy) -> tuple[RobustAccuracy, list[Check]]:
    """Ask whether the figure can be believed; return it as the audit left it, and the answers."""
    sample, differentiable = session.sample, session.subject.differentiable
    examined = Examined(
        session.model,
        sample.pixels,
        sample.labels,
        session.plan.request.batch_size,
        session.generator(),
        differentiable,
    )
    with session.reporter.track("auditing", 100, "%") as advance:
        audited = audit(examined, result, on_done=advance)
    unasked = [check.id for check in audited.checks if check.raised is None]
    if unasked and not differentiable:
        session.reporter.say(f"the audit asked what answers alone can tell; not asked: {', '.join(unasked)}")
    return audited.result, audited.checks


def _names(plans: Sequence[AttackPlan]) -> str:
    return ", ".join(dict.fromkeys(plan.name for plan in plans))
