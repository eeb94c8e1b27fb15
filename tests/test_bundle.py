"""Bundles of records: what is packed comes out the same, and nothing that was edited."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semask.bundle import MANIFEST, pack, unpack
from semask.errors import InputError
from semask.files import digest_of
from semask.records import write_record

RUN = "npu-8p/full/seed0"
FILES = [
    f"{RUN}/{name}" for name in ("train.json", "evaluate.json", "log.jsonl", "best.safetensors")
]


@pytest.fixture
def results(tmp_path: Path, make_record: Any) -> Path:
    folder = tmp_path / "results"
    run = folder / RUN
    run.mkdir(parents=True)
    (run / "best.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    common = {
        "row": {"device": "npu", "processes": 8, "threads": 1},
        "weights_digest": {"best": digest, "last": digest},
    }
    for kind in ("train", "evaluate"):
        write_record(run / f"{kind}.json", kind, **make_record(kind, **common))
    (run / "log.jsonl").write_text("{}\n")
    return folder


@pytest.fixture
def bundle(results: Path, tmp_path: Path) -> Path:
    path = tmp_path / "npu.bundle"
    pack(path, "streets", results, FILES)
    return path


def test_what_is_packed_comes_out_the_same(results: Path, tmp_path: Path) -> None:
    bundle, folder = tmp_path / "npu.bundle", tmp_path / "imported" / "npu"
    digest = pack(bundle, "streets", results, FILES)
    manifest = unpack(bundle, folder, digest)
    assert manifest["digest"] == digest
    assert sorted(manifest["files"]) == sorted(FILES)
    for name in FILES:
        assert (folder / name).read_bytes() == (results / name).read_bytes()


def test_the_folder_of_an_older_bundle_is_replaced(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "imported"
    unpack(bundle, folder)
    (folder / "left").touch()
    unpack(bundle, folder)
    assert not (folder / "left").exists()


def rewrite(bundle: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Write a bundle anew with other members, as one who edits it would."""
    with zipfile.ZipFile(bundle) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def forge(members: dict[str, bytes], name: str) -> None:
    """Have the manifest agree with a member that was edited."""
    manifest = json.loads(members[MANIFEST])
    data = members[name]
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    del manifest["digest"]
    manifest["digest"] = digest_of(manifest)
    members[MANIFEST] = json.dumps(manifest).encode()


def edit_log(members: dict[str, bytes]) -> None:
    members[f"{RUN}/log.jsonl"] = b"[]\n"


def edit_manifest(members: dict[str, bytes]) -> None:
    members[MANIFEST] = members[MANIFEST].replace(b'"streets"', b'"another"')


def add_file(members: dict[str, bytes]) -> None:
    members["gpu-1p/full/seed0/train.json"] = members[f"{RUN}/train.json"]


def take_out(members: dict[str, bytes]) -> None:
    del members[f"{RUN}/evaluate.json"]


def forge_record(members: dict[str, bytes]) -> None:
    name = f"{RUN}/evaluate.json"
    members[name] = members[name].replace(b'"miou": 45.0', b'"miou": 46.0')
    forge(members, name)


def forge_weights(members: dict[str, bytes]) -> None:
    name = f"{RUN}/best.safetensors"
    members[name] = b"others"
    forge(members, name)


def move_record(members: dict[str, bytes]) -> None:
    name = "gpu-8p/full/seed0/train.json"
    members[name] = members[f"{RUN}/train.json"]
    forge(members, name)


def leave_the_folder(members: dict[str, bytes]) -> None:
    members["../outside"] = b""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edit_log, "log.jsonl was edited"),
        (edit_manifest, "bundle.json: was edited"),
        (add_file, "gpu-1p/full/seed0/train.json was added"),
        (take_out, "evaluate.json was taken out"),
        (forge_record, "evaluate.json: changed after it was written"),
        (forge_weights, "best.safetensors: not the weights that the record speaks of"),
        (move_record, "is the record of another run, that of npu-8p/full/seed0"),
        (leave_the_folder, "leads outside the folder"),
        (dict.clear, "has no bundle.json"),
    ],
)
def test_an_edited_bundle_is_noticed(
    change: Callable[[dict[str, bytes]], None], said: str, bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "imported"
    unpack(bundle, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    rewrite(bundle, change)
    with pytest.raises(InputError) as raised:
        unpack(bundle, folder)
    assert said in str(raised.value)
    assert str(raised.value).startswith(str(bundle))
    assert "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_digest_told_by_another_way_notices_a_whole_forgery(bundle: Path, tmp_path: Path) -> None:
    told = unpack(bundle, tmp_path / "first")["digest"]

    def change(members: dict[str, bytes]) -> None:
        edit_log(members)
        forge(members, f"{RUN}/log.jsonl")

    rewrite(bundle, change)
    unpack(bundle, tmp_path / "unpinned")
    with pytest.raises(InputError, match=f"not {told}"):
        unpack(bundle, tmp_path / "pinned", told)


def test_a_truncated_bundle_is_refused_at_every_length(bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    for length in range(0, len(whole), 97):
        bundle.write_bytes(whole[:length])
        with pytest.raises(InputError):
            unpack(bundle, tmp_path / "imported")
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("damage", ["weights", "evaluation without training", "other file"])
def test_what_does_not_belong_together_is_not_packed(
    damage: str, results: Path, tmp_path: Path
) -> None:
    files = list(FILES)
    if damage == "weights":
        (results / RUN / "best.safetensors").write_bytes(b"others")
    elif damage == "evaluation without training":
        files.remove(f"{RUN}/train.json")
    else:
        (results / "notes.txt").touch()
        files.append("notes.txt")
    with pytest.raises(InputError):
        pack(tmp_path / "npu.bundle", "streets", results, files)
    assert not (tmp_path / "npu.bundle").exists()
