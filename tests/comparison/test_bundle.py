"""Bundles of records: what is packed comes out the same, and nothing that was edited."""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from semask.base.errors import InputError
from semask.base.files import digest_of
from semask.comparison.bundle import MANIFEST, members, outline, pack, unpack
from semask.comparison.imported import read_imported
from semask.devices.rows import precision_of

from ..conftest import recipe
from ..runs import write_run
from ..ssh import new_key

RUN = "npu-8p/full/seed0"
EXACT = recipe()["numerics"]
REDUCED = {**EXACT, "reduced_matmul": True}
NAMES = (
    "train.json", "evaluate.json", "log.jsonl", "best.safetensors", "predictions.png",
    "label_maps.zip",
)  # fmt: skip
FILES = [f"{RUN}/{name}" for name in NAMES]


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
        "recipe": recipe(iterations=12),
    }
    (run / "label_maps.zip").write_bytes(b"maps")
    for kind in ("train", "evaluate"):
        content = make_record(kind, **common)
        if kind == "evaluate":
            content["figures"]["label_maps_digest"] = hashlib.sha256(b"maps").hexdigest()
        write_run(run, content, kind)
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


def test_rows_with_a_planted_fault_have_folders_of_their_own(
    results: Path, tmp_path: Path, make_record: Any
) -> None:
    """They travel under them, and not as the same row without a fault."""
    row = {"device": "npu", "processes": 8, "threads": 1, "planted_fault": "none"}
    record = make_record("train", row=row, weights_digest={}, recipe=recipe(iterations=12))
    for folder in ("npu-8p-none", "npu-8p"):
        write_run(results / folder / "full/seed0", record, "train")
    names = [f"npu-8p-none/full/seed0/{name}" for name in ("log.jsonl", "train.json")]
    pack(tmp_path / "a.zip", "streets", results, names)
    assert [*unpack(tmp_path / "a.zip", tmp_path / "imported")["files"]] == names
    with pytest.raises(InputError, match="record of another run, that of npu-8p-none/full/seed0"):
        pack(tmp_path / "b.zip", "streets", results, ["npu-8p/full/seed0/train.json"])


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


Change = Callable[[dict[str, bytes]], None]


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
    members[name] = members[name].replace(b'"iteration": 12', b'"iteration": 11')
    forge(members, name)


def forge_weights(members: dict[str, bytes]) -> None:
    name = f"{RUN}/best.safetensors"
    members[name] = b"others"
    forge(members, name)


def forge_label_maps(members: dict[str, bytes]) -> None:
    name = f"{RUN}/label_maps.zip"
    members[name] = b"others"
    forge(members, name)


def move_record(members: dict[str, bytes]) -> None:
    name = "gpu-8p/full/seed0/train.json"
    members[name] = members[f"{RUN}/train.json"]
    forge(members, name)


def exchange_record(members: dict[str, bytes]) -> None:
    """Put the evaluation of another run in the place of this one's, with all digests right."""
    name = f"{RUN}/evaluate.json"
    record = json.loads(members[name])
    del record["digest"]
    record["weights_digest"] = {"best": "1" * 64, "last": "1" * 64}
    record["digest"] = digest_of(record)
    members[name] = json.dumps(record).encode()
    forge(members, name)


def reseal(kind: str, change: Callable[[dict[str, Any]], object]) -> Change:
    """Edit a record of a bundle, and compute all digests anew."""

    def edit(members: dict[str, bytes]) -> None:
        name = f"{RUN}/{kind}.json"
        record = json.loads(members[name])
        del record["digest"]
        change(record)
        record["digest"] = digest_of(record)
        members[name] = json.dumps(record).encode()
        forge(members, name)

    return edit


def replaced(name: str, old: bytes, new: bytes) -> Change:
    def edit(members: dict[str, bytes]) -> None:
        assert old in members[f"{RUN}/{name}"]
        members[f"{RUN}/{name}"] = members[f"{RUN}/{name}"].replace(old, new, 1)
        forge(members, f"{RUN}/{name}")

    return edit


def without_log(members: dict[str, bytes]) -> None:
    name = f"{RUN}/log.jsonl"
    forge(members, name)
    manifest = json.loads(members[MANIFEST])
    del manifest["files"][name], members[name], manifest["digest"]
    manifest["digest"] = digest_of(manifest)
    members[MANIFEST] = json.dumps(manifest).encode()


def enormous_picture(members: dict[str, bytes], width: int = 60_000, height: int = 60_000) -> None:
    """A header that asks for memory that no machine has."""
    made = io.BytesIO()
    Image.new("L", (1, 1)).save(made, "PNG")
    picture = bytearray(made.getvalue())
    picture[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    picture[29:33] = zlib.crc32(bytes(picture[12:29])).to_bytes(4, "big")
    members[f"{RUN}/predictions.png"] = bytes(picture)
    forge(members, f"{RUN}/predictions.png")


def in_best(**scores: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["figures"]["best"].update(scores)


def in_speed(**figures: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["figures"]["speed"].update(figures)


def change_size(members: dict[str, bytes]) -> None:
    name = f"{RUN}/log.jsonl"
    forge(members, name)
    manifest = json.loads(members[MANIFEST])
    manifest["files"][name]["bytes"] += 1
    manifest["digest"] = digest_of({k: v for k, v in manifest.items() if k != "digest"})
    members[MANIFEST] = json.dumps(manifest).encode()


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
        (forge_weights, f"best.safetensors: not the weights that {RUN}/train.json speaks of"),
        (forge_label_maps, f"not the label maps that {RUN}/evaluate.json speaks of"),
        (move_record, "is the record of another run, that of npu-8p/full/seed0"),
        (exchange_record, f"evaluate.json: not of the same run as {RUN}/train.json"),
        (change_size, "log.jsonl was edited (it has "),
        (leave_the_folder, "leads outside the folder"),
        (dict.clear, "has no bundle.json"),
        # all digests right from here on
        (reseal("evaluate", in_best(miou=99.9)),
         "figures.best.miou is 99.9 but 35.0877193 follows from its confusion matrix"),
        (reseal("evaluate", in_best(iou=[100.0] * 19)), "figures.best.iou.0 is 100"),
        (reseal("evaluate", in_best(aacc=100.0)), "figures.best.aacc is 100"),
        (reseal("evaluate", in_best(confusion=[[1, 0], [0, 1]])), "no count of pixels of 19"),
        (reseal("evaluate", in_best(confusion=[[0] * 19] * 19)), "no count of pixels of 19"),
        (reseal("evaluate", in_best(iteration=4)), "figures.best.iteration is 4 but 12"),
        (reseal("evaluate", lambda r: r["figures"].update(labelled_pixels=9)),
         "figures.labelled_pixels is 9 but 37"),
        (reseal("train", in_speed(fps=20.0)), "figures.speed.fps is 20 but 10 follows"),
        (reseal("train", in_speed(fps_p10=1.0)), "figures.speed.fps_p10 is 1 but 10"),
        (reseal("train", in_speed(fps_log_window=20.0)), "figures.speed.fps_log_window is 20"),
        (reseal("train", in_speed(data_wait_share=0.0)), "figures.speed.data_wait_share is 0"),
        (reseal("train", lambda r: r["figures"]["best"].update(miou=90.0)),
         "figures.best.miou is 90 but 45"),
        (reseal("train", lambda r: r["figures"]["last"].update(loss=0.1)),
         "figures.last.loss is 0.1 but 0.25"),
        (reseal("train", lambda r: r["figures"].update(precision={"skipped_steps": 3,
                                                                  "loss_scale": None})),
         "figures.precision.skipped_steps is 3 but 0"),
        (reseal("train", lambda r: r["ran"]["processes"].pop()), "7 processes take part"),
        (reseal("train", lambda r: r["ran"]["processes"][3].update(device="another")),
         "devices of several kinds: a processor, another"),
        (reseal("evaluate", lambda r: r["ran"]["processes"][3].update(images=0)),
         "follows from its ran.processes"),
        (reseal("evaluate", lambda r: r["ran"]["processes"][3].update(pid=100)),
         "two of its processes are the same one"),
        (reseal("evaluate", lambda r: r["device"].update(name="another")),
         "they ran on a processor, not on another"),
        # of another kind of device, and of another recipe
        (reseal("train", lambda r: r["ran"].update(precision=precision_of("gpu", EXACT))),
         "ran.precision.matmul is 'highest' but 'ieee' follows from its row and recipe"),
        (reseal("evaluate", lambda r: r["ran"].update(precision=precision_of("npu", REDUCED))),
         "ran.precision.matmul is 'hf32' but 'ieee'"),
        (replaced("log.jsonl", b'"iteration": 3', b'"iteration": 4'), "log.jsonl: line 3 is none"),
        (replaced("log.jsonl", b'"seconds": 3.2', b'"seconds": NaN'), "log.jsonl: line 1 is none"),
        (replaced("log.jsonl", b"{", b"[" * 100_000), "log.jsonl: line 1 is damaged"),
        (replaced("log.jsonl", b"\n", b"\0\n"), "log.jsonl: line 1 is damaged"),
        (without_log, f"train.json: without {RUN}/log.jsonl"),
        (replaced("predictions.png", b"IDAT", b"IDAS"), "predictions.png: cannot be read as a PNG"),
        (replaced("predictions.png", b"PNG", b"PNP"), "predictions.png: cannot be read as a PNG"),
        (enormous_picture, "predictions.png: "),  # Pillow refuses it
        (partial(enormous_picture, width=12_000, height=10_000), "png: has 12000x10000 pixels"),
        (reseal("train", lambda r: r["device"].update(name="a\x1b[2Jb")), "name holds U+001B"),
        (reseal("train", lambda r: r["run"].update(host="a\u202eb")), "run.host holds U+202E"),
        (reseal("train", lambda r: r["device"].update({"a\nb": 1})), "holds U+000A"),
        (reseal("train", lambda r: r["device"].update(name="x" * 1001)), "device.name has 1001"),
    ],
)  # fmt: skip
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
    assert "fetch" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_digest_told_by_another_way_notices_a_whole_forgery(bundle: Path, tmp_path: Path) -> None:
    told = unpack(bundle, tmp_path / "first")["digest"]

    def change(members: dict[str, bytes]) -> None:
        members[f"{RUN}/log.jsonl"] += b" "
        forge(members, f"{RUN}/log.jsonl")

    rewrite(bundle, change)
    unpack(bundle, tmp_path / "unpinned")
    with pytest.raises(InputError, match=f"not {told}"):
        unpack(bundle, tmp_path / "pinned", told)


def test_only_a_signed_bundle_is_unpacked_where_signers_are_given(
    results: Path, tmp_path: Path
) -> None:
    key, bundle, folder = tmp_path / "key", tmp_path / "npu.bundle", tmp_path / "imported"
    new_key(key)
    signers = tmp_path / "signers"
    signers.write_text(f"npu@site {(tmp_path / 'key.pub').read_text(encoding='utf-8')}")
    pack(bundle, "streets", results, FILES, key)
    unpack(bundle, folder, signers=signers)
    signer = read_imported(folder).signer
    assert signer is not None
    assert signer.name == "npu@site"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    # all digests are right after this; the signature is what is looked at first
    rewrite(bundle, replaced("log.jsonl", b"{", b"["))
    with pytest.raises(InputError, match="was changed after it was signed"):
        unpack(bundle, folder, signers=signers)
    # a key that cannot sign leaves all as it was
    changed = bundle.read_bytes()
    with pytest.raises(InputError, match="cannot be signed with"):
        pack(bundle, "streets", results, FILES, signers)
    assert bundle.read_bytes() == changed
    # packed anew without a key, it has no signature of the bundle before
    pack(bundle, "streets", results, FILES)
    with pytest.raises(InputError, match="is not signed, and allowed_signers is set"):
        unpack(bundle, folder, signers=signers)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    unpack(bundle, folder)
    assert read_imported(folder).signer is None


def test_a_truncated_bundle_is_refused_at_every_length(bundle: Path, tmp_path: Path) -> None:
    whole = bundle.read_bytes()
    for length in range(0, len(whole), 97):
        bundle.write_bytes(whole[:length])
        with pytest.raises(InputError, match="ask for the bundle again where it was made"):
            unpack(bundle, tmp_path / "imported")
    assert not (tmp_path / "imported").exists()


def test_a_wrong_byte_is_refused_or_changes_nothing(
    bundle: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of no meaning, such as the times of members, are the only ones that may be wrong."""
    monkeypatch.setattr("os.sync", lambda: None)  # takes most of the time
    whole = bundle.read_bytes()
    refused = []
    for place in range(0, len(whole), 61):
        wrong = bytearray(whole)
        wrong[place] ^= 1 << place % 8
        bundle.write_bytes(wrong)
        try:
            unpack(bundle, tmp_path / "imported")
        except InputError as fault:
            refused.append(str(fault))
        else:
            there = [path for path in (tmp_path / "imported").rglob("*") if path.is_file()]
            assert len(there) == 1 + len(FILES)
            for name in FILES:
                assert (tmp_path / "imported" / name).read_bytes() == (results / name).read_bytes()
    assert len(refused) > 0.8 * len(whole) / 61
    assert not [said for said in refused if "\n" in said or not said.startswith(str(bundle))]


def test_a_bundle_that_would_fill_the_disk_is_refused(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{RUN}/last.safetensors", bytes(2**24))
    with pytest.raises(InputError, match="as archives made to fill a disk do"):
        unpack(bundle, tmp_path / "imported")


def test_what_a_killed_unpacking_left_is_replaced(bundle: Path, tmp_path: Path) -> None:
    left = tmp_path / ".imported.unpacking" / RUN
    left.mkdir(parents=True)
    (left / "train.json").write_text("half of", encoding="utf-8")
    unpack(bundle, tmp_path / "imported")
    assert not left.exists()
    assert sorted(path.name for path in (tmp_path / "imported" / RUN).iterdir()) == sorted(
        Path(name).name for name in FILES
    )


def test_bundles_are_told_apart_without_reading_them(bundle: Path) -> None:
    assert members(bundle) == {MANIFEST, *FILES}
    before = outline(bundle)
    assert outline(bundle) == before
    rewrite(bundle, edit_log)
    assert outline(bundle) != before
    bundle.write_bytes(bundle.read_bytes()[:-9])
    assert outline(bundle) == "not a zip archive"
    assert members(bundle) == set()


@pytest.mark.parametrize(
    "damage",
    [
        "weights",
        "label maps",
        "maps without evaluation",
        "evaluation without training",
        "other file",
    ],
)
def test_what_does_not_belong_together_is_not_packed(
    damage: str, results: Path, tmp_path: Path
) -> None:
    files = list(FILES)
    if damage == "weights":
        (results / RUN / "best.safetensors").write_bytes(b"others")
    elif damage == "label maps":
        (results / RUN / "label_maps.zip").write_bytes(b"others")
    elif damage == "maps without evaluation":
        files.remove(f"{RUN}/evaluate.json")
    elif damage == "evaluation without training":
        files.remove(f"{RUN}/train.json")
    else:
        (results / "notes.txt").touch()
        files.append("notes.txt")
    with pytest.raises(InputError):
        pack(tmp_path / "npu.bundle", "streets", results, files)
    assert not (tmp_path / "npu.bundle").exists()
