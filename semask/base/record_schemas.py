"""JSON schemas of the records, by kind; `semask.base.records` says what a record is."""

from typing import Any

from semask.base.schema_parts import (
    COUNT,
    DIGEST,
    NATURAL,
    NUMBER,
    NUMBER_OR_NULL,
    PERCENT,
    PLANTED,
    POSITIVE,
    ROW,
    SHARE,
    SIZE,
    SWITCH,
    TEXT,
    list_of,
    map_of,
    object_of,
    or_null,
)

SCHEMA = 5

_NUMERICS = ("reduced_matmul", "reduced_convolution", "deterministic", "shared_chance")
_OPERATORS = or_null(list_of(TEXT))
_SPREAD = object_of(least=NUMBER, median=NUMBER, most=NUMBER)
_CONDITIONS = object_of(
    host=TEXT,
    seconds=NUMBER,
    samples=NATURAL,
    cost=NUMBER_OR_NULL,
    cores=COUNT,
    others=or_null(object_of(mean=SHARE, most=SHARE)),
    throttled=or_null(SHARE),
    clock_mhz=or_null(_SPREAD),
    devices=list_of(
        object_of(
            samples=COUNT,
            others=or_null(SHARE),
            throttled=or_null(SHARE),
            reasons=map_of(SHARE),
            figures=map_of(_SPREAD),
            settings={"type": "object"},
        )
    ),
    not_observed=list_of(TEXT),
)
_SPEED = object_of(
    {"communication_share": or_null(SHARE), "conditions": list_of(_CONDITIONS)},
    **dict.fromkeys(("fps", "fps_median", "fps_p10", "fps_p90"), POSITIVE),
    data_wait_share=SHARE,
    fps_log_window=NUMBER_OR_NULL,
    log_window=or_null(SIZE),
    iterations_measured=COUNT,
    warmup_iterations=NATURAL,
)
_SCORES_OF_FILE = object_of(
    **dict.fromkeys(("miou", "macc", "aacc"), PERCENT),
    iou=list_of(NUMBER_OR_NULL),
    confusion=list_of(list_of({"type": "integer"})),
)
_SCORES = object_of(iteration=COUNT, **_SCORES_OF_FILE["properties"])
_WORK = dict.fromkeys(("total", "backbone", "semantic_layers"), POSITIVE)
_FACTS = object_of(
    variant=TEXT,
    num_classes=COUNT,
    parameters=object_of(**_WORK, decoder=POSITIVE),
    buffers=POSITIVE,
    gmac={**map_of(object_of(**_WORK)), "minProperties": 1},
)
_RECIPE = object_of(
    dataset=TEXT,
    model=object_of(variant=TEXT, num_classes=COUNT),
    training=object_of(
        **dict.fromkeys(("iterations", "global_batch", "accumulation"), COUNT),
        precision=TEXT,
        shuffle_labels=SWITCH,
        augmentation=object_of(crop=SIZE),
    ),
    numerics=object_of(gelu=TEXT, **dict.fromkeys(_NUMERICS, SWITCH)),
    port_faults=object_of(drop_path_never_fires=SWITCH, fast_gelu=SWITCH),
    evaluation=object_of(scale=SIZE, sliding_window=or_null(object_of(size=SIZE, stride=SIZE))),
)
_EXECUTION = object_of(**dict.fromkeys(("compile", "fused_attention", "checkpointing"), SWITCH))
_DRIVING = ("torch_npu", "cann", "cuda", "driver")
_TRY = object_of(
    # not of older records
    {**dict.fromkeys(_DRIVING, or_null({"type": "string"})), "execution": _EXECUTION},
    **{"from": NATURAL},
    **dict.fromkeys(("started", "host", "code_version"), TEXT),
    code_digest=DIGEST,
    **dict.fromkeys(("device", "torch"), TEXT),
)
# what each kind of look at a device found; null is a number that was not finite
_ERROR = object_of(**dict.fromkeys(("error", "yardstick", "ratio"), NUMBER_OR_NULL))
_COMPARED = object_of(name=TEXT, **_ERROR["properties"])
_OPERATOR_ERROR = object_of(
    computed_in=TEXT, mean=NUMBER_OR_NULL, largest=NUMBER_OR_NULL, limit=POSITIVE
)
_STATUS = {"enum": ["passed", "looked at", "failed"]}
_MODULE = object_of(
    {"operator_error": or_null(_OPERATOR_ERROR)},
    name=TEXT,
    source=TEXT,
    status=_STATUS,
    worst={"anyOf": [_COMPARED, {"type": "null"}]},
    fault=or_null(TEXT),
    bitwise=or_null(SWITCH),
)
# ended half-way; other bits in a second run
_ALSO = {"stopped": TEXT, "unequal": list_of(TEXT), "seconds": NUMBER}
_PASS = object_of(loss=NUMBER_OR_NULL, outputs=map_of(NUMBER_OR_NULL, minProperties=1))
_SITE = object_of(
    {"module": {"type": "string"}},
    **dict.fromkeys(("number", "drawn"), NATURAL),
    **dict.fromkeys(("kept", "seen"), SHARE),
    function=TEXT,
    fault=or_null(TEXT),
)
_LOOKS: tuple[dict[str, Any], ...] = (
    {"not_run": TEXT},
    {
        "modules": list_of(_MODULE),
        "whole": object_of(device=_PASS, honest=_PASS),
        "failed": list_of(TEXT),
        "guilty": or_null(TEXT),
        "reference": object_of(
            **dict.fromkeys(("weights_sha256", "inputs_sha256"), DIGEST),
            loss=NUMBER,
            norms=map_of(list_of(NUMBER, minItems=2, maxItems=2)),
        ),
    },
    {
        "status": _STATUS,
        # of a step: is, ought
        "rates": map_of(
            {"type": "array", "prefixItems": [NUMBER_OR_NULL, NUMBER], "minItems": 2, "maxItems": 2}
        ),
        "quantities": list_of(map_of(_ERROR, minProperties=1), minItems=1),
        "medians": map_of(NUMBER_OR_NULL, minProperties=1),
    },
    {
        "painted": object_of(samples=COUNT, pixels=NATURAL, wrong=NATURAL),
        "batches": list_of(object_of(images=DIGEST, labels=DIGEST)),
        "faults": list_of(TEXT),
    },
    {"sites": list_of(_SITE), "faults": list_of(TEXT)},
)
_FIGURES = {
    "facts": _FACTS,
    "train": object_of(
        {
            "precision": object_of(skipped_steps=NATURAL, loss_scale=NUMBER_OR_NULL),
            "cpu_fallbacks": _OPERATORS,
            "warnings": list_of(TEXT),
            "tries": list_of(_TRY, minItems=1),
        },
        speed=_SPEED,
        best=or_null(object_of(iteration=COUNT, miou=PERCENT)),
        last=object_of(iteration=COUNT),
    ),
    "evaluate": object_of(
        {"best_multi_scale": _SCORES, "cpu_fallbacks": _OPERATORS, "label_maps_digest": DIGEST},
        best=_SCORES,
        last=_SCORES,
        images=COUNT,
        labelled_pixels=COUNT,
    ),
    "agreement": object_of(
        images=COUNT,
        compared=map_of(object_of(largest_difference={"type": "number", "minimum": 0})),
    ),
    "released": object_of(
        single_scale=_SCORES_OF_FILE,
        multi_scale={"anyOf": [_SCORES_OF_FILE, {"type": "null"}]},
        images=COUNT,
        parameters=COUNT,
        cpu_fallbacks=_OPERATORS,
    ),
    "profile": object_of(
        milliseconds=POSITIVE,
        watched_milliseconds=POSITIVE,
        parts=map_of({"type": "number"}),
        kinds=map_of({"type": "number"}),
        operators=list_of(object_of(name=TEXT)),
    ),
    "parity": object_of(
        asked=object_of(seed=NATURAL, size=SIZE, batch=COUNT, steps=NATURAL),
        work=object_of(gmac=POSITIVE, peak=or_null(POSITIVE)),
        looks=map_of({"anyOf": [object_of(_ALSO, **of) for of in _LOOKS]}),
    ),
    "cross": object_of(
        {"cpu_fallbacks": _OPERATORS},
        images=COUNT,
        labelled_pixels=COUNT,
        flips=object_of(
            pixels=NATURAL,
            share=SHARE,
            of_class=list_of(NATURAL),
            share_of_class=list_of(NUMBER_OR_NULL),
        ),
        **dict.fromkeys(("there", "here"), object_of(miou=PERCENT, iou=list_of(NUMBER_OR_NULL))),
        difference=object_of(
            miou=NUMBER,
            iou=list_of(NUMBER_OR_NULL),
            interval=list_of(NUMBER, minItems=2, maxItems=2),
        ),
        bootstrap=object_of(resamples=COUNT, seed=NATURAL, level=SHARE),
        matrices_digest=DIGEST,
    ),
    "baselines": object_of(
        **dict.fromkeys(("constant", "nearest_colour"), object_of(miou=PERCENT))
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
    "row": object_of(PLANTED, **ROW),
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
        "attention": list_of(TEXT),
        "dtypes": map_of(TEXT),
    },
    **dict.fromkeys(("rank", "pid"), NATURAL),
    **dict.fromkeys(("host", "device"), TEXT),
    id=or_null(TEXT),
    threads=COUNT,
)
_RAN = object_of(
    {
        "precision": {"type": "object"},
        "graphs": object_of(**dict.fromkeys(("compiled", "recompiled", "breaks"), NATURAL)),
    },
    processes=list_of(_PROCESS, minItems=1),
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
    "cross": {
        **_LOOKED,
        "ran": _RAN,
        "data_fingerprint": DIGEST,
        "weights_of": object_of(
            **{key: _OF_A_ROW[key] for key in ("row", "seed", "device")},
            iteration=COUNT,
            **dict.fromkeys(("weights_digest", "evaluate_record_digest"), DIGEST),
        ),
    },
}


def schema_of(kind: str) -> dict[str, Any]:
    """Of a record of some kind."""
    # of full runs, but not in older records
    optional = {"validation_fingerprint": DIGEST} if kind == "train" else {}
    own = {"kind": {"const": kind}, "figures": _FIGURES[kind]}
    return object_of(optional, **own, **_COMMON, **_OF_KIND[kind])
