"""Data sets from their archives: fetched, unpacked, and not once more than needed."""

import json
from pathlib import Path
from typing import Any

import pytest

from semask.base.errors import InputError
from semask.data import sets
from semask.fetching.download import download
from semask.fetching.fetch import Source
from semask.fetching.pins import read_pins

from ..server import Server
from .test_archives import ADE, pack, tree

COCO = {
    "images/COCO_train2014_000000000077.jpg": b"jpeg",
    "annotations/COCO_train2014_000000000077.mat": b"mat",
    "imageLists/train.txt": b"COCO_train2014_000000000077\n",
    "cocostuff-labels.txt": b"0: unlabeled\n",
}
GT = {"gtFine/train/aachen/aachen_000000_000019_gtFine_polygons.json": b"{}", "README": b"read me"}
IMAGES = {"leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png": b"png",
          "README": b"read me"}  # fmt: skip


class Root:
    def __init__(self, folder: Path, server: Server):
        self.server = server
        self.root = folder / "data"
        self.lock = folder / "lock.json"
        self.packed = folder / "packed.zip"

    def serve(self, name: str, members: dict[str, bytes], digest: str | None = None) -> Source:
        url = self.server.put(f"/{name}", pack(self.packed, members).read_bytes())
        return Source(name, url, digest=digest)

    def download(self, *sources: Source) -> list[dict[str, Any]]:
        return download(sources, self.root, lock=self.lock, mirrors=self.server.mirrors)

    @property
    def files(self) -> dict[str, bytes]:
        found = tree(self.root)
        return {name: data for name, data in found.items() if not name.startswith(".download/")}


@pytest.fixture
def root(server: Server, tmp_path: Path) -> Root:
    return Root(tmp_path, server)


def test_unpacked_without_the_folder_of_the_archives_name(root: Root) -> None:
    source = root.serve("ADEChallengeData2016.zip", ADE)
    [archive] = root.download(source)
    assert archive["files"] == 5
    assert archive["size"] == root.packed.stat().st_size
    assert "images/training/ADE_train_00000001.jpg" in root.files
    assert len(root.files) == 5
    # the archive itself is gone
    assert not list(root.root.rglob("*.zip"))


def test_unpacked_as_it_is(root: Root) -> None:
    root.download(root.serve("cocostuff-10k-v1.1.zip", COCO))
    assert root.files == COCO


def test_again_asks_for_nothing(root: Root) -> None:
    source = root.serve("cocostuff-10k-v1.1.zip", COCO)
    first = root.download(source)
    root.server.asked.clear()
    assert root.download(source) == first
    # a lock file that was not committed is made again
    root.lock.unlink()
    root.download(source)
    assert read_pins(root.lock)[source.name]["sha256"] == first[0]["sha256"]
    assert not root.server.asked


def test_a_lock_file_with_another_pin(root: Root) -> None:
    source = root.serve("cocostuff-10k-v1.1.zip", COCO)
    root.download(source)
    pins = json.loads(root.lock.read_text(encoding="utf-8"))
    pins[source.name]["sha256"] = "0" * 64
    root.lock.write_text(json.dumps(pins), encoding="utf-8")
    with pytest.raises(InputError, match="0000; empty the folder"):
        root.download(source)


def test_unpacking_that_failed_goes_on_without_fetching(root: Root) -> None:
    source = root.serve("cocostuff-10k-v1.1.zip", COCO)
    (root.root / "cocostuff-labels.txt").mkdir(parents=True)
    with pytest.raises(InputError, match="this is something else"):
        root.download(source)
    (root.root / "cocostuff-labels.txt").rmdir()
    root.server.asked.clear()
    root.download(source)
    assert root.files == COCO
    assert not root.server.asked


def test_both_packages_of_cityscapes(
    root: Root, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYSCAPES_USERNAME", "someone")
    monkeypatch.setenv("CITYSCAPES_PASSWORD", server.logins["someone"])
    sources = [Source(archive.name, archive.url) for archive in sets.load("cityscapes").ARCHIVES]
    # both packages bring the same README
    for source, members in zip(sources, (GT, IMAGES), strict=True):
        server.packages[source.name] = pack(root.packed, members).read_bytes()
    root.download(*sources)
    assert root.files == {**GT, **IMAGES}


def test_a_wrong_archive_is_not_unpacked(root: Root, server: Server) -> None:
    """What the shipped data set names is asked for at its address, and checked."""
    server.put("/places/ADEchallenge/ADEChallengeData2016.zip", b"PK")
    with pytest.raises(InputError, match=r"expected (sha1:219e1696|md5:7328b395)"):
        root.download(*sets.load("ade20k").ARCHIVES)
    assert not root.files
