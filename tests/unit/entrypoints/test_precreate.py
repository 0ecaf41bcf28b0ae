"""The precreate filter: bytes in, bytes out, or a reason and nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.entrypoints import precreate
from cdi_hook.errors import CdiError
from cdi_hook.pipeline import plan
from tests.unit.world import World, asking

ROOT = Path(__file__).parents[3]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def text(config: object) -> bytes:
    return json.dumps(config).encode()


UNASKED = {
    "a config": b'{ "ociVersion":"1.0.2-dev",  "process":{"env":["A=1"]}, "x":1.50 }\n',
    "an annotation of somebody else": text({"annotations": {"other": "x"}}),
    "our word elsewhere": text({"process": {"env": ["X=cdi.k8s.io/x"]}}),
    "nothing": b"",
    "no JSON": b"\xff\x00",
}


@pytest.mark.parametrize("data", UNASKED.values(), ids=UNASKED)
def test_without_a_request_the_bytes_come_back(world: World, data: bytes) -> None:
    assert precreate.filtered(data, world.settings) == data


def test_switched_off(world: World) -> None:
    data = text(asking("acme.com/gpu=none"))
    assert precreate.filtered(data, {**world.settings, "enabled": False}) == data


def test_request_gives_what_the_wrapper_writes(world: World) -> None:
    edits: dict[str, Any] = {
        "env": ["A=1"],
        "additionalGids": [44],
        "mounts": [{"hostPath": "/etc", "containerPath": "/opt", "options": ["rbind", "ro"]}],
        "hooks": [{"hookName": stage, "path": "/bin/sh"} for stage in ("createContainer", "startContainer", "poststop")],
        "intelRdt": {"closID": "x"},
    }
    world.spec("acme.com/gpu", {"0": edits})
    data = text(asking("acme.com/gpu=0", ociVersion="1.0.2-dev", unknown={"x": 1}))
    wanted, _ = plan.edit(data, world.settings)
    assert precreate.filtered(data, world.settings) == wanted
    config = json.loads(wanted or b"")
    assert config["process"] == {"env": ["A=1"], "user": {"additionalGids": [44]}}
    assert (config["unknown"], config["mounts"][0]["type"], config["linux"]["intelRdt"]) == ({"x": 1}, "bind", {"closID": "x"})
    assert precreate.filtered(wanted or b"", world.settings) == wanted


def test_device_that_nobody_knows(world: World) -> None:
    with pytest.raises(CdiError, match=r"acme.com/gpu=none"):
        precreate.filtered(text(asking("acme.com/gpu=none")), world.settings)


LOST = {
    "a net device": ({"netDevices": [{"hostInterfaceName": "acme0", "name": "eth1"}]}, "net device acme0"),
    "RDT schemata": ({"intelRdt": {"schemata": ["MB:0=50"]}}, "Intel RDT schemata"),
    "RDT monitoring": ({"intelRdt": {"enableMonitoring": True}}, "Intel RDT enableMonitoring"),
}
VERSIONS = {"1.0.2-dev": False, "1.2.1": False, "1.3.0": True, "1.10.0-rc.1": True, "2.0": True, "x": False, "": False, None: False}


@pytest.mark.parametrize(("version", "knows"), VERSIONS.items(), ids=map(repr, VERSIONS))
@pytest.mark.parametrize(("edits", "words"), LOST.values(), ids=LOST)
def test_field_that_podman_would_drop(world: World, edits: dict[str, Any], words: str, version: str | None, knows: bool) -> None:
    """podman writes back what its own types know: those of the specification that ``ociVersion`` names."""
    spec = world.spec("acme.com/gpu", {"0": {"env": ["A=1"], **edits}})
    data = text(asking("acme.com/gpu=0", **({} if version is None else {"ociVersion": version})))
    if knows:
        assert "linux" in json.loads(precreate.filtered(data, world.settings))
    else:
        with pytest.raises(CdiError) as caught:
            precreate.filtered(data, world.settings)
        reason = f"{words}: podman would drop it without a word; the runtime wrapper can do it"
        assert str(caught.value) == f"{spec}: acme.com/gpu=0: {reason}"


FAMILIES = {"unknown": ("", True), "runc": ("/usr/sbin/runc", True), "crun": ("/usr/bin/crun", False)}


@pytest.mark.parametrize(("runtime", "mounted"), FAMILIES.values(), ids=FAMILIES)
def test_node_in_a_user_namespace(world: World, runtime: str, mounted: bool) -> None:
    """runc finds no node there that has another path on the host; podman does not say that it will call runc."""
    world.spec("acme.com/gpu", {"0": {"deviceNodes": [{"path": "/dev/acme", "hostPath": "/dev/null"}]}})
    data = text(asking("acme.com/gpu=0", linux={"namespaces": [{"type": "user"}]}))
    config = json.loads(precreate.filtered(data, {**world.settings, "runtime": runtime}))
    assert ("mounts" in config, "devices" in config["linux"]) == (mounted, not mounted)


def call(data: bytes, settings: Path | None) -> subprocess.CompletedProcess[bytes]:
    """The hook as podman starts it: with no environment but what the hook's file names."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from cdi_hook.__main__ import main; sys.exit(main(['precreate']))"
    env = {"CDI_HOOK_CONFIG": str(settings)} if settings else {}
    return subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], input=data, capture_output=True, env=env, check=False)


def test_large_config_without_environment() -> None:
    """More than a pipe holds."""
    data = text({"process": {"env": ["x" * 100] * 20_000}})
    done = call(data, None)
    assert (done.returncode, done.stdout == data, done.stderr) == (0, True, b"")


def test_failure_leaves_standard_output_empty(tmp_path: Path) -> None:
    settings = tmp_path / "config.yaml"
    settings.write_text(f"specDirs: [{tmp_path}]\nlog:\n  file: {tmp_path}/log\n", encoding="ascii")
    done = call(text({"annotations": {"cdi.k8s.io/x": "not a name"}}), settings)
    assert (done.returncode, done.stdout) == (1, b"")
    said = done.stderr.decode()
    assert said.startswith("cdi-hook: the config on standard input: annotations")
    (line,) = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert f"cdi-hook: {json.loads(line)['msg']}\n" == said


def test_reader_that_is_gone(tmp_path: Path) -> None:
    """podman was killed: an exit status, and no traceback."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from cdi_hook.entrypoints.precreate import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write(b"{}")
    process.stdin.close()
    with process.stderr:
        said = process.stderr.read()
    assert process.wait() == 1
    assert b"Traceback" not in said
