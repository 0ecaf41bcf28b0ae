"""The JSON schema and the reference page, both derived from the table of CDI fields. Row 4, cold.

The table is ``schema``. The JSON schema describes a spec as it is understood: numbers where numbers belong, text where text does.
What concerns more than one field is left to ``cdi-hook validate``: the minimum version, and names that may occur but once.
"""

from __future__ import annotations

from cdi_hook.cdi import schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cdi_hook.cdi.schema import Field

_NUMBERS: dict[str, dict[str, Any]] = {
    "int64": {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1},
    "uint32": {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1},
}
_TITLES = {
    "spec": "The file",
    "device": "devices[]",
    "edits": "containerEdits",
    "deviceNode": "deviceNodes[]",
    "netDevice": "netDevices[]",
    "hook": "hooks[]",
    "mount": "mounts[]",
    "intelRdt": "intelRdt",
}
_TYPES = {"bool": "true or false", "int64": "whole number", "uint32": "whole number from 0", "map": "object of text", "string": "text"}


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a spec."""
    objects = {type_: _object(type_) for type_ in schema.OBJECTS}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"CDI specification {schema.CURRENT}",
    }
    return {**head, **objects.pop("spec"), "$defs": objects}


def _object(type_: str) -> dict[str, Any]:
    fields = schema.OBJECTS[type_]
    made: dict[str, Any] = {"type": "object", "additionalProperties": False}
    made["properties"] = {field.name: _property(field) for field in fields}
    required = [field.name for field in fields if field.required]
    return {**made, "required": required} if required else made


def _property(field: Field) -> dict[str, Any]:
    made: dict[str, Any] = {"description": _meaning(field).replace("`", "")}
    if field.until:
        made["deprecated"] = True
    if field.element:
        return {**made, "type": "array", "items": _value(field, field.element), **({"minItems": 1} if field.required else {})}
    made.update(_value(field, field.type))
    if field.required and field.type == "string":
        made["minLength"] = 1
    if field.required and field.type in schema.OBJECTS:
        made["minProperties"] = 1
    return made


def _value(field: Field, type_: str) -> dict[str, Any]:
    if type_ in schema.OBJECTS:
        return {"$ref": f"#/$defs/{type_}"}
    if type_ == "map":
        return {"type": "object", "additionalProperties": {"type": "string"}}
    if type_ in _NUMBERS:
        return _NUMBERS[type_]
    if type_ == "bool":
        return {"type": "boolean"}
    made: dict[str, Any] = {"type": "string"}
    if field.allowed:
        made["enum"] = [*field.allowed] if field.required else ["", *field.allowed]
    if field.form:
        made["pattern"] = schema.PATTERNS[field.form]
    return made


def reference() -> str:
    """``docs/spec-reference.md``."""
    versions = ", ".join(schema.VERSIONS[schema.VERSIONS.index(schema.EARLIEST) :])
    lines = [
        "# CDI specs: every field",
        "",
        "<!-- Made by: python3 -m cdi_hook schema --reference >docs/spec-reference.md -->",
        "",
        "A CDI spec is a YAML or JSON file in a spec directory, at most 32 MiB. `cdi-hook validate` checks files; `cdi-hook schema` prints",
        "the JSON schema for editors. Names of fields match without regard to case, and a field that is not listed here is refused.",
        "Required fields are **bold**. *Since* is the lowest `cdiVersion` with which a field may be used; known versions are",
        f"{versions}.",
    ]
    for type_, fields in schema.OBJECTS.items():
        lines += ["", f"## {_TITLES[type_]}", "", "| field | type | since | meaning | in the OCI config |", "|---|---|---|---|---|"]
        lines += [_row(field) for field in fields]
    lines += ["", "## Rules that ask for a version", ""]
    lines += [f"* {rule.since}: {rule.meaning}" for rule in schema.RULES]
    return "\n".join(lines) + "\n"


def _row(field: Field) -> str:
    inner = field.element or field.type
    what = f"object `{inner}`" if inner in schema.OBJECTS else _TYPES[inner]
    name = f"**`{field.name}`**" if field.required else f"`{field.name}`"
    since = f"{field.since} to {field.until}" if field.until else field.since
    oci = ", ".join(f"`{place}`" for place in field.oci.split(", ") if place)
    return f"| {name} | {f'list of {what}' if field.element else what} | {since} | {_meaning(field)} | {oci} |"


def _meaning(field: Field) -> str:
    words = field.meaning
    if field.allowed:
        words += f"; one of {', '.join(f'`{value}`' for value in field.allowed)}"
    return words
