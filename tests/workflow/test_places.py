"""Places that lack something: one line before anything runs, or it works all the same."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from semask.base.errors import InputError
from semask.config.layers import read_layer
from semask.workflow.places import check, check_folders, check_rows, crowded
from semask.workflow.plan import Plan

from .conftest import REPOSITORY, TINY, Background, Checkout

CONTAINERFILE = (REPOSITORY / "envs/Containerfile.gpu").read_text(encoding="utf-8")
# a user without a name, who is the owner of what the tests' user owns and can do nothing more
NAMELESS = ("unshare", "--user", "--map-user=4242", "--map-group=4242")
# without any network, with 1 MiB of memory that processes share, and with a disk to read alone
POOR = ("unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c",
        'mount -t tmpfs -o size=1m shm /dev/shm && mount -t tmpfs -o ro none /mnt && exec "$@"',
        "sh")  # fmt: skip

CHECK = """
import json, sys
from semask.base.errors import InputError
from semask.workflow.places import check_folders, check_rows
for function, *arguments in json.loads(sys.argv[1]):
    try:
        globals()[function](*arguments)
        print("nothing")
    except InputError as fault:
        print(fault)
"""


def said_in(place: tuple[str, ...], *calls: tuple[Any, ...]) -> list[str]:
    """What calls of this module's functions say in a place."""
    try:
        able = subprocess.run([*place, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        able = False
    if not able:
        pytest.skip(f"this machine gives no place such as: {' '.join(place)}")
    done = subprocess.run(
        [*place, sys.executable, "-c", CHECK, json.dumps(calls)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, encoding="utf-8", timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def with_rows(
    config: dict[str, Any], *processes: int, workers: int = 0, rule: str = "measure"
) -> tuple[Any, list[Any]]:
    rows = [{"device": "cpu", "processes": count, "threads": 1} for count in processes]
    return {**config, "loader": {"workers": workers}}, [(rule, row) for row in rows]


def test_a_poor_place(config: dict[str, Any]) -> None:
    config["training"]["augmentation"]["crop"] = [128, 64]
    lines = said_in(
        POOR,
        ("check_rows", *with_rows(config, 1)),
        ("check_rows", *with_rows(config, 2)),
        # 2 workers with 4 batches of 8 images each
        ("check_rows", *with_rows(config, 1, workers=2)),
        ("check_folders", {"results": "/dev/shm/results"}),
        ("check_folders", {"results": "/mnt/results"}),
    )
    assert lines[0] == "nothing"
    assert lines[1].startswith("this machine has no loopback network")
    assert lines[2].startswith("loader.workers: 2 for each process of cpu-1p keep batches of 2.0 M")
    assert "/dev/shm, where 1.0 MiB are free" in lines[2]
    assert lines[3] == "nothing"
    assert lines[4] == "results: /mnt is on a disk that is read-only; give another folder"


def test_passes_and_processes_decide_what_is_shared(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 16 * 4 * 8 * 64 * 64 * 4
    monkeypatch.setattr(
        os, "statvfs", lambda _: os.statvfs_result((1, 1, free, free, free, 0, 0, 0, 0, 255))
    )
    config["training"]["augmentation"]["crop"] = [64, 64]
    check_rows(*with_rows(config, 1, 2, 8, workers=16))
    with pytest.raises(InputError, match="of cpu-1p"):
        check_rows(*with_rows(config, 1, workers=17))
    config["training"]["batch"]["micro_batch"] = 4
    check_rows(*with_rows(config, 1, workers=32))
    config["training"]["batch"] = {"size": 8, "per": "device", "micro_batch": None}
    with pytest.raises(InputError, match="of cpu-2p"):
        check_rows(*with_rows(config, 1, 2, workers=16))


def test_whole_images_are_counted(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fits(rule: str, free: int, processes: int = 1) -> bool:
        room = os.statvfs_result((1, 1, free, free, free, 0, 0, 0, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda _: room)
        try:
            check_rows(*with_rows(config, processes, workers=2, rule=rule))
        except InputError:
            return False
        return True

    config["evaluation"].update(scale=[2048, 1024], multi_scale=None)
    # two images ahead in each of two processes that load, four bytes of a pixel
    single = 2 * 2 * 2048 * 1024 * 4
    for rule in ("evaluate", "cross", "released"):
        assert (fits(rule, single), fits(rule, single - 1)) == (True, False)
    assert not fits("cross", single, processes=2)
    # while a full run scores, the crops of training wait
    assert not fits("train", single)
    assert fits("train", single + 2 * 4 * 8 * 112 * 112 * 4)
    config["evaluation"]["multi_scale"] = {"ratios": [1.0, 2.0, 2.0], "flip": True}
    several = 2 * 2048 * 1024 * (3 * (1 + 4) + 1)
    for rule in ("evaluate", "released"):
        assert (fits(rule, several), fits(rule, several - 1)) == (True, False)
    assert fits("cross", single)
    with pytest.raises(InputError, match=r"cpu-1p keep batches and images of 35\.1 MiB"):
        check_rows(*with_rows(config, 1, workers=2, rule="train"))


def test_released_checkpoints_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    files = ("config.yaml", "experiments/cityscapes.yaml")
    small = {"variant": "tiny", "released": {"device": "cpu", "processes": 8}}
    plan = Plan.read([*(read_layer(REPOSITORY / name) for name in files), small], REPOSITORY)
    job = SimpleNamespace(rule=SimpleNamespace(name="released"), wildcards_dict={"variant": "base"})
    workflow = SimpleNamespace(dag=SimpleNamespace(needrun_jobs=lambda: [job]))
    room = os.statvfs_result((1, 1, 2**20, 2**20, 2**20, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: room)
    with pytest.raises(InputError, match="for each process of cpu-8p keep images of"):
        check(workflow, plan, warn=print)


def test_many_processes_on_few_cores() -> None:
    rows = [{"device": device, "processes": 64, "threads": 1} for device in ("cpu", "gpu")]
    [line] = crowded([*rows, {"device": "cpu", "processes": 4, "threads": 1}, rows[0]], 2)
    assert line.startswith("rows: cpu-64p: 64 processes share 2 cores, are slow, and their FPS")
    assert crowded(rows, 32) == []


def test_folders_that_somebody_else_owns(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    lines = said_in(
        NAMELESS,
        ("check_folders", {"results": f"{tmp_path}/open/results"}),
        ("check_folders", {"results": "/etc/semask/results"}),
        ("check_folders", {"results": f"{closed}/results"}),
        ("check_folders", {"results": "/proc/results"}),
    )
    assert lines[0] == "nothing"
    assert lines[2].startswith(f"results: {closed} is of user 4242, who runs this, and is not to")
    if os.stat("/etc").st_uid == os.getuid():  # whose folders are the nameless one's own there
        return
    assert lines[1].startswith("results: /etc belongs to user ")
    assert "and user 4242, who runs this, may not write there" in lines[1]


def test_compiling_needs_a_compiler(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def check(device: str, compiled: list[str]) -> None:
        config["execution"]["compile"] = compiled
        made, rows = with_rows(config, 1)
        check_rows(made, [(rule, {**row, "device": device}) for rule, row in rows])

    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\n", encoding="utf-8")
    compiler.chmod(0o755)
    for name in ("CC", "CXX", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(compiler.parent))
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    check("cpu", ["cpu"])
    check("gpu", ["cpu"])
    with pytest.raises(InputError, match=r"for a gpu .* for C, and there is no gcc or clang or cc"):
        check("gpu", ["gpu"])
    monkeypatch.setenv("CXX", "c++-99")
    with pytest.raises(InputError, match=r"for a cpu .* C\+\+, and there is no c\+\+-99; install"):
        check("cpu", ["cpu"])
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/a folder")
    with pytest.raises(InputError, match=r"'/tmp/a folder' torch cannot compile .* set TMPDIR to"):
        check("cpu", ["cpu"])
    check("cpu", [])


def test_the_owner_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(InputError) as fault:
        check_folders({"results": "/nobody has made this/results"})
    # the tests' user may be one for whom root is another
    owner = "0 (root)" if os.stat("/").st_uid == 0 else str(os.stat("/").st_uid)
    assert str(fault.value).startswith(
        f"results: / belongs to user {owner}, and user 4242, who runs this, may not write there"
    )


@pytest.mark.workflow
def test_before_anything_runs_and_only_then(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PATH")
    large = {"scale": [13000, 13000], "crop": [13000, 13000]}  # 5 TB of batches
    many = {"device": "cpu", "processes": 4096, "threads": 1, "modes": ["performance"],
            "seeds": [0]}  # fmt: skip
    training = {"augmentation": large, "batch": {"per": "device", "size": 2}}
    rows = [*TINY["rows"], many]
    checkout.configure({"loader": {"workers": 1024}, "training": training, "rows": rows})
    assert checkout.planned()
    printed = checkout.snakemake(ok=False)
    assert printed.splitlines()[-1].startswith("error: loader.workers: 1024 for each process of cp")
    assert "\nrows: cpu-4096p: 4096 processes share " in printed
    assert not (checkout.folder / "data").exists()
    # what is to be made needs no row
    checkout.snakemake("--", "data/streets-labels/dataset.json")


@pytest.mark.workflow
def test_images_from_the_future(checkout: Checkout) -> None:
    checkout.snakemake("--", "data/streets-labels/dataset.json")
    image = next((checkout.folder / "data").rglob("elm*leftImg8bit.png"))
    os.utime(image, (4e9, 4e9))
    printed = checkout.snakemake("--", "data/streets-labels/val/elm.json", ok=False)
    [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
    relative = image.relative_to(checkout.folder)
    assert line.startswith(f"error: {relative}: was changed in the future, at 2096-10-02")
    assert "as 1 of 4 files of this part were" in line


@pytest.mark.slow
@pytest.mark.workflow
def test_a_user_without_a_name_in_an_image(checkout: Checkout, tmp_path: Path) -> None:
    """As docs/containers.md has it run: code of somebody else's, a folder of the user's own.

    There is no PATH either, and TMPDIR has a name that is too long for sockets.
    """
    said_in(NAMELESS)
    checkout.configure({"loader": {"workers": 2}})
    home, temporary, own = tmp_path / "home", tmp_path / ("t" * 100), tmp_path / "work"
    for folder in (home, temporary, own):
        folder.mkdir()
    (own / "my.yaml").write_bytes((checkout.folder / "tiny.yaml").read_bytes())
    for path in checkout.folder.rglob("*"):
        path.chmod(0o555)
    image = re.search(r"^ENV .* (HOME=\S+) (USER=\S+)", CONTAINERFILE, re.MULTILINE)
    assert image is not None
    assert image[1] == "HOME=/tmp"  # here another folder that can be written to
    done = subprocess.run(
        [*NAMELESS, sys.executable, "-m", "snakemake", "--cores", "2",
         "--snakefile", checkout.folder / "Snakefile",
         "--configfile", checkout.folder / "config.yaml", "my.yaml"],
        cwd=own, capture_output=True, encoding="utf-8", timeout=3000,
        env={
            **{key: value for key, value in os.environ.items() if key != "PATH"},
            **{"HOME": str(home), "USER": image[2].partition("=")[2], "TMPDIR": str(temporary)},
            "PYTHONPATH": str(checkout.folder),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (own / "results/table.md").exists()


@pytest.mark.slow
@pytest.mark.workflow
def test_two_checkouts_at_one_time(checkout: Checkout, tmp_path: Path) -> None:
    other = checkout.copy(tmp_path / "another checkout")
    options = ("-m", "snakemake", "--configfile", "tiny.yaml", "--cores", "2")
    running = [
        Background(made, tmp_path / f"printed {number}", *options)
        for number, made in enumerate((checkout, other))
    ]
    for made in running:
        assert made.process.wait(timeout=3000) == 0, made.printed
        assert (made.folder / "results/table.md").exists()
