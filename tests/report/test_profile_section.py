"""What the report tells of profiles."""

from typing import Any

from semask.report.profile_section import tables


def record(device: str, parts: dict[str, float]) -> dict[str, Any]:
    figures = {"milliseconds": 10.0, "watched_milliseconds": 11.0, "parts": parts, "kinds": parts,
               "operators": [{"name": "aten::mm", "milliseconds": 4.0, "number": 2}]}  # fmt: skip
    return {"row": {"device": device, "processes": 1, "threads": 1}, "figures": figures}


PAIR = {"npu": "NPU-1P", "gpu": "GPU-1P", "kind": "measured", "rows": [1, 0]}
OWN: list[dict[str, Any]] = [{"bundle": None}, {"bundle": None}]
PROFILED = {
    "a": record("gpu", {"decoder": 3.0, "loss": 1.0}),
    "b": record("npu", {"decoder": 4.0, "loss": 9.0, "rest": 0.5}),
}


def test_what_costs_the_port_most_stands_first() -> None:
    by_part, by_kind, *rows = tables(PROFILED, [PAIR], OWN)
    assert by_part["title"] == "NPU-1P beside GPU-1P, by part"
    assert by_part["lines"] == [
        ["loss", "1.00", "9.00", "+8.00"],
        ["decoder", "3.00", "4.00", "+1.00"],
        ["rest", "0.00", "0.50", "+0.50"],
    ]
    assert by_kind["title"] == "NPU-1P beside GPU-1P, by kind of operator"
    assert [of["title"] for of in rows] == [
        f"{name}: a step of 10.0 ms" for name in ("GPU-1P", "NPU-1P")
    ]
    assert rows[1]["lines"][0] == ["loss", "9.00", "part"]


def test_a_row_alone_is_beside_nothing() -> None:
    (alone,) = tables({"b": PROFILED["b"]}, [PAIR], OWN)
    assert alone["title"].startswith("NPU-1P: a step")


def test_profiles_are_of_no_row_of_a_bundle() -> None:
    rows = [*OWN, {"bundle": "imported/site"}]
    pairs = [PAIR, {**PAIR, "rows": [2, 0]}, {**PAIR, "rows": [1, 2]}]
    assert tables(PROFILED, pairs, rows) == tables(PROFILED, [PAIR], OWN)
