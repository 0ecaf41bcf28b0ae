"""Configs and edits for the laws of merging and of the pipeline."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

NAMES = st.sampled_from(["A", "B", "C", "AB"])
VALUES = st.sampled_from(["", "1", "2", "x=y"])
ENV = st.builds(lambda name, value: f"{name}={value}", NAMES, VALUES)
PATHS = st.sampled_from(["/dev/a", "/dev/b", "/dev/c/d"])
TARGETS = st.sampled_from(["/", "/m", "/m/n", "/m/n/o", "/x", "relative"])
STAGES = st.sampled_from(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """An object with any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


NODES = st.builds(
    lambda base, more: {**base, **more},
    st.fixed_dictionaries({"path": PATHS}),
    some(
        hostPath=PATHS,
        type=st.sampled_from(["c", "b"]),
        major=st.integers(1, 3),
        minor=st.integers(1, 3),
        fileMode=st.sampled_from([0, 0o600, 0o20666]),
        permissions=st.sampled_from(["r", "rwm", "none"]),
        uid=st.integers(0, 2),
        gid=st.integers(0, 2),
    ).map(lambda node: {**node, "type": "c", "major": node.get("major", 1)}),  # complete: no host is asked
)
MOUNTS = st.builds(
    lambda base, more: {**base, **more},
    st.fixed_dictionaries({"hostPath": st.sampled_from(["/h1", "/h2"]), "containerPath": TARGETS}),
    some(
        type=st.sampled_from(["bind", "tmpfs"]), options=st.lists(st.sampled_from(["ro", "bind", "rbind", "idmap"]), min_size=1, max_size=3)
    ),
)
HOOKS = st.builds(
    lambda base, more: {**base, **more},
    st.fixed_dictionaries({"hookName": STAGES, "path": st.sampled_from(["/h", "/i"])}),
    some(args=st.lists(VALUES, min_size=1, max_size=2), env=st.lists(ENV, min_size=1, max_size=2), timeout=st.integers(0, 2)),
)
NETS = st.builds(lambda host, name: {"hostInterfaceName": host, "name": name}, st.sampled_from(["e0", "e1"]), st.sampled_from(["n0", "n1"]))
EDITS = some(
    env=st.lists(ENV, min_size=1, max_size=3),
    deviceNodes=st.lists(NODES, min_size=1, max_size=2),
    netDevices=st.lists(NETS, min_size=1, max_size=2),
    mounts=st.lists(MOUNTS, min_size=1, max_size=3),
    hooks=st.lists(HOOKS, min_size=1, max_size=2),
    intelRdt=some(closID=st.sampled_from(["x", "y"]), schemata=st.lists(VALUES, min_size=1, max_size=2)),
    additionalGids=st.lists(st.integers(0, 3), min_size=1, max_size=3),
)

UNKNOWN = some(future=st.sampled_from([None, [], {"a": 1}]), other=st.booleans())
RULES = st.builds(
    lambda allow, rule: {"allow": allow, **rule},
    st.booleans(),
    some(type=st.sampled_from(["a", "b", "c"]), major=st.integers(1, 2), minor=st.integers(0, 2), access=st.sampled_from(["r", "rwm"])),
)
OCI_NODES = st.fixed_dictionaries({"path": PATHS, "type": st.just("c"), "major": st.integers(1, 2), "minor": st.integers(0, 2)})
OCI_MOUNTS = st.builds(
    lambda base, more: {**base, **more},
    st.fixed_dictionaries({"destination": TARGETS, "source": st.sampled_from(["/h1", "/h2"])}),
    some(type=st.just("bind"), options=st.just(["bind"]), future=st.just(1)),
)
CONFIGS = st.builds(
    lambda unknown, config: {**config, **unknown},
    UNKNOWN,
    some(
        process=some(
            env=st.lists(ENV, max_size=3),
            user=some(uid=st.integers(0, 2), gid=st.integers(0, 2), additionalGids=st.lists(st.integers(1, 3), max_size=2)),
            future=st.just([1]),
        ),
        mounts=st.lists(OCI_MOUNTS, max_size=4, unique_by=lambda mount: mount["destination"]),
        hooks=some(prestart=st.lists(st.fixed_dictionaries({"path": st.just("/h")}), max_size=2), future=st.just({})),
        linux=some(
            devices=st.lists(OCI_NODES, max_size=2, unique_by=lambda node: node["path"]),
            resources=some(devices=st.lists(RULES, max_size=3), future=st.just(1)),
            namespaces=st.lists(st.fixed_dictionaries({"type": st.sampled_from(["user", "mount"])}), max_size=2),
            intelRdt=some(closID=st.just("x")),
        ),
    ),
)
"""Configs as engines write them: nothing twice, some fields that nobody knows yet."""
