"""Records: the JSON files that stages leave behind and that the table is made of.

A record is one JSON object, with the keys that `semask.base.record_schemas` has for its kind. All
have `schema` (its version), `kind`, `run` (what `semask.base.provenance.describe_run` says),
`figures` (what was found) and `digest`, a SHA-256 over all the rest. Of the others
`weights_digest` is by name of the file, empty where none is kept; `device` is what
`semask.devices.description.describe` says; `validation_fingerprint` that of the split that chose
the best weights; `execution` the settings of that name, for the device; `model` the settings of
`semask.model.build`; and `ran` what was observed: the processes, graphs that the first one
compiled, precision at the end; of an interrupted run those of its last try. In a record of weights
that another row's device scored (`cross`) `row` is the one that scored, `weights_of` says whose
weights they are.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from semask.base.errors import InputError
from semask.base.files import digest_of, read_json, sha256, write_atomically
from semask.base.record_schemas import SCHEMA, schema_of

SAME_RUN = ("row", "mode", "seed", "recipe", "weights_digest")
"""What the records of one run share."""

_LONGEST = 200  # letters of a schema's complaint, which begins with the whole value


def write_record(path: Path, kind: str, **content: Any) -> None:
    """Write a record of a kind of `semask.base.record_schemas`, whole or not at all.

    `content` has the keys of its kind, less schema, kind, recipe_digest and digest, added here.
    """
    record = {"schema": SCHEMA, "kind": kind, **content}
    if "recipe" in record:
        record["recipe_digest"] = digest_of(record["recipe"])
    record["digest"] = digest_of(record)
    # as it will be read: with lists in place of tuples
    if (fault := _fault_of(json.loads(json.dumps(record)), kind)) is not None:
        raise fault
    write_atomically(path, json.dumps(record, indent=1) + "\n")


def _fault_of(record: Mapping[str, Any], kind: str) -> jsonschema.ValidationError | None:
    # jsonschema.validate would check the schema itself each time, which takes longer than the rest
    faults = jsonschema.Draft202012Validator(schema_of(kind)).iter_errors(record)
    return jsonschema.exceptions.best_match(faults)


def read_record(path: Path, kind: str) -> dict[str, Any]:
    """Read a record; InputError where it is missing, truncated, or edited after it was written.

    Also where it is of another schema version or kind, or lacks a key.
    """
    remedy = f"delete {path} and run snakemake again to make it anew"
    try:
        record = read_json(path)
    except InputError as damaged:
        if not path.is_file():
            raise
        raise InputError(f"{str(damaged).rpartition(': ')[0]}; {remedy}") from None
    if not isinstance(record, dict) or "schema" not in record:
        raise InputError(f"{path}: not a record; {remedy}")
    if record["schema"] != SCHEMA:
        raise InputError(
            f"{path}: record of schema version {record['schema']!r}, this code reads {SCHEMA}; "
            f"{remedy}"
        )
    if record.get("kind") != kind:
        raise InputError(f"{path}: record of kind {record.get('kind')!r}, not {kind!r}; {remedy}")
    if (fault := _fault_of(record, kind)) is not None:
        key = ".".join(str(part) for part in fault.absolute_path) or "record"
        said = " ".join(fault.message.split())
        said = said if len(said) <= _LONGEST else f"…{said[-_LONGEST:]}"
        raise InputError(f"{path}: {key}: {said}; {remedy}")
    content = {key: value for key, value in record.items() if key != "digest"}
    try:
        digest = digest_of(content)
    except ValueError:
        raise InputError(f"{path}: holds a number that is not finite; {remedy}") from None
    if digest != record["digest"]:
        raise InputError(f"{path}: changed after it was written (its digest differs); {remedy}")
    return record


def kept_weights(path: Path, record: Mapping[str, Any], which: str) -> str:
    """SHA-256 of the weights, best or last, that a training's record says it kept.

    InputError, naming `path`, the record's, where it kept none.
    """
    digests: Mapping[str, str] = record["weights_digest"]
    if which not in digests or record["figures"][which] is None:
        raise InputError(
            f"{path}: keeps no {which} weights, as a {record['mode']} run; give the record of a "
            "full run"
        )
    return digests[which]


def check_weights(path: Path, digest: str) -> None:
    """Raises InputError unless a weights file is there and the one whose SHA-256 a record has."""
    _check_file(path, digest, "weights", "run its training again, or restore the file")


def check_label_maps(path: Path, record_path: Path, record: Mapping[str, Any]) -> None:
    """Raises InputError unless label maps are those of an evaluation's record, and it kept some."""
    digest = record["figures"].get("label_maps_digest")
    if digest is None:
        raise InputError(f"{record_path}: kept no label maps; evaluate anew where it was made")
    _check_file(path, digest, "label maps", "evaluate anew where they were made, or restore it")


def _check_file(path: Path, digest: str, what: str, remedy: str) -> None:
    try:
        if sha256(path) != digest:
            raise InputError(f"{path}: not the {what} that the record speaks of; {remedy}")
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror}); {remedy}") from fault
