"""Laws of merging and applying edits."""

from __future__ import annotations

import copy
import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cdi_hook.cdi import edits
from cdi_hook.pipeline import harden
from cdi_hook.settings import values
from tests.property.strategies import CONFIGS, EDITS, Json

ORIGINS = [("/etc/cdi/a.yaml", "a.com/x=0"), ("/etc/cdi/b.yaml", "b.com/x=0"), ("/etc/cdi/c.yaml", "c.com/x=0")]


def to_oci(parts: list[Json], config: Json) -> list[Any]:
    given: Any = list(zip(ORIGINS, parts))
    return edits.to_oci(given, config, lambda path: None)


def applied(config: Json, ops: list[Any]) -> Json:
    result = copy.deepcopy(config)
    edits.apply(result, ops)
    return result


@given(CONFIGS)
def test_nothing_requested_nothing_changed(config: Json) -> None:
    assert applied(config, to_oci([], config)) == config
    assert applied(config, to_oci([{}, {}], config)) == config


@given(CONFIGS, st.lists(EDITS, min_size=3, max_size=3))
def test_merging_is_associative(config: Json, parts: list[Json]) -> None:
    """However the parts are grouped into edits, the ops are the same, kind by kind."""

    def merged(one: Json, other: Json) -> Json:
        both = {key: one.get(key, []) + other.get(key, []) for key in {**one, **other} if key != "intelRdt"}
        rdt = other.get("intelRdt", one.get("intelRdt"))
        return both if rdt is None else {**both, "intelRdt": rdt}

    one, two, three = parts
    left = applied(config, to_oci([merged(merged(one, two), three)], config))
    right = applied(config, to_oci([merged(one, merged(two, three))], config))
    assert left == right == applied(config, to_oci(parts, config))


@given(CONFIGS, st.lists(EDITS, max_size=2))
def test_applying_keeps_what_it_does_not_know(config: Json, parts: list[Json]) -> None:
    result = applied(config, to_oci(parts, config))
    for keys in ((), ("process",), ("hooks",), ("linux",), ("linux", "resources")):
        before: Any = config
        after: Any = result
        for key in keys:
            before, after = before.get(key, {}), after.get(key, {})
        assert {key: after[key] for key in ("future", "other") if key in after} == {
            key: before[key] for key in ("future", "other") if key in before
        }
        assert list(after)[: len(before)] == list(before)  # in their order, and first


@given(CONFIGS, st.lists(EDITS, max_size=3))
def test_winners_alone_give_the_same_but_for_what_stands_twice(config: Json, parts: list[Json]) -> None:
    ops = to_oci(parts, config)
    left, right = applied(config, ops), applied(config, edits.winners(ops))

    def comparable(result: Json) -> Json:
        """Hooks and rules once each."""
        for stage, hooks in result.get("hooks", {}).items():
            if isinstance(hooks, list):
                result["hooks"][stage] = [hook for at, hook in enumerate(hooks) if hook not in hooks[:at]]
        resources = result.get("linux", {}).get("resources", {})
        if "devices" in resources:
            resources["devices"] = sorted({repr(sorted(rule.items())) for rule in resources["devices"]})
        return result

    assert comparable(left) == comparable(right)


@given(CONFIGS, st.lists(EDITS, max_size=3), st.booleans(), st.booleans())
def test_a_second_time_nothing_is_left_to_do(config: Json, parts: list[Json], bind_nodes: bool, hardened: bool) -> None:
    ours = {**values.DEFAULTS, **{f"harden.{name}": hardened for name in ("hookEnv", "fileMode", "mountType")}}
    todo, _ = harden.settle(to_oci(parts, config), config, ours, bind_nodes=bind_nodes, is_directory=os.path.isdir)
    result = applied(config, todo)
    again, held = harden.settle(to_oci(parts, result), result, ours, bind_nodes=bind_nodes, is_directory=os.path.isdir)
    assert again == []
    assert len(held) == len(edits.winners(to_oci(parts, config)))


@given(CONFIGS, st.lists(EDITS, max_size=3), st.booleans())
def test_what_the_reference_would_have_written_is_held(config: Json, parts: list[Json], bind_nodes: bool) -> None:
    result = applied(config, to_oci(parts, config))
    ops = to_oci(parts, result)
    todo, _ = harden.settle(ops, result, values.DEFAULTS, bind_nodes=bind_nodes, is_directory=os.path.isdir)
    # But for mounts with which no runtime starts: these are mended.
    broken = [value["destination"] for kind, value, _ in edits.winners(ops) if kind == "mount" and harden.is_no_bind(value)]
    assert [(kind, value["destination"]) for kind, value, _ in todo] == [("mount", path) for path in broken]


@given(CONFIGS, st.lists(EDITS, max_size=3))
def test_the_config_given_is_only_read(config: Json, parts: list[Json]) -> None:
    before, given_parts = copy.deepcopy(config), copy.deepcopy(parts)
    ops = to_oci(parts, config)
    harden.settle(ops, config, values.DEFAULTS, bind_nodes=True, is_directory=os.path.isdir)
    edits.apply(copy.deepcopy(config), ops)
    assert (config, parts) == (before, given_parts)
