"""Checks of the merged configuration: the schema, then what one key says about another."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from semask.errors import InputError


def check_config(config: Mapping[str, Any], schema_file: Path) -> None:
    """Check a merged configuration.

    Raises:
        InputError: one line that names the key, what is wrong and what is allowed.
    """
    schema = yaml.safe_load(schema_file.read_text())
    faults = sorted(
        jsonschema.Draft202012Validator(schema).iter_errors(dict(config)),
        key=lambda fault: [str(part) for part in fault.absolute_path],
    )
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"config: {_describe(faults[0])}{more}")
    _check_rows(config["rows"])
    _check_performance(config["performance"])
    _check_ratios(config["training"]["augmentation"])
    if config["dataset"]["root"] == config["dataset"]["labels"]:
        raise InputError(
            "config: dataset.labels: the same folder as dataset.root; converted labels need a "
            "folder of their own, since the data set itself is never written to"
        )


def _describe(fault: jsonschema.ValidationError) -> str:
    key = ".".join(str(part) for part in fault.absolute_path)
    schema: Any = fault.schema
    value: Any = fault.instance
    if fault.validator == "additionalProperties":
        unknown = sorted(set(value) - set(schema.get("properties", {})))
        name = ".".join(filter(None, [key, str(unknown[0])]))
        return f"{name}: unknown key; allowed here: {', '.join(schema.get('properties', {}))}"
    if fault.validator == "required":
        missing = next(name for name in schema["required"] if name not in value)
        return f"{'.'.join(filter(None, [key, missing]))}: missing; it has no default"
    if fault.validator == "enum":
        allowed = ", ".join(map(str, schema["enum"]))
        return f"{key}: {value!r} is not allowed; one of: {allowed}"
    if fault.validator == "type":
        allowed = schema["type"] if isinstance(schema["type"], str) else " or ".join(schema["type"])
        return f"{key}: {value!r} is not of type {allowed}{_number_hint(value)}"
    if fault.validator == "pattern" and "propertyNames" in map(str, fault.absolute_schema_path):
        return f"{key}: name {value!r} does not match {schema['pattern']}"
    return f"{key}: {fault.message}"


def _number_hint(value: object) -> str:
    # PyYAML reads 1e-3 as text: YAML 1.1 wants a dot in the mantissa and a sign in the exponent
    try:
        float(str(value))
    except ValueError:
        return ""
    return f" (write {float(str(value))!r} without quotes)" if isinstance(value, str) else ""


def _check_rows(rows: list[dict[str, Any]]) -> None:
    seen: set[tuple[str, int]] = set()
    for number, row in enumerate(rows):
        name = (row["device"], row["processes"])
        if name in seen:
            raise InputError(
                f"config: rows.{number}: {row['device']}-{row['processes']}p is there twice; "
                "give one row all its modes and seeds"
            )
        seen.add(name)


def _check_performance(performance: Mapping[str, Any]) -> None:
    length, warmup = performance["iterations"], performance["warmup_iterations"]
    if warmup >= length:
        raise InputError(
            f"config: performance.warmup_iterations: {warmup} leaves nothing of "
            f"performance.iterations: {length}; use fewer"
        )
    window = performance["log_window"]
    if window["ends_at"] > length or window["length"] > window["ends_at"]:
        raise InputError(
            f"config: performance.log_window: {window['length']} iterations that end at "
            f"{window['ends_at']} do not lie in a run of {length}"
        )


def _check_ratios(augmentation: Mapping[str, Any]) -> None:
    key = "config: training.augmentation"
    between = augmentation["ratio_range"]
    if (between is None) == (augmentation["ratios"] is None):
        raise InputError(f"{key}: one of ratio_range and ratios must be given, the other null")
    if between is not None and between[0] > between[1]:
        raise InputError(f"{key}.ratio_range: {between[0]} is above {between[1]}")
