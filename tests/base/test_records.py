import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from semask.base.errors import InputError
from semask.base.record_schemas import schema_of
from semask.base.records import SCHEMA, read_record, write_record

KINDS = ("train", "evaluate", "cross", "baselines", "facts")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read(kind: str, make_record: Any, tmp_path: Path) -> None:
    content = make_record(kind)
    write_record(tmp_path / "r.json", kind, **content)
    record = read_record(tmp_path / "r.json", kind)
    assert {key: record[key] for key in content} == content


@pytest.mark.parametrize("kind", [*KINDS, "parity", "profile", "agreement", "released"])
def test_each_kind_has_a_schema(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of(kind))


def test_a_truncated_record_is_refused_at_every_length(make_record: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(path, "train", **make_record("train"))
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"r\.json"):
            read_record(path, "train")


def test_another_schema_version_is_refused(make_record: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(path, "train", **make_record("train"))
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "schema": SCHEMA + 1}), encoding="utf-8")
    with pytest.raises(InputError, match=rf"r\.json.*version {SCHEMA + 1}.*reads {SCHEMA}"):
        read_record(path, "train")


def test_another_kind_is_refused(make_record: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(path, "baselines", **make_record("baselines"))
    with pytest.raises(InputError, match=r"r\.json.*'baselines', not 'train'"):
        read_record(path, "train")


def test_an_edited_figure_is_noticed(make_record: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(path, "evaluate", **make_record("evaluate"))
    path.write_text(path.read_text(encoding="utf-8").replace("45.0", "79.0"), encoding="utf-8")
    with pytest.raises(InputError, match=r"r\.json: changed after it was written"):
        read_record(path, "evaluate")


def test_a_missing_key_is_named(make_record: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(path, "train", **make_record("train"))
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["figures"]["speed"]["fps"]
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=r"r\.json: figures\.speed: 'fps'"):
        read_record(path, "train")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"r\.json"):
        read_record(tmp_path / "r.json", "train")


def test_a_wrong_record_is_not_written(make_record: Any, tmp_path: Path) -> None:
    content = make_record("train")
    content["figures"]["speed"]["fps"] = -1
    with pytest.raises(Exception, match="-1"):
        write_record(tmp_path / "r.json", "train", **content)
    assert not list(tmp_path.iterdir())
