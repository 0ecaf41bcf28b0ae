"""What real engines wrote and called: their argv through ``oci.arguments``, their configs through the pipeline.

The recordings lie beside the repository where it was developed; a copy is kept in ``tests/data/samples``.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from cdi_hook import host
from cdi_hook.oci import arguments, jsonio
from cdi_hook.pipeline import plan
from tests.unit.world import Config, World

ROOT = Path(__file__).parents[2]
COPY = ROOT / "tests" / "data" / "samples"
SHARED = ROOT.parent / "shared" / "samples"
SAMPLES = SHARED if SHARED.is_dir() else COPY


def test_the_copy_is_faithful() -> None:
    if not SHARED.is_dir():
        pytest.skip("the recordings themselves are not here")
    names = sorted(path.name for path in COPY.iterdir())
    assert names == sorted(path.name for path in SHARED.iterdir() if path.suffix in (".json", ".jsonl"))
    assert [name for name in names if (COPY / name).read_bytes() != (SHARED / name).read_bytes()] == []


# --- command lines


LIVES = {
    "argv-containerd16-cri": "create start create start exec exec update kill kill kill delete delete kill kill delete delete",
    "argv-containerd16-ctr": "create start exec pause resume ps kill delete delete",
    "argv-containerd2-cri": (
        "create start create start exec exec kill kill kill delete kill kill delete delete"
        " create start create start update kill kill kill delete kill kill delete delete"
    ),
    "argv-containerd2-ctr": "create start delete delete create start exec pause resume ps kill delete delete",
    "argv-crio": (
        "- features - features create start state create state start state exec exec kill state state delete kill kill state state delete"
    ),
    "argv-docker20": "- create start exec ps pause resume update kill kill kill delete delete create start kill delete delete",
    "argv-podman-rootful": "create start exec pause resume kill kill kill delete create start kill kill delete",
    "argv-podman-rootless": "- create start delete create start delete create start delete create start delete create start delete",
}
"""Each recording's subcommands; ``-`` where there is none."""


def calls(name: str) -> list[list[str]]:
    return [json.loads(line)[1:] for line in (SAMPLES / f"{name}.jsonl").read_text().splitlines()]


def value(argv: list[str], option: str) -> str:
    """What the engine wrote behind an option, in either of its two spellings."""
    for at, word in enumerate(argv):
        if word == option:
            return argv[at + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""


def test_every_recording_has_its_row() -> None:
    assert sorted(LIVES) == sorted(path.stem for path in SAMPLES.glob("argv-*.jsonl"))


@pytest.mark.parametrize("family", ["runc", "crun", "youki", ""])
@pytest.mark.parametrize("name", LIVES)
def test_command_lines(name: str, family: str) -> None:
    expected = []
    found = []
    for argv, subcommand in zip(calls(name), LIVES[name].split()):
        subcommand = subcommand.replace("-", "")
        bundle = value(argv, "--bundle") if subcommand == "create" else ""
        expected.append([(subcommand, bundle, "", value(argv, "--log"), value(argv, "--log-format"))])
        found.append(arguments.readings(argv, family))
    assert len(calls(name)) == len(LIVES[name].split())
    assert found == expected


# --- configs


FUSE: Config = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600}
FUSE_RULE = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}
HOSTNAME = {"destination": "/mnt/hn", "type": "bind", "source": "/etc/hostname", "options": ["ro", "rbind"]}
HOOK = {"path": "/bin/true", "args": ["true"], "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The devices of the recordings, on a host that has a /dev/fuse."""
    made = World(tmp_path, monkeypatch)
    whole = {
        "deviceNodes": [{"path": "/dev/fuse"}],
        "mounts": [{"hostPath": "/etc/hostname", "containerPath": "/mnt/hn", "options": ["ro", "rbind"]}],
        "hooks": [{"hookName": "createRuntime", "path": "/bin/true", "args": ["true"]}],
    }
    devices: dict[str, dict[str, Any]] = {
        "ctrdev": {**whole, "env": ["CDI_NATIVE=ctrdev"]},
        "poddev": {"env": ["CDI_POD=poddev"]},
        "dev0": {**whole, "env": ["CDI_DEV=0", "PATH=/changed"]},
        "dev1": {"env": ["CDI_DEV=1"]},
    }
    made.spec("vendor.com/class", devices)
    monkeypatch.setattr(host, "node", lambda path: ("c", 10, 229, 0o600) if path == "/dev/fuse" else None)
    monkeypatch.setattr(host, "exists", lambda path: True)
    return made


def with_env(config: Config, *texts: str) -> Config:
    """Set variables, each in the place of its last entry, or at the end."""
    env: list[str] = config["process"]["env"]
    for text in texts:
        name = text.partition("=")[0] + "="
        places = [at for at, entry in enumerate(env) if entry.startswith(name)]
        if places:
            env[places[-1]] = text
        else:
            env.append(text)
    return config


def with_whole(config: Config) -> Config:
    """Node and rule (unless the engine gave them: podman did), mount (mounts sorted by depth) and hook."""
    devices = config["linux"].setdefault("devices", [])
    if "/dev/fuse" not in [device["path"] for device in devices]:
        devices.append(dict(FUSE))
    rules = config["linux"].setdefault("resources", {}).setdefault("devices", [])
    if FUSE_RULE not in rules:
        rules.append(dict(FUSE_RULE))
    config["mounts"] = sorted([*config["mounts"], dict(HOSTNAME)], key=lambda mount: str(mount["destination"]).count("/"))
    config.setdefault("hooks", {}).setdefault("createRuntime", []).append(dict(HOOK))
    return config


def ctr(config: Config) -> Config:
    return with_env(with_whole(config), "CDI_NATIVE=ctrdev", "CDI_POD=poddev")


def pod(config: Config) -> Config:
    return with_env(config, "CDI_POD=poddev")


def dev0(config: Config) -> Config:
    return with_env(with_whole(config), "CDI_DEV=0", "PATH=/changed")


def dev0_and_dev1(config: Config) -> Config:
    return with_env(with_whole(config), "CDI_DEV=1", "PATH=/changed")


CONFIGS: dict[str, Any] = {
    "containerd16-ctr": dev0_and_dev1,
    "containerd16-sandbox": None,
    "containerd16-workload": ctr,
    "containerd16-workload-nopassthrough": None,
    "containerd2-sandbox": None,
    "containerd2-workload": ctr,
    "containerd2-workload-native-cdi": pod,  # the container's device is there already, resolved by containerd; the pod's is not
    "crio-sandbox": None,
    "crio-workload": pod,
    "crio-workload-native-cdi": pod,  # CRI-O as well
    "docker20": None,
    "podman-build": None,
    "podman-rootful": dev0,
    "podman-rootless": dev0,
    "precreate-stdin": dev0,
}
"""What the wrapper makes of each; None: it stays untouched."""


def test_every_config_has_its_row() -> None:
    names = {path.stem for path in SAMPLES.glob("*.json") if "process" in json.loads(path.read_text())}
    assert names == set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(world: World, name: str) -> None:
    data = (SAMPLES / f"{name}.json").read_bytes()
    config = json.loads(data)
    edited, _ = plan.edit(data, world.settings, file=name, family="crun")
    if CONFIGS[name] is None:
        assert edited is None
        return
    assert edited is not None
    expected = CONFIGS[name](copy.deepcopy(config))
    assert json.loads(edited) == expected
    # The order of keys is the engine's; what is new stands at the end.
    assert list(json.loads(edited)) == list(expected)
    # A retry finds everything there.
    assert plan.edit(edited, world.settings, file=name, family="crun")[0] is None


@pytest.mark.parametrize("name", ["containerd2-workload-native-cdi", "crio-workload-native-cdi"])
def test_an_engine_that_resolved_everything_itself(world: World, name: str) -> None:
    """With the container's annotation alone nothing is left to do: no double node, mount or hook."""
    config = json.loads((SAMPLES / f"{name}.json").read_bytes())
    del config["annotations"]["cdi.k8s.io/pod"]
    edited, found = plan.edit(json.dumps(config).encode(), world.settings, file=name)
    assert found is not None
    assert (edited, found.ops, [kind for kind, _, _ in found.held]) == (None, [], ["env", "node", "rule", "mount", "hook"])


@pytest.mark.parametrize("name", CONFIGS)
def test_json_in_json_out(name: str) -> None:
    """Engines write one line without a final newline, and so do we; CRI-O's is pretty-printed, and comes back the same but for blanks."""
    text = (SAMPLES / f"{name}.json").read_text()
    again = jsonio.dumps(jsonio.loads(text))
    assert again == (json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False) if "crio" in name else text)
