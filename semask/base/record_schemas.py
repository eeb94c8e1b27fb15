"""JSON schemas of the records, by kind; `semask.base.records` says what a record is."""

from collections.abc import Mapping
from typing import Any

from semask.base.row_names import PLANTED_FAULTS

SCHEMA = 5

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


def map_of(values: Mapping[str, Any], **limits: int) -> dict[str, Any]:
    return {"type": "object", **limits, "additionalProperties": values}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


_NUMBER = {"type": "number"}
_NUMBER_OR_NULL = _or_null(_NUMBER)
_OPERATORS = _or_null(_list_of(TEXT))
_SIZE = _list_of(_COUNT, minItems=2, maxItems=2)
_SPREAD = object_of(least=_NUMBER, median=_NUMBER, most=_NUMBER)
_CONDITIONS = object_of(
    host=TEXT,
    seconds=_NUMBER,
    samples=NATURAL,
    cost=_NUMBER_OR_NULL,
    cores=_COUNT,
    others=_or_null(object_of(mean=_SHARE, most=_SHARE)),
    throttled=_or_null(_SHARE),
    clock_mhz=_or_null(_SPREAD),
    devices=_list_of(
        object_of(
            samples=_COUNT,
            others=_or_null(_SHARE),
            throttled=_or_null(_SHARE),
            reasons=map_of(_SHARE),
            figures=map_of(_SPREAD),
            settings={"type": "object"},
        )
    ),
    not_observed=_list_of(TEXT),
)
_SPEED = object_of(
    {"communication_share": _or_null(_SHARE), "conditions": _list_of(_CONDITIONS)},
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
    numerics=object_of(gelu=TEXT, **dict.fromkeys(_NUMERICS, _SWITCH)),
    port_faults=object_of(drop_path_never_fires=_SWITCH, fast_gelu=_SWITCH),
    evaluation=object_of(scale=_SIZE, sliding_window=_or_null(object_of(size=_SIZE, stride=_SIZE))),
)
_EXECUTION = object_of(**dict.fromkeys(("compile", "fused_attention", "checkpointing"), _SWITCH))
_DRIVING = ("torch_npu", "cann", "cuda", "driver")
_TRY = object_of(
    # not of older records
    {**dict.fromkeys(_DRIVING, _or_null(TEXT)), "execution": _EXECUTION},
    **{"from": NATURAL},
    **dict.fromkeys(("started", "host", "code_version"), TEXT),
    code_digest=DIGEST,
    **dict.fromkeys(("device", "torch"), TEXT),
)
# what each kind of look at a device found; null is a number that was not finite
_ERROR = object_of(**dict.fromkeys(("error", "yardstick", "ratio"), _NUMBER_OR_NULL))
_COMPARED = object_of(name=TEXT, **_ERROR["properties"])
_OPERATOR_ERROR = object_of(
    computed_in=TEXT, mean=_NUMBER_OR_NULL, largest=_NUMBER_OR_NULL, limit=_POSITIVE
)
_STATUS = {"enum": ["passed", "looked at", "failed"]}
_MODULE = object_of(
    {"operator_error": _or_null(_OPERATOR_ERROR)},
    name=TEXT,
    source=TEXT,
    status=_STATUS,
    worst={"anyOf": [_COMPARED, {"type": "null"}]},
    fault=_or_null(TEXT),
    bitwise=_or_null(_SWITCH),
)
# ended half-way; other bits in a second run
_ALSO = {"stopped": TEXT, "unequal": _list_of(TEXT), "seconds": _NUMBER}
_PASS = object_of(loss=_NUMBER_OR_NULL, outputs=map_of(_NUMBER_OR_NULL, minProperties=1))
_SITE = object_of(
    {"module": {"type": "string"}},
    **dict.fromkeys(("number", "drawn"), NATURAL),
    **dict.fromkeys(("kept", "seen"), _SHARE),
    function=TEXT,
    fault=_or_null(TEXT),
)
_LOOKS: tuple[dict[str, Any], ...] = (
    {"not_run": TEXT},
    {
        "modules": _list_of(_MODULE),
        "whole": object_of(device=_PASS, honest=_PASS),
        "failed": _list_of(TEXT),
        "guilty": _or_null(TEXT),
        "reference": object_of(
            **dict.fromkeys(("weights_sha256", "inputs_sha256"), DIGEST),
            loss=_NUMBER,
            norms=map_of(_list_of(_NUMBER, minItems=2, maxItems=2)),
        ),
    },
    {
        "status": _STATUS,
        # of a step: is, ought
        "rates": map_of(
            {
                "type": "array",
                "prefixItems": [_NUMBER_OR_NULL, _NUMBER],
                "minItems": 2,
                "maxItems": 2,
            }
        ),
        "quantities": _list_of(map_of(_ERROR, minProperties=1), minItems=1),
        "medians": map_of(_NUMBER_OR_NULL, minProperties=1),
    },
    {
        "painted": object_of(samples=_COUNT, pixels=NATURAL, wrong=NATURAL),
        "batches": _list_of(object_of(images=DIGEST, labels=DIGEST)),
        "faults": _list_of(TEXT),
    },
    {"sites": _list_of(_SITE), "faults": _list_of(TEXT)},
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
        {"best_multi_scale": _SCORES, "cpu_fallbacks": _OPERATORS, "label_maps_digest": DIGEST},
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
        work=object_of(gmac=_POSITIVE, peak=_or_null(_POSITIVE)),
        looks=map_of({"anyOf": [object_of(_ALSO, **of) for of in _LOOKS]}),
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
    {
        **dict.fromkeys(("images", "workers"), NATURAL),
        "attention": _list_of(TEXT),
        "dtypes": map_of(TEXT),
    },
    **dict.fromkeys(("rank", "pid"), NATURAL),
    **dict.fromkeys(("host", "device"), TEXT),
    id=_or_null(TEXT),
    threads=_COUNT,
)
_RAN = object_of(
    {
        "precision": {"type": "object"},
        "graphs": object_of(**dict.fromkeys(("compiled", "recompiled", "breaks"), NATURAL)),
    },
    processes=_list_of(_PROCESS, minItems=1),
)
_RAN_WITH_GRAPHS = {**_RAN, "required": ["processes", "graphs"]}
_EXECUTED = {**_OF_A_ROW, "execution": _EXECUTION}
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
        "ran": _RAN,
    },
    "agreement": _OF_A_ROW,
    "parity": _LOOKED,
    "profile": _LOOKED,
    "train": {**_EXECUTED, "ran": _RAN_WITH_GRAPHS},
    "evaluate": {**_EXECUTED, "ran": _RAN_WITH_GRAPHS},
}
_OF_KIND["cross"] = {
    **_OF_KIND["parity"],
    "ran": _RAN,
    "data_fingerprint": DIGEST,
    "weights_of": object_of(
        **{key: _OF_A_ROW[key] for key in ("row", "seed", "device")},
        iteration=_COUNT,
        weights_digest=DIGEST,
        evaluate_record_digest=DIGEST,
    ),
}


def schema_of(kind: str) -> dict[str, Any]:
    """Of a record of some kind."""
    # of full runs, but not in older records
    optional = {"validation_fingerprint": DIGEST} if kind == "train" else {}
    own = {"kind": {"const": kind}, "figures": _FIGURES[kind]}
    return object_of(optional, **own, **_COMMON, **_OF_KIND[kind])
