"""What JSON schemas of records, bundles and options are put together from."""

from collections.abc import Mapping
from typing import Any

from semask.base.row_names import PLANTED_FAULTS

TEXT = {"type": "string", "minLength": 1}
DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
NATURAL = {"type": "integer", "minimum": 0}
COUNT = {"type": "integer", "minimum": 1}
POSITIVE = {"type": "number", "exclusiveMinimum": 0}
PERCENT = {"type": "number", "minimum": 0, "maximum": 100}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
SWITCH = {"type": "boolean"}


def object_of(optional: Mapping[str, Any] | None = None, /, **required: Any) -> dict[str, Any]:
    """Schema of an object, from those of its keys."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": list(required), "properties": properties}


def closed(optional: Mapping[str, Any] | None = None, /, **required: Any) -> dict[str, Any]:
    """Schema of an object that has no other keys."""
    return {**object_of(optional, **required), "additionalProperties": False}


def list_of(items: Mapping[str, Any], **limits: int) -> dict[str, Any]:
    """Schema of a list, from that of its items."""
    return {"type": "array", **limits, "items": items}


def map_of(values: Mapping[str, Any], **limits: int) -> dict[str, Any]:
    """Schema of an object with any keys, from that of its values."""
    return {"type": "object", **limits, "additionalProperties": values}


def or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Schema of what may also be null."""
    return {**schema, "type": [schema["type"], "null"]}


NUMBER = {"type": "number"}
NUMBER_OR_NULL = or_null(NUMBER)
SIZE = list_of(COUNT, minItems=2, maxItems=2)

ROW: dict[str, Any] = {
    "device": {"enum": ["cpu", "gpu", "npu"]},
    "processes": COUNT,  # one per device
    "threads": COUNT,  # of the CPU, of each process
}
"""Schemas of what a row is, by key."""

PLANTED: dict[str, Any] = {"planted_fault": {"enum": [*PLANTED_FAULTS]}}
"""Schema of what a row may also have, in a demonstration."""
