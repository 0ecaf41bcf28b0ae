"""Laws of the registry: what may not matter, what must, and that what is written can be read."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cdi_hook import Registry
from cdi_hook.cdi import specfile
from cdi_hook.cdi.registry import merge

_few = settings(max_examples=60, deadline=None)
"""Each example writes files."""

_kinds = st.sampled_from(["acme.com/gpu", "acme.com/nic", "other.org/gpu"])
_device_names = st.sampled_from(["0", "1", "a"])
_words = st.text("aZ 9é\"'\\:#-{\n\U0001f600", max_size=5)
_paths = st.text("abc.", min_size=1, max_size=4).map("/".__add__)
_edits = st.fixed_dictionaries(
    {},
    optional={
        "env": st.lists(st.builds("{}={}".format, st.sampled_from("ABC"), _words), min_size=1, max_size=3),
        "deviceNodes": st.lists(
            st.fixed_dictionaries(
                {"path": _paths, "type": st.just("c"), "major": st.integers(1, 9)},
                optional={"minor": st.integers(1, 2**31), "permissions": st.sampled_from(["r", "rwm"]), "uid": st.integers(0, 9)},
            ),
            min_size=1,
            max_size=2,
        ),
        "mounts": st.lists(
            st.fixed_dictionaries(
                {"hostPath": _paths, "containerPath": _paths}, optional={"options": st.lists(st.sampled_from(["ro", "bind"]), min_size=1)}
            ),
            min_size=1,
            max_size=2,
        ),
        "hooks": st.lists(
            st.fixed_dictionaries(
                {"hookName": st.just("createRuntime"), "path": _paths},
                optional={"args": st.lists(_words, min_size=1, max_size=2), "timeout": st.integers(0, 9)},
            ),
            min_size=1,
            max_size=2,
        ),
        "additionalGids": st.lists(st.integers(1, 9), min_size=1, max_size=2),
        "intelRdt": st.fixed_dictionaries({}, optional={"closID": st.sampled_from(["x", "y"]), "enableMonitoring": st.just(True)}),
    },
)
_full_edits = _edits.filter(bool)


def _spec(kind: str, devices: dict[str, Any], edits: Any) -> dict[str, Any]:
    listed = [{"name": name, "containerEdits": of_device} for name, of_device in devices.items()]
    return {"cdiVersion": "1.1.0", "kind": kind, "devices": listed, "containerEdits": edits}


_specs = st.builds(_spec, _kinds, st.dictionaries(_device_names, _full_edits, min_size=1, max_size=3), _edits)


@contextmanager
def _directories(*contents: dict[str, Any]) -> Iterator[list[str]]:
    """Spec directories with these files."""
    with tempfile.TemporaryDirectory() as root:
        dirs = []
        for number, files in enumerate(contents):
            dirs.append(f"{root}/{number}")
            os.mkdir(dirs[-1])
            for name, spec in files.items():
                with open(f"{dirs[-1]}/{name}", "w", encoding="utf-8") as file:
                    json.dump(spec, file)
        yield dirs


def _edited(dirs: list[str], names: list[str]) -> dict[str, Any]:
    return Registry.discover(dirs).inject({}, names)


@_few
@given(st.lists(_specs, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_file_order_within_a_directory_does_not_matter(specs: list[Any], random: Any) -> None:
    names = [f"{chr(ord('a') + number)}.json" for number in range(len(specs))]
    shuffled = random.sample(names, len(names))
    with _directories(dict(zip(names, specs))) as one, _directories(dict(zip(shuffled, specs))) as other:
        assert not [error for errors in Registry.discover(one).errors.values() for error in errors if "also defined by" not in error.reason]
        known = Registry.discover(one).devices()
        assert Registry.discover(other).devices() == known
        wanted = random.sample(known, len(known))
        assert _edited(other, wanted) == _edited(one, wanted)


@_few
@given(_kinds, _device_names, _full_edits, _full_edits, _edits)
def test_directory_order_does_matter(kind: str, device: str, one: Any, two: Any, edits: Any) -> None:
    first, second = _spec(kind, {device: one}, edits), _spec(kind, {device: two}, {})
    with _directories({"a.json": first}, {"a.json": second}) as dirs:
        name = f"{kind}={device}"
        assert Registry.discover(dirs).resolve_device(name) == two
        assert Registry.discover(dirs[::-1]).resolve_device(name) == merge([edits, one])


@given(_edits, _edits, _edits)
def test_merge_is_associative(one: Any, two: Any, three: Any) -> None:
    assert merge([merge([one, two]), three]) == merge([one, merge([two, three])]) == merge([one, two, three])
    assert merge([{}, one]) == merge([one, {}]) == one


@_few
@given(_specs, st.sampled_from(["x", "x.json", "x.yaml", "acme.com-gpu.sub"]))
def test_what_is_written_validates_and_says_the_same(spec: Any, name: str) -> None:
    before = json.dumps(spec)
    with _directories({}) as dirs:
        specs = Registry.discover(dirs)
        path = specs.write_spec(spec, name)
        loaded = specfile.read(path, strict=True)
        assert (loaded.faults, loaded.notes, loaded.spec) == ([], [], spec)
        assert specs.devices() == sorted(f"{spec['kind']}={device['name']}" for device in spec["devices"])
    assert json.dumps(spec) == before


@_few
@given(_specs, st.lists(_paths))
def test_no_request_changes_nothing(spec: Any, destinations: list[str]) -> None:
    config = {"mounts": [{"destination": destination} for destination in destinations], "unknown": {"x": [None, 1.5, False]}}
    with _directories({"a.json": spec}) as dirs:
        assert Registry.discover(dirs).inject(config, []) == config
