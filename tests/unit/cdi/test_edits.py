"""CDI edits in OCI form, merged, and written into a config. Each row names the rule that it holds."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from cdi_hook.cdi import edits
from cdi_hook.errors import BundleError, StaleError

Config = dict[str, Any]
A = ("/etc/cdi/a.yaml", "")
A0 = ("/etc/cdi/a.yaml", "acme.com/gpu=0")
B1 = ("/etc/cdi/b.yaml", "acme.com/nic=1")

HOST: dict[str, edits.HostNode] = {
    "/dev/char": ("c", 10, 229, 0o600),
    "/dev/block": ("b", 8, 1, 0o660),
    "/dev/fifo": ("p", 0, 0, 0o622),
    "/dev/file": ("", 0, 0, 0o644),
}


def ops(node: dict[str, Any] | None = None, config: Config | None = None, **kinds: Any) -> list[Any]:
    """``(kind, value)`` of the ops of one device's edits."""
    value = {**kinds, **({"deviceNodes": [node]} if node else {})}
    return [op[:2] for op in edits.to_oci([(A0, value)], config or {}, HOST.get)]  # type: ignore[list-item]


def node(path: str, type_: str, major: int, minor: int, **more: Any) -> dict[str, Any]:
    return {"path": path, "type": type_, "major": major, "minor": minor, **more}


# --- device nodes: what the spec says, completed from the host


@pytest.mark.parametrize(
    ("given", "device", "host_path", "stated"),
    [
        pytest.param({"path": "/dev/char"}, node("/dev/char", "c", 10, 229, fileMode=0o600), "/dev/char", ["path"], id="all from the host"),
        pytest.param({"path": "/dev/block"}, node("/dev/block", "b", 8, 1, fileMode=0o660), "/dev/block", ["path"], id="block device"),
        pytest.param({"path": "/dev/fifo"}, node("/dev/fifo", "p", 0, 0, fileMode=0o622), "/dev/fifo", ["path"], id="fifo"),
        pytest.param(
            {"path": "/dev/x", "hostPath": "/dev/char"}, node("/dev/x", "c", 10, 229, fileMode=0o600), "/dev/char", ["path"], id="host path"
        ),
        pytest.param(
            {"path": "/dev/char", "type": "c"},
            node("/dev/char", "c", 10, 229, fileMode=0o600),
            "/dev/char",
            ["path", "type"],
            id="type stated",
        ),
        pytest.param(
            {"path": "/dev/char", "major": 5, "minor": 6},
            node("/dev/char", "c", 5, 6, fileMode=0o600),
            "/dev/char",
            ["path", "major", "minor"],
            id="numbers stated, type from the host",
        ),
        pytest.param(
            {"path": "/dev/char", "minor": 6},
            node("/dev/char", "c", 10, 229, fileMode=0o600),
            "/dev/char",
            ["path", "minor"],
            id="a minor without a major does not count",
        ),
        pytest.param(
            {"path": "/dev/char", "type": "c", "major": 5},
            node("/dev/char", "c", 5, 0, fileMode=0o600),
            "/dev/char",
            ["path", "type", "major"],
            id="complete: the minor is 0, the mode still the host's",
        ),
        pytest.param(
            {"path": "/dev/char", "type": "b", "major": 5, "minor": 6},
            node("/dev/char", "b", 5, 6, fileMode=0o600),
            "/dev/char",
            ["path", "type", "major", "minor"],
            id="complete: another type than the host's",
        ),
        pytest.param(
            {"path": "/dev/none", "type": "c", "major": 5, "minor": 6},
            node("/dev/none", "c", 5, 6),
            "/dev/none",
            ["path", "type", "major", "minor"],
            id="complete and not on the host",
        ),
        pytest.param(
            {"path": "/dev/file", "type": "c", "major": 5, "minor": 6},
            node("/dev/file", "c", 5, 6),
            "/dev/file",
            ["path", "type", "major", "minor"],
            id="complete, and something else on the host",
        ),
        pytest.param(
            {"path": "/dev/none", "type": "p"}, node("/dev/none", "p", 0, 0), "/dev/none", ["path", "type"], id="a fifo needs no major"
        ),
        pytest.param(
            {"path": "/dev/char", "fileMode": 0o20640, "uid": 0, "gid": 7},
            node("/dev/char", "c", 10, 229, fileMode=0o20640, uid=0, gid=7),
            "/dev/char",
            ["path", "fileMode", "uid", "gid"],
            id="mode to the letter, owner root",
        ),
        pytest.param(
            {"path": "/dev/char", "fileMode": 0},
            node("/dev/char", "c", 10, 229, fileMode=0),
            "/dev/char",
            ["path", "fileMode"],
            id="mode 0",
        ),
    ],
)
def test_node(given: dict[str, Any], device: dict[str, Any], host_path: str, stated: list[str]) -> None:
    (kind, value), *_ = ops(given)
    assert (kind, value) == ("node", {"device": device, "hostPath": host_path, "stated": stated})
    assert list(value["device"])[:4] == ["path", "type", "major", "minor"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"path": "/dev/none"}, "device node /dev/none does not exist on this host", id="missing"),
        pytest.param(
            {"path": "/x", "hostPath": "/dev/none", "type": "c"}, "device node /dev/none does not exist on this host", id="no major"
        ),
        pytest.param({"path": "/dev/none", "major": 5}, "device node /dev/none does not exist on this host", id="no type"),
        pytest.param({"path": "/dev/file"}, "device node /dev/file is not a device node on this host", id="a file"),
        pytest.param({"path": "/dev/char", "type": "b"}, "device node /dev/char is of type c on this host, not b", id="another type"),
        pytest.param(
            {"path": "/dev/char", "type": "u"}, "device node /dev/char is of type c on this host, not u", id="type u without major"
        ),
    ],
)
def test_node_that_the_host_cannot_complete(given: dict[str, Any], message: str) -> None:
    with pytest.raises(StaleError) as caught:
        edits.to_oci([(A0, {"deviceNodes": [{"path": "/dev/char"}, given]})], {}, HOST.get)  # type: ignore[list-item]
    assert (str(caught.value), caught.value.device) == (f"/etc/cdi/a.yaml: deviceNodes[1]: {message}", "acme.com/gpu=0")


@pytest.mark.parametrize(
    ("user", "owner"),
    [
        pytest.param(None, {}, id="no user"),
        pytest.param({"uid": 0, "gid": 0}, {}, id="root is nobody's owner"),
        pytest.param({"uid": 1000, "gid": 100}, {"uid": 1000, "gid": 100}, id="the container's user owns"),
        pytest.param({"uid": 1000}, {"uid": 1000}, id="uid alone"),
        pytest.param({"uid": "1000", "gid": -1}, {}, id="not numbers of users"),
    ],
)
def test_owner_of_a_node(user: dict[str, Any] | None, owner: dict[str, int]) -> None:
    config = {} if user is None else {"process": {"user": user}}
    device = ops({"path": "/dev/char"}, config)[0][1]["device"]
    assert {key: device[key] for key in ("uid", "gid") if key in device} == owner
    stated = ops({"path": "/dev/char", "uid": 5, "gid": 0}, config)[0][1]["device"]
    assert (stated["uid"], stated["gid"]) == (5, 0)


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        pytest.param(
            {"path": "/dev/char"}, [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}], id="all by default"
        ),
        pytest.param(
            {"path": "/dev/block", "permissions": "r"},
            [{"allow": True, "type": "b", "major": 8, "minor": 1, "access": "r"}],
            id="permissions",
        ),
        pytest.param(
            {"path": "/dev/char", "permissions": "none"},
            [{"allow": True, "type": "c", "major": 10, "minor": 229}],
            id="none is a rule without access",
        ),
        pytest.param({"path": "/dev/fifo"}, [], id="a fifo needs no rule"),
        pytest.param({"path": "/dev/none", "type": "u", "major": 1, "minor": 2}, [], id="type u gets none"),
    ],
)
def test_rule_of_a_node(given: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    assert [value for kind, value in ops(given) if kind == "rule"] == rules


# --- mounts


USER_NAMESPACE = {"linux": {"namespaces": [{"type": "mount"}, {"type": "user"}]}}


@pytest.mark.parametrize(
    ("given", "options", "mapped"),
    [
        pytest.param({"type": "bind"}, None, ["idmap"], id="bind by type"),
        pytest.param({"type": "bind", "options": ["ro", "bind"]}, ["ro", "bind"], ["ro", "bind", "idmap"], id="bind by type and option"),
        pytest.param({"options": ["bind"]}, ["bind"], ["bind", "idmap"], id="bind by option"),
        pytest.param({"options": ["rbind", "ro"]}, ["rbind", "ro"], ["rbind", "ro", "ridmap"], id="recursive"),
        pytest.param({"options": ["bind", "idmap"]}, ["bind", "idmap"], ["bind", "idmap"], id="idmap stated"),
        pytest.param({"options": ["ridmap", "bind"]}, ["ridmap", "bind"], ["ridmap", "bind"], id="ridmap stated"),
        pytest.param({"type": "tmpfs", "options": ["size=1m"]}, ["size=1m"], ["size=1m"], id="not a bind mount"),
        pytest.param({}, None, None, id="nothing said"),
    ],
)
def test_mount(given: dict[str, Any], options: list[str] | None, mapped: list[str] | None) -> None:
    mount = {"hostPath": "/h", "containerPath": "/c", **given}
    expected = {"destination": "/c", **({"type": given["type"]} if "type" in given else {}), "source": "/h"}

    def made(config: Config, mappings: tuple[str, ...] = edits.MAPPINGS) -> Any:
        return edits.to_oci([(A0, {"mounts": [mount]})], config, HOST.get, mappings)[0][1]  # type: ignore[list-item]

    plain = {**expected, **({"options": options} if options else {})}
    assert made({}) == plain
    assert made(USER_NAMESPACE, ()) == plain
    assert made(USER_NAMESPACE) == {**expected, **({"options": mapped} if mapped else {})}


@pytest.mark.parametrize(
    ("config", "has"),
    [
        ({}, False),
        ({"linux": None}, False),
        ({"linux": {"namespaces": None}}, False),
        ({"linux": {"namespaces": [{"type": "mount"}, "user", None]}}, False),
        ({"linux": {"namespaces": [{"type": "user"}]}}, True),
        ({"linux": {"namespaces": [{"type": "user", "path": "/proc/1/ns/user"}]}}, True),
    ],
)
def test_has_user_namespace(config: Config, has: bool) -> None:
    assert edits.has_user_namespace(config) is has


# --- everything together


WHOLE: dict[str, Any] = {
    "env": ["A=1"],
    "deviceNodes": [{"path": "/dev/char"}],
    "netDevices": [{"hostInterfaceName": "eth1", "name": "net0"}],
    "mounts": [{"hostPath": "/h", "containerPath": "/c"}],
    "hooks": [{"hookName": "createContainer", "path": "/bin/h", "args": ["h"], "timeout": 5}],
    "intelRdt": {"closID": "x"},
    "additionalGids": [0, 5],
}


def test_ops_stand_in_the_order_of_their_kinds_over_all_parts() -> None:
    of_spec: Any = {"env": ["S=1"], "mounts": [{"hostPath": "/s", "containerPath": "/s"}], "intelRdt": {"closID": "s"}}
    found = edits.to_oci([(A, of_spec), (A0, WHOLE), (B1, {"env": ["B=1"]})], {}, HOST.get)  # type: ignore[list-item]
    assert found == [
        ("env", "S=1", A),
        ("env", "A=1", A0),
        ("env", "B=1", B1),
        ("node", {"device": node("/dev/char", "c", 10, 229, fileMode=0o600), "hostPath": "/dev/char", "stated": ["path"]}, A0),
        ("rule", {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}, A0),
        ("net", ("eth1", {"name": "net0"}), A0),
        ("mount", {"destination": "/s", "source": "/s"}, A),
        ("mount", {"destination": "/c", "source": "/h"}, A0),
        ("hook", ("createContainer", {"path": "/bin/h", "args": ["h"], "timeout": 5}), A0),
        ("rdt", {"closID": "s"}, A),
        ("rdt", {"closID": "x"}, A0),
        ("gid", 5, A0),
    ]
    kinds = [kind for kind, _, _ in found]
    assert kinds == sorted(kinds, key=edits.KINDS.index)


def test_apply_writes_into_an_empty_config() -> None:
    config: Config = {}
    trace: list[Any] = []
    edits.apply(config, edits.to_oci([(A0, WHOLE)], config, HOST.get), trace)  # type: ignore[list-item]
    assert config == {
        "process": {"env": ["A=1"], "user": {"additionalGids": [5]}},
        "linux": {
            "devices": [node("/dev/char", "c", 10, 229, fileMode=0o600)],
            "resources": {"devices": [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}]},
            "netDevices": {"eth1": {"name": "net0"}},
            "intelRdt": {"closID": "x"},
        },
        "mounts": [{"destination": "/c", "source": "/h"}],
        "hooks": {"createContainer": [{"path": "/bin/h", "args": ["h"], "timeout": 5}]},
    }
    assert [op[0] for op, *_ in trace] == list(edits.KINDS)


def test_to_oci_reads_only() -> None:
    config: Config = {"process": {"user": {"uid": 5}}}
    parts: list[Any] = [(A0, copy.deepcopy(WHOLE))]
    found = edits.to_oci(parts, config, HOST.get)
    assert (config, parts) == ({"process": {"user": {"uid": 5}}}, [(A0, WHOLE)])
    edits.apply(config, found)
    edits.apply(config, [("gid", 6, A0), ("mount", {"destination": "/z", "source": "/z"}, A0)])
    config["hooks"]["createContainer"][0]["args"] = []
    config["linux"]["devices"][0]["path"] = "/changed"
    assert parts == [(A0, WHOLE)]


# --- each kind on a config that has something already


@pytest.mark.parametrize(
    ("before", "given", "after", "at"),
    [
        pytest.param(["A=1", "B=2"], "C=3", ["A=1", "B=2", "C=3"], 2, id="appended"),
        pytest.param(["A=1", "B=2"], "A=3", ["A=3", "B=2"], 0, id="replaced in place"),
        pytest.param(["A=1", "B=2", "A=3"], "A=4", ["A=1", "B=2", "A=4"], 2, id="of several the last, which is the one that counts"),
        pytest.param(["AB=1"], "A=2", ["AB=1", "A=2"], 1, id="names are compared whole"),
        pytest.param(["A"], "A=2", ["A=2"], 0, id="an entry without ="),
        pytest.param(["A=x=y"], "A=2=3", ["A=2=3"], 0, id="more than one ="),
        pytest.param([1, None, "A=1"], "A=2", [1, None, "A=2"], 2, id="what is no text stays"),
        pytest.param(None, "A=2", ["A=2"], 0, id="null"),
    ],
)
def test_env(before: list[Any] | None, given: str, after: list[Any], at: int) -> None:
    replaced = before[at] if before and at < len(before) else None
    config: Config = {"process": {"env": before}}
    trace: list[Any] = []
    edits.apply(config, [("env", given, A0)], trace)
    assert (config, trace) == ({"process": {"env": after}}, [(("env", given, A0), f"/process/env/{at}", replaced)])


N1, N2, N3 = (node("/dev/n", "c", 1, minor) for minor in (1, 2, 3))
OTHER = node("/dev/o", "c", 2, 2, fileMode=0o600)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([], [N3], id="first"),
        pytest.param([N1, OTHER], [OTHER, N3], id="replaced, at the end"),
        pytest.param([N1, OTHER, N2], [OTHER, N3], id="one of two removed, the other written over"),
        pytest.param([N1, N2, OTHER], [N3, OTHER], id="in the place of the second"),
        pytest.param([None, 5], [None, 5, N3], id="what is no object stays"),
    ],
)
def test_node_in_config(before: list[Any], after: list[Any]) -> None:
    config: Config = {"linux": {"devices": copy.deepcopy(before)}}
    edits.apply(config, [("node", {"device": N3, "hostPath": "/dev/n", "stated": []}, A0)])
    assert config == {"linux": {"devices": after}}


def test_rules_hooks_and_gids_are_appended() -> None:
    rule = {"allow": True, "type": "c", "major": 1, "minor": 1, "access": "rwm"}
    hook = {"path": "/h"}
    config: Config = {
        "linux": {"resources": {"devices": [dict(rule)], "unknown": 1}},
        "hooks": {"poststop": [dict(hook)], "unknown": 2},
        "process": {"user": {"additionalGids": [7, 5]}},
    }
    trace: list[Any] = []
    given: list[Any] = [("rule", rule, A0), ("hook", ("poststop", hook), A0), ("gid", 5, A0), ("gid", 6, A0)]
    edits.apply(config, given, trace)
    assert config == {
        "linux": {"resources": {"devices": [rule, rule], "unknown": 1}},
        "hooks": {"poststop": [hook, hook], "unknown": 2},
        "process": {"user": {"additionalGids": [7, 5, 6]}},
    }
    assert [place for _, place, _ in trace] == [
        "/linux/resources/devices/1",
        "/hooks/poststop/1",
        "/process/user/additionalGids/1",
        "/process/user/additionalGids/2",
    ]


def test_net_devices_and_rdt_are_replaced() -> None:
    config: Config = {"linux": {"netDevices": {"e0": {"name": "a"}, "e1": {"name": "b", "x": 1}}, "intelRdt": {"closID": "old", "x": 1}}}
    edits.apply(config, [("net", ("e1", {"name": "c"}), A0), ("net", ("e2", {}), A0), ("rdt", {"closID": "new"}, A0)])
    assert config == {"linux": {"netDevices": {"e0": {"name": "a"}, "e1": {"name": "c"}, "e2": {}}, "intelRdt": {"closID": "new"}}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([], ["/m/x"], id="first"),
        pytest.param(["/m/x", "/a/b"], ["/a/b", "/m/x"], id="replaced, at the end"),
        pytest.param(["/m/x", "/a/b", "/m/x"], ["/a/b", "/m/x", "/m/x"], id="one of two removed"),
        pytest.param(["/a/b/c", "/a", "/d/e", "/b"], ["/a", "/b", "/d/e", "/m/x", "/a/b/c"], id="parents first, stable"),
        pytest.param(["/a/b", "/", "", "x"], ["", "x", "/", "/a/b", "/m/x"], id="the root has one separator, a relative name none"),
        pytest.param(
            ["/a/b/c/..", "//q//", "/r/./s/.", "x/y"], ["//q//", "x/y", "/a/b/c/..", "/r/./s/.", "/m/x"], id="counted when cleaned"
        ),
        pytest.param(["/a/b", "../../z", "/../q"], ["/../q", "/a/b", "../../z", "/m/x"], id="going up"),
    ],
)
def test_mounts_are_sorted(before: list[str], after: list[str]) -> None:
    config: Config = {"mounts": [{"destination": path} for path in before]}
    edits.apply(config, [("mount", {"destination": "/m/x", "source": "/s"}, A0)])
    assert [mount["destination"] for mount in config["mounts"]] == after
    assert {"destination": "/m/x", "source": "/s"} in config["mounts"]


def test_mounts_are_sorted_only_if_one_was_added() -> None:
    config: Config = {"mounts": [{"destination": "/a/b"}, {"destination": "/a"}, 5, {"destination": None}]}
    before = copy.deepcopy(config["mounts"])
    edits.apply(config, [("env", "A=1", A0)])
    assert config["mounts"] == before
    edits.apply(config, [("mount", {"destination": "/c", "source": "/s"}, A0)])
    assert config["mounts"] == [
        5,
        {"destination": None},
        {"destination": "/a"},
        {"destination": "/c", "source": "/s"},
        {"destination": "/a/b"},
    ]


def test_a_trace_tells_what_was_written_and_what_it_replaced() -> None:
    """Each place is a JSON pointer (RFC 6901) into the config as it was at that moment."""
    config: Config = {
        "process": {"env": ["A=0"], "user": {"additionalGids": [4]}},
        "mounts": [{"destination": "/z/z/z"}, {"destination": "/a"}],
        "linux": {"netDevices": {"we/ird~": {"name": "old"}}, "intelRdt": {"closID": "old"}, "devices": [N1, OTHER]},
    }
    given: list[Any] = [
        ("env", "A=1", A0),
        ("env", "B=1", A0),
        ("node", {"device": N3, "hostPath": "/dev/n", "stated": []}, A0),
        ("net", ("we/ird~", {"name": "n"}), A0),
        ("mount", {"destination": "/a", "source": "/2"}, A0),
        ("rdt", {"closID": "x"}, A0),
        ("gid", 5, A0),
    ]
    found = []
    for op in given:
        trace: list[Any] = []
        at_that_moment = copy.deepcopy(config)
        edits.apply(at_that_moment, [op], trace)
        edits.APPLY[op[0]](config, {}, op[1])
        ((_, pointer, replaced),) = trace
        value: Any = config
        for step in pointer.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            value = value[int(key)] if isinstance(value, list) else value[key]
        found.append((value, replaced))
    assert found == [
        ("A=1", "A=0"),
        ("B=1", None),
        (N3, N1),
        ({"name": "n"}, {"name": "old"}),
        ({"destination": "/a", "source": "/2"}, {"destination": "/a"}),
        ({"closID": "x"}, {"closID": "old"}),
        (5, None),
    ]


# --- a config of another shape


FIX = "the engine that wrote this config must mend it"


@pytest.mark.parametrize(
    ("config", "op", "message"),
    [
        ({"process": []}, ("env", "A=1"), f"process: is of type list, not an object; {FIX}"),
        ({"process": {"env": {}}}, ("env", "A=1"), f"process.env: is of type dict, not a list; {FIX}"),
        ({"linux": "x"}, ("node", {"device": N1}), f"linux: is of type str, not an object; {FIX}"),
        ({"linux": {"devices": {}}}, ("node", {"device": N1}), f"linux.devices: is of type dict, not a list; {FIX}"),
        ({"linux": {"resources": 1}}, ("rule", {}), f"linux.resources: is of type int, not an object; {FIX}"),
        ({"linux": {"resources": {"devices": 1}}}, ("rule", {}), f"linux.resources.devices: is of type int, not a list; {FIX}"),
        ({"linux": {"netDevices": []}}, ("net", ("e", {})), f"linux.netDevices: is of type list, not an object; {FIX}"),
        ({"mounts": {}}, ("mount", {"destination": "/a"}), f"mounts: is of type dict, not a list; {FIX}"),
        ({"hooks": []}, ("hook", ("prestart", {})), f"hooks: is of type list, not an object; {FIX}"),
        ({"hooks": {"prestart": {}}}, ("hook", ("prestart", {})), f"hooks.prestart: is of type dict, not a list; {FIX}"),
        ({"linux": False}, ("rdt", {}), f"linux: is of type bool, not an object; {FIX}"),
        ({"process": {"user": 5}}, ("gid", 5), f"process.user: is of type int, not an object; {FIX}"),
        ({"process": {"user": {"additionalGids": 5}}}, ("gid", 5), f"process.user.additionalGids: is of type int, not a list; {FIX}"),
    ],
)
def test_a_config_of_another_shape_is_refused(config: Config, op: tuple[str, Any], message: str) -> None:
    with pytest.raises(BundleError) as caught:
        edits.apply(config, [(*op, A0)])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"process": 5}, f"process: is of type int, not an object; {FIX}"),
        ({"process": {"user": []}}, f"process.user: is of type list, not an object; {FIX}"),
    ],
)
def test_a_user_of_another_shape_is_refused(config: Config, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        ops({"path": "/dev/char"}, config)
    assert str(caught.value) == message


# --- of several with one key the last


HOOK_A: Any = ("prestart", {"path": "/h", "args": ["x"]})
HOOK_A_AGAIN: Any = ("prestart", {"args": ["x"], "path": "/h"})
HOOK_B: Any = ("poststop", {"path": "/h", "args": ["x"]})


def at_path(device: dict[str, Any]) -> tuple[str, Any]:
    return "node", {"device": device, "hostPath": "/dev/n", "stated": []}


@pytest.mark.parametrize(
    ("given", "left"),
    [
        pytest.param([("env", "A=1"), ("env", "B=1"), ("env", "A=2")], [2, 1], id="env: the last value in the first place"),
        pytest.param([("env", "A=1"), ("env", "AB=1")], [0, 1], id="env: names are compared whole"),
        pytest.param([at_path(N1), at_path(OTHER), at_path(N2)], [1, 2], id="node: moves to the end"),
        pytest.param(
            [
                ("mount", {"destination": "/a", "source": "1"}),
                ("mount", {"destination": "/b"}),
                ("mount", {"destination": "/a", "source": "2"}),
            ],
            [1, 2],
            id="mount: moves to the end",
        ),
        pytest.param([("mount", {"destination": "/a"}), ("mount", {"destination": "/a/"})], [0, 1], id="mount: destinations as written"),
        pytest.param(
            [("net", ("e0", {"name": "a"})), ("net", ("e1", {"name": "a"})), ("net", ("e0", {"name": "b"}))], [2, 1], id="net device"
        ),
        pytest.param([("rdt", {"closID": "a"}), ("rdt", {"closID": "b"})], [1], id="rdt: one"),
        pytest.param([("hook", HOOK_A), ("hook", HOOK_B), ("hook", HOOK_A)], [2, 1], id="hook: equal ones once, by stage"),
        pytest.param([("hook", HOOK_A), ("hook", HOOK_A_AGAIN)], [1], id="hook: equal whatever the order of fields"),
        pytest.param([("gid", 5), ("gid", 6), ("gid", 5)], [2, 1], id="gid"),
        pytest.param(
            [("rule", {"type": "c", "access": "r"}), ("rule", {"type": "c", "access": "rw"}), ("rule", {"type": "c", "access": "r"})],
            [2, 1],
            id="rule: equal ones once",
        ),
    ],
)
def test_winners(given: list[tuple[str, Any]], left: list[int]) -> None:
    found = edits.winners((kind, value, ("", str(at))) for at, (kind, value) in enumerate(given))
    assert [int(at) for _, _, (_, at) in found] == left


def test_winners_alone_give_what_all_ops_give() -> None:
    """But for hooks, rules and GIDs, which the reference doubles."""
    values: list[Any] = [("env", "A=1"), ("env", "A=2"), at_path(N1), at_path(N2), ("net", ("e", {})), ("rdt", {"closID": "x"})]
    values += [("mount", {"destination": "/a", "source": str(at)}) for at in range(2)] + [("mount", {"destination": "/b"})]
    for chosen in itertools.permutations(values, 4):
        given: list[Any] = [(*value, A0) for value in chosen]
        one: Config = {"process": {"env": ["A=0", "B=0"]}, "mounts": [{"destination": "/a"}], "linux": {"devices": [N3, OTHER]}}
        other = copy.deepcopy(one)
        edits.apply(one, given)
        edits.apply(other, edits.winners(given))
        assert one == other, chosen


def test_there_is_a_function_for_each_kind() -> None:
    assert tuple(edits.APPLY) == edits.KINDS


@pytest.mark.parametrize("kind", ["env", "node", "mount", "gid"])
def test_many_edits_do_not_look_through_the_config_many_times(kind: str) -> None:
    """Twice the edits take about twice the calls, on an empty config and on one that has them all already."""

    def op(at: int) -> Any:
        value: Any = {
            "env": f"A{at}=1",
            "node": {"device": {"path": f"/dev/{at}", "type": "c", "major": 1, "minor": 3}, "hostPath": "/dev/null", "stated": []},
            "mount": {"destination": f"/{at}", "source": "/x"},
            "gid": at + 1,
        }[kind]
        return kind, value, ("/a.yaml", "")

    class Counted(dict[str, Any]):
        """Counts how often its members are asked for."""

        asked = 0

        def get(self, *args: Any) -> Any:
            Counted.asked += 1
            return super().get(*args)

    def looks(number: int) -> int:
        config: dict[str, Any] = {"linux": {}, "process": {"user": {}}}
        ops = [op(at) for at in range(number)]
        edits.apply(config, ops)
        for place in (config["linux"], config):
            for key in ("devices", "mounts"):
                if key in place:
                    place[key] = [Counted(entry) for entry in place[key]]
        Counted.asked = 0
        edits.apply(config, ops)
        return Counted.asked

    assert looks(400) <= 3 * looks(200) + 10
