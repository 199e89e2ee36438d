"""Threats without a norm in `gate` and `compare`: figures of different threat models never stand as alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_folders import bits, write_evaluation, write_run

from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.reports.comparison import compare
from hardener.reports.comparison_page import table_blocks
from hardener.reports.condition import parse_condition
from hardener.reports.gate import Outcome, judge
from hardener.reports.shared import threats_of
from hardener.threats import threat_of

SPATIAL = threat_of("spatial")
NARROW = threat_of("spatial", {"rotation": (-15, 15)})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """70 of 100 stand under spatial in its own ranges, 80 in narrow ones, 40 under linf 8/255."""
    run = write_run(tmp_path, "run")
    write_evaluation(run, bits(90, 100), bits(70, 100), threat=SPATIAL, minute=1)
    write_evaluation(run, bits(90, 100), bits(80, 100), threat=NARROW, minute=2)
    write_evaluation(run, bits(90, 100), bits(40, 100), minute=3)
    return run


def holds(run: RunFolder, text: str, against: RunFolder | None = None) -> Outcome:
    (outcome,) = judge(run, [parse_condition("min" if against is None else "max-drop", text)], against).outcomes
    return outcome


def test_a_condition_means_the_defaults_unless_it_names_ranges(run: RunFolder) -> None:
    assert holds(run, "spatial=0.5").found.startswith("70.0 %")
    assert holds(run, "spatial:rotation=-15,15=0.5").found.startswith("80.0 %")
    assert not holds(run, "spatial=0.7").passed
    assert holds(run, "linf-8/255=0.2").found.startswith("40.0 %")
    written_out = ":".join(f"{name}={value[0]:g},{value[1]:g}" for name, value in SPATIAL.settings)  # type: ignore[index]
    assert holds(run, f"spatial:{written_out}=0.5").found.startswith("70.0 %")


def test_what_was_not_measured_is_named_with_the_command_that_measures_it(run: RunFolder) -> None:
    with pytest.raises(HardenerError, match="has no robust accuracy under spatial .rotation -5 to 5.") as error:
        holds(run, "spatial:rotation=-5,5=0.5")
    assert f"Run `hardener eval {run.path} --threat spatial --set rotation=-5.0,5.0" in str(error.value)
    with pytest.raises(HardenerError, match="write a range as NAME=LOW,HIGH, such as spatial:rotation=-15,15"):
        parse_condition("min", "spatial:rotation=0.5")
    with pytest.raises(HardenerError, match="unknown measure 'spatail'. .* Did you mean 'spatial'"):
        parse_condition("min", "spatail=0.5")


def test_a_drop_is_paired_and_of_the_same_threat(run: RunFolder, tmp_path: Path) -> None:
    before = write_run(tmp_path, "before")
    write_evaluation(before, bits(90, 100), bits(75, 100), threat=SPATIAL)
    outcome = holds(run, "spatial=0.2", before)
    assert "fell by 5.0 points" in outcome.found
    assert "paired, on the same images" in outcome.found


def test_runs_are_compared_under_each_threat_on_its_own(run: RunFolder, tmp_path: Path) -> None:
    other = write_run(tmp_path, "other")
    write_evaluation(other, bits(90, 100), bits(60, 100), threat=SPATIAL, minute=1)
    write_evaluation(other, bits(90, 100), bits(50, 100), minute=3)
    found = compare([run, other])
    assert [threat.name for threat in found.threats] == ["linf 8/255", "spatial"]
    assert [(threat.norm, threat.eps is None) for threat in found.threats] == [("linf", False), (None, True)]
    assert [r.robust_accuracy for r in found.threats[1].results] == [0.7, 0.6]
    assert [block.title for block in table_blocks(found)][:2] == ["linf 8/255, n = 100", "spatial, n = 100"]


def test_other_ranges_are_another_threat(tmp_path: Path) -> None:
    one, other = write_run(tmp_path, "one"), write_run(tmp_path, "other")
    first = write_evaluation(one, bits(90, 100), bits(70, 100), threat=SPATIAL)
    second = write_evaluation(other, bits(90, 100), bits(80, 100), threat=NARROW)
    assert threats_of([first, second]) == sorted([SPATIAL, NARROW], key=lambda threat: threat.rank)
    with pytest.raises(HardenerError, match="no threat model under which all runs were evaluated") as error:
        compare([one, other])
    assert f"Run `hardener eval {other.path} --attack pgd --threat spatial " in str(error.value)
