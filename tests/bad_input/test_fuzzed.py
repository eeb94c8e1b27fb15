"""Readers under random input: it is read, or refused in one line that names it; nothing else."""

import copy
import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from semask.base.errors import InputError
from semask.base.records import read_record, write_record
from semask.config.checks import check_all
from semask.data.classes import CITYSCAPES_LABELS
from semask.data.polygons import Polygons, read_polygons
from semask.evaluation.weight_files import load_weights, read_state_dict
from semask.model import SeMaskFPN, build, load_pretrained_swin
from semask.model.weights import LoadReport

from .conftest import REPOSITORY

SCHEMA = REPOSITORY / "schemas" / "config.schema.yaml"


def fuzz(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def read_or_refused(read: Callable[[], Any], named: str) -> Any:
    """What is read, or None for what is refused as it should be."""
    try:
        return read()
    except InputError as fault:
        line = str(fault)
    assert len(line.splitlines()) == 1, line
    assert line.startswith(named), line
    return None


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "a\nb", "\0", "../x", "1e-3", 10**400, -(2**63), "nan"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=4),
    max_leaves=8,
)  # fmt: skip


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Keys that lead to each value within a value."""
    if isinstance(value, dict):
        inner = [*value.items()]
    elif isinstance(value, list):
        inner = [*enumerate(value)]
    else:
        return []
    found = []
    for key, item in inner:
        found += [(*above, key), *places(item, (*above, key))]
    return found


@st.composite
def mutated(draw: st.DrawFn, whole: Any) -> Any:
    """A value with up to three of the values within it replaced, taken out or added to."""
    changed = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        known = places(changed)
        if not known:
            break
        *above, last = draw(st.sampled_from(known))
        at = changed
        for key in above:
            at = at[key]
        how = draw(st.sampled_from(["replace", "remove", "add", "swap"]))
        if how == "remove":
            del at[last]
        elif how == "swap":
            *others, other = draw(st.sampled_from(known))
            value = changed
            for key in (*others, other):
                value = value[key]
            at[last] = copy.deepcopy(value)
        elif how == "add" and isinstance(at, dict):
            at[draw(st.text(max_size=6) | st.integers() | st.none())] = draw(junk)
        else:
            at[last] = draw(junk)
    return changed


@cache
def overlay(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((REPOSITORY / name).read_text(encoding="utf-8"))
    return read


@fuzz(150)
@given(data=st.data())
def test_config(data: st.DataObject) -> None:
    base = overlay("config.yaml")
    layers = [data.draw(mutated(base))]
    if data.draw(st.booleans()):
        layers = [base, data.draw(mutated(overlay("experiments/cityscapes.yaml")))]
    read_or_refused(lambda: check_all(layers, SCHEMA), "config: ")


NAMES = [label.name for label in CITYSCAPES_LABELS if label.id >= 0]
coordinate = st.integers(-(2**24), 2**24) | st.floats(-1e6, 1e6)
polygon_files = st.fixed_dictionaries(
    {
        "imgWidth": st.integers(1, 4096),
        "imgHeight": st.integers(1, 4096),
        "objects": st.lists(
            st.fixed_dictionaries(
                {
                    "label": st.sampled_from(NAMES),
                    "polygon": st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=5),
                }
            ),
            max_size=4,
        ),
    }
)
POLYGONS = Path("ulm_gtFine_polygons.json")


@fuzz(100)
@given(content=polygon_files)
def test_polygons_that_are_right_are_read(content: dict[str, Any]) -> None:
    ids = {label.name: label.id for label in CITYSCAPES_LABELS}
    assert read_polygons(json.dumps(content).encode(), POLYGONS) == Polygons(
        content["imgWidth"],
        content["imgHeight"],
        [(ids[item["label"]], item["polygon"]) for item in content["objects"]],
    )


@fuzz(200)
@given(data=st.data())
def test_polygons(data: st.DataObject) -> None:
    content = data.draw(polygon_files.flatmap(mutated))
    text = json.dumps({str(key): value for key, value in content.items()}).encode()
    spoiled = data.draw(st.sampled_from([text, damaged(text, data)]))
    read_or_refused(lambda: read_polygons(spoiled, POLYGONS), f"{POLYGONS}: ")


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """Bytes with some of them changed, and perhaps cut short or with more at the end."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(changed)) | st.just(len(changed)))
    return bytes(changed[:length]) + data.draw(st.binary(max_size=8))


@fuzz(150)
@given(data=st.data(), kind=st.sampled_from(["train", "evaluate", "baselines", "facts"]))
def test_records(tmp_path: Path, make_record: Any, data: st.DataObject, kind: str) -> None:
    """Whatever is there in a record's place is noticed, unless it says the same as before."""
    path = tmp_path / "record.json"
    write_record(path, kind, **make_record(kind))
    whole = path.read_bytes()
    record = json.loads(whole)
    there = data.draw(st.sampled_from(["damaged", "mutated", "bytes", "junk"]))
    if there == "damaged":
        path.write_bytes(damaged(whole, data))
    elif there == "bytes":
        path.write_bytes(data.draw(st.binary()))
    else:
        value = data.draw(junk if there == "junk" else mutated(record))
        path.write_text(json.dumps(value, skipkeys=True), encoding="utf-8")
    found = read_or_refused(lambda: read_record(path, kind), f"{path}: ")
    assert found in (None, record)


@pytest.fixture(scope="module")
def model() -> SeMaskFPN:
    """As small as a model can be made."""
    torch.manual_seed(0)
    return build("nano", num_classes=2, embed=2, depths=(1, 1, 1, 1), heads=(1, 1, 1, 1), window=2)


def trunk_of(model: SeMaskFPN) -> dict[str, Any]:
    """State dict of a Swin image classifier, all of which the model takes."""
    return {
        name: tensor.clone()
        for name, tensor in model.backbone.state_dict().items()
        if name.startswith(("patch_embed.", "layers.")) and ".semantic_layer." not in name
    }


@pytest.fixture(scope="module")
def files(model: SeMaskFPN) -> dict[str, bytes]:
    """Good files of weights by suffix, all of the same few tensors."""
    tensors = dict([*trunk_of(model).items()][:12])
    found = {".safetensors": save(tensors)}
    for suffix, is_zip in ((".pth", True), (".old.pth", False)):
        buffer = io.BytesIO()
        torch.save({"state_dict": tensors}, buffer, _use_new_zipfile_serialization=is_zip)
        found[suffix] = buffer.getvalue()
    return found


def load(model: SeMaskFPN, path: Path) -> LoadReport:
    """Load a file, and check that a refusal leaves the model as it was."""
    before = trunk_of(model)
    report: LoadReport = read_or_refused(
        lambda: load_weights(model, path, load_pretrained_swin), f"{path}: "
    )
    after = trunk_of(model)
    if report is None:
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(tensor.isfinite().all() for tensor in after.values())
    return report


@fuzz(150)
@given(data=st.data(), suffix=st.sampled_from([".safetensors", ".pth", ".old.pth"]))
def test_files_of_weights(
    tmp_path: Path, model: SeMaskFPN, files: Any, data: st.DataObject, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(damaged(files[suffix], data))
    read_or_refused(lambda: read_state_dict(path), f"{path}: ")
    # a part of a model: never loaded, whatever is in it
    assert load(model, path) is None


@fuzz(100)
@given(content=st.binary(max_size=300), suffix=st.sampled_from([".safetensors", ".pth"]))
@example(content=b"\x08\0\0\0\0\0\0\0{}      ", suffix=".safetensors")
@example(content=b"\x80\x02}q\0.", suffix=".pth")
@example(content=b"\x80\x02" + b"(" * 250, suffix=".pth")
def test_bytes_as_weights(tmp_path: Path, model: SeMaskFPN, content: bytes, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    assert load(model, path) is None


DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool,
          torch.complex64, torch.float8_e5m2, torch.uint16)  # fmt: skip
full_tensors = st.builds(
    lambda shape, dtype, fill: torch.full(shape, fill).to(dtype),
    st.lists(st.integers(0, 3), max_size=4),
    st.sampled_from(DTYPES),
    st.sampled_from([0.0, 1.0, 1e30, float("nan"), float("inf")]),
)
tensors = (
    full_tensors
    | st.builds(lambda: torch.ones(2, 2).to_sparse())
    | st.builds(lambda: torch.empty(2, 2, device="meta"))
)


@fuzz(150)
@given(data=st.data())
def test_state_dicts(tmp_path: Path, model: SeMaskFPN, data: st.DataObject) -> None:
    """The model's own tensors, some of them replaced, left out, renamed or joined by others."""
    content: dict[Any, Any] = trunk_of(model)
    names = st.sampled_from([*content])
    for _ in range(data.draw(st.integers(0, 3))):
        name = data.draw(names)
        how = data.draw(st.sampled_from(["replace", "remove", "rename", "cast", "reshape", "add"]))
        if name not in content:
            continue
        if how == "replace":
            content[name] = data.draw(tensors | st.integers() | st.text(max_size=3) | st.none())
        elif how == "remove":
            del content[name]
        elif how == "rename":
            content[data.draw(st.text(max_size=5) | st.integers())] = content.pop(name)
        elif how == "cast":
            content[name] = trunk_of(model)[name].to(data.draw(st.sampled_from(DTYPES)))
        elif how == "reshape":
            content[name] = trunk_of(model)[name].reshape(-1)
        else:
            content[data.draw(st.text(max_size=5))] = data.draw(tensors)
    for wrapper in data.draw(st.lists(st.sampled_from(["state_dict", "model", "x"]), max_size=2)):
        content = {wrapper: content}
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    load(model, path)
