"""``hooks.d``: each file against the rules of oci-hooks(5), schema 1.0.0, and against our settings and entry points."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.settings import values

FILES = sorted((Path(__file__).parents[2] / "hooks.d").iterdir())
STAGES = {"cdi-hook-createruntime.json": "createRuntime", "cdi-hook-precreate.json": "precreate"}
ANNOTATIONS = {
    "cdi.k8s.io/x": True,
    "cdi.k8s.io/": True,
    "nvidia.cdi.k8s.io/x_0": True,
    "cdi.k8s.io": False,
    "xcdi.k8s.io/x": False,
    "my.cdi.k8s.io/x": False,
    "cdixk8s.io/x": False,
    "org/cdi.k8s.io/x": False,
}


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def pattern() -> str:
    """What matches exactly the default prefixes, as a POSIX extended regular expression (no ``(?:``)."""
    return "^(" + "|".join(prefix.replace(".", "\\.") for prefix in values.DEFAULTS["requests.annotations"]) + ")"


def test_there_is_one_file_for_each_stage() -> None:
    assert {path.name: load(path)["stages"] for path in FILES} == {name: [stage] for name, stage in STAGES.items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_keeps_the_format(path: Path) -> None:
    document = load(path)
    assert path.suffix == ".json"
    assert set(document) == {"version", "hook", "when", "stages"}
    assert document["version"] == "1.0.0"
    hook = document["hook"]
    assert set(hook) == {"path", "args", "env", "timeout"}
    assert hook["path"].startswith("/")
    assert hook["args"] == [Path(hook["path"]).name, STAGES[path.name]]
    assert hook["env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    assert hook["timeout"] > 0
    # All conditions and all pairs must match: so there is one of each.
    assert document["when"] == {"annotations": {pattern(): ".*"}}


@pytest.mark.parametrize(("annotation", "matches"), ANNOTATIONS.items(), ids=ANNOTATIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_requests_match(path: Path, annotation: str, matches: bool) -> None:
    """The engines look for a match anywhere in key and value, even in an empty one, which we must refuse."""
    ((key, value),) = load(path)["when"]["annotations"].items()
    assert bool(re.search(key, annotation)) is matches
    assert any(annotation.startswith(prefix) for prefix in values.DEFAULTS["requests.annotations"]) is matches
    assert re.search(value, "")
