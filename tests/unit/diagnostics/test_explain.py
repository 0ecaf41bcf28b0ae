"""What would happen to a container, and why. With real spec files, and the host's ``/dev/null``, ``zero`` and ``full``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cdi_hook import host
from cdi_hook.cdi import edits
from cdi_hook.diagnostics import explain
from cdi_hook.diagnostics.reports import Edit, Explanation
from cdi_hook.pipeline import plan
from tests.unit.world import World, asking

GPU: dict[str, Any] = {
    "0": {"deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/null"}], "env": ["GPU=0"]},
    "1": {"deviceNodes": [{"path": "/dev/gpu1", "hostPath": "/dev/zero"}], "env": ["GPU=1"]},
}
OWN: dict[str, Any] = {
    "env": ["GPU=void"],
    "deviceNodes": [{"path": "/dev/gpuctl", "hostPath": "/dev/full", "fileMode": 0o20660}],
    "mounts": [{"hostPath": "/etc/hostname", "containerPath": "/lib/gpu.so", "options": ["ro", "bind"]}],
    "hooks": [{"hookName": "createContainer", "path": "/bin/true", "args": ["true", "x"]}],
    "additionalGids": [0, 44],
    "intelRdt": {"closID": "gpu"},
}
CONFIG: dict[str, Any] = {"process": {"env": ["A=1", "GPU=all"], "user": {"uid": 1000, "gid": 1000}}, "mounts": []}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, monkeypatch)
    made.spec("acme.com/gpu", GPU, OWN)
    return made


def report_of(world: World, config: dict[str, Any], **more: Any) -> Explanation:
    """``more``: settings, or arguments of ``explain``."""
    arguments = {key: more.pop(key) for key in ("names", "runtime", "family", "pretty") if key in more}
    before = json.dumps(config)
    report = explain.explain(config, {**world.settings, **more}, file="/b/config.json", **arguments)
    assert json.dumps(config) == before
    json.dumps(report)
    return report


def entry(report: Explanation, kind: str, text: str) -> Edit:
    found = [each for each in report["edits"] if each["kind"] == kind and text in each["edit"]]
    assert len(found) == 1, [each["edit"] for each in report["edits"]]
    return found[0]


def test_the_edits_and_the_result_are_those_of_the_pipeline(world: World) -> None:
    config = asking("acme.com/gpu=1", "acme.com/gpu=0", **CONFIG)
    report = report_of(world, config)
    found = plan.make(config, world.settings, file="/b/config.json")
    assert found is not None
    raw = edits.to_oci(found.parts, config, host.node, ())
    shown = [each for each in report["edits"] if each["state"] != "ignored"]
    assert [(each["kind"], each["edit"]) for each in shown] == [(op[0], explain.describe(op)) for op in raw]
    # The node of the first device comes behind that of the spec, which winners may move: compared are sets of places.
    applied = [each["value"] for each in report["edits"] if each["state"] == "applied"]
    assert sorted(map(repr, applied)) == sorted(repr(explain._plain(op)) for op in found.ops)
    assert report["verdict"] == "edited"
    assert report["reasons"] == []


def test_each_edit_has_its_place(world: World) -> None:
    report = report_of(world, asking("acme.com/gpu=0", **CONFIG))
    path = str(world.specs / "acme.com-gpu.json")
    lines = Path(path).read_text().splitlines()
    for each in report["edits"]:
        assert each["file"] == path
        assert each["field"].startswith("devices[0].containerEdits." if each["device"] else "containerEdits.")
    env = entry(report, "env", "GPU=0")
    assert (env["field"], env["device"]) == ("devices[0].containerEdits.env[0]", "acme.com/gpu=0")
    assert '"GPU=0"' in lines[env["line"] - 1]
    assert (env["state"], env["target"], env["replaces"]) == ("applied", "/process/env/1", "GPU=all")
    assert entry(report, "env", "GPU=void")["state"] == "beaten"
    assert entry(report, "gid", "group 0")["state"] == "ignored"
    assert entry(report, "rdt", "gpu")["target"] == "/linux/intelRdt"


def test_what_hardening_does_is_said(world: World) -> None:
    report = report_of(world, asking("acme.com/gpu=0", **CONFIG))
    mount, hook, node = entry(report, "mount", "gpu.so"), entry(report, "hook", "true"), entry(report, "node", "gpuctl")
    assert mount["hardened"] == "gets the type bind: crun crashes without one in a user namespace"
    assert mount["value"]["type"] == "bind"
    assert hook["edit"] == "createContainer /bin/true x"
    assert hook["hardened"] == "gets an environment of PATH alone: it names none, and runc before 1.3 would then give it the image's"
    assert node["hardened"] == "its mode becomes 0660: crun does not take the bits of the file type away"
    plain = report_of(
        world, asking("acme.com/gpu=0", **CONFIG), **{"harden.hookEnv": False, "harden.fileMode": False, "harden.mountType": False}
    )
    assert [each["hardened"] for each in plain["edits"] if each["hardened"]] == []


def test_a_node_that_becomes_a_mount(world: World) -> None:
    config = asking("acme.com/gpu=0", **CONFIG, linux={"namespaces": [{"type": "user"}]})
    node = entry(report_of(world, config, family="runc"), "node", "/dev/gpu0")
    assert node["hardened"] == "becomes a bind mount of /dev/null: in a user namespace runc finds a node by its path on the host"
    assert node["value"]["source"] == "/dev/null"


def test_the_diff_is_that_of_the_config(world: World) -> None:
    report = report_of(world, asking("acme.com/gpu=0", **CONFIG), pretty=lambda value: json.dumps(value, indent=1))
    assert report["diff"].startswith("--- /b/config.json\n+++ /b/config.json (edited)\n@@ ")
    assert '-   "GPU=all"\n+   "GPU=0"\n' in report["diff"]


def test_what_is_held(world: World) -> None:
    config = asking("acme.com/gpu=0", **CONFIG)
    edited, _ = plan.edit(json.dumps(config).encode(), world.settings)
    assert edited is not None
    report = report_of(world, json.loads(edited))
    assert {each["state"] for each in report["edits"]} == {"held", "beaten", "ignored"}
    assert (report["verdict"], report["reasons"], report["diff"]) == ("unchanged", ["the config holds every edit already"], "")


# --- requests


def test_where_requests_come_from(world: World) -> None:
    config = asking("acme.com/gpu=1,acme.com/gpu=0", **CONFIG)
    config["annotations"]["nvidia.cdi.k8s.io/x"] = "acme.com/gpu=1"
    requests = report_of(world, config)["requests"]
    assert [(each["name"], each["from"], each["repeated"]) for each in requests] == [
        ("acme.com/gpu=1", "annotation cdi.k8s.io/test", False),
        ("acme.com/gpu=0", "annotation cdi.k8s.io/test", False),
        ("acme.com/gpu=1", "annotation nvidia.cdi.k8s.io/x", True),
    ]
    assert requests[1]["devices"][0]["file"] == str(world.specs / "acme.com-gpu.json")


def test_devices_of_the_command_line_replace_those_of_the_config(world: World) -> None:
    report = report_of(world, asking("acme.com/gpu=1", **CONFIG), names=["acme.com/gpu=0"])
    assert [(each["name"], each["from"]) for each in report["requests"]] == [("acme.com/gpu=0", "the command line")]
    assert report["verdict"] == "edited"


def test_the_losers_of_precedence_are_named(world: World) -> None:
    high = world.root / "high"
    high.mkdir()
    (high / "mine.json").write_text((world.specs / "acme.com-gpu.json").read_text())
    report = report_of(world, asking("acme.com/gpu=0"), specDirs=[str(world.specs), str(high), str(world.root / "none")])
    device = report["requests"][0]["devices"][0]
    assert device["file"] == str(high / "mine.json")
    assert [loser["file"] for loser in device["beats"]] == [str(world.specs / "acme.com-gpu.json")]
    assert device["beats"][0]["line"] == device["line"] > 0
    assert [(each["exists"], each["files"]) for each in report["directories"]] == [(True, 1), (True, 1), (False, 0)]


def test_an_unknown_device_and_a_known_one(world: World) -> None:
    (world.specs / "broken.yaml").write_text("cdiVersion: 0.6.0\nkind: acme.com/gpu\ndevices: []\n")
    report = report_of(world, asking("acme.com/gpu=0", "acme.com/gpu=9"))
    assert report["verdict"] == "refused"
    assert len(report["reasons"]) == 1
    assert report["reasons"][0].startswith("acme.com/gpu=9 is not known; ")
    assert [each["reason"] for each in report["requests"]] == ["", "no spec that loads defines it"]
    assert len(report["broken"]) == 1
    assert report["broken"][0].startswith(f"{world.specs}/broken.yaml:3: devices: ")
    assert entry(report, "env", "GPU=0")["state"] == "applied"  # the other device is explained all the same
    assert report["diff"] == ""


def test_a_conflict(world: World) -> None:
    world.spec("acme.com/gpu", GPU, file="second.json")
    report = report_of(world, asking("acme.com/gpu=0"))
    files = f"{world.specs}/acme.com-gpu.json and {world.specs}/second.json"
    assert report["requests"][0]["reason"] == f"{files} define it alike"
    assert report["verdict"] == "refused"


def test_a_selector_means_all_devices_of_its_kind(world: World) -> None:
    report = report_of(world, asking("acme.com/gpu=*"), **{"requests.selectors": True})
    assert [device["name"] for device in report["requests"][0]["devices"]] == ["acme.com/gpu=0", "acme.com/gpu=1"]
    assert report["verdict"] == "edited"


def test_a_malformed_request(world: World) -> None:
    report = report_of(world, asking("gpu0"))
    assert (report["verdict"], report["requests"]) == ("refused", [])
    assert report["reasons"][0].startswith('/b/config.json: annotations["cdi.k8s.io/test"]: ')


NOTHING: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("no annotation", {}, {}, "nothing is requested: no annotation begins with cdi.k8s.io/ or nvidia.cdi.k8s.io/"),
    (
        "no request of any kind",
        {},
        {"requests.environment": ["CDI"], "requests.mounts": True},
        "nothing is requested: no annotation begins with cdi.k8s.io/ or nvidia.cdi.k8s.io/; CDI ask for nothing; nothing is mounted below "
        "/var/run/cdi-hook/devices/",
    ),
    (
        "a sandbox",
        asking("acme.com/gpu=0", annotations={"io.kubernetes.cri.container-type": "sandbox"}),
        {},
        "a pod's sandbox: it carries the pod's annotations, and is left alone unless the settings say requests.sandboxes: true",
    ),
    (
        "a sandbox with nonsense",
        asking("nonsense", annotations={"io.kubernetes.cri.container-type": "sandbox"}),
        {},
        "a pod's sandbox: it carries the pod's annotations, and is left alone unless the settings say requests.sandboxes: true",
    ),
    ("switched off", asking("acme.com/gpu=0"), {"enabled": False}, "the settings say enabled: false, so no container is looked at"),
]


@pytest.mark.parametrize(("config", "settings", "reason"), [row[1:] for row in NOTHING], ids=[row[0] for row in NOTHING])
def test_why_nothing_happens(world: World, config: dict[str, Any], settings: dict[str, Any], reason: str) -> None:
    report = report_of(world, config, **settings)
    assert (report["verdict"], report["reasons"], report["edits"], report["diff"]) == ("unchanged", [reason], [], "")


def test_a_sandbox_keeps_its_mark_when_devices_are_named(world: World) -> None:
    config = {"annotations": {"io.kubernetes.cri.container-type": "sandbox", "other": "x"}}
    assert report_of(world, config, names=["acme.com/gpu=0"])["verdict"] == "unchanged"
    assert report_of(world, config, names=["acme.com/gpu=0"], **{"requests.sandboxes": True})["verdict"] == "edited"


# --- host and runtime


def test_what_is_out_of_date_is_told_at_its_edit(world: World) -> None:
    node = {"path": "/dev/null", "type": "c", "major": 1, "minor": 9}
    mount = {"hostPath": "/nowhere", "containerPath": "/x", "type": "bind", "options": ["rbind"]}
    world.spec("acme.com/old", {"0": {"deviceNodes": [node], "mounts": [mount]}})
    report = report_of(world, asking("acme.com/old=0"))
    assert entry(report, "node", "/dev/null")["stale"] == ["/dev/null has minor 3 on this host, not 9"]
    assert entry(report, "mount", "/nowhere")["stale"] == ["/nowhere does not exist on this host"]
    assert report["verdict"] == "refused"
    assert len(report["reasons"]) == 2
    warned = report_of(world, asking("acme.com/old=0"), stale="warn")
    assert (warned["verdict"], warned["warnings"]) == ("edited", report["reasons"])
    ignored = report_of(world, asking("acme.com/old=0"), stale="ignore")
    assert (ignored["verdict"], ignored["warnings"], entry(ignored, "node", "/dev/null")["stale"]) == ("edited", [], [])


def test_a_node_that_the_host_lacks(world: World) -> None:
    world.spec("acme.com/gone", {"0": {"env": ["A=1"], "deviceNodes": [{"path": "/dev/gone"}]}})
    report = report_of(world, asking("acme.com/gone=0"))
    gone = entry(report, "node", "/dev/gone")
    assert (gone["state"], gone["edit"]) == ("impossible", "device node /dev/gone does not exist on this host")
    assert report["verdict"] == "refused"
    assert entry(report, "env", "A=1")["state"] == "applied"


def runtime(path: Path, version: str) -> str:
    path.write_text(f"#!/bin/sh\n[ $1 = --version ] && echo {version}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("version", "supported", "verdict"),
    [("runc version 1.1.5", False, "refused"), ("runc version 1.4.0", True, "edited"), ("other 1", None, "edited")],
)
def test_what_the_runtime_would_drop(world: World, version: str, supported: bool | None, verdict: str) -> None:
    world.spec("acme.com/net", {"0": {"netDevices": [{"hostInterfaceName": "eth1", "name": "net0"}]}})
    path = runtime(world.root / "runc", version)
    report = report_of(world, asking("acme.com/net=0"), runtime=path, family="runc")
    assert report["verdict"] == verdict
    assert entry(report, "net", "eth1 as net0")["target"] == "/linux/netDevices/eth1"
    assert [each["supported"] for each in report["dropped"]] == ([] if supported else [supported])
    assert report["runtime"] == {"path": path, "family": "runc", "version": "" if supported is None else version.replace(" version", "")}
    if supported is False:
        assert report["dropped"][0]["what"] == "net device eth1"
        assert report["dropped"][0]["needs"] == "runc 1.4.0 or crun 1.22 (this is runc 1.1.5)"


def test_request_mounts_are_taken_out(world: World) -> None:
    mount = {"destination": "/var/run/cdi-hook/devices/acme.com/gpu/0", "source": "/dev/null", "options": ["bind"]}
    report = report_of(world, {"mounts": [mount]}, **{"requests.mounts": True})
    assert report["requests"][0]["from"] == "mount /var/run/cdi-hook/devices/acme.com/gpu/0"
    assert entry(report, "mount", "gpu.so")["target"] == "/mounts/0"


def test_a_config_of_wrong_types_gets_an_answer(world: World) -> None:
    report = report_of(world, asking("acme.com/gpu=0", process={"env": "A=1"}))
    assert (report["verdict"], report["access"]) == ("refused", [])
    assert report["reasons"][0].startswith("/b/config.json: process.env: ")
    assert report_of(world, {"annotations": []})["verdict"] == "refused"
    assert report_of(world, {"annotations": []}, names=["acme.com/gpu=0"])["verdict"] == "edited"


# --- can the user open the node


ROOT_CAPS = {"effective": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]}
NEITHER = "neither the node's owner nor in its group"
GIVE = "give the container the group 7, in the spec by additionalGids: [7]"
USER = {"user": {"uid": 5, "gid": 6}}
ACCESS: list[tuple[str, dict[str, Any], dict[str, Any], str, str, str]] = [
    ("everybody", {"fileMode": 0o666, "uid": 0, "gid": 7}, USER, "read and write", NEITHER, ""),
    ("the owner by inheritance", {"fileMode": 0o600}, USER, "read and write", "the node's owner", ""),
    ("root, as owner", {"fileMode": 0o600}, {}, "read and write", "the node's owner", ""),
    ("in the group", {"fileMode": 0o660, "uid": 0, "gid": 6}, USER, "read and write", "in the node's group 6", ""),
    (
        "in another group",
        {"fileMode": 0o660, "uid": 0, "gid": 7},
        {"user": {**USER["user"], "additionalGids": [7]}},
        "read and write",
        "in the node's group 7",
        "",
    ),
    ("outside", {"fileMode": 0o660, "uid": 0, "gid": 7}, USER, "nothing", NEITHER, GIVE),
    ("outside of a node for its owner alone", {"fileMode": 0o600, "uid": 0, "gid": 7}, USER, "nothing", NEITHER, ""),
    ("the owner has less than others", {"fileMode": 0o466, "uid": 5}, USER, "read", "the node's owner", ""),
    ("others may read", {"fileMode": 0o664, "uid": 0, "gid": 7}, USER, "read", NEITHER, GIVE),
    ("a capability", {"fileMode": 0, "uid": 5}, {"capabilities": ROOT_CAPS}, "read and write", "CAP_DAC_OVERRIDE", ""),
    ("the cgroup lets less through", {"permissions": "r"}, {}, "read", "the node's owner; the cgroup rule allows less", ""),
    ("the cgroup lets nothing through", {"permissions": "m"}, {}, "nothing", "the node's owner; the cgroup rule allows nothing", ""),
]


@pytest.mark.parametrize(("node", "process", "can", "why", "fix"), [row[1:] for row in ACCESS], ids=[row[0] for row in ACCESS])
def test_access(world: World, node: dict[str, Any], process: dict[str, Any], can: str, why: str, fix: str) -> None:
    world.spec("acme.com/x", {"0": {"deviceNodes": [{"path": "/dev/null", **node}]}})
    report = report_of(world, asking("acme.com/x=0", process=process))
    (found,) = report["access"]
    assert (found["can"], found["why"], found["fix"]) == (can, why, fix)


def test_groups_that_the_spec_brings_count(world: World) -> None:
    node = {"path": "/dev/null", "fileMode": 0o660, "uid": 0, "gid": 44}
    world.spec("acme.com/x", {"0": {"deviceNodes": [node], "additionalGids": [44]}})
    (found,) = report_of(world, asking("acme.com/x=0", process={"user": {"uid": 5, "gid": 5}}))["access"]
    assert (found["groups"], found["mode"], found["owner"], found["can"]) == ([44], "crw-rw----", "0:44", "read and write")


def test_a_fifo_needs_no_rule(world: World) -> None:
    os.mkfifo(world.root / "fifo", 0o600)
    world.spec("acme.com/x", {"0": {"deviceNodes": [{"path": "/dev/p", "hostPath": str(world.root / "fifo"), "uid": 0}]}})
    (found,) = report_of(world, asking("acme.com/x=0"))["access"]
    assert (found["mode"], found["can"]) == ("prw-------", "read and write")


def mapped(host: int, size: int) -> dict[str, Any]:
    return {key: [{"containerID": 0, "hostID": host, "size": size}] for key in ("uidMappings", "gidMappings")}


USER_NAMESPACES: list[tuple[str, dict[str, Any], str, str]] = [
    ("no word of the mapping", {}, "", "the config does not say how its user namespace maps the user"),
    ("mapped to the node's owner", mapped(0, 1), "read and write", "the node's owner"),
    ("mapped elsewhere", mapped(100_000, 65_536), "read and write", NEITHER),
]


@pytest.mark.parametrize(("mappings", "can", "why"), [row[1:] for row in USER_NAMESPACES], ids=[row[0] for row in USER_NAMESPACES])
def test_in_a_user_namespace_the_hosts_own_node_counts(world: World, mappings: dict[str, Any], can: str, why: str) -> None:
    # What the spec says of the mode does nothing there: the host's node has 0666.
    world.spec("acme.com/x", {"0": {"deviceNodes": [{"path": "/dev/null", "fileMode": 0}]}})
    linux = {"namespaces": [{"type": "user"}], **mappings}
    (found,) = report_of(world, asking("acme.com/x=0", linux=linux, process={"capabilities": ROOT_CAPS}))["access"]
    assert (found["can"], found["why"]) == (can, why)
