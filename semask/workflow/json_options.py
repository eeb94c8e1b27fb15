"""Values of command-line options that are JSON, checked where they come in."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.row_names import PLANTED_FAULTS
from semask.base.schema_faults import first_fault
from semask.config.layers import read_schema
from semask.workflow.options import new_file

_SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"

SOURCE: dict[str, Any] = {
    "type": "object",
    "required": ["name", "url"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[^./][^/]*$"},
        "url": {"type": "string", "pattern": "^(https?://[^/]|drive:.|cityscapes:.)"},
        "size": {"type": ["integer", "null"], "minimum": 0},
        "digest": {"type": ["string", "null"]},
        "digest_from": {"type": ["string", "null"]},
        "folders": {"type": "array", "items": {"type": "string"}},
    },
}
"""JSON schema of a `semask.fetching.fetch.Source`."""

MODEL: dict[str, Any] = {"type": "object", "required": ["variant", "num_classes"]}
"""JSON schema of a model's settings, which `semask.model.build` checks one by one."""

_COUNT = {"type": "integer", "minimum": 1}

ROW: dict[str, Any] = {
    "device": {"enum": ["cpu", "gpu", "npu"]},
    "processes": _COUNT,  # one per device
    "threads": _COUNT,  # of the CPU, of each process
}
"""JSON schemas of what a row is, by key."""

PLANTED: dict[str, Any] = {"planted_fault": {"enum": [*PLANTED_FAULTS]}}
"""JSON schema of what a row may also have, in a demonstration."""


def run_schema(optional: Mapping[str, Any] | None = None, /, **others: Any) -> dict[str, Any]:
    """JSON schema of what one run is told beside the config's parts.

    Args:
        optional: schemas of keys that need not be there.
        others: of keys that must, beside those of what every run is told.
    """
    keys = {"processes": _COUNT, "forbid_fallbacks": {"type": "boolean"}, **others}
    return {
        "type": "object",
        "required": [*keys],
        "additionalProperties": False,
        "properties": {**keys, **(optional or {})},
    }


_SIDE = {"type": "integer", "minimum": 1}
PUBLISHED: dict[str, Any] = {
    "type": ["object", "null"],
    "required": ["images", "size"],
    "additionalProperties": False,
    "properties": {
        "images": {
            "type": "object",
            "required": ["train", "val"],
            "additionalProperties": {"type": "integer", "minimum": 1},
        },
        "size": {"type": ["array", "null"], "items": _SIDE, "minItems": 2, "maxItems": 2},
    },
}
"""JSON schema of what the splits must be, see `semask.data.manifest.check_splits`."""

_MIRRORS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


def json_value(option: str, schema: Mapping[str, Any]) -> Callable[[str], Any]:
    """Reader of a JSON value.

    Args:
        option: what messages call it.
        schema: JSON schema of the value.

    Returns:
        What parses a text, and raises InputError for one that is not JSON or not as the schema
        says.
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

    return read


def add_download_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that download: `--lock` and `--mirrors`."""
    parser.add_argument("--lock", type=new_file, required=True, help="pinned digests, JSON")
    parser.add_argument(
        "--mirrors",
        type=json_value("--mirrors", _MIRRORS),
        default={},
        help="start of URL: other, JSON",
    )


def config_schema(key: str, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """JSON schema of a part of the config.

    Args:
        key: dotted name of the part.
        leave_out: keys of it that need not be there.
    """
    whole = read_schema(_SCHEMA)
    part = whole
    for name in key.split("."):
        part = part["properties"][name]
    required = [name for name in part.get("required", ()) if name not in leave_out]
    return {**part, "required": required, "$defs": whole["$defs"]}


def training_schema(*parts: str) -> dict[str, Any]:
    """JSON schema of `semask.workflow.plan.Plan.training_config`.

    Args:
        parts: of the config that are read as they are.
    """
    scoring = config_schema(
        "evaluation", leave_out=("multi_scale", "save_predictions", "agreement", "predictions")
    )
    return {
        "$defs": scoring["$defs"],
        "type": "object",
        "required": ["experiment", "dataset", "model", "evaluation", *parts],
        "properties": {
            "experiment": {"type": "string"},
            "dataset": {"type": "string"},
            "model": MODEL,
            "evaluation": scoring,
            # how often it is run concerns no single run
            **{part: config_schema(part, leave_out=("repeats",)) for part in parts},
        },
    }
