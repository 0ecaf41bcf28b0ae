"""Spec documents: the reference's verdict on each, its reading of each that is valid, and the departures from it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cdi_hook.cdi import specfile
from tests.conformance.cases import ids, load

DEPARTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "type-devicenodes-of-null": ("the reference crashes", {"versionValid": True, "minimumVersion": "0.3.0"}),
    "type-mounts-of-null": ("the reference crashes", {"versionValid": True, "minimumVersion": "0.3.0"}),
    "unknown-hooks-object": ("hooks keyed by stage are taken, and noted", {"valid": True, "parses": True}),
    "yaml-directive-12": ("libyaml reads YAML 1.2 directives", {"valid": True, "parses": True}),
    "yaml-json-escaped-slash": ("it is valid JSON", {"valid": True, "parses": True}),
}
"""Case: why, and what we give instead of the reference's verdict. ``docs/differences.md`` says more."""


def verdict(case: dict[str, Any], expect: dict[str, Any]) -> dict[str, Any]:
    """What we say of a case, by the members of ``expect``."""
    data = case["text"].encode() if "text" in case else base64.b64decode(case["base64"])
    loaded = specfile.parse(data, file=f"x.{case['format']}")
    found = {
        "valid": not loaded.faults,
        "parses": loaded.parses,
        "contentValid": loaded.content_valid,
        "versionValid": loaded.version_valid,
        "minimumVersion": loaded.minimum_version,
        "document": loaded.spec,
    }
    assert (loaded.spec is not None) == (not loaded.faults)
    return {key: found[key] for key in expect}


@pytest.mark.parametrize("case", load("specs"), ids=ids)
def test_verdict(case: dict[str, Any]) -> None:
    expect = {**case["expect"], **DEPARTURES.get(case["id"], ("", {}))[1]}
    assert verdict(case, expect) == expect


def test_departures_are_quirks_and_needed() -> None:
    cases = {case["id"]: case for case in load("specs")}
    for name in DEPARTURES:
        assert cases[name]["quirk"]
        assert verdict(cases[name], cases[name]["expect"]) != cases[name]["expect"]
