"""Runs that are killed, asked to leave or damaged: they go on, to the same end, or say why not."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from semask.base.errors import INTERRUPTED
from semask.base.records import write_record
from semask.data.labels import convert_part
from semask.data.manifest import merge, write_manifest
from semask.data.sets import streets

from .conftest import LONG, WITH_LOADERS, Trainer, finish

Trainers = Callable[[str], Trainer]
Whole = Callable[..., Trainer]

ONLY_WHEN_ASKED = {"checkpoint_iterations": None, "checkpoint_minutes": None}


def end_of(run: Trainer) -> dict[str, Any]:
    """What an undisturbed and an interrupted run must have in common, to the bit."""
    figures = run.record()["figures"]
    return {
        "log": run.curve(),
        "weights": {
            name: (run.folder / f"{name}.safetensors").read_bytes() for name in ("best", "last")
        },
        "figures": {k: figures[k] for k in ("best", "last", "pretrained", "precision", "warnings")},
    }


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The undisturbed run on so many processes; settings of `training` are added to LONG's."""

    @cache
    def get(processes: int, **changed: int) -> Trainer:
        made = Trainer(data, tmp_path_factory.mktemp("whole") / "run")
        made.run(processes=processes, **{**LONG, **changed})
        return made

    return get


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_again_and_again(trainer: Trainers, whole: Whole, processes: int) -> None:
    """Killed while a checkpoint is written, in an evaluation, and at a random moment."""
    # enough that none ends by itself before a busy machine has killed it
    many = {"iterations": 20}
    expected = whole(processes, **many)
    run = trainer("killed")
    delay = random.random()
    print(f"killed {delay} s after the ninth iteration")
    # written aside; evaluations come after iterations 4, 8, 12 and so on
    on = {"processes": processes, **LONG, **many}
    run.killed_when(lambda: any((run.folder / "work/checkpoints").glob(".*tmp*")), **on)
    run.killed_when(lambda: run.reached(4) and len(run.checkpoints()) > 1, **on)
    run.killed_when(lambda: run.reached(9), delay, **on)
    assert not (run.folder / "train.json").exists()
    run.run(**on)
    assert end_of(run) == end_of(expected)
    tries = run.record()["figures"]["tries"]
    assert tries[0]["from"] == 0
    assert tries[-1]["from"] >= 8
    assert not list(run.folder.rglob("*.tmp*"))
    assert not (run.folder / "work").exists()


@pytest.mark.parametrize(
    ("processes", "number"),
    [
        (1, signal.SIGTERM),
        pytest.param(1, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(2, signal.SIGUSR1, marks=pytest.mark.slow),
    ],
)
def test_asked_to_leave(
    trainer: Trainers,
    whole: Whole,
    processes: int,
    number: signal.Signals,
) -> None:
    run = trainer("asked")
    # neither evaluated nor at its end when a busy machine comes to ask
    many = {"iterations": 40, "evaluate_every": 40}
    on = {"processes": processes, "fault_tolerance": ONLY_WHEN_ASKED, **LONG, **many}
    started = run.start(**on)
    run.wait_for(started, lambda: run.reached(1))
    # as a scheduler does: to every process, those that load data included
    for process in [started.pid, *run.children(started)]:
        with suppress(ProcessLookupError):  # a loader has ended with the first already
            os.kill(process, number)
    printed, _ = started.communicate(timeout=300)
    assert started.returncode == INTERRUPTED, printed
    [line] = printed.splitlines()
    assert line.startswith(f"interrupted: {number.name} after iteration ")
    reached = int(line.split("iteration ")[1].split(";")[0])
    [kept] = run.checkpoints()
    assert int(kept.stem) == reached
    run.run(**on)
    assert end_of(run) == end_of(whole(processes, **many))
    assert [each["from"] for each in run.record()["figures"]["tries"]] == [0, reached]


def test_checkpoints_by_the_clock(trainer: Trainers) -> None:
    run = trainer("a")
    clock = {"checkpoint_iterations": None, "checkpoint_minutes": 0.001}
    started = run.start(fault_tolerance=clock, iterations=200, evaluate_every=200)
    run.wait_for(started, lambda: len(run.checkpoints()) == 2)
    run.kill(started)
    assert int(run.checkpoints()[-1].stem) < 200


def test_nothing_outlives_a_killed_supervisor(trainer: Trainers) -> None:
    run = trainer("killed")
    endless = {"iterations": 4000, "evaluate_every": 4000, "parts": WITH_LOADERS}
    started = run.start(processes=2, **endless)
    run.wait_for(started, lambda: run.reached(4))
    children = [psutil.Process(pid) for pid in run.children(started)]
    assert len(children) >= 4  # two that train, two that load
    started.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    for process in alive:
        process.kill()
    assert alive == []
    started.communicate()


@pytest.fixture(scope="module")
def unfinished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A run that was killed after iteration 5, with the checkpoints of 4 and 5."""
    run = Trainer(data, tmp_path_factory.mktemp("unfinished") / "run")
    every = {"checkpoint_iterations": 5}  # and 4, since it is evaluated

    def is_due() -> bool:
        return [int(path.stem) for path in run.checkpoints()] == [4, 5]

    run.killed_while(is_due, fault_tolerance=every, **LONG)
    for half_written in run.folder.rglob(".*.tmp*"):
        half_written.unlink()
    return run


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "file", "says"),
    [
        pytest.param(_cut, "checkpoints/000000005.pt", "damaged", marks=pytest.mark.slow),
        (_flip, "checkpoints/000000005.pt", "damaged"),
        # written after checkpoint 4 and known to checkpoint 5
        (_flip, "weights/000000004.safetensors", "the weights in work/weights/000000004"),
    ],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    trainer: Trainers,
    whole: Whole,
    unfinished: Trainer,
    damage: Callable[[Path], None],
    file: str,
    says: str,
) -> None:
    run = trainer("damaged")
    shutil.copytree(unfinished.folder, run.folder)
    damage(run.folder / "work" / file)
    printed = run.run(**LONG)
    killed, line, goes_on = printed.splitlines()
    assert killed.startswith("CPU-1P full seed 0: the try before was ended from outside")
    assert line.startswith("work/checkpoints/000000005.pt: ")
    assert says in line
    assert line.endswith("the one before is used, 000000004.pt")
    assert goes_on == "CPU-1P full seed 0: going on from iteration 4"
    assert end_of(run) == end_of(whole(1))


@pytest.mark.parametrize(
    ("lost", "says"),
    [("checkpoints/*.pt", "damaged"), ("log.jsonl", "the log does not reach so far")],
)
def test_nothing_intact_to_go_on_from(
    trainer: Trainers, unfinished: Trainer, lost: str, says: str
) -> None:
    run = trainer("lost")
    shutil.copytree(unfinished.folder, run.folder)
    for file in (run.folder / "work").glob(lost):
        file.write_bytes(file.read_bytes()[:100])
    printed = run.run(ok=False, **LONG)
    _, line = printed.splitlines()
    assert line.startswith("error: work/checkpoints/000000005.pt")
    assert says in line
    assert "no other checkpoint is intact" in line
    assert not (run.folder / "train.json").exists()
    assert len(run.checkpoints()) == 2


def test_whose_work_it_is_must_be_known(trainer: Trainers, unfinished: Trainer) -> None:
    run = trainer("unknown")
    shutil.copytree(unfinished.folder, run.folder)
    (run.folder / "work/run.json").unlink()
    [line] = run.run(ok=False, **LONG).splitlines()
    assert line.startswith("error: work/run.json: gone, or not what a trainer wrote; restore it")


def test_a_lost_loader_is_one_line(trainer: Trainers) -> None:
    run = trainer("a")
    parts = {"loader": {"workers": 2}}
    started = run.start(iterations=400, evaluate_every=400, parts=parts)
    run.wait_for(started, lambda: run.reached(2))
    for child in [psutil.Process(pid) for pid in run.children(started)]:
        with suppress(psutil.NoSuchProcess):  # ended with the first
            child.kill()
    printed = finish(started, ok=False)
    assert printed.startswith("error: a process that loads data was ended from outside"), printed
    assert printed.count("\n") == 1, printed


def test_another_label_is_not_trained_on(trainer: Trainers, tmp_path: Path) -> None:
    run = trainer("a")
    shutil.copytree(run.data, tmp_path / "changed")
    run.data = tmp_path / "changed"
    first, *others = sorted((run.data / "labels").rglob("alder*labelTrainIds.png"))
    for other in others:
        shutil.copy(first, other)
    [line] = run.run(ok=False).splitlines()
    assert line.startswith("error: ")
    assert "not the label that was converted; convert it again" in line
    assert not (run.folder / "train.json").exists()


def test_another_recipe_does_not_go_on(trainer: Trainers, unfinished: Trainer) -> None:
    run = trainer("other")
    shutil.copytree(unfinished.folder, run.folder)
    printed = run.run(ok=False, **{**LONG, "learning_rate": 0.1})
    [line] = printed.splitlines()
    assert line.startswith("error: work: holds an unfinished run that differs in ")
    assert "recipe.training.learning_rate;" in line
    assert len(run.checkpoints()) == 2


@pytest.mark.parametrize("is_known", [True, False])
def test_other_validation_labels_do_not_choose_the_best_weights(
    trainer: Trainers, unfinished: Trainer, tmp_path: Path, is_known: bool
) -> None:
    run = trainer("run")
    shutil.copytree(unfinished.folder, run.folder)
    noted = run.folder / "work/run.json"
    if not is_known:  # by a trainer that did not note it: nothing says that they are others
        content = json.loads(noted.read_text("utf-8"))
        del content["validation_fingerprint"]
        noted.write_text(json.dumps(content), "utf-8")
    run.data = relabelled(run.data, tmp_path / "changed")
    printed = run.run(ok=not is_known, **LONG)
    if is_known:
        assert printed.startswith("error: work: holds an unfinished run that differs in ")
        assert " validation_fingerprint; restore the config and the data" in printed
        assert len(run.checkpoints()) == 2
    else:
        manifest = json.loads((run.data / "labels/val.json").read_text("utf-8"))
        assert run.record()["validation_fingerprint"] == manifest["fingerprint"]


def test_a_complete_run_of_other_validation_labels_is_forgotten(
    trainer: Trainers, complete: Callable[[str], Trainer], tmp_path: Path
) -> None:
    run = trainer("run")
    shutil.copytree(complete("full").folder, run.folder)
    before = run.record()
    run.data = relabelled(run.data, tmp_path / "changed")
    assert run.run() == ""
    assert run.record()["validation_fingerprint"] != before["validation_fingerprint"]


def relabelled(data: Path, folder: Path) -> Path:
    """A copy of the data, with the validation images labelled otherwise."""
    shutil.copytree(data, folder)
    first, *others = sorted((folder / "streets/gtFine/val").rglob("*.json"))
    for other in others:
        shutil.copy(first, other)
    made = convert_part(streets, folder / "streets", "val", "elm", folder / "labels")
    write_manifest(folder / "labels/val.json", merge([made]))
    return folder


def test_each_try_tells_how_it_ran(trainer: Trainers, unfinished: Trainer) -> None:
    """What the first one trained by stays known where it goes on otherwise."""
    run = trainer("otherwise")
    shutil.copytree(unfinished.folder, run.folder)
    run.run(**{**LONG, "parts": {**WITH_LOADERS, **CHECKPOINTING["parts"]}})
    record = run.record()
    first, second = record["figures"]["tries"]
    assert first["execution"] == {**record["execution"], "checkpointing": False}
    assert second["execution"] == record["execution"]
    versions = ("torch", "torch_npu", "cann", "cuda", "driver")
    assert {key: first[key] for key in versions} == {key: record["device"][key] for key in versions}


def test_two_trainers_do_not_share_a_folder(trainer: Trainers) -> None:
    run = trainer("a")
    first = run.start(iterations=200, evaluate_every=200)
    try:
        run.wait_for(first, lambda: (run.folder / "work/log.jsonl").exists())
        printed = run.run(ok=False)
        [line] = printed.splitlines()
        assert "another training process works in this folder" in line
        assert not (run.folder / "work/given_up").exists()
        assert first.poll() is None
    finally:
        run.kill(first)


def test_a_complete_run_is_not_trained_again(trainer: Trainers) -> None:
    """Snakemake deletes the outputs of a run whose end it did not live to note."""
    run = trainer("a")
    run.run(options=["--keep-work"])
    kept = end_of(run), run.record()
    for name in ("train.json", "log.jsonl", "best.safetensors", "last.safetensors"):
        (run.folder / name).unlink()
    printed = run.run(options=["--keep-work"])
    assert printed == "work: the run was complete already\n"
    assert (end_of(run), run.record()) == kept
    # other weights than its record speaks of: trained anew
    for file in (run.folder / "work/weights").iterdir():
        _flip(file)
    (run.folder / "train.json").unlink()
    assert run.run() == ""
    assert end_of(run) == kept[0]
    assert run.record()["run"]["started"] > kept[1]["run"]["started"]
    assert not (run.folder / "work").exists()


def test_another_recipe_forgets_a_complete_run(trainer: Trainers) -> None:
    run = trainer("a")
    run.run(options=["--keep-work"], iterations=2)
    # killed before it dropped them
    (run.folder / "work/checkpoints").mkdir()
    (run.folder / "work/checkpoints/000000002.pt").touch()
    run.run(iterations=3)
    assert run.record()["recipe"]["training"]["iterations"] == 3


@pytest.fixture(scope="module")
def complete(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trainer]:
    """A run of a mode that was complete when its workflow was killed."""

    @cache
    def get(mode: str) -> Trainer:
        made = Trainer(data, tmp_path_factory.mktemp("complete") / "run")
        made.run(mode=mode, options=["--keep-work"])
        return made

    return get


WINDOW = {"ends_at": 4, "length": 1}
CHECKPOINTING = {"parts": {"execution": {"checkpointing": ["cpu"]}}}


@pytest.mark.parametrize(
    ("mode", "changes", "is_another"),
    [
        ("performance", CHECKPOINTING, True),
        ("performance", {"options": ["--prepared", "prepared"]}, True),
        ("performance", {"parts": WITH_LOADERS}, True),
        ("performance", {"parts": {"performance": {"warmup_iterations": 3}}}, True),
        ("performance", {"parts": {"performance": {"log_window": WINDOW}}}, True),
        # of a run that is no longer, one iteration is left out
        ("performance", {"parts": {"performance": {"warmup_iterations": 5}}}, True),
        ("full", CHECKPOINTING, True),
        ("full", {"parts": {**WITH_LOADERS, "performance": {"warmup_iterations": 3}}}, False),
        ("full", {"options": ["--prepared", "prepared"]}, False),
    ],
)
def test_a_complete_run_is_delivered_only_as_what_is_asked_for(
    trainer: Trainers, complete: Callable[[str], Trainer], mode: str, changes: dict[str, Any],
    is_another: bool,
) -> None:  # fmt: skip
    """Its work directory outlives a workflow that was killed, and settings change after that."""
    run = trainer("other")
    shutil.copytree(complete(mode).folder, run.folder)
    before = run.record()
    (run.folder / "train.json").unlink()
    printed = run.run(mode=mode, **changes)
    assert (printed != "work: the run was complete already\n") == is_another
    assert (run.record()["digest"] != before["digest"]) == is_another


def test_a_complete_run_with_fallbacks_is_none_where_they_are_forbidden(
    trainer: Trainers, complete: Callable[[str], Trainer]
) -> None:
    run = trainer("fallbacks")
    shutil.copytree(complete("performance").folder, run.folder)
    figures = {**run.record()["figures"], "cpu_fallbacks": ["aten::roll"]}
    content = {k: v for k, v in run.record().items() if k not in ("schema", "kind", "digest")}
    write_record(run.folder / "work/train.json", "train", **{**content, "figures": figures})
    run.run(mode="performance", options=["--keep-work"])
    assert run.record()["figures"]["cpu_fallbacks"] == ["aten::roll"]
    run.run(mode="performance", forbid_fallbacks=True)
    assert run.record()["figures"]["cpu_fallbacks"] is None


def test_a_performance_run_starts_anew(trainer: Trainers) -> None:
    run = trainer("a")
    long = {"performance": {"iterations": 400}, **WITH_LOADERS}
    started = run.start(mode="performance", parts=long)
    run.wait_for(started, lambda: run.reached(1))
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=300) == INTERRUPTED
    started.communicate()
    assert run.checkpoints() == []
    run.run(mode="performance")
    assert [line["iteration"] for line in run.lines()] == [1, 2, 3, 4, 5]


def test_wrong_input_is_given_up_at_the_first_try(trainer: Trainers) -> None:
    run = trainer("a")
    crowded = {"batch": {"size": 1, "per": "run", "micro_batch": None}, "processes": 2}
    printed = run.run(ok=False, options=["--attempt", "1"], **crowded)
    assert printed.startswith("error: training.batch.size")
    again = run.run(ok=False, options=["--attempt", "2"], **crowded)
    assert again == printed.replace("error: ", "given up at the first try: ")
    # a later call of the workflow looks once more
    assert run.run(ok=False, options=["--attempt", "1"], **crowded) == printed
    run.run(options=["--attempt", "1"], iterations=1)


def test_a_lost_process_ends_the_others(trainer: Trainers) -> None:
    run = trainer("a")
    started = run.start(processes=2, iterations=400, evaluate_every=400)
    run.wait_for(started, lambda: run.reached(2))
    psutil.Process(run.ranks(started)[1]).kill()
    printed = finish(started, ok=False)
    assert printed.startswith("error: process 1 of 2 was ended by SIGKILL"), printed
    assert len(printed.splitlines()) == 1, printed
    assert started.returncode == 1


def in_two_processes(run: Trainer, script: str) -> list[str]:
    """What starts a script in a run's folder as the trainer's supervisor starts the trainer."""
    run.folder.mkdir()
    (run.folder / "in_its_place.py").write_text(script, encoding="utf-8")
    return ["-m", "semask.workflow.supervise", "2", "0", "1", "-", "in_its_place"]


FIRST_ONE_IS_LATE = """
import os, time
from semask.workflow import guard
from workflow_scripts import train
wait = guard._wait_for_the_first
def late(fault):
    time.sleep(2 if os.environ["RANK"] == "0" else 0)
    wait(fault)
guard._wait_for_the_first = late
guard.run(train.main)
"""


@pytest.mark.slow
def test_asked_to_leave_again_and_again(trainer: Trainers) -> None:
    """As a supervisor asks: each second; the process that says so takes longer than the others."""
    run = trainer("a")
    command = in_two_processes(run, FIRST_ONE_IS_LATE)
    started = run.start(command, processes=2, iterations=400, evaluate_every=400)
    run.wait_for(started, lambda: run.reached(1))
    started.send_signal(signal.SIGTERM)
    printed, _ = started.communicate(timeout=300)
    assert started.returncode == INTERRUPTED, printed
    [line] = printed.splitlines()
    assert line.startswith("interrupted: SIGTERM after iteration "), printed


@pytest.mark.slow
def test_a_process_lost_in_an_evaluation_is_named(trainer: Trainers) -> None:
    """An evaluation is left at once when a signal comes, which torch's agent sends here."""
    run = trainer("a")
    # a hundred thousand windows: the one that is left is at work
    windows = {"scale": [2048, 1024], "sliding_window": {"size": [32, 32], "stride": [4, 4]}}
    started = run.start(processes=2, iterations=1, evaluate_every=1, parts={"evaluation": windows})
    run.wait_for(started, lambda: run.reached(1) and run.checkpoints())
    time.sleep(3)
    psutil.Process(run.ranks(started)[1]).kill()
    printed = finish(started, ok=False)
    assert printed.startswith("error: process 1 of 2 was ended by SIGKILL"), printed
    assert len(printed.splitlines()) == 1, printed


IMPORTED_FIRST = """
import semask.training.loop
from semask.workflow import guard
from workflow_scripts import train
guard.run(train.main)
"""


def test_a_stalled_process_is_named(trainer: Trainers) -> None:
    run = trainer("a")
    # torch, whose import takes a slow machine long, is there before it is watched
    command = in_two_processes(run, IMPORTED_FIRST)
    quick = {"stall_minutes": 0.25}
    started = run.start(
        command, processes=2, iterations=400, evaluate_every=400, fault_tolerance=quick
    )
    run.wait_for(started, lambda: run.reached(2))
    first, second = map(psutil.Process, run.ranks(started))
    second.suspend()
    first.wait(timeout=300)
    second.resume()  # torch's agent has asked it to end, and would wait half a minute for that
    printed, _ = started.communicate(timeout=300)
    lines = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, printed
    assert lines[0].startswith("error: process 1 of 2 has not answered for 0.")
    assert started.returncode == INTERRUPTED


def test_an_error_of_one_process_is_heard_alone(trainer: Trainers, tmp_path: Path) -> None:
    run = trainer("a")
    shutil.copytree(run.data, tmp_path / "damaged")
    run.data = tmp_path / "damaged"
    for image in (run.data / "streets/leftImg8bit/train").rglob("*.png"):
        _cut(image)
    printed = run.run(ok=False, processes=2)
    assert len(printed.splitlines()) == 1, printed
    [line] = printed.splitlines()
    assert line.startswith("error: ")
    assert "_leftImg8bit.png" in line


def test_a_loss_that_is_no_number(trainer: Trainers) -> None:
    run = trainer("a")
    # a step of this size makes weights whose products overflow
    printed = run.run(ok=False, learning_rate=1000, warmup_iterations=0, **{**LONG})
    [line] = printed.splitlines()
    assert line.startswith("error: iteration ")
    assert re.search(r", lr \d{3}[\d.]*, images ", line)
    assert line.count("_leftImg8bit.png") == 4
    assert "lower training.learning_rate" in line
    assert not (run.folder / "train.json").exists()


@contextmanager
def _little_room(folder: Path, how: str, checkpoint: int) -> Iterator[list[str]]:
    """Room for two checkpoints in a folder, not for a third; yields what to run commands with."""
    if how == "limit":
        yield ["bash", "-c", f'ulimit -f {checkpoint // 2048}; exec "$0" "$@"']
        return
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    size = int(2.5 * checkpoint)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        yield []
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("full", [pytest.param("limit", marks=pytest.mark.slow), "disk"])
def test_a_full_disk_keeps_the_checkpoint_before(
    trainer: Trainers, whole: Callable[[int], Trainer], unfinished: Trainer, full: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    run = trainer("full")
    shutil.copytree(unfinished.folder, run.folder)
    kept = [(file, file.read_bytes()) for file in run.checkpoints()]
    size = len(kept[0][1])
    # as a kill -9 leaves them
    for name in ("checkpoints/.000000008.0a1b2c3d.tmp.pt",
                 "weights/.000000008.0a1b2c3d.tmp.safetensors"):  # fmt: skip
        (run.folder / "work" / name).touch()
    with _little_room(run.folder / "work/checkpoints", full, size) as wrapper:
        printed = run.run(ok=False, wrapper=wrapper, **LONG)
        line = printed.splitlines()[-1]
        assert line.startswith("error: work/checkpoints/00000000")
        assert "No space left on device" in line or "File too large" in line
        assert "make room" in line
        assert [(file, file.read_bytes()) for file in run.checkpoints()] == kept
        assert not list(run.folder.rglob(".*tmp*"))
    run.run(**LONG)
    assert end_of(run) == end_of(whole(1))
