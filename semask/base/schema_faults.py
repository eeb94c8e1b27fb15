"""What is wrong with a value by a JSON schema, in one line that names the key."""

import math
from collections.abc import Mapping
from typing import Any

import jsonschema

# JSON's schema takes 60.0 for an integer, Python's range and names of folders do not
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def first_fault(value: Any, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a value as a JSON schema sees it: the key, the fault, how many more.

    None where nothing is. A number that is not finite is wrong, whatever the schema says.
    """
    key = _not_finite(value)
    if key is not None:
        return f"{key}: not a finite number"
    faults = sorted(
        _Validator(schema).iter_errors(value),
        key=lambda fault: [str(part) for part in fault.absolute_path],
    )
    if not faults:
        return None
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return " ".join(f"{_describe(faults[0])}{more}".split()).removeprefix(": ")


def _not_finite(value: Any, key: str = "") -> str | None:
    """Key of the first number that is NaN or an infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return key
    items = value.items() if isinstance(value, Mapping) else ()
    inner = enumerate(value) if isinstance(value, list) else items
    found = (_not_finite(item, f"{key}.{name}" if key else str(name)) for name, item in inner)
    return next((name for name in found if name is not None), None)


def _describe(fault: jsonschema.ValidationError) -> str:
    key = ".".join(str(part) for part in fault.absolute_path)
    schema: Any = fault.schema
    value: Any = fault.instance
    if fault.validator == "additionalProperties":
        unknown = sorted(str(name) for name in value if name not in schema.get("properties", {}))
        name = ".".join(filter(None, [key, unknown[0]]))
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
    if isinstance(value, float) and value.is_integer():
        return f" (write {value:.0f})"
    # PyYAML reads 1e-3 as text: YAML 1.1 wants a dot in the mantissa and a sign in the exponent
    try:
        float(str(value))
    except ValueError:
        return ""
    return f" (write {float(str(value))!r} without quotes)" if isinstance(value, str) else ""
