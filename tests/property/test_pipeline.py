"""Laws of the pipeline, from the text of a config to its text."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdi_hook import host, memory
from cdi_hook.errors import CdiError
from cdi_hook.pipeline import plan
from cdi_hook.settings import values
from tests.property.strategies import CONFIGS, EDITS, Json

KINDS = ["a.com/x", "b.com/y"]


@pytest.fixture(autouse=True, scope="module")
def host_without_devices() -> Iterator[None]:
    """No host is asked, and no index of the real one is read or written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "node", lambda path: None)
        patch.setattr(host, "exists", lambda path: True)
        patch.setattr(memory, "SYSTEM_HOME", "/dev/null/nowhere")
        patch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield


def through(config: Json, specs: list[Json], *, ask: bool = True) -> tuple[Json, Json | None, Any]:
    """``(before, after, plan)`` of a config that asks for device 0 of each spec."""
    with tempfile.TemporaryDirectory() as directory:
        for kind, edits in zip(KINDS, specs):
            device = {"name": "0", "containerEdits": edits}
            document = {"cdiVersion": "1.1.0", "kind": kind, "devices": [device]}
            Path(directory, f"{kind[0]}.json").write_text(json.dumps(document))
        ours = {**values.DEFAULTS, "specDirs": [directory]}
        names = [f"{kind}=0" for kind, _ in zip(KINDS, specs)]
        before = {**config, "annotations": {"cdi.k8s.io/x": ",".join(names)}} if ask and names else config
        try:
            data, found = plan.edit(json.dumps(before).encode(), ours)
        except CdiError as error:
            return before, None, error
        if data is None:
            return before, before, found
        after: Json = json.loads(data)
        again, _ = plan.edit(data, ours)
        assert again is None, "a retry changed something"
        return before, after, found


@given(CONFIGS, st.lists(EDITS, max_size=2))
def test_nothing_requested_nothing_changed(config: Json, specs: list[Json]) -> None:
    before, after, found = through(config, specs, ask=False)
    assert (after, found) == (before, None)


@given(CONFIGS, st.lists(EDITS, min_size=1, max_size=2))
def test_a_retried_create_injects_nothing_twice(config: Json, specs: list[Json]) -> None:
    """Asserted inside; and nothing that was there is lost but what an edit replaces."""
    before, after, found = through(config, specs)
    if after is None:
        # Only what the specification forbids may be refused here.
        assert isinstance(found, CdiError)
        return
    assert list(after)[: len(before)] == list(before)
    names = {text.partition("=")[0] for text in before.get("process", {}).get("env", [])}
    assert names <= {text.partition("=")[0] for text in after.get("process", {}).get("env", [])}
    rules = before.get("linux", {}).get("resources", {}).get("devices", [])
    assert after.get("linux", {}).get("resources", {}).get("devices", [])[: len(rules)] == rules


@given(CONFIGS, EDITS)
def test_a_device_asked_for_twice_counts_once(config: Json, edits: Json) -> None:
    _, once, _ = through(config, [edits])
    with tempfile.TemporaryDirectory() as directory:
        document = {"cdiVersion": "1.1.0", "kind": KINDS[0], "devices": [{"name": "0", "containerEdits": edits}]}
        Path(directory, "a.json").write_text(json.dumps(document))
        twice = {**config, "annotations": {"cdi.k8s.io/x": f"{KINDS[0]}=0"}}
        more = {"annotations": {"cdi.k8s.io/x": f"{KINDS[0]}=0,{KINDS[0]}=0", "cdi.k8s.io/y": f"{KINDS[0]}=0"}}
        try:
            found, _ = plan.edit(json.dumps({**twice, **more}).encode(), {**values.DEFAULTS, "specDirs": [directory]})
        except CdiError:
            assert once is None
            return
    assert once is not None
    assert {**(json.loads(found) if found else {**twice, **more}), "annotations": None} == {**once, "annotations": None}
