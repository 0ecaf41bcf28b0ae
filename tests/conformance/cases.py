"""Conformance cases: inputs with the verdict of the CDI reference, from the shared directory or else from the copy beside this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve()
SHARED = _HERE.parents[3] / "shared" / "conformance"
COPY = _HERE.parent / "cases"

DIRECTORY = SHARED if (SHARED / "README.md").is_file() else COPY


def load(group: str, **wanted: str) -> list[dict[str, Any]]:
    """The cases of a group, such as ``names``, that have these members; never none."""
    cases: list[dict[str, Any]] = json.loads((DIRECTORY / f"{group}.json").read_text(encoding="utf-8"))
    found = [case for case in cases if all(case.get(key) == value for key, value in wanted.items())]
    assert found, f"no such cases: {group} {wanted}"
    return found


def ids(case: dict[str, Any]) -> str:
    """The name of a case in pytest's output."""
    return str(case["id"])
