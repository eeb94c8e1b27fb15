"""Values of command-line options that are JSON, checked where they come in."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.schema_faults import first_fault
from semask.base.schema_parts import (
    COUNT,
    NATURAL,
    PLANTED,
    ROW,
    SIZE,
    SWITCH,
    closed,
    list_of,
    map_of,
    object_of,
    or_null,
)
from semask.config.layers import read_schema
from semask.workflow.options import new_file

_SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"

_STRING = {"type": "string"}

SOURCE = closed(
    {
        "size": or_null(NATURAL),
        "digest": or_null(_STRING),
        "digest_from": or_null(_STRING),
        "folders": list_of(_STRING),
    },
    name={**_STRING, "pattern": "^[^./][^/]*$"},
    url={**_STRING, "pattern": "^(https?://[^/]|drive:.|cityscapes:.)"},
)
"""JSON schema of a `semask.fetching.fetch.Source`."""

MODEL: dict[str, Any] = {"type": "object", "required": ["variant", "num_classes"]}
"""JSON schema of a model's settings, which `semask.model.build` checks one by one."""

TRAINING_PARTS = ("training", "numerics", "execution", "port_faults", "performance")
"""Parts of the config that all scripts which take a training step read as they are."""


def run_schema(optional: Mapping[str, Any] | None = None, /, **others: Any) -> dict[str, Any]:
    """JSON schema of what one run is told beside the config's parts.

    `optional` are schemas of keys that need not be there, `others` of keys that must.
    """
    return closed(optional, **{"processes": COUNT, "forbid_fallbacks": SWITCH, **others})


def scoring_schema(optional: Mapping[str, Any] | None = None, /, **others: Any) -> dict[str, Any]:
    """The same of how weights are scored: also workers of each process, and images to draw."""
    execution = config_schema("execution")
    keys = {"workers": NATURAL, "execution": execution, "predictions": COUNT}
    return {"$defs": execution["$defs"], **run_schema(optional, **keys, **others)}


PUBLISHED = or_null(
    closed(images={**map_of(COUNT), "required": ["train", "val"]}, size=or_null(SIZE))
)
"""JSON schema of what the splits must be, see `semask.data.manifest.check_splits`."""


def add_json(
    parser: argparse._ActionsContainer,
    option: str,
    schema: Mapping[str, Any],
    *,
    required: bool = True,
    **others: Any,
) -> None:
    """Add an option whose value is JSON; `others` are what `add_argument` takes.

    A value that is not JSON, or not as the schema says, raises InputError.
    """

    def read(text: str) -> Any:
        try:
            value = json.loads(text)
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as fault:
            # half of a surrogate pair, or a byte that is no text in the user's language
            raise InputError(
                f"{option}: {fault.object[fault.start]!a} is no character; write one that the "
                "terminal's language lacks as JSON does, by its number: \\u00e9"
            ) from None
        # ValueError: syntax, and integers of thousands of digits
        except (ValueError, RecursionError) as fault:
            raise InputError(f"{option}: not valid JSON ({fault}); quote it as a whole") from None
        fault_found = first_fault(value, schema)
        if fault_found is not None:
            raise InputError(f"{option}: {fault_found}; correct it")
        return value

    parser.add_argument(option, type=read, required=required, **others)


def add_download_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that download: `--lock` and `--mirrors`."""
    parser.add_argument("--lock", type=new_file, required=True, help="pinned digests, JSON")
    add_json(
        parser, "--mirrors", map_of(_STRING), required=False, default={},
        help="start of URL: other, JSON",
    )  # fmt: skip


def add_row_options(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add `--config`, see `training_schema`, and `--row`, of which device it is."""
    add_json(parser, "--config", training_schema(), required=required, help="JSON")
    add_json(parser, "--row", object_of(PLANTED, **ROW), required=required, help="JSON")


def config_schema(key: str, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """JSON schema of a part of the config by its dotted name, without the need for some keys."""
    part = whole = read_schema(_SCHEMA)
    for name in key.split("."):
        part = part["properties"][name]
    required = [name for name in part.get("required", ()) if name not in leave_out]
    return {**part, "required": required, "$defs": whole["$defs"]}


def training_schema(*more: str) -> dict[str, Any]:
    """JSON schema of `semask.workflow.plan.Plan.training_config`, with more parts of the config."""
    parts = (*TRAINING_PARTS, *more)
    scoring = config_schema(
        "evaluation", leave_out=("multi_scale", "save_predictions", "agreement", "predictions")
    )
    # how often it is run concerns no single run
    schemas = {part: config_schema(part, leave_out=("repeats",)) for part in parts}
    of = object_of(experiment=_STRING, dataset=_STRING, model=MODEL, evaluation=scoring, **schemas)
    return {"$defs": scoring["$defs"], **of}
