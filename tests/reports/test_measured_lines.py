"""How measured figures are said in one line."""

from __future__ import annotations

from run_folders import certification

from hardener.reports.measured_lines import told_draws


def test_draws_of_a_certificate_are_told_as_other_large_numbers_are() -> None:
    found = certification({0.25: 0.5})
    assert told_draws(found) == "1,000"
    assert told_draws(found.model_copy(update={"mean_draws": 120.4})) == "up to 1,000 (120 in the mean)"
    many = found.model_copy(update={"draws": 100_000, "mean_draws": 1234.5})
    assert told_draws(many) == "up to 100,000 (1,234 in the mean)"
