"""The table against everything that must agree with it: the shapes for mypy, the edits, the live container, the pages made from it."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cdi_hook import model
from cdi_hook.cdi import check, edits, reference, schema
from cdi_hook.live import edits as live
from tests.conformance import cases

ROOT = Path(__file__).parents[3]

SHAPES: dict[str, Any] = {
    "spec": model.Spec,
    "device": model.Device,
    "edits": model.ContainerEdits,
    "deviceNode": model.DeviceNode,
    "netDevice": model.NetDevice,
    "hook": model.Hook,
    "mount": model.Mount,
    "intelRdt": model.IntelRdt,
}

KINDS = {
    "env": {"env"},
    "deviceNodes": {"node", "rule"},
    "netDevices": {"net"},
    "hooks": {"hook"},
    "mounts": {"mount"},
    "intelRdt": {"rdt"},
    "additionalGids": {"gid"},
}
"""What the edits of each field are called."""


def python_type(type_: str) -> Any:
    if type_.startswith("["):
        return list[python_type(type_[1:-1])]  # type: ignore[misc] # made at run time
    simple = {"string": str, "bool": bool, "int64": int, "uint32": int, "map": dict[str, str]}
    return simple.get(type_) or SHAPES[type_]


@pytest.mark.parametrize("type_", schema.OBJECTS)
def test_the_shapes_for_mypy_are_those_of_the_table(type_: str) -> None:
    assert typing.get_type_hints(SHAPES[type_]) == {field.name: python_type(field.type) for field in schema.OBJECTS[type_]}


def test_every_edit_can_be_applied_to_a_config() -> None:
    assert set(KINDS) == {field.name for field in schema.OBJECTS["edits"]}
    assert set(edits.APPLY) == set().union(*KINDS.values())


def test_every_edit_can_be_applied_to_a_live_container_or_comes_too_late() -> None:
    late = {key for key in live.TOO_LATE if " " not in key}
    assert set(live.APPLY) | late == set(edits.APPLY)
    assert set(live.APPLY) & late == set()
    stages = {key.partition(" ")[2] for key in live.TOO_LATE if key.startswith("hook ")}
    assert stages < set(schema.HOOK_NAMES)


def test_every_field_says_what_it_means_and_since_when() -> None:
    for fields in schema.OBJECTS.values():
        for field in fields:
            assert field.meaning
            assert schema.version_number(field.since) >= schema.version_number(schema.EARLIEST)
            assert field.form in ("", *schema.PATTERNS)
            assert (field.element or field.type) in ("string", "bool", "int64", "uint32", "map", *schema.OBJECTS)


@pytest.mark.parametrize(
    ("version", "number"), [("0.1.0", 0), ("0.3.0", 2), ("v0.3.0", 2), ("1.1.0", 9), ("vv1.1.0", -1), ("1.0", -1), ("", -1), ("V1.0.0", -1)]
)
def test_version_number(version: str, number: int) -> None:
    assert schema.version_number(version) == number


# --- what is made from it


def test_the_json_schema_is_fresh() -> None:
    assert json.loads((ROOT / "docs/cdi-schema.json").read_text()) == reference.json_schema(), "run: cdi-hook schema >docs/cdi-schema.json"


def test_the_reference_page_is_fresh() -> None:
    fresh = reference.reference()
    assert (ROOT / "docs/spec-reference.md").read_text() == fresh, "run: cdi-hook schema --reference >docs/spec-reference.md"
    for fields in schema.OBJECTS.values():
        for field in fields:
            assert f"`{field.name}`" in fresh


def validator() -> Any:
    made = reference.json_schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


def test_the_json_schema_accepts_every_valid_spec() -> None:
    judge = validator()
    documents = [case["expect"]["document"] for case in cases.load("specs") if "document" in case["expect"]]
    assert len(documents) > 100
    for document in documents:
        judge.validate(document)


def minimal(**edits: Any) -> dict[str, Any]:
    return {"cdiVersion": "1.1.0", "kind": "acme.com/gpu", "devices": [{"name": "0", "containerEdits": edits}]}


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("no edits", minimal()),
    ("no devices", {**minimal(), "devices": []}),
    ("unknown field", {**minimal(env=["A=1"]), "future": 1}),
    ("unknown version", {**minimal(env=["A=1"]), "cdiVersion": "2.0.0"}),
    ("a version before the first", {**minimal(env=["A=1"]), "cdiVersion": "0.2.0"}),
    ("kind", {**minimal(env=["A=1"]), "kind": "acme"}),
    ("env", minimal(env=["=1"])),
    ("type of a node", minimal(deviceNodes=[{"path": "/dev/x", "type": "x"}])),
    ("permissions", minimal(deviceNodes=[{"path": "/dev/x", "permissions": "rx"}])),
    ("path", minimal(deviceNodes=[{"path": ""}])),
    ("mode", minimal(deviceNodes=[{"path": "/dev/x", "fileMode": 1 << 32}])),
    ("stage", minimal(hooks=[{"hookName": "now", "path": "/x"}])),
    ("class of service", minimal(intelRdt={"closID": "a/b"})),
    ("mount", minimal(mounts=[{"hostPath": "/a"}])),
]


@pytest.mark.parametrize("spec", [row[1] for row in WRONG], ids=[row[0] for row in WRONG])
def test_the_json_schema_refuses(spec: dict[str, Any]) -> None:
    assert not validator().is_valid(spec)


TEXTS = ["", "a", "acme.com/gpu", "acme/", "/gpu", "1acme/gpu", "acme/gpu-", "0", "-0", "a:b", "A=", "=A", "A", "rw", "rwx", "none", "x y"]
TEXTS += ["/", ".", "..", "...", "a/b", "a\nb", "é", "x" * 4095, "x" * 4096, "v1.0.0", "1.1.0"]


@pytest.mark.parametrize("form", sorted(set(schema.PATTERNS) - {"version"}))
def test_patterns_say_what_the_checks_say(form: str) -> None:
    judge = jsonschema.Draft202012Validator({"pattern": schema.PATTERNS[form]})
    for text in TEXTS:
        if text:
            assert judge.is_valid(text) == (check.FORMS[form](text) is None), text


@pytest.mark.parametrize("version", [*schema.VERSIONS, "v1.0.0", "vv1.0.0", "1.0", "1.1.0 "])
def test_the_pattern_of_versions(version: str) -> None:
    judge = jsonschema.Draft202012Validator({"pattern": schema.PATTERNS["version"]})
    assert judge.is_valid(version) == (check.version_problem(version, schema.EARLIEST, "") is None)
