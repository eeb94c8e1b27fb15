"""Whether processes are a row's."""

from typing import Any

import pytest

from semask.devices.rows import fault_of

from ..conftest import process

ROW = {"device": "gpu", "processes": 2, "threads": 1}


def two(**second: Any) -> list[dict[str, Any]]:
    return [process(0, id="4"), process(1, **{"id": "5", **second})]


def test_two_on_their_own_devices_are_the_row() -> None:
    assert fault_of(two(), ROW) is None
    # two machines number their devices alike
    assert fault_of(two(id="4", host="another"), ROW) is None
    # an accelerator's visible devices may be unrestricted
    assert fault_of([process(0), process(1)], ROW) is None


@pytest.mark.parametrize(
    ("processes", "said"),
    [
        ([process()], "1 process takes part"),
        ([*two(), process(2)], "3 processes take part"),
        ([process(0), process(0, pid=7)], "processes are missing or there twice"),
        (
            two(device="a slower one"),
            "its processes ran on devices of several kinds: a processor, a slower one",
        ),
        (two(id="4"), "two of its processes ran on one device"),
        (two(pid=100), "two of its processes are the same one"),
        (two(threads=4), "its processes had 4 threads, not 1"),
    ],
)
def test_others_are_not(processes: list[dict[str, Any]], said: str) -> None:
    assert fault_of(processes, ROW) == said
