"""What is said of weights on another row's device follows from the matrices of each image."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semask.base.errors import InputError
from semask.base.files import digest_of, sha256
from semask.comparison.bundle import pack, unpack

from ..runs import write_cross

CONFUSION = 1000 * np.eye(19, dtype=int)
NAME = "npu-8p/cross/gpu_site/gpu-8p/seed0.json"
MATRICES = NAME.replace(".json", ".npz")
Change = Callable[[Path, dict[str, Any]], object]


@pytest.fixture
def results(tmp_path: Path, make_record: Any) -> Path:
    content = make_record("cross", row={"device": "npu", "processes": 8, "threads": 1})
    content["weights_of"]["row"] = {"device": "gpu", "processes": 8, "threads": 1}
    write_cross(tmp_path / "results" / NAME, content, CONFUSION, [(3, 3, 4), (3, 3, 5), (7, 7, 1)])
    return tmp_path / "results"


def packed(results: Path, *names: str) -> None:
    pack(results.parent / "sent.zip", "streets", results, names)


def test_a_record_travels_with_its_matrices(results: Path) -> None:
    packed(results, NAME, MATRICES)
    unpack(results.parent / "sent.zip", results.parent / "imported")
    for name in (NAME, MATRICES):
        sent, came = results / name, results.parent / "imported" / name
        assert sent.read_bytes() == came.read_bytes()
    with pytest.raises(InputError, match=r"seed0.json: without .*seed0.npz"):
        packed(results, NAME)
    with pytest.raises(InputError, match=r"seed0.npz: without its record"):
        packed(results, MATRICES)


def at(*keys: str, value: Any) -> Change:
    def change(path: Path, record: dict[str, Any]) -> None:
        place = record["figures"]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def rewritten(**arrays: Any) -> Change:
    """Other matrices, of which the record has the digest."""

    def change(path: Path, record: dict[str, Any]) -> None:
        matrices = path.with_suffix(".npz")
        with np.load(matrices) as stored:
            kept = {name: stored[name] for name in stored} | arrays
        np.savez_compressed(matrices, **kept)
        record["figures"]["matrices_digest"] = sha256(matrices)

    return change


def garbled(path: Path, record: dict[str, Any]) -> None:
    path.with_suffix(".npz").write_bytes(b"no matrices")


def of_class(*flips: int) -> Change:
    def change(path: Path, record: dict[str, Any]) -> None:
        labelled = record["figures"]["labelled_pixels"]
        record["figures"]["flips"] = {
            "pixels": sum(flips),
            "share": sum(flips) / labelled,
            "of_class": list(flips),
            "share_of_class": [n / 1000 for n in flips],
        }

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _, record: record["ran"]["processes"].pop(), "7 processes take part"),
        (garbled, "holds no confusion matrices"),
        (rewritten(image=np.full(22, 2)), "not of its images and classes"),
        (rewritten(cell=np.full(22, 361)), "not of its images and classes"),
        (rewritten(there=np.full(22, -1)), "not of its images and classes"),
        (rewritten(here=np.zeros(21, int)), "not of its images and classes"),
        (rewritten(there=np.zeros(2**26, np.int8)), "larger than any"),
        (rewritten(there=np.zeros(22, int)), "counts other labels there than here"),
        (rewritten(image=np.arange(22) % 2), "figures.difference.interval"),
        (at("matrices_digest", value="1" * 64), "figures.matrices_digest is"),
        (at("labelled_pixels", value=18_000), "figures.labelled_pixels is 18000 but 19000"),
        (at("here", "miou", value=99.0), "figures.here.miou is 99 but 99.9"),
        (at("difference", "miou", value=0.0), "figures.difference.miou is 0 but -0.0"),
        (at("difference", "interval", value=[0.0, 0.0]), "figures.difference.interval.0 is 0 but"),
        (at("bootstrap", "resamples", value=1), "figures.bootstrap.resamples is 1 but 2000"),
        (at("flips", "share", value=0.0), "figures.flips.share is 0 but 0.00015"),
        (at("flips", "pixels", value=0), "figures.flips.pixels is 0 but 3"),
        (of_class(*[0] * 19), "flips.of_class cannot be"),
        (of_class(*[0] * 3, 2, *[0] * 15), "flips.of_class cannot be"),
        (of_class(*[2] * 18, 1001), "flips.of_class cannot be"),
        (of_class(2, 2), "flips.of_class cannot be"),
    ],
)
def test_what_does_not_follow_is_refused(change: Change, said: str, results: Path) -> None:
    record = json.loads((results / NAME).read_text(encoding="utf-8"))
    del record["digest"]
    change(results / NAME, record)
    sealed = {**record, "digest": digest_of(record)}
    (results / NAME).write_text(json.dumps(sealed), encoding="utf-8")
    with pytest.raises(InputError) as raised:
        packed(results, NAME, MATRICES)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name",
    [
        "npu-8p/cross/gpu-1p/seed0",
        "npu-8p/cross/gpu-8p/seed1",
        "npu-1p/cross/gpu-8p/seed0",
        "npu-8p/cross/a/b/gpu-8p/seed0",
        "npu-8p/cross/../gpu-8p/seed0",
    ],
)
def test_a_record_lies_in_its_place(name: str, results: Path) -> None:
    (results / name).parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("json", "npz"):
        (results / NAME).with_suffix(f".{suffix}").rename(f"{results / name}.{suffix}")
    with pytest.raises(InputError, match=r"record of another run|not a file that a bundle has"):
        packed(results, f"{name}.json", f"{name}.npz")
