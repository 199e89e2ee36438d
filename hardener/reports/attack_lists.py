"""Which attacks evaluations ran, and whether they are the same."""

from __future__ import annotations

from collections.abc import Sequence

from hardener.config.evaluation_record import EvaluatedAttack, Evaluation
from hardener.reports.command import AUDIT
from hardener.reports.comparison_record import ComparedAttack
from hardener.words import counted


def _signatures(attacks: Sequence[EvaluatedAttack]) -> list[tuple[str, dict[str, str]]]:
    return [
        (a.name, {key: _show(value) for key, value in a.settings.items() if key != "asked"})  # a copy answers alike
        for a in attacks
        if a.name != AUDIT
    ]


def attacked_alike(one: Evaluation, other: Evaluation) -> bool:
    """Say whether two evaluations ran the same attacks with the same settings, in the same order; the audit apart."""
    return _signatures(one.attacks) == _signatures(other.attacks)


def attack_list(evaluation: Evaluation) -> str:
    """Name the attacks with the settings that make them strong or weak."""
    named = ", ".join(attack_label(attack) for attack in evaluation.attacks) or "no attack"
    return f"{named} in bfloat16" if any(attack.settings.get("bf16") for attack in evaluation.attacks) else named


def attack_label(attack: EvaluatedAttack) -> str:
    """Name an attack with the settings that make it strong or weak."""
    if attack.name == AUDIT:
        return "the audit's own attacks"
    settings = attack.settings
    told = [str(settings["loss"])] if settings.get("loss") else []
    told += [f"{settings['steps']} steps"] if settings.get("steps") else []
    told += [f"{settings['restarts']} restarts"] if settings.get("restarts", 1) != 1 else []
    return f"{attack.name} ({', '.join(told)})" if told else attack.name


_LOSSES = {"ce": "the cross-entropy", "margin": "the margin", "dlr": "the DLR loss", "pm": "the probability margin"}


def settings_in_words(attack: EvaluatedAttack, *, numbers: bool = True) -> str:
    """Say what makes an attack strong or weak, as a person would; every setting stands in the record.

    Args:
        numbers: also say which numbers its gradients are taken in, where they are rough ones.
    """
    settings = attack.settings
    if attack.name == AUDIT:
        return "what the audit's own attacks broke"
    steps, loss = settings.get("steps"), settings.get("loss")
    climbed = f"up {_LOSSES.get(str(loss), str(loss))}" if loss else ""
    said = [f"{counted(int(steps), 'step')} {climbed}".strip() if steps else climbed]
    said += [counted(int(settings[key]), word) for key, word in _COUNTED.items() if settings.get(key)]
    said += [counted(int(settings["restarts"]), "start")] if int(settings.get("restarts") or 1) > 1 else []
    said += [f"each step the mean of {settings['eot_draws']} draws"] if int(settings.get("eot_draws") or 1) > 1 else []
    said += [f"from the {settings['start']}"] if settings.get("start") else []
    said += [f"on the {100 * settings['share']:g} % nearest to another class"] if settings.get("share") else []
    said += [f"on {settings['sample']} images first"] if settings.get("sample") else []
    said += [f"lent by {settings['surrogate']}"] if settings.get("surrogate") else []
    said += ["gradients in bfloat16"] if numbers and settings.get("bf16") else []
    return ", ".join(part for part in said if part)


_COUNTED = {"targets": "target class", "queries": "query"}


def _show(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def common_attacks(shared: list[Evaluation]) -> list[ComparedAttack]:
    """Attacks that all runs met, the nth of a name in one being the nth of it in another; in the first's order."""
    tables = []
    for item in shared:
        table: dict[tuple[str, int], int] = {}
        names = [attack.name for attack in item.attacks]
        for place, name in enumerate(names):
            table[name, names[:place].count(name)] = place
        tables.append(table)
    common = []
    for key, place in tables[0].items():
        if not all(key in table for table in tables):
            continue
        before = _signatures(shared[0].attacks[: place + 1])
        places = [table[key] for table in tables]
        alike = all(_signatures(item.attacks[: own + 1]) == before for item, own in zip(shared, places, strict=True))
        common.append(
            ComparedAttack(
                label=attack_label(shared[0].attacks[place]),
                accuracies=[item.attacks[own].robust_accuracy for item, own in zip(shared, places, strict=True)],
                alike=alike,
            )
        )
    return common


def effort(evaluation: Evaluation) -> tuple[int, int]:
    """Order evaluations by how much attacked: the number of attacks, then their steps over all restarts."""
    attacks = [attack.settings for attack in evaluation.attacks if attack.name != AUDIT]
    return len(attacks), sum(int(a.get("steps") or 1) * int(a.get("restarts") or 1) for a in attacks)
