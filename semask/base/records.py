"""Records: the JSON files that stages leave behind and that the table is made of.

A record is one JSON object: `schema` (its version), `kind`, `experiment`, `data_fingerprint`, `run`
(what `semask.base.provenance.describe_run` says), `figures` (what was found, by kind) and `digest`,
a SHA-256 over all the rest. Records of a row also have `row` (device, processes, threads), `mode`,
`seed`, `recipe`, `recipe_digest`, `weights_digest` (by name of the file, empty where none is kept)
and `device` (what `semask.devices.description.describe` says); those of training and evaluation
also have `execution` (the settings of that name, for the device). A record of a released
checkpoint has `dataset`, `row`, `model` (settings of `semask.model.build`), `evaluation`,
`weights_digest` and `device`. The record of a model's facts speaks of no data: it has no
`experiment` and no `data_fingerprint`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from semask.base.errors import InputError
from semask.base.files import digest_of, read_json, sha256, write_atomically

SCHEMA = 3

SAME_RUN = ("row", "mode", "seed", "recipe", "weights_digest")
"""What the records of one run share."""

_LONGEST = 200  # letters of a schema's complaint, which begins with the whole value

TEXT = {"type": "string", "minLength": 1}
DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_PERCENT = {"type": "number", "minimum": 0, "maximum": 100}
_COUNT = {"type": "integer", "minimum": 1}
_POSITIVE = {"type": "number", "exclusiveMinimum": 0}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _with_optional(schema: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {**schema, "properties": {**schema["properties"], **properties}}


_SPEED = _with_optional(
    _object(
        fps=_POSITIVE,
        fps_median=_POSITIVE,
        fps_p10=_POSITIVE,
        fps_p90=_POSITIVE,
        data_wait_share={"type": "number", "minimum": 0, "maximum": 1},
        fps_log_window={"type": ["number", "null"]},
        iterations_measured={"type": "integer", "minimum": 1},
        warmup_iterations={"type": "integer", "minimum": 0},
    ),
    communication_share={"type": ["number", "null"], "minimum": 0, "maximum": 1},
)
_SCORES = _object(
    iteration={"type": "integer", "minimum": 1},
    miou=_PERCENT,
    macc=_PERCENT,
    aacc=_PERCENT,
    iou={"type": "array", "items": {"type": ["number", "null"]}},
    confusion={"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
)
_SCORES_OF_FILE = _object(
    **{key: _SCORES["properties"][key] for key in ("miou", "macc", "aacc", "iou", "confusion")}
)
_BASELINE = _object(miou=_PERCENT)
_FACTS = _object(
    variant=TEXT,
    num_classes={"type": "integer", "minimum": 1},
    parameters=_object(
        total=_POSITIVE, backbone=_POSITIVE, semantic_layers=_POSITIVE, decoder=_POSITIVE
    ),
    buffers=_POSITIVE,
    gmac={
        "type": "object",
        "minProperties": 1,
        "additionalProperties": _object(
            total=_POSITIVE, backbone=_POSITIVE, semantic_layers=_POSITIVE
        ),
    },
)
_BEST = {"type": ["object", "null"], "required": ["iteration", "miou"],
         "properties": {"iteration": _COUNT, "miou": _PERCENT}}  # fmt: skip
_LAST = _object(iteration=_COUNT)
_SIZE = {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2}
_SWITCH = {"type": "boolean"}
_RECIPE = _object(
    dataset=TEXT,
    model=_object(variant=TEXT, num_classes=_COUNT),
    training=_object(
        iterations=_COUNT,
        global_batch=_COUNT,
        accumulation=_COUNT,
        precision=TEXT,
        shuffle_labels=_SWITCH,
        augmentation=_object(crop=_SIZE),
    ),
    numerics=_object(
        gelu=TEXT,
        **dict.fromkeys(("reduced_matmul", "reduced_convolution", "deterministic"), _SWITCH),
    ),
    port_faults=_object(drop_path_never_fires=_SWITCH, fast_gelu=_SWITCH),
    evaluation=_object(
        scale=_SIZE,
        sliding_window={
            "type": ["object", "null"],
            "required": ["size", "stride"],
            "properties": {"size": _SIZE, "stride": _SIZE},
        },
    ),
)
_OPERATORS = {"type": ["array", "null"], "items": TEXT}
_FIGURES = {
    "facts": _FACTS,
    "train": _with_optional(
        _object(speed=_SPEED, best=_BEST, last=_LAST),
        precision=_object(
            skipped_steps={"type": "integer", "minimum": 0},
            loss_scale={"type": ["number", "null"]},
        ),
        cpu_fallbacks=_OPERATORS,
        warnings={"type": "array", "items": TEXT},
        tries={
            "type": "array",
            "minItems": 1,
            "items": _object(
                **{"from": {"type": "integer", "minimum": 0}},
                started=TEXT,
                host=TEXT,
                code_version=TEXT,
                code_digest=DIGEST,
                device=TEXT,
                torch=TEXT,
            ),
        },
    ),
    "evaluate": _with_optional(
        _object(best=_SCORES, last=_SCORES, images=_COUNT, labelled_pixels=_COUNT),
        best_multi_scale=_SCORES,
        cpu_fallbacks=_OPERATORS,
    ),
    "agreement": _object(
        images=_COUNT,
        compared={
            "type": "object",
            "additionalProperties": _object(largest_difference={"type": "number", "minimum": 0}),
        },
    ),
    "released": _object(
        single_scale=_SCORES_OF_FILE,
        multi_scale={"anyOf": [_SCORES_OF_FILE, {"type": "null"}]},
        images=_COUNT,
        parameters=_COUNT,
        cpu_fallbacks=_OPERATORS,
    ),
    "baselines": _object(constant=_BASELINE, nearest_colour=_BASELINE),
}
_COMMON = {
    "schema": {"const": SCHEMA},
    "run": _object(code_version=TEXT, host=TEXT, started=TEXT, ended=TEXT, command=TEXT),
    "digest": DIGEST,
}
_OF_DATA = {"experiment": TEXT, "data_fingerprint": DIGEST}
_OF_A_ROW = {
    **_OF_DATA,
    "row": _object(
        device={"enum": ["cpu", "gpu", "npu"]},
        processes={"type": "integer", "minimum": 1},
        threads={"type": "integer", "minimum": 1},
    ),
    "mode": {"enum": ["full", "performance"]},
    "seed": {"type": "integer", "minimum": 0},
    "recipe": _RECIPE,
    "recipe_digest": DIGEST,
    "weights_digest": {"type": "object", "additionalProperties": DIGEST},
    "device": _object(name=TEXT, torch=TEXT),
}


_EXECUTED = {
    **_OF_A_ROW,
    "execution": _object(
        **{key: {"type": "boolean"} for key in ("compile", "fused_attention", "checkpointing")}
    ),
}
_OF_RELEASED = {
    **_OF_DATA,
    "dataset": TEXT,
    **{key: _OF_A_ROW[key] for key in ("row", "weights_digest", "device")},
    "model": _object(variant=TEXT),
    "evaluation": {"type": "object"},
}


def _schema_of(kind: str) -> dict[str, Any]:
    of_kind = {
        "facts": {},
        "baselines": _OF_DATA,
        "released": _OF_RELEASED,
        "agreement": _OF_A_ROW,
    }.get(kind, _EXECUTED)
    return _object(kind={"const": kind}, figures=_FIGURES[kind], **_COMMON, **of_kind)


def write_record(path: Path, kind: str, **content: Any) -> None:
    """Write a record whole or not at all.

    Args:
        path: file to write.
        kind: train, evaluate, agreement, released, baselines or facts.
        content: the keys named at the top of this module, less schema, kind, recipe_digest and
            digest, which are added here.
    """
    record = {"schema": SCHEMA, "kind": kind, **content}
    if "recipe" in record:
        record["recipe_digest"] = digest_of(record["recipe"])
    record["digest"] = digest_of(record)
    # as it will be read: with lists in place of tuples
    jsonschema.validate(json.loads(json.dumps(record)), _schema_of(kind))
    write_atomically(path, json.dumps(record, indent=1) + "\n")


def read_record(path: Path, kind: str) -> dict[str, Any]:
    """Read a record and check it.

    Raises:
        InputError: the file is missing, truncated, of another schema version or kind, lacks a
            key, or was edited after it was written.
    """
    remedy = f"delete {path} and run snakemake again to make it anew"
    try:
        record = read_json(path)
    except InputError as damaged:
        if not path.is_file():
            raise
        raise InputError(f"{str(damaged).rpartition(': ')[0]}; {remedy}") from None
    if not isinstance(record, Mapping) or "schema" not in record:
        raise InputError(f"{path}: not a record; {remedy}")
    if record["schema"] != SCHEMA:
        raise InputError(
            f"{path}: record of schema version {record['schema']!r}, this code reads {SCHEMA}; "
            f"{remedy}"
        )
    if record.get("kind") != kind:
        raise InputError(f"{path}: record of kind {record.get('kind')!r}, not {kind!r}; {remedy}")
    fault = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(_schema_of(kind)).iter_errors(dict(record))
    )
    if fault is not None:
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
    return dict(record)


def kept_weights(path: Path, record: Mapping[str, Any], which: str) -> str:
    """SHA-256 of the weights that a training kept.

    Args:
        path: of the training's record, for the message.
        record: what is in it.
        which: best or last.

    Raises:
        InputError: the run kept none.
    """
    digests: Mapping[str, str] = record["weights_digest"]
    if which not in digests or record["figures"][which] is None:
        raise InputError(
            f"{path}: keeps no {which} weights, as a {record['mode']} run; give the record of a "
            "full run"
        )
    return digests[which]


def check_weights(path: Path, digest: str) -> None:
    """Check that a weights file is the one that a record speaks of.

    Args:
        path: weights that training kept.
        digest: their SHA-256 in the record.

    Raises:
        InputError: the file is missing or another one.
    """
    remedy = "run its training again, or restore the file"
    try:
        if sha256(path) != digest:
            raise InputError(f"{path}: not the weights that the record speaks of; {remedy}")
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror}); {remedy}") from fault
