"""What makes a speed say little, from what was seen while it was measured; needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

TAKEN = 0.1
"""A larger share that others took of the time of a run's cores or devices disturbs its speed."""


def disturbances(machines: Sequence[Mapping[str, Any]], device: str) -> list[str]:
    """What makes a speed say little, in words: "other programs took 34 % of its cores' time".

    It takes the conditions of each machine of a run, as records have them; none if nobody looked.
    """
    said = []
    for machine in machines:
        where = f" on {machine['host']}" if len(machines) > 1 else ""
        others = machine["others"]
        if others is not None and others["mean"] > TAKEN:
            said.append(f"other programs took {_percent(others['mean'])} of its cores' time{where}")
        if machine["throttled"]:
            share = _percent(machine["throttled"])
            said.append(f"its cores were throttled by heat for {share} of the time{where}")
        for number, of in enumerate(machine["devices"]):
            name = f"{device} {number}{where}"
            if of["others"] is not None and of["others"] > TAKEN:
                share = _percent(of["others"])
                said.append(f"another program was on {name} at {share} of the looks")
            if of["throttled"]:
                share = _percent(of["throttled"])
                said.append(f"{name} was throttled at {share} of the looks ({_reasons(of)})")
    return said


def _reasons(of: Mapping[str, Any]) -> str:
    return ", ".join(of["reasons"]) or "no reason is named"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "less than 1 %"
