"""The pipeline: requests, names, decisions, edits. With real spec files, and the host's ``/dev/null``."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from cdi_hook import host
from cdi_hook.cdi import edits, index, indexwriter
from cdi_hook.errors import BundleError, CdiError, FaultsError, NameSyntaxError, UnresolvedError
from cdi_hook.oci import features
from cdi_hook.pipeline import plan
from tests.unit.world import Config, World, asking

NULL: dict[str, Any] = {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}
NULL_RULE = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}
FILE = "/b/config.json"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, monkeypatch)
    made.spec("acme.com/gpu", {"0": {"env": ["GPU=0"]}, "1": {"env": ["GPU=1"]}}, {"env": ["ACME=1"]})
    made.spec("acme.com/null", {"0": {"deviceNodes": [{"path": "/dev/null"}]}})
    return made


def text(config: Config) -> bytes:
    return json.dumps(config, separators=(",", ":")).encode()


def edited(world: World, config: Config, **more: Any) -> Config | None:
    """The config after the pipeline; None if it stays as it is."""
    data, _ = plan.edit(text(config), {**world.settings, **more}, file=FILE)
    if data is None:
        return None
    value: Config = json.loads(data)
    return value


def refusal(world: World, config: Config | bytes, **more: Any) -> str:
    data = config if isinstance(config, bytes) else text(config)
    with pytest.raises(CdiError) as caught:
        plan.edit(data, {**world.settings, **more}, file=FILE)
    return str(caught.value)


# --- whether a config asks at all


ASKS: list[tuple[str, bytes, dict[str, Any], bool]] = [
    ("nothing", b'{"annotations":{"a":"b"}}', {}, False),
    ("the first prefix", b'{"annotations":{"cdi.k8s.io/x":""}}', {}, True),
    ("the second prefix", b'{"annotations":{"nvidia.cdi.k8s.io/x":""}}', {}, True),
    ("an escaped slash", b'{"annotations":{"cdi.k8s.io\\/x":""}}', {}, True),
    ("only another prefix is set", b'{"annotations":{"cdi.k8s.io/x":""}}', {"requests.annotations": ["acme.com/"]}, False),
    ("a prefix of one's own", b'{"annotations":{"acme.com/x":""}}', {"requests.annotations": ["acme.com/"]}, True),
    ("no prefix at all", b'{"annotations":{"cdi.k8s.io/x":""}}', {"requests.annotations": []}, False),
    ("environment, off", b'{"process":{"env":["CDI=a"]}}', {}, False),
    ("environment, on", b'{"process":{"env":["CDI=a"]}}', {"requests.environment": ["CDI"]}, True),
    ("mounts, off", b'{"mounts":[{"destination":"/var/run/cdi-hook/devices/a"}]}', {}, False),
    ("mounts, on", b'{"mounts":[{"destination":"/var/run/cdi-hook/devices/a"}]}', {"requests.mounts": True}, True),
    ("mounts, on and escaped", b'{"mounts":[{"destination":"\\/var\\/run\\/cdi-hook\\/devices\\/a"}]}', {"requests.mounts": True}, True),
]


@pytest.mark.parametrize(("data", "more", "answer"), [pytest.param(*row[1:], id=row[0]) for row in ASKS])
def test_asks(world: World, data: bytes, more: dict[str, Any], answer: bool) -> None:
    assert plan.asks(data, {**world.settings, **more}) is answer


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not JSON", id="not JSON"),
        pytest.param(b'{"a":1,"a":2}', id="duplicate keys"),
        pytest.param(b'{"annotations":{"\\u00"', id="bad, with an escape"),
        pytest.param(b"[1]", id="a list"),
        pytest.param(b"\xff\xfe", id="binary"),
    ],
)
def test_what_asks_for_nothing_is_left_to_the_runtime(world: World, data: bytes) -> None:
    assert plan.edit(data, world.settings, file=FILE) == (None, None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(
            b'{"a":1,"a":2,"annotations":{"cdi.k8s.io/x":"acme.com/gpu=0"}}',
            "/b/config.json: is not plain JSON: the key 'a' stands twice in one object",
            id="duplicate keys",
        ),
        pytest.param(
            b'{"a":1,"a":2,"annotations":{"cdi.k8s.io\\/x":"acme.com/gpu=0"}}',
            "/b/config.json: is not plain JSON: the key 'a' stands twice in one object",
            id="duplicate keys and an escaped slash",
        ),
        pytest.param(
            b'{"a":NaN,"annotations":{"cdi.k8s.io/x":"acme.com/gpu=0"}}', "/b/config.json: is not plain JSON: NaN is not JSON", id="NaN"
        ),
        pytest.param(
            b'\xef\xbb\xbf{"annotations":{"cdi.k8s.io/x":"acme.com/gpu=0"}}',
            "/b/config.json:1: is not JSON: unexpected UTF-8 BOM (decode using utf-8-sig) (column 1)",
            id="byte order mark",
        ),
        pytest.param(b'["cdi.k8s.io/x"]', "/b/config.json: is not an object", id="a list"),
        pytest.param(b'{"annotations":{"cdi.k8s.io/x"', "/b/config.json:1: is not JSON: expecting ':' delimiter (column 31)", id="cut"),
    ],
)
def test_what_asks_and_is_not_plain_json_is_refused(world: World, data: bytes, message: str) -> None:
    assert refusal(world, data) == message


def test_a_prefix_that_stands_elsewhere_asks_for_nothing(world: World) -> None:
    config = {"process": {"env": ["X=cdi.k8s.io/x"]}, "annotations": {"x.cdi.k8s.io/y": "nonsense", "CDI.K8S.IO/x": "nonsense"}}
    assert plan.edit(text(config), world.settings, file=FILE) == (None, None)


def test_a_key_that_hides_in_escapes_is_seen(world: World) -> None:
    data = b'{"annotations":{"\\u0063\\u0064\\u0069\\u002e\\u006b8s.io/x":"acme.com/gpu=0"}}'
    found, _ = plan.edit(data, world.settings, file=FILE)
    assert found is not None
    assert json.loads(found)["process"] == {"env": ["ACME=1", "GPU=0"]}


# --- requests


def test_fulfils_requests_in_key_order_each_once(world: World) -> None:
    config: Config = {
        "annotations": {
            "cdi.k8s.io/b": "acme.com/gpu=0,acme.com/null=0",
            "cdi.k8s.io/a": "acme.com/gpu=1",
            "nvidia.cdi.k8s.io/c": "acme.com/gpu=0",
        }
    }
    _, found = plan.edit(text(config), world.settings, file=FILE)
    assert found is not None
    assert found.requests == [
        ("acme.com/gpu=1", "annotation cdi.k8s.io/a"),
        ("acme.com/gpu=0", "annotation cdi.k8s.io/b"),
        ("acme.com/null=0", "annotation cdi.k8s.io/b"),
        ("acme.com/gpu=0", "annotation nvidia.cdi.k8s.io/c"),
    ]
    assert found.names == ["acme.com/gpu=1", "acme.com/gpu=0", "acme.com/null=0"]
    assert edited(world, config) == {
        **config,
        "process": {"env": ["ACME=1", "GPU=0"]},
        "linux": {"devices": [NULL], "resources": {"devices": [NULL_RULE]}},
    }


MARKS = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("names", ["acme.com/gpu=0", "acme.com/unknown=0", "nonsense"])
def test_a_sandbox_is_skipped_whatever_it_asks_for(world: World, mark: str, names: str) -> None:
    config = asking(names, annotations={mark: "sandbox"})
    assert plan.edit(text(config), world.settings, file=FILE) == (None, None)


@pytest.mark.parametrize("mark", MARKS)
def test_a_sandbox_may_ask_if_the_settings_say_so(world: World, mark: str) -> None:
    config = asking("acme.com/gpu=0", annotations={mark: "sandbox"})
    assert edited(world, config, **{"requests.sandboxes": True}) == {**config, "process": {"env": ["ACME=1", "GPU=0"]}}


@pytest.mark.parametrize("value", ["container", "Sandbox", "", 5])
def test_other_marks_are_no_sandbox(world: World, value: Any) -> None:
    config = asking("acme.com/gpu=0", annotations={MARKS[0]: value})
    assert edited(world, config) == {**config, "process": {"env": ["ACME=1", "GPU=0"]}}


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (
            {"cdi.k8s.io/x": "nonsense"},
            '/b/config.json: annotations["cdi.k8s.io/x"]: "nonsense" is not a whole device name; write vendor.com/class=device',
        ),
        ({"cdi.k8s.io/x": ""}, '/b/config.json: annotations["cdi.k8s.io/x"]: "" is not a whole device name; write vendor.com/class=device'),
        (
            {"cdi.k8s.io/x": ["acme.com/gpu=0"]},
            '/b/config.json: annotations["cdi.k8s.io/x"]: is not text; write vendor.com/class=device, several with commas between them',
        ),
        (["cdi.k8s.io/x"], "/b/config.json: annotations: is not a map of text to text"),
    ],
)
def test_a_malformed_request_is_refused_by_path_and_key(world: World, annotations: Any, message: str) -> None:
    assert refusal(world, {"annotations": annotations}) == message


def test_selectors(world: World) -> None:
    config = asking("acme.com/gpu=*")
    with pytest.raises(NameSyntaxError):
        plan.edit(text(config), world.settings, file=FILE)
    assert edited(world, config, **{"requests.selectors": True}) == {**config, "process": {"env": ["ACME=1", "GPU=1"]}}


def test_requests_by_environment_and_mounts(world: World) -> None:
    mount = {"destination": "/var/run/cdi-hook/devices/acme.com/gpu/1", "type": "bind", "source": "/dev/null", "options": ["rbind"]}
    config: Config = {"process": {"env": ["CDI=acme.com/null=0"]}, "mounts": [mount]}
    assert edited(world, config) is None
    assert edited(world, config, **{"requests.environment": ["CDI"], "requests.mounts": True}) == {
        "process": {"env": ["CDI=acme.com/null=0", "ACME=1", "GPU=1"]},
        "mounts": [],
        "linux": {"devices": [NULL], "resources": {"devices": [NULL_RULE]}},
    }


def test_a_request_mount_is_removed_though_all_is_held(world: World) -> None:
    mount = {"destination": "/var/run/cdi-hook/devices/acme.com/gpu/1", "type": "bind", "source": "/dev/null"}
    config: Config = {"process": {"env": ["ACME=1", "GPU=1"]}, "mounts": [mount]}
    assert edited(world, config, **{"requests.mounts": True}) == {"process": {"env": ["ACME=1", "GPU=1"]}, "mounts": []}


# --- names


def test_names_that_nobody_knows_are_in_one_message(world: World) -> None:
    config = asking("acme.com/gpu=0", "acme.com/gpu=7", "other.com/x=1", "acme.com/gpu=7")
    with pytest.raises(UnresolvedError) as caught:
        plan.edit(text(config), world.settings, file=FILE)
    message = str(caught.value)
    assert message.startswith("acme.com/gpu=7, other.com/x=1 are not known; ")
    assert str(world.specs) in message
    assert "acme.com/gpu=0" in message  # a near name


def test_the_index_and_the_specs_give_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["acme.com/gpu=1", "acme.com/null=0", "acme.com/gpu=0"]
    from_specs = plan._cold_resolve([str(world.specs)], names)
    monkeypatch.setattr(indexwriter, "_GRAIN", -(10**12))  # as if the specs were old
    assert plan._cold_resolve([str(world.specs)], names) == from_specs
    assert index.parts([str(world.specs)], names) == from_specs[0]
    monkeypatch.setattr(plan, "_cold_resolve", None)
    assert plan.resolve([str(world.specs)], names) == from_specs


# --- held, and what it costs


def test_a_second_time_changes_nothing(world: World) -> None:
    world.spec(
        "acme.com/all",
        {
            "0": {
                "env": ["A=1"],
                "deviceNodes": [{"path": "/dev/n", "hostPath": "/dev/null", "permissions": "rw"}],
                "mounts": [{"hostPath": "/etc", "containerPath": "/x/y", "options": ["rbind"]}],
                "hooks": [{"hookName": "createContainer", "path": "/bin/true"}],
                "additionalGids": [7],
                "intelRdt": {"closID": "x"},
            }
        },
    )
    config = asking("acme.com/all=0", mounts=[{"destination": "/a/b/c"}, {"destination": "/a"}])
    once = edited(world, config)
    assert once is not None
    assert once["mounts"] == [
        {"destination": "/a"},
        {"destination": "/x/y", "type": "bind", "source": "/etc", "options": ["rbind"]},
        {"destination": "/a/b/c"},
    ]
    assert once["hooks"] == {
        "createContainer": [{"path": "/bin/true", "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}]
    }
    data, found = plan.edit(text(once), world.settings, file=FILE)
    assert found is not None
    assert (data, found.ops, [op[0] for op in found.held]) == (None, [], ["env", "node", "rule", "mount", "hook", "rdt", "gid"])


def test_held_edits_leave_the_order_of_mounts_alone(world: World) -> None:
    config = asking("acme.com/gpu=0", mounts=[{"destination": "/a/b/c"}, {"destination": "/a"}])
    once = edited(world, config)
    assert once is not None
    assert once["mounts"] == config["mounts"]


@pytest.mark.parametrize("held", [False, True])
def test_resolving_and_checking_run_for_held_devices_too(world: World, held: bool) -> None:
    spec = world.spec("acme.com/old", {"0": {"mounts": [{"hostPath": "/gone", "containerPath": "/c", "options": ["bind"]}]}})
    config = asking("acme.com/old=0")
    if held:
        config["mounts"] = [{"destination": "/c", "source": "/gone", "options": ["bind"]}]
    assert str(spec) in refusal(world, config)
    spec.unlink()
    assert refusal(world, config).startswith("acme.com/old=0 is not known; ")


# --- staleness


def stale_spec(world: World) -> Path:
    return world.spec(
        "acme.com/old",
        {
            "0": {
                "env": ["OLD=1"],
                "deviceNodes": [{"path": "/dev/null", "type": "c", "major": 9, "minor": 3}],
                "hooks": [{"hookName": "prestart", "path": "/gone"}],
            }
        },
    )


def test_a_stale_spec_is_refused_with_all_its_faults(world: World) -> None:
    spec = stale_spec(world)
    with pytest.raises(FaultsError) as caught:
        plan.edit(text(asking("acme.com/old=0")), world.settings, file=FILE)
    faults = caught.value.faults
    assert [(fault.file, fault.field, fault.reason) for fault in faults] == [
        (str(spec), "devices[0].containerEdits.deviceNodes[0].major", "/dev/null has major 1 on this host, not 9"),
        (str(spec), "devices[0].containerEdits.hooks[0].path", "/gone does not exist on this host"),
    ]
    assert all(fault.line and fault.fix for fault in faults)


def test_a_stale_spec_may_be_let_pass(world: World) -> None:
    stale_spec(world)
    for value, number in (("warn", 2), ("ignore", 0)):
        data, found = plan.edit(text(asking("acme.com/old=0")), {**world.settings, "stale": value}, file=FILE)
        assert found is not None
        assert data is not None
        assert (len(found.warnings), json.loads(data)["process"]) == (number, {"env": ["OLD=1"]})


def test_a_stale_spec_of_another_device_does_not_matter(world: World) -> None:
    stale_spec(world)
    assert edited(world, asking("acme.com/gpu=0")) is not None


@pytest.mark.parametrize("stale", ["fail", "warn", "ignore"])
def test_a_node_that_only_the_host_could_complete_is_always_needed(world: World, stale: str) -> None:
    spec = world.spec("acme.com/none", {"0": {"deviceNodes": [{"path": "/dev/acme-none"}]}})
    message = refusal(world, asking("acme.com/none=0"), stale=stale)
    assert message.startswith(f"{spec}:")
    assert "devices[0].containerEdits.deviceNodes[0]" in message
    assert "device node /dev/acme-none does not exist on this host" in message


# --- a malformed config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"process": []}, "process: is of type list, not an object"),
        ({"process": {"env": {}}}, "process.env: is of type dict, not a list"),
        ({"process": {"user": 5}}, "process.user: is of type int, not an object"),
        ({"linux": []}, "linux: is of type list, not an object"),
    ],
)
def test_a_malformed_config_is_refused_by_path(world: World, config: Config, message: str) -> None:
    fix = "the engine that wrote this config must mend it"
    assert refusal(world, {**config, **asking("acme.com/gpu=0", "acme.com/null=0")}) == f"/b/config.json: {message}; {fix}"


# --- what depends on the runtime


class Runtime:
    """A runtime of which it is known what it honours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **honours: bool | None) -> None:
        self.honours = {name.replace("_", "."): value for name, value in honours.items()}
        self.asked: list[str] = []
        monkeypatch.setattr(features, "supports", self.supports)
        monkeypatch.setattr(features, "needed", lambda runtime, feature: f"one with {feature}")

    def supports(self, runtime: str, feature: str) -> bool | None:
        assert runtime == "/usr/sbin/runc"
        self.asked.append(feature)
        return self.honours.get(feature)


def through(world: World, config: Config, *, family: str = "runc", **more: Any) -> tuple[Config | None, plan.Plan]:
    data, found = plan.edit(text(config), {**world.settings, **more}, file=FILE, runtime="/usr/sbin/runc", family=family)
    assert found is not None
    return None if data is None else json.loads(data), found


DROPPED: list[tuple[str, dict[str, Any], str, str]] = [
    ("net device", {"netDevices": [{"hostInterfaceName": "eth9", "name": "n"}]}, "netDevices", "net device eth9"),
    ("schemata", {"intelRdt": {"schemata": ["L3:0=f"]}}, "intelRdt.schemata", "Intel RDT schemata"),
    ("monitoring", {"intelRdt": {"enableMonitoring": True}}, "intelRdt.enableMonitoring", "Intel RDT monitoring"),
    (
        "idmap",
        {"mounts": [{"hostPath": "/etc", "containerPath": "/c", "options": ["bind", "idmap"]}]},
        "mount.idmap",
        "mount /c with idmap",
    ),
]


@pytest.mark.parametrize(("given", "feature", "words"), [pytest.param(*row[1:], id=row[0]) for row in DROPPED])
@pytest.mark.parametrize(("able", "on"), [(True, True), (False, True), (None, True), (False, False)])
def test_what_the_runtime_would_drop_is_refused_by_name(
    world: World, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], feature: str, words: str, able: bool | None, on: bool
) -> None:
    spec = world.spec("acme.com/new", {"0": given})
    runtime = Runtime(monkeypatch, **{feature.replace(".", "_"): able})
    config = asking("acme.com/new=0")
    if able is False and on:
        with pytest.raises(FaultsError) as caught:
            through(world, config)
        reason = f"{words}: /usr/sbin/runc would drop it without a word; it needs one with {feature}"
        assert str(caught.value) == f"{spec}: acme.com/new=0: {reason}"
    else:
        setting: dict[str, Any] = {"harden.capabilities": on}
        data, found = through(world, config, **setting)
        assert data is not None
        told = [f"{spec}: acme.com/new=0: {words}: nobody can tell whether /usr/sbin/runc honours it"] if able is None else []
        assert [str(warning) for warning in found.warnings] == told
    assert runtime.asked == ([feature] if on else [])


def test_the_runtime_is_asked_only_when_such_an_edit_is_requested(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime(monkeypatch)
    through(world, asking("acme.com/gpu=0", "acme.com/null=0"))
    through(world, asking("acme.com/gpu=0", "acme.com/null=0", linux={"namespaces": [{"type": "user"}]}))
    assert runtime.asked == []


USER_NAMESPACE = {"namespaces": [{"type": "user"}]}


@pytest.mark.parametrize(
    ("options", "honours", "left"),
    [
        pytest.param(["bind"], {"mount_idmap": True, "mount_ridmap": True}, ["bind", "idmap"], id="bind"),
        pytest.param(["rbind"], {"mount_idmap": True, "mount_ridmap": True}, ["rbind", "ridmap"], id="rbind"),
        pytest.param(["bind"], {"mount_idmap": False, "mount_ridmap": False}, ["bind"], id="an old runtime"),
        pytest.param(["bind"], {}, ["bind"], id="nobody can tell"),
        pytest.param(["rbind"], {"mount_idmap": True, "mount_ridmap": False}, ["rbind"], id="crun 1.4 to 1.8, which maps no trees"),
    ],
)
def test_a_mapping_that_no_spec_asked_for_is_never_a_reason_to_refuse(
    world: World, monkeypatch: pytest.MonkeyPatch, options: list[str], honours: dict[str, Any], left: list[str]
) -> None:
    world.spec("acme.com/lib", {"0": {"mounts": [{"hostPath": "/etc", "containerPath": "/c", "options": options}]}})
    Runtime(monkeypatch, **honours)
    data, found = through(world, asking("acme.com/lib=0", linux=USER_NAMESPACE))
    assert data is not None
    assert (data["mounts"][0]["options"], found.warnings) == (left, [])


@pytest.mark.parametrize(
    ("family", "config", "rootless", "bound"),
    [
        pytest.param("runc", {"linux": USER_NAMESPACE}, False, True, id="runc, the container's user namespace"),
        pytest.param("runc", {}, True, True, id="runc, rootless"),
        pytest.param("runc", {}, False, False, id="runc, none"),
        pytest.param("crun", {"linux": USER_NAMESPACE}, False, False, id="crun makes the node"),
        pytest.param("", {"linux": USER_NAMESPACE}, False, False, id="an unknown runtime"),
    ],
)
def test_a_node_of_another_host_path(
    world: World, monkeypatch: pytest.MonkeyPatch, family: str, config: Config, rootless: bool, bound: bool
) -> None:
    world.spec("acme.com/moved", {"0": {"deviceNodes": [{"path": "/dev/moved", "hostPath": "/dev/null"}]}})
    monkeypatch.setattr(host, "in_user_namespace", lambda: rootless)
    data, _ = through(world, {**copy.deepcopy(config), **asking("acme.com/moved=0")}, family=family)
    assert data is not None
    mount = {"destination": "/dev/moved", "type": "bind", "source": "/dev/null", "options": ["bind", "nosuid", "noexec"]}
    assert (data.get("mounts"), data["linux"].get("devices")) == (([mount], None) if bound else (None, [{**NULL, "path": "/dev/moved"}]))
    assert data["linux"]["resources"]["devices"] == [NULL_RULE]
    assert edited_again(world, data, family) is None


def edited_again(world: World, config: Config, family: str) -> Config | None:
    return through(world, config, family=family)[0]


# --- the text


def test_unknown_fields_order_and_number_text_survive(world: World) -> None:
    data = (
        '{"z":1.50,"annotations":{"cdi.k8s.io/x":"acme.com/gpu=0"},"future":{"b":-0,"a":[1e3,null,{}]},'
        '"process":{"x":"é\\u0001"},"a":18446744073709551616}'
    )
    found, _ = plan.edit(data.encode(), world.settings, file=FILE)
    assert found is not None
    assert found.decode() == data.replace('"process":{"x":"é\\u0001"}', '"process":{"x":"é\\u0001","env":["ACME=1","GPU=0"]}')


def test_apply_reports_malformed_mounts_by_path(world: World) -> None:
    world.spec("acme.com/lib", {"0": {"mounts": [{"hostPath": "/etc", "containerPath": "/c", "options": ["bind"]}]}})
    with pytest.raises(BundleError) as caught:
        plan.edit(text(asking("acme.com/lib=0", mounts={})), world.settings, file=FILE)
    assert str(caught.value) == "/b/config.json: mounts: is of type dict, not a list; the engine that wrote this config must mend it"


def test_plan_without_a_runtime_asks_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.spec("acme.com/new", {"0": {"netDevices": [{"hostInterfaceName": "eth9", "name": "n"}]}})
    runtime = Runtime(monkeypatch, netDevices=False)
    found = plan.make(asking("acme.com/new=0"), world.settings)
    assert found is not None
    assert (found.ops, runtime.asked) == ([("net", ("eth9", {"name": "n"}), (found.parts[0][0]))], [])
    assert edits.KINDS[3] == "net"
