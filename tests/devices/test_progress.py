"""Which process a run waits for. That runs are really ended is tested with real ones."""

from semask.devices.progress import PHASES, Point, verdict

LOADING, COMPUTING, EVALUATING = (
    PHASES.index(phase) for phase in ("waiting for data", "computing gradients", "evaluating")
)


def test_the_one_behind_is_named() -> None:
    places = {0: (Point(8, COMPUTING, 1), 100.0), 1: (Point(8, LOADING, 0), 100.5)}
    said = verdict(places, 2, 1800)
    assert said.startswith("process 1 of 2 has not moved for 30.0 minutes (iteration 8, waiting")
    assert "the others wait" in said


def test_the_one_that_is_not_heard_of_is_named() -> None:
    places = {
        0: (Point(8, LOADING, 0), 100.0),
        1: (Point(9, COMPUTING, 1), 10.0),
        2: (Point(8, LOADING, 0), 100.0),
    }
    assert verdict(places, 3, 60).startswith("process 1 of 3 has not answered for 1.0 minutes")


def test_nobody_is_behind() -> None:
    places = {rank: (Point(8, COMPUTING, 1), 100.0) for rank in range(2)}
    said = verdict(places, 2, 60)
    assert said.startswith("every one of 2 processes has not moved for 1.0 minutes")
    assert "others" not in said


def test_one_alone() -> None:
    said = verdict({0: (Point(4, EVALUATING, 17), 100.0)}, 1, 60)
    assert said.startswith("process 0 of 1 has not moved for 1.0 minutes (iteration 4, evaluating")
    assert "image 17" in said
    assert "others" not in said
