"""What a config holds already, and the safer form of what it does not.

The truth table of the rule "no entry point injects twice": an edit counts if it wins its key, and is held if the config has it in raw
or in hardened form, comparing what the spec states plus the type and numbers that came from the host.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cdi_hook.cdi import edits
from cdi_hook.oci import config as oci_config
from cdi_hook.pipeline import harden
from cdi_hook.settings import values

Config = dict[str, Any]
A0 = ("/etc/cdi/a.yaml", "acme.com/gpu=0")
HOST: dict[str, edits.HostNode] = {"/dev/n": ("c", 10, 229, 0o600), "/dev/h": ("c", 10, 229, 0o600)}
DIRECTORIES = {"/h", "/dir"}
"""Paths of the host that are directories."""

OFF = {"harden.hookEnv": False, "harden.fileMode": False, "harden.mountType": False}


def settle(
    given: list[dict[str, Any]], config: Config, *, bind_nodes: bool = False, mapped: bool = False, **more: Any
) -> tuple[list[Any], list[Any]]:
    """``(todo, held)`` of several parts, without their origins."""
    parts: Any = [(A0, edit) for edit in given]
    found = edits.to_oci(parts, config, HOST.get, edits.MAPPINGS if mapped else ())
    todo, held = harden.settle(
        found,
        config,
        {**values.DEFAULTS, **more},
        bind_nodes=bind_nodes,
        is_directory=DIRECTORIES.__contains__,
        mappings=edits.MAPPINGS if mapped else (),
    )
    return [op[:2] for op in todo], [op[:2] for op in held]


def held_kinds(given: dict[str, Any], config: Config, **more: Any) -> dict[str, bool]:
    """Each kind of op, and whether it is held."""
    todo, held = settle([given], config, **more)
    return {**{kind: False for kind, _ in todo}, **{kind: True for kind, _ in held}}


def by_kind(given: list[Any]) -> dict[str, Any]:
    """The ops by their kind, each kind once."""
    assert len({kind for kind, _ in given}) == len(given)
    return dict(given)


# --- hardened forms


ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.mark.parametrize(
    ("hook", "hardened"),
    [
        pytest.param({"path": "/h"}, {"path": "/h", "env": [ENV]}, id="absent"),
        pytest.param({"path": "/h", "env": []}, {"path": "/h", "env": [ENV]}, id="empty"),
        pytest.param(
            {"path": "/h", "args": ["h"], "timeout": 3}, {"path": "/h", "args": ["h"], "timeout": 3, "env": [ENV]}, id="the rest stays"
        ),
        pytest.param({"path": "/h", "env": ["A=1"]}, {"path": "/h", "env": ["A=1"]}, id="its own, even without PATH"),
    ],
)
@pytest.mark.parametrize("stage", oci_config.HOOK_STAGES)
def test_hook_env(stage: str, hook: dict[str, Any], hardened: dict[str, Any]) -> None:
    given = {"hooks": [{"hookName": stage, **hook}]}
    assert settle([given], {}) == ([("hook", (stage, hardened))], [])
    assert settle([given], {}, **{"harden.hookEnv": False}) == ([("hook", (stage, hook))], [])


@pytest.mark.parametrize(
    ("mount", "after"),
    [
        pytest.param({"options": ["ro", "bind"]}, {"type": "bind", "options": ["ro", "bind"]}, id="bind"),
        pytest.param({"options": ["rbind"]}, {"type": "bind", "options": ["rbind"]}, id="rbind"),
        pytest.param({"type": "none", "options": ["bind"]}, {"type": "none", "options": ["bind"]}, id="its own type"),
        pytest.param({"type": "tmpfs", "options": ["ro"]}, {"type": "tmpfs", "options": ["ro"]}, id="a file system"),
        pytest.param({"type": "proc"}, {"type": "proc"}, id="a file system without options"),
        pytest.param({"options": ["ro"]}, {"type": "bind", "options": ["ro", "rbind"]}, id="no type"),
        pytest.param({}, {"type": "bind", "options": ["rbind"]}, id="nothing"),
        pytest.param({"type": "", "options": ["ro"]}, {"type": "bind", "options": ["ro", "rbind"]}, id="an empty type"),
        pytest.param({"type": "none", "options": ["ro"]}, {"type": "bind", "options": ["ro", "rbind"]}, id="type none"),
        pytest.param({"type": "bind", "options": ["ro"]}, {"type": "bind", "options": ["ro", "rbind"]}, id="type bind alone"),
        pytest.param({"type": "bind"}, {"type": "bind", "options": ["rbind"]}, id="type bind without options"),
        pytest.param({"hostPath": "/file", "options": ["ro"]}, {"type": "bind", "options": ["ro", "bind"]}, id="a file"),
    ],
)
def test_mount_type(mount: dict[str, Any], after: dict[str, Any]) -> None:
    given = {"mounts": [{"hostPath": "/h", "containerPath": "/c", **mount}]}
    source = mount.get("hostPath", "/h")
    expected = ("mount", {"destination": "/c", "source": source, **after})
    todo, held = settle([given], {})
    assert (todo, held) == ([expected], [])
    assert settle([given], {"mounts": [expected[1]]}) == ([], [("mount", held_form(mount, source))])
    off = settle([given], {}, **{"harden.mountType": False})[0][0][1]
    assert (off.get("type"), off.get("options")) == (mount.get("type") or None, mount.get("options"))


def held_form(mount: dict[str, Any], source: str) -> dict[str, Any]:
    """The op of a mount as the spec has it."""
    given = {"destination": "/c", "source": source, "type": mount.get("type"), "options": mount.get("options")}
    return {key: value for key, value in given.items() if value}


def test_a_mount_that_cannot_start_is_mended_where_an_engine_has_put_it() -> None:
    given = {"mounts": [{"hostPath": "/h", "containerPath": "/c", "options": ["ro"]}]}
    raw = {"destination": "/c", "source": "/h", "options": ["ro"]}
    after = {"destination": "/c", "type": "bind", "source": "/h", "options": ["ro", "rbind"]}
    assert settle([given], {"mounts": [raw]}) == ([("mount", after)], [])


@pytest.mark.parametrize(
    ("mount", "options"),
    [
        ({"options": ["ro"]}, ["ro", "rbind", "ridmap"]),
        ({"type": "bind", "options": ["ro"]}, ["ro", "rbind", "ridmap"]),
        ({"hostPath": "/file"}, ["bind", "idmap"]),
        ({"type": "bind", "options": ["idmap"]}, ["idmap", "rbind"]),
    ],
)
def test_a_mended_mount_is_mapped_like_others(mount: dict[str, Any], options: list[str]) -> None:
    """In a user namespace, where the runtime can."""
    given = {"mounts": [{"hostPath": "/h", "containerPath": "/c", **mount}]}
    ((_, made),) = settle([given], {"linux": {"namespaces": [{"type": "user"}]}}, mapped=True)[0]
    assert made["options"] == options


@pytest.mark.parametrize(
    ("mode", "hardened"),
    [(0o20666, 0o666), (0o60640, 0o640), (0o100644, 0o644), (0o4755, 0o4755), (0o666, 0o666), (0, 0)],
)
def test_file_mode(mode: int, hardened: int) -> None:
    given = {"deviceNodes": [{"path": "/dev/n", "fileMode": mode}]}
    assert settle([given], {})[0][0][1]["device"]["fileMode"] == hardened
    assert settle([given], {}, **{"harden.fileMode": False})[0][0][1]["device"]["fileMode"] == mode


def test_a_node_of_another_host_path_becomes_a_bind_mount() -> None:
    given = {"deviceNodes": [{"path": "/dev/c", "hostPath": "/dev/h"}, {"path": "/dev/n"}]}
    todo, held = settle([given], {}, bind_nodes=True)
    mount = {"destination": "/dev/c", "type": "bind", "source": "/dev/h", "options": ["bind", "nosuid", "noexec"]}
    assert (sorted(kind for kind, _ in todo), held) == (["mount", "node", "rule"], [])
    assert [value for kind, value in todo if kind == "mount"] == [mount]
    assert [value["device"]["path"] for kind, value in todo if kind == "node"] == ["/dev/n"]
    assert [value["device"]["path"] for kind, value in settle([given], {})[0] if kind == "node"] == ["/dev/c", "/dev/n"]
    assert settle([given], {}, bind_nodes=True, **{"harden.nodeMount": False}) == settle([given], {})


def test_each_item_has_a_setting() -> None:
    """With all of them off, an op stays as it is; ``harden.capabilities`` is asked by the pipeline itself."""
    given: Any = {
        "deviceNodes": [{"path": "/dev/c", "hostPath": "/dev/h", "fileMode": 0o20666}],
        "mounts": [{"hostPath": "/h", "containerPath": "/c", "options": ["bind"]}],
        "hooks": [{"hookName": "prestart", "path": "/h"}],
    }
    off = {key: False for key in values.DEFAULTS if key.startswith("harden.")}
    todo, held = settle([given], {}, bind_nodes=True, **off)
    assert (todo, held) == ([op[:2] for op in edits.to_oci([(A0, given)], {}, HOST.get)], [])


def test_hardening_changes_no_op_in_place() -> None:
    given: list[Any] = [
        ("hook", ("prestart", {"path": "/h"}), A0),
        ("mount", {"destination": "/c", "source": "/h", "options": ["bind"]}, A0),
        (
            "node",
            {"device": {"path": "/dev/c", "type": "c", "major": 1, "minor": 1, "fileMode": 0o20666}, "hostPath": "/h", "stated": []},
            A0,
        ),
    ]
    before = copy.deepcopy(given)
    for bind_nodes in (False, True):
        harden.settle(given, {}, values.DEFAULTS, bind_nodes=bind_nodes, is_directory=DIRECTORIES.__contains__)
    assert given == before


# --- held


NODE = {"path": "/dev/n", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600}
MOUNT: dict[str, Any] = {"hostPath": "/h", "containerPath": "/c", "options": ["ro", "bind"]}
RULE = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}
ALL_DENIED = {"allow": False, "access": "rwm"}


def without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: member for key, member in value.items() if key not in keys}


@pytest.mark.parametrize(
    ("env", "held"),
    [
        pytest.param(["A=1"], True, id="there"),
        pytest.param(["A=2"], False, id="another value"),
        pytest.param(["A=1", "A=2"], False, id="overridden by a later one"),
        pytest.param(["A=2", "A=1"], True, id="the last one"),
        pytest.param(["AA=1", "A"], False, id="a name alone"),
        pytest.param([], False, id="none"),
        pytest.param(None, False, id="null"),
        pytest.param("A=1", False, id="no list"),
        pytest.param([1, "A=1", None], True, id="among what is no text"),
    ],
)
def test_env_held(env: Any, held: bool) -> None:
    assert held_kinds({"env": ["A=1"]}, {"process": {"env": env}}) == {"env": held}


@pytest.mark.parametrize(
    ("stated", "entry", "held"),
    [
        pytest.param({}, NODE, True, id="as we would write it"),
        pytest.param({}, without(NODE, "fileMode"), True, id="the mode is not stated, so it does not matter"),
        pytest.param({}, {**NODE, "fileMode": 0o666, "uid": 5, "gid": 5}, True, id="nor do another mode and owner"),
        pytest.param({}, {**NODE, "minor": 228}, False, id="another minor"),
        pytest.param({}, {**NODE, "major": 11}, False, id="another major"),
        pytest.param({}, {**NODE, "type": "b"}, False, id="another type"),
        pytest.param({}, {**NODE, "path": "/dev/m"}, False, id="another path"),
        pytest.param({"fileMode": 0o640}, {**NODE, "fileMode": 0o640}, True, id="the stated mode"),
        pytest.param({"fileMode": 0o640}, NODE, False, id="not the stated mode"),
        pytest.param({"fileMode": 0o640}, without(NODE, "fileMode"), False, id="no mode where one is stated"),
        pytest.param({"fileMode": 0o20640}, {**NODE, "fileMode": 0o640}, True, id="the stated mode, hardened"),
        pytest.param({"fileMode": 0o20640}, {**NODE, "fileMode": 0o20640}, True, id="the stated mode, raw"),
        pytest.param({"uid": 0}, {**NODE, "uid": 0}, True, id="the stated owner"),
        pytest.param({"uid": 0}, NODE, False, id="no owner where one is stated"),
        pytest.param({"gid": 5}, {**NODE, "gid": 6}, False, id="another group"),
        pytest.param({"type": "c", "major": 10, "minor": 229}, NODE, True, id="numbers stated"),
        pytest.param({"type": "c", "major": 10, "minor": 1}, NODE, False, id="other numbers stated"),
        pytest.param({}, None, False, id="no object"),
    ],
)
def test_node_held(stated: dict[str, Any], entry: Any, held: bool) -> None:
    given = {"deviceNodes": [{"path": "/dev/n", "permissions": "none", **stated}]}
    assert held_kinds(given, {"linux": {"devices": [{"path": "/dev/x"}, entry]}})["node"] is held


@pytest.mark.parametrize(
    ("rules", "held"),
    [
        pytest.param([ALL_DENIED, RULE], True, id="behind the usual denial"),
        pytest.param([RULE, ALL_DENIED], False, id="taken away by a denial of everything"),
        pytest.param([RULE, {"allow": False}], False, id="a denial that says nothing else"),
        pytest.param([RULE, {"allow": False, "type": "a", "access": "rwm"}], False, id="of all types"),
        pytest.param(
            [RULE, {"allow": False, "type": "c", "major": 10, "minor": 229, "access": "rwm"}], False, id="docker's denial of /dev/fuse"
        ),
        pytest.param([RULE, {"allow": False, "type": "c", "major": 10, "access": "rwm"}], False, id="of all minors"),
        pytest.param([RULE, {"allow": False, "type": "c", "major": 10, "minor": -1, "access": "rwm"}], False, id="of all minors, as -1"),
        pytest.param([RULE, {"allow": False, "type": "c", "access": "w"}], False, id="of a part of the access"),
        pytest.param([RULE, {"allow": False, "type": "b", "access": "rwm"}], True, id="of block devices"),
        pytest.param([RULE, {"allow": False, "type": "c", "major": 11, "access": "rwm"}], True, id="of another major"),
        pytest.param([RULE, {"allow": False, "type": "c", "major": 10, "minor": 1, "access": "rwm"}], True, id="of another minor"),
        pytest.param([RULE, ALL_DENIED, RULE], True, id="given again after the denial"),
        pytest.param([{"allow": True, "access": "rwm"}], False, id="privileged: another rule, though it covers ours"),
        pytest.param([{**RULE, "access": "rw"}], False, id="less access"),
        pytest.param([without(RULE, "access")], False, id="no access"),
        pytest.param([{**RULE, "allow": False}], False, id="a denial of just this"),
        pytest.param([{**RULE, "allow": "true"}], False, id="allow is no boolean"),
        pytest.param([], False, id="none"),
        pytest.param([None, "x"], False, id="no objects"),
    ],
)
def test_rule_held(rules: list[Any], held: bool) -> None:
    given = {"deviceNodes": [{"path": "/dev/n"}]}
    assert held_kinds(given, {"linux": {"resources": {"devices": rules}}})["rule"] is held


def test_rule_without_access_held() -> None:
    given = {"deviceNodes": [{"path": "/dev/n", "permissions": "none"}]}
    assert held_kinds(given, {"linux": {"resources": {"devices": [without(RULE, "access")]}}})["rule"] is True
    assert held_kinds(given, {"linux": {"resources": {"devices": [RULE]}}})["rule"] is False


RAW_MOUNT: dict[str, Any] = {"destination": "/c", "source": "/h", "options": ["ro", "bind"]}
USER_NAMESPACE = {"namespaces": [{"type": "user"}]}


@pytest.mark.parametrize(
    ("stated", "entry", "held"),
    [
        pytest.param({}, RAW_MOUNT, True, id="raw, as containerd and CRI-O write it"),
        pytest.param({}, {**RAW_MOUNT, "type": "bind"}, True, id="hardened, as we write it"),
        pytest.param({}, {**RAW_MOUNT, "unknown": 1}, True, id="with a field that the spec does not state"),
        pytest.param({}, {**RAW_MOUNT, "source": "/other"}, False, id="another source"),
        pytest.param({}, {**RAW_MOUNT, "options": ["rw", "bind"]}, False, id="other options"),
        pytest.param({}, without(RAW_MOUNT, "options"), False, id="no options"),
        pytest.param({}, {**RAW_MOUNT, "destination": "/d"}, False, id="another destination"),
        pytest.param({"type": "bind"}, RAW_MOUNT, False, id="the spec states a type that is missing"),
        pytest.param({"type": "none"}, {**RAW_MOUNT, "type": "bind"}, False, id="the spec states another type"),
        pytest.param({"options": []}, RAW_MOUNT, True, id="the spec states no options"),
        pytest.param({}, None, False, id="no object"),
    ],
)
def test_mount_held(stated: dict[str, Any], entry: Any, held: bool) -> None:
    assert held_kinds({"mounts": [{**MOUNT, **stated}]}, {"mounts": [{"destination": "/x"}, entry]}) == {"mount": held}


@pytest.mark.parametrize(
    ("options", "has", "held"),
    [
        pytest.param(["ro", "bind"], ["ro", "bind", "idmap"], True, id="mapped, as we write it"),
        pytest.param(["ro", "bind"], ["ro", "bind"], True, id="not mapped, as an older library writes it"),
        pytest.param(["rbind"], ["rbind", "ridmap"], True, id="mapped recursively"),
        pytest.param(["rbind"], ["rbind"], True, id="not mapped, recursive"),
        pytest.param(["bind", "idmap"], ["bind", "idmap"], True, id="the mapping is stated"),
        pytest.param(["bind", "idmap"], ["bind"], False, id="the mapping is stated and missing"),
        pytest.param(["idmap", "bind"], ["bind"], False, id="the mapping is stated first and missing"),
    ],
)
def test_mount_held_in_a_user_namespace(options: list[str], has: list[str], held: bool) -> None:
    config = {"linux": USER_NAMESPACE, "mounts": [{**RAW_MOUNT, "options": has}]}
    assert held_kinds({"mounts": [{**MOUNT, "options": options}]}, config, mapped=True) == {"mount": held}


@pytest.mark.parametrize(
    "more",
    [{"options": ["rbind"]}, {"options": ["rbind", "ridmap"]}, {"options": ["ro", "bind"]}],
    ids=["bound", "mapped", "with the engine's options"],
)
def test_mount_by_type_alone_held_in_a_user_namespace(more: dict[str, Any]) -> None:
    config = {"linux": USER_NAMESPACE, "mounts": [{"destination": "/c", "type": "bind", "source": "/h", **more}]}
    assert held_kinds({"mounts": [{"hostPath": "/h", "containerPath": "/c", "type": "bind"}]}, config, mapped=True) == {"mount": True}


HOOK = {"hookName": "createContainer", "path": "/h", "args": ["h", "x"]}


@pytest.mark.parametrize(
    ("hooks", "held"),
    [
        pytest.param({"createContainer": [{"path": "/h", "args": ["h", "x"]}]}, True, id="raw"),
        pytest.param({"createContainer": [{"args": ["h", "x"], "env": [ENV], "path": "/h"}]}, True, id="hardened, in another order"),
        pytest.param({"createContainer": [{"path": "/h", "args": ["h", "x"], "timeout": 5}]}, False, id="with a timeout"),
        pytest.param({"createContainer": [{"path": "/h", "args": ["h"]}]}, False, id="other arguments"),
        pytest.param({"createContainer": [{"path": "/h", "args": ["h", "x"], "env": ["A=1"]}]}, False, id="another environment"),
        pytest.param({"prestart": [{"path": "/h", "args": ["h", "x"]}]}, False, id="at another stage"),
        pytest.param({"createContainer": None}, False, id="null"),
        pytest.param(None, False, id="no hooks"),
    ],
)
def test_hook_held(hooks: Any, held: bool) -> None:
    assert held_kinds({"hooks": [HOOK]}, {"hooks": hooks}) == {"hook": held}


@pytest.mark.parametrize(
    ("given", "linux", "held"),
    [
        pytest.param(
            {"netDevices": [{"hostInterfaceName": "e0", "name": "n"}]}, {"netDevices": {"e0": {"name": "n"}}}, True, id="net device"
        ),
        pytest.param(
            {"netDevices": [{"hostInterfaceName": "e0", "name": "n"}]},
            {"netDevices": {"e0": {"name": "n", "x": 1}}},
            True,
            id="net device and more",
        ),
        pytest.param(
            {"netDevices": [{"hostInterfaceName": "e0", "name": "n"}]}, {"netDevices": {"e0": {"name": "m"}}}, False, id="renamed otherwise"
        ),
        pytest.param(
            {"netDevices": [{"hostInterfaceName": "e0", "name": "n"}]},
            {"netDevices": {"e1": {"name": "n"}}},
            False,
            id="another net device",
        ),
        pytest.param({"intelRdt": {"closID": "x"}}, {"intelRdt": {"closID": "x"}}, True, id="rdt"),
        pytest.param({"intelRdt": {"closID": "x"}}, {"intelRdt": {"closID": "x", "schemata": ["a"]}}, True, id="rdt and more"),
        pytest.param({"intelRdt": {"closID": "x", "schemata": ["a"]}}, {"intelRdt": {"closID": "x"}}, False, id="rdt and less"),
        pytest.param({"intelRdt": {}}, {}, False, id="an rdt without fields where there is none"),
    ],
)
def test_net_devices_and_rdt_held(given: dict[str, Any], linux: dict[str, Any], held: bool) -> None:
    assert list(held_kinds(given, {"linux": linux}).values()) == [held]


@pytest.mark.parametrize(("gids", "held"), [([5], True), ([6, 5], True), ([6], False), ([], False), (None, False), ([5.5, "5"], False)])
def test_gid_held(gids: Any, held: bool) -> None:
    assert held_kinds({"additionalGids": [5]}, {"process": {"user": {"additionalGids": gids}}}) == {"gid": held}


# --- the whole request is merged first


def test_of_two_devices_that_share_a_key_the_winner_alone_is_compared() -> None:
    """Node and variable of the first device lose; that the config lacks them does not make a retry write anything."""
    first = {"env": ["A=1"], "deviceNodes": [{"path": "/dev/n", "fileMode": 0o666}]}
    second = {"env": ["A=2"], "deviceNodes": [{"path": "/dev/n"}]}
    config: Config = {}
    todo, held = settle([first, second], config)
    assert (by_kind(todo), held) == (
        {"env": "A=2", "node": {"device": NODE, "hostPath": "/dev/n", "stated": ["path"]}, "rule": RULE},
        [],
    )
    edits.apply(config, [(*op, A0) for op in todo])
    assert config["linux"]["devices"] == [NODE]
    todo, held = settle([first, second], config)
    assert (todo, sorted(by_kind(held))) == ([], ["env", "node", "rule"])
    # Asked for in the other order, the other one wins, and is not held.
    todo, held = settle([second, first], config)
    assert (sorted(by_kind(todo)), sorted(by_kind(held))) == (["env", "node"], ["rule"])


FULL: dict[str, Any] = {
    "env": ["A=1"],
    "deviceNodes": [{"path": "/dev/n", "fileMode": 0o20666}, {"path": "/dev/c", "hostPath": "/dev/h"}],
    "netDevices": [{"hostInterfaceName": "e0", "name": "n"}],
    "mounts": [MOUNT, {"hostPath": "/h2", "containerPath": "/c2", "type": "bind", "options": ["rbind"]}],
    "hooks": [HOOK, {**HOOK, "hookName": "prestart", "env": ["X=1"]}],
    "intelRdt": {"closID": "x"},
    "additionalGids": [5],
}


@pytest.mark.parametrize("bind_nodes", [False, True])
@pytest.mark.parametrize("before", [{}, {"linux": USER_NAMESPACE}], ids=["plain", "user namespace"])
@pytest.mark.parametrize("more", [{}, OFF], ids=["hardened", "raw"])
def test_a_second_time_nothing_is_left_to_do(bind_nodes: bool, before: Config, more: dict[str, Any]) -> None:
    config = copy.deepcopy(before)
    todo, held = settle([FULL], config, bind_nodes=bind_nodes, mapped=True, **more)
    assert (len(todo), held) == (11, [])
    edits.apply(config, [(*op, A0) for op in todo])
    todo, held = settle([FULL], config, bind_nodes=bind_nodes, mapped=True, **more)
    assert (todo, len(held)) == ([], 11)


@pytest.mark.parametrize("bind_nodes", [False, True])
def test_what_the_pure_path_wrote_is_held(bind_nodes: bool) -> None:
    """An engine that resolves CDI itself gives the reference's result, unhardened."""
    config: Config = {}
    edits.apply(config, edits.to_oci([(A0, FULL)], config, HOST.get))  # type: ignore[list-item]
    todo, held = settle([FULL], config, bind_nodes=bind_nodes)
    assert (todo, len(held)) == ([], 11)


def test_only_what_is_missing_is_left_to_do() -> None:
    config: Config = {"process": {"env": ["A=1"]}, "hooks": {"createContainer": [{"path": "/h", "args": ["h", "x"]}]}}
    todo, held = settle([{"env": ["A=1", "B=1"], "hooks": [HOOK], "additionalGids": [5]}], config)
    assert (todo, [kind for kind, _ in held]) == ([("env", "B=1"), ("gid", 5)], ["env", "hook"])


# --- what an older runtime drops in silence


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param({"env": ["A=1"], "mounts": [MOUNT], "intelRdt": {"closID": "x"}}, [], id="nothing"),
        pytest.param({"netDevices": [{"hostInterfaceName": "e0", "name": "n"}]}, [("netDevices", "net device e0")], id="net device"),
        pytest.param({"intelRdt": {"schemata": ["L3:0=f"]}}, [("intelRdt.schemata", "Intel RDT schemata")], id="schemata"),
        pytest.param({"intelRdt": {"enableMonitoring": True}}, [("intelRdt.enableMonitoring", "Intel RDT monitoring")], id="monitoring"),
        pytest.param({"mounts": [{**MOUNT, "options": ["bind", "idmap"]}]}, [("mount.idmap", "mount /c with idmap")], id="idmap"),
        pytest.param({"mounts": [{**MOUNT, "options": ["rbind", "ridmap"]}]}, [("mount.ridmap", "mount /c with ridmap")], id="ridmap"),
    ],
)
def test_needs(given: Any, found: list[tuple[str, str]]) -> None:
    assert harden.needs([(A0, {}), (A0, given)]) == [(*row, A0) for row in found]
