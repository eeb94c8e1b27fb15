"""Rows that stand for a port, beside their original."""

from typing import Any

from semask.comparison.ratios import is_planted_beside_plain, port_over_original
from semask.comparison.rows import measured_row


def test_a_demonstration_that_runs_over_midnight_is_compared(make_record: Any) -> None:
    plain = {"device": "cpu", "processes": 1, "threads": 1}
    lines, records = [], {}
    for day, row in ((2, plain), (3, {**plain, "planted_fault": "gelu_tanh"})):
        made = {**make_record("train", row=row), "kind": "train", "recipe_digest": "0" * 64}
        made["run"] = {**made["run"], "ended": f"2026-01-0{day}T00:00:05+00:00"}
        records[str(day)] = made
        lines.append(measured_row(row, {str(day): made}, []))
    [pair] = port_over_original(lines, records, is_planted_beside_plain)
    assert (pair["rows"], pair["differing"]) == ([1, 0], [])
