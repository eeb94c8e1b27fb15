"""Records: the JSON files that stages leave behind and that the table is made of.

A record is one JSON object: `schema` (its version), `kind`, `experiment`, `data_fingerprint`, `run`
(what `semask.base.provenance.describe_run` says), `figures` (what was found, by kind) and `digest`,
a SHA-256 over all the rest. Records of a row also have `row` (device, processes, threads, and
`planted_fault` if it has one), `mode`, `seed`, `recipe`, `recipe_digest`, `weights_digest` (by name
of the file, empty where none is kept) and `device` (what `semask.devices.description.describe`
says); those of training and evaluation also have `execution` (the settings of that name, for the
device) and `ran` (what was observed: the processes, graphs that the first one compiled, precision
at the end; of an interrupted run those of its last try). A record of a released checkpoint has
`dataset`, `row`, `model` (settings of `semask.model.build`), `evaluation`, `weights_digest` and
`device`. The record of a model's facts
speaks of no data: it has no `experiment` and no `data_fingerprint`. Records of parity and profiles
are of no run and no data: they have `experiment`, `row`, `recipe`, `device` and `execution`. One of
weights that another row's device scored (`cross`) has these and `data_fingerprint`; `row` is the
one that scored, and `weights_of` says whose weights they are.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema

from semask.base.errors import InputError
from semask.base.files import digest_of, read_json, sha256, write_atomically
from semask.base.row_names import PLANTED_FAULTS

SCHEMA = 5

SAME_RUN = ("row", "mode", "seed", "recipe", "weights_digest")
"""What the records of one run share."""

_LONGEST = 200  # letters of a schema's complaint, which begins with the whole value

TEXT = {"type": "string", "minLength": 1}
DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
NATURAL = {"type": "integer", "minimum": 0}
_COUNT = {"type": "integer", "minimum": 1}
_POSITIVE = {"type": "number", "exclusiveMinimum": 0}
_PERCENT = {"type": "number", "minimum": 0, "maximum": 100}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_SWITCH = {"type": "boolean"}
_NUMERICS = ("reduced_matmul", "reduced_convolution", "deterministic", "shared_chance")


def object_of(optional: Mapping[str, Any] | None = None, /, **required: Any) -> dict[str, Any]:
    """Schema of an object, from those of its keys."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": list(required), "properties": properties}


def _list_of(items: Mapping[str, Any], **limits: int) -> dict[str, Any]:
    return {"type": "array", **limits, "items": items}


def map_of(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


_NUMBER = {"type": "number"}
_NUMBER_OR_NULL = _or_null(_NUMBER)
_OPERATORS = _or_null(_list_of(TEXT))
_SIZE = _list_of(_COUNT, minItems=2, maxItems=2)
_SPEED = object_of(
    {"communication_share": _or_null(_SHARE)},
    **dict.fromkeys(("fps", "fps_median", "fps_p10", "fps_p90"), _POSITIVE),
    data_wait_share=_SHARE,
    fps_log_window=_NUMBER_OR_NULL,
    log_window=_or_null(_list_of(_COUNT, minItems=2, maxItems=2)),
    iterations_measured=_COUNT,
    warmup_iterations=NATURAL,
)
_SCORES_OF_FILE = object_of(
    **dict.fromkeys(("miou", "macc", "aacc"), _PERCENT),
    iou=_list_of(_NUMBER_OR_NULL),
    confusion=_list_of(_list_of({"type": "integer"})),
)
_SCORES = object_of(iteration=_COUNT, **_SCORES_OF_FILE["properties"])
_WORK = dict.fromkeys(("total", "backbone", "semantic_layers"), _POSITIVE)
_FACTS = object_of(
    variant=TEXT,
    num_classes=_COUNT,
    parameters=object_of(**_WORK, decoder=_POSITIVE),
    buffers=_POSITIVE,
    gmac={**map_of(object_of(**_WORK)), "minProperties": 1},
)
_RECIPE = object_of(
    dataset=TEXT,
    model=object_of(variant=TEXT, num_classes=_COUNT),
    training=object_of(
        **dict.fromkeys(("iterations", "global_batch", "accumulation"), _COUNT),
        precision=TEXT,
        shuffle_labels=_SWITCH,
        augmentation=object_of(crop=_SIZE),
    ),
    numerics=object_of(
        gelu=TEXT,
        **dict.fromkeys(_NUMERICS, _SWITCH),
    ),
    port_faults=object_of(drop_path_never_fires=_SWITCH, fast_gelu=_SWITCH),
    evaluation=object_of(scale=_SIZE, sliding_window=_or_null(object_of(size=_SIZE, stride=_SIZE))),
)
_TRY = object_of(
    **{"from": NATURAL},
    **dict.fromkeys(("started", "host", "code_version"), TEXT),
    code_digest=DIGEST,
    **dict.fromkeys(("device", "torch"), TEXT),
)
# what each kind of look at a device found; null is a number that was not finite
_COMPARED = object_of(name=TEXT, error=_NUMBER_OR_NULL, ratio=_NUMBER_OR_NULL)
_MODULE = object_of(
    name=TEXT,
    source=TEXT,
    status={"enum": ["passed", "looked at", "failed"]},
    worst={"anyOf": [_COMPARED, {"type": "null"}]},
    fault=_or_null(TEXT),
    bitwise=_or_null(_SWITCH),
    operator=_or_null(_SWITCH),
)
_PASS = object_of(loss=_NUMBER_OR_NULL, outputs=map_of(_NUMBER_OR_NULL))
_LOOKS: tuple[dict[str, Any], ...] = (
    {"not_run": TEXT},
    {
        "modules": _list_of(_MODULE),
        "whole": object_of(device=_PASS, honest=_PASS),
        "failed": _list_of(TEXT),
        "guilty": _or_null(TEXT),
        "reference": object_of(weights_sha256=DIGEST, inputs_sha256=DIGEST),
    },
    {
        "status": TEXT,
        "rates": {"type": "object"},
        "quantities": _list_of(map_of({"type": "object"})),
        "medians": map_of(_NUMBER_OR_NULL),
    },
    {
        "painted": object_of(samples=_COUNT, pixels=NATURAL, wrong=NATURAL),
        "batches": _list_of(DIGEST),
        "faults": _list_of(TEXT),
    },
    {"sites": _list_of(object_of(function=TEXT, drawn=NATURAL)), "faults": _list_of(TEXT)},
)
_FIGURES = {
    "facts": _FACTS,
    "train": object_of(
        {
            "precision": object_of(skipped_steps=NATURAL, loss_scale=_NUMBER_OR_NULL),
            "cpu_fallbacks": _OPERATORS,
            "warnings": _list_of(TEXT),
            "tries": _list_of(_TRY, minItems=1),
        },
        speed=_SPEED,
        best=_or_null(object_of(iteration=_COUNT, miou=_PERCENT)),
        last=object_of(iteration=_COUNT),
    ),
    "evaluate": object_of(
        {
            "best_multi_scale": _SCORES,
            "cpu_fallbacks": _OPERATORS,
            "label_maps_digest": DIGEST,
        },
        best=_SCORES,
        last=_SCORES,
        images=_COUNT,
        labelled_pixels=_COUNT,
    ),
    "agreement": object_of(
        images=_COUNT,
        compared=map_of(object_of(largest_difference={"type": "number", "minimum": 0})),
    ),
    "released": object_of(
        single_scale=_SCORES_OF_FILE,
        multi_scale={"anyOf": [_SCORES_OF_FILE, {"type": "null"}]},
        images=_COUNT,
        parameters=_COUNT,
        cpu_fallbacks=_OPERATORS,
    ),
    "profile": object_of(
        milliseconds=_POSITIVE,
        watched_milliseconds=_POSITIVE,
        parts=map_of({"type": "number"}),
        kinds=map_of({"type": "number"}),
        operators=_list_of(object_of(name=TEXT)),
    ),
    "parity": object_of(
        asked=object_of(seed=NATURAL, size=_SIZE, batch=_COUNT, steps=NATURAL),
        work=object_of(gmac=_POSITIVE, peak=_POSITIVE),
        looks=map_of({"anyOf": [object_of(**of) for of in _LOOKS]}),
    ),
    "cross": object_of(
        {"cpu_fallbacks": _OPERATORS},
        images=_COUNT,
        labelled_pixels=_COUNT,
        flips=object_of(
            pixels=NATURAL,
            share=_SHARE,
            of_class=_list_of(NATURAL),
            share_of_class=_list_of(_NUMBER_OR_NULL),
        ),
        **dict.fromkeys(("there", "here"), object_of(miou=_PERCENT, iou=_list_of(_NUMBER_OR_NULL))),
        difference=object_of(
            miou=_NUMBER,
            iou=_list_of(_NUMBER_OR_NULL),
            interval=_list_of(_NUMBER, minItems=2, maxItems=2),
        ),
        bootstrap=object_of(resamples=_COUNT, seed=NATURAL, level=_SHARE),
        matrices_digest=DIGEST,
    ),
    "baselines": object_of(
        **dict.fromkeys(("constant", "nearest_colour"), object_of(miou=_PERCENT))
    ),
}
_COMMON = {
    "schema": {"const": SCHEMA},
    "run": object_of(
        **dict.fromkeys(("code_version", "host", "started", "ended", "command"), TEXT)
    ),
    "digest": DIGEST,
}
_OF_DATA = {"experiment": TEXT, "data_fingerprint": DIGEST}
_OF_A_ROW = {
    **_OF_DATA,
    "row": object_of(
        {"planted_fault": {"enum": [*PLANTED_FAULTS]}},
        device={"enum": ["cpu", "gpu", "npu"]},
        processes=_COUNT,
        threads=_COUNT,
    ),
    "mode": {"enum": ["full", "performance"]},
    "seed": NATURAL,
    "recipe": _RECIPE,
    "recipe_digest": DIGEST,
    "weights_digest": map_of(DIGEST),
    "device": object_of(name=TEXT, torch=TEXT),
}
_PROCESS = object_of(
    **dict.fromkeys(("rank", "pid"), NATURAL),
    **dict.fromkeys(("host", "device"), TEXT),
    id=_or_null(TEXT),
    threads=_COUNT,
)
_RAN = object_of(
    {"precision": {"type": "object"}},
    processes=_list_of(_PROCESS, minItems=1),
    graphs=object_of(**dict.fromkeys(("compiled", "recompiled", "breaks"), NATURAL)),
)
_EXECUTED = {
    **_OF_A_ROW,
    "execution": object_of(
        **dict.fromkeys(("compile", "fused_attention", "checkpointing"), _SWITCH)
    ),
}
_LOOKED = {
    key: _EXECUTED[key]
    for key in ("experiment", "row", "recipe", "recipe_digest", "device", "execution")
}
_OF_KIND = {
    "facts": {},
    "baselines": _OF_DATA,
    "released": {
        **_OF_DATA,
        "dataset": TEXT,
        **{key: _OF_A_ROW[key] for key in ("row", "weights_digest", "device")},
        "model": object_of(variant=TEXT),
        "evaluation": {"type": "object"},
    },
    "agreement": _OF_A_ROW,
    "parity": _LOOKED,
    "profile": _LOOKED,
    "train": {**_EXECUTED, "ran": _RAN},
    "evaluate": {**_EXECUTED, "ran": _RAN},
}
_OF_KIND["cross"] = {
    **_OF_KIND["parity"],
    "data_fingerprint": DIGEST,
    "weights_of": object_of(
        **{key: _OF_A_ROW[key] for key in ("row", "seed", "device")},
        iteration=_COUNT,
        weights_digest=DIGEST,
        evaluate_record_digest=DIGEST,
    ),
}


def _schema_of(kind: str) -> dict[str, Any]:
    return object_of(kind={"const": kind}, figures=_FIGURES[kind], **_COMMON, **_OF_KIND[kind])


def write_record(path: Path, kind: str, **content: Any) -> None:
    """Write a record whole or not at all.

    Args:
        path: file to write.
        kind: train, evaluate, agreement, cross, released, parity, profile, baselines or facts.
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
    _check_file(path, digest, "weights", "run its training again, or restore the file")


def check_label_maps(path: Path, record_path: Path, record: Mapping[str, Any]) -> None:
    """Check that a file of label maps is the one that an evaluation's record speaks of.

    Args:
        path: label maps of its best weights.
        record_path: of the record, for the message.
        record: what is in it.

    Raises:
        InputError: the evaluation kept none; the file is missing or another one.
    """
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
