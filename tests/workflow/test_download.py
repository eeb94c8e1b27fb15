"""The rules that fetch: a data set, published weights."""

import contextlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ..fetching.test_archives import ADE, NOISE, pack
from ..server import Server
from .conftest import Checkout

pytestmark = pytest.mark.workflow

ADDRESS = "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip"
WEIGHTS = "swin_small_patch4_window7_224.pth"


@pytest.fixture
def online(checkout: Checkout, server: Server) -> Checkout:
    """A checkout that fetches all from the local server."""
    checkout.configure({"downloads": {"mirrors": server.mirrors}})
    return checkout


def test_a_data_set_is_downloaded_once(online: Checkout, server: Server, tmp_path: Path) -> None:
    archive = pack(tmp_path / "ade.zip", ADE)
    server.put("/places/ADEchallenge/ADEChallengeData2016.zip", archive.read_bytes())
    module = online.folder / "semask/data/sets/ade20k.py"
    # the miniature has a digest of its own
    lines = [
        line for line in module.read_text(encoding="utf-8").splitlines() if "digest" not in line
    ]
    module.write_text("\n".join(lines) + "\n", encoding="utf-8")
    online.configure(
        {"dataset": {"name": "ade20k", "root": "ade", "labels": "labels", "download": True},
         "model": {"num_classes": 150}}
    )  # fmt: skip
    printed = online.snakemake("labels/download.json")
    assert "no digest is published; pinned sha256:" in printed
    [known] = json.loads((online.folder / "labels/download.json").read_text(encoding="utf-8"))[
        "archives"
    ]
    pins = json.loads((online.folder / "downloads.lock.json").read_text(encoding="utf-8"))
    assert pins["ADEChallengeData2016.zip"]["sha256"] == known["sha256"]
    assert pins["ADEChallengeData2016.zip"]["url"] == ADDRESS
    assert (online.folder / "ade/images/training/ADE_train_00000001.jpg").exists()
    server.asked.clear()
    assert "Nothing to be done" in online.snakemake("labels/download.json")
    # the list is made again without fetching
    (online.folder / "labels/download.json").unlink()
    online.snakemake("labels/download.json")
    assert not server.asked


@contextlib.contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """Those of all processes of this machine, looked at again and again while the context lasts."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen.add(file.read_bytes())

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def test_a_login_stays_where_it_was_given(
    online: Checkout, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on a command line, in what is printed, nor in any file, when it fails or is done."""
    user, password = "zaphod.beeblebrox", "h3art-of-g0ld&42"
    server.logins = {user: password}
    monkeypatch.setenv("CITYSCAPES_USERNAME", user)
    monkeypatch.setenv("CITYSCAPES_PASSWORD", password)
    for number, folder in enumerate(("gtFine", "leftImg8bit"), start=1):
        archive = pack(tmp_path / f"{folder}.zip", {f"{folder}/train/bonn/x.png": NOISE})
        server.packages[f"{folder}_trainvaltest.zip"] = archive.read_bytes()
        server.behaviour(f"/file-handling/?packageID={number}").pause = 0.05
    online.configure(
        {"dataset": {"name": "cityscapes", "root": "root", "labels": "labels", "download": True}}
    )
    server.md5 = {"leftImg8bit_trainvaltest.zip": "0" * 32}
    for ok in (False, True):
        with command_lines() as commands:
            printed = online.snakemake("-p", "--verbose", "labels/download.json", ok=ok)
        server.md5.clear()
        assert any(b"workflow_scripts.download" in command for command in commands)
        assert ok or "the Cityscapes site says md5:000" in printed
        texts = {*commands, printed.encode()}
        texts |= {path.read_bytes() for path in online.folder.rglob("*") if path.is_file()}
        for secret in (user, password, "h3art-of-g0ld%2642"):
            assert not [text[:200] for text in texts if secret.encode() in text]
    assert [asked.form["password"] for asked in server.asked if asked.form][-1] == password
    assert (online.folder / ".snakemake/log").is_dir()
    assert (online.folder / "root/leftImg8bit/train/bonn/x.png").read_bytes() == NOISE


def test_a_mirror_with_a_login_is_refused_unseen(online: Checkout) -> None:
    mirrors = {"https://github.com": "https://zaphod:h3art@mirror.invalid"}
    online.configure({"downloads": {"mirrors": mirrors}})
    printed = online.snakemake("--verbose", f"weights/{WEIGHTS}", ok=False)
    assert "error: config: downloads.mirrors: a URL with a login in it; put" in printed
    assert "h3art" not in printed
    files = [path for path in online.folder.rglob("*") if path.is_file()]
    assert [x.name for x in files if b"h3art" in x.read_bytes()] == ["tiny.yaml"]


def test_streets_have_nothing_to_download(online: Checkout) -> None:
    online.configure({"dataset": {"download": True}})
    printed = online.snakemake("--dry-run", ok=False)
    assert "error: config: dataset.download: there is nothing to download" in printed


def torch_file(value: float) -> bytes:
    file = io.BytesIO()
    torch.save({"model": {"norm.weight": torch.full((1000,), value)}}, file)
    return file.getvalue()


def test_what_is_no_weights_is_not_pinned(online: Checkout, server: Server) -> None:
    for content in (b"", b'{"error": "quota"}'):
        server.put(f"/SwinTransformer/storage/releases/download/v1.0.0/{WEIGHTS}", content)
        printed = online.snakemake(f"weights/{WEIGHTS}", ok=False)
        assert len({line for line in printed.splitlines() if line.startswith("error: ")}) == 1
        assert not (online.folder / "downloads.lock.json").exists()
        assert not (online.folder / "weights" / WEIGHTS).exists()


def test_weights_are_pinned(online: Checkout, server: Server) -> None:
    path = f"/SwinTransformer/storage/releases/download/v1.0.0/{WEIGHTS}"
    server.put(path, torch_file(1.0))
    printed = online.snakemake(f"weights/{WEIGHTS}")
    assert f"{WEIGHTS}: no digest is published; pinned sha256:" in printed
    weights = online.folder / "weights" / WEIGHTS
    assert weights.read_bytes() == torch_file(1.0)
    # edited code runs the rule again, which fetches nothing
    server.asked.clear()
    online.edit("semask/fetching/fetch.py", '"""Files', '"""The files')
    online.snakemake(f"weights/{WEIGHTS}")
    assert weights.read_bytes() == torch_file(1.0)
    assert not server.asked
    # another file under the same address is refused
    for old in (weights, online.folder / "weights/fetched" / WEIGHTS):
        old.unlink()
    server.put(path, torch_file(2.0))
    printed = online.snakemake("--retries", "0", f"weights/{WEIGHTS}", ok=False)
    [line] = {line for line in printed.splitlines() if line.startswith("error: ")}
    assert "expected sha256:" in line
    assert "downloads.lock.json" in line
    assert not weights.exists()


def test_only_weights_of_the_list(online: Checkout) -> None:
    assert "MissingRuleException" in online.snakemake("-n", "weights/other.pth", ok=False)
