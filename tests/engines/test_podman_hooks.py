"""podman with our hooks and no handler: the precreate filter, and the createRuntime hook with runc and crun."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Installed
from .harness import BUSYBOX, Completed, Images, Podman, missing, plain_user

ABSENT = missing("podman", "runc", "crun")
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)

KIND = "cdihooked.example/dev"
FUSE = {"path": "/dev/fuse"}


class Hooked:
    """podman, a hooks directory of its own, and specs of our own."""

    def __init__(self, engine: Podman, installed: Installed) -> None:
        self.engine = engine
        self.log = engine.work / "cdi-hook.log"
        self.hooks = engine.work / "hooks.d"
        self.specs = engine.work / "specs"
        self.settings = engine.work / "cdi-hook.yaml"
        self.program = installed.bin / "cdi-hook"
        for directory in (self.hooks, self.specs):
            directory.mkdir()
        self.settings.write_text(f"specDirs: [{self.specs}]\nlog:\n  file: {self.log}\n", encoding="ascii")

    def install(self, stage: str) -> None:
        """The packaged hook of this stage, with the program and the settings of this test."""
        hook = json.loads((ROOT / f"hooks.d/cdi-hook-{stage.lower()}.json").read_text(encoding="utf-8"))
        hook["hook"]["path"] = str(self.program)
        hook["hook"]["env"].append(f"CDI_HOOK_CONFIG={self.settings}")
        (self.hooks / f"cdi-hook-{stage.lower()}.json").write_text(json.dumps(hook), encoding="utf-8")

    def spec(self, edits: dict[str, Any]) -> None:
        """One device, ``one``."""
        devices = [{"name": "one", "containerEdits": edits}]
        document = {"cdiVersion": "1.1.0", "kind": KIND, "devices": devices}
        (self.specs / "cdihooked.json").write_text(json.dumps(document), encoding="utf-8")

    def run(self, script: str, *, asks: str = "one", runtime: str = "runc") -> Completed:
        """Run a shell script in a container; ``asks``: the device that it asks for, or nothing."""
        annotation = ["--annotation", f"cdi.k8s.io/x={KIND}={asks}"] if asks else []
        options: list[str | Path] = ["--runtime", runtime, "--hooks-dir", self.hooks]
        words = [*options, "run", "--rm", "--network", "none", *annotation, BUSYBOX, "sh", "-c", script]
        return self.engine.podman(*words, check=False, crun=runtime == "crun")

    def said(self) -> list[str]:
        """The messages of our log."""
        return [json.loads(line)["msg"] for line in self.log.read_text(encoding="utf-8").splitlines()] if self.log.exists() else []


@pytest.fixture
def hooked(engines_work: Path, images: Images, installed: Installed) -> Iterator[Hooked]:
    with Podman(engines_work / os.urandom(3).hex(), images) as engine:
        yield Hooked(engine, installed)


def everything(hooked: Hooked) -> dict[str, Any]:
    data = hooked.engine.work / "data"
    data.write_text("from the host\n", encoding="ascii")
    hook = hooked.engine.work / "vendor-hook"
    hook.write_text(f"#!/bin/sh\ncat >{hooked.engine.work}/state\n", encoding="ascii")
    hook.chmod(0o755)
    return {
        "deviceNodes": [FUSE],
        "mounts": [{"hostPath": str(data), "containerPath": "/cdihooked/data", "options": ["ro", "bind"]}],
        "hooks": [{"hookName": "createContainer", "path": str(hook)}],
    }


ASK = "(: </dev/fuse) && echo opened; cat /cdihooked/data; echo ${CDIHOOKED-unset}; id -G"


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_precreate_does_everything(hooked: Hooked, runtime: str) -> None:
    hooked.install("precreate")
    hooked.spec({**everything(hooked), "env": ["CDIHOOKED=yes"], "additionalGids": [4444]})
    done = hooked.run(ASK, runtime=runtime)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third, groups = done.stdout.splitlines()
    assert (first, second, third) == ("opened", "from the host", "yes")
    assert "4444" in groups.split()
    assert json.loads((hooked.engine.work / "state").read_text(encoding="utf-8"))["status"] in ("creating", "created")
    assert hooked.said() == []


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_create_runtime_does_what_it_can(hooked: Hooked, runtime: str) -> None:
    hooked.install("createRuntime")
    hooked.spec(everything(hooked))
    done = hooked.run(ASK, runtime=runtime)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:3] == ["opened", "from the host", "unset"]
    assert (hooked.engine.work / "state").exists()
    hooked.spec({**everything(hooked), "env": ["CDIHOOKED=yes"]})
    assert hooked.run("echo started", runtime=runtime).returncode != 0
    (message,) = hooked.said()
    assert message.startswith("too late for a createRuntime hook: environment variable CDIHOOKED of cdihooked.example/dev=one: ")


def test_both_hooks_do_it_once(hooked: Hooked) -> None:
    """What precreate has put into the config is held by it: the second hook finds its work done."""
    for stage in ("precreate", "createRuntime"):
        hooked.install(stage)
    hooked.spec({**everything(hooked), "env": ["CDIHOOKED=yes"]})
    done = hooked.run(f"{ASK}; grep -c /cdihooked/data /proc/self/mountinfo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:3] == ["opened", "from the host", "yes"]
    assert done.stdout.splitlines()[-1] == "1"


@pytest.mark.parametrize("stage", ["precreate", "createRuntime"])
def test_container_that_asks_for_nothing(hooked: Hooked, stage: str) -> None:
    hooked.install(stage)
    hooked.spec({"env": ["CDIHOOKED=yes"]})
    hooked.program = Path("/nowhere")
    done = hooked.run("echo ${CDIHOOKED-unset}", asks="")
    assert (done.returncode, done.stdout) == (0, "unset\n")


def test_precreate_that_fails_keeps_the_container_from_starting(hooked: Hooked) -> None:
    """podman shows the exit status alone: the reason is in our log."""
    hooked.install("precreate")
    hooked.spec({"netDevices": [{"hostInterfaceName": "acme0", "name": "eth9"}]})
    done = hooked.run("echo started")
    assert done.returncode != 0
    assert "started" not in done.stdout
    assert "exit status 1" in done.stderr
    fix = "podman would drop it without a word; the runtime wrapper can do it"
    assert hooked.said() == [f"{hooked.specs}/cdihooked.json: cdihooked.example/dev=one: net device acme0: {fix}"]


def test_hook_whose_program_is_missing_is_skipped_by_podman(hooked: Hooked) -> None:
    """Why ``doctor`` looks for it: the container starts without its devices, and nobody says so."""
    hooked.program = Path("/nowhere/cdi-hook")
    hooked.install("createRuntime")
    hooked.spec({"env": ["CDIHOOKED=yes"]})
    done = hooked.run("echo started")
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")


@pytest.fixture
def rootless(engines_work: Path, images: Images, installed: Installed) -> Iterator[Hooked]:
    """podman of a plain user."""
    absent = missing("newuidmap", "setpriv", "useradd", "fuse-overlayfs")
    if absent:
        pytest.skip(absent)
    with plain_user("cdihookeduser") as home, Podman(engines_work / os.urandom(3).hex(), images, user="cdihookeduser", home=home) as engine:
        engine.work.chmod(0o777)
        # The process that keeps the user's namespaces holds the view of cgroups that it was started with, which crun refuses.
        engine.podman("system", "migrate")
        yield Hooked(engine, installed)


@pytest.mark.parametrize("stage", ["precreate", "createRuntime"])
@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_rootless(rootless: Hooked, stage: str, runtime: str) -> None:
    """The hooks run in the user's namespace, where nobody can make a node or change a cgroup: the host's node is mounted."""
    rootless.install(stage)
    data = rootless.engine.work / "data"
    data.write_text("from the host\n", encoding="ascii")
    mount = {"hostPath": str(data), "containerPath": "/cdihooked/data", "options": ["ro", "bind"]}
    rootless.spec({"deviceNodes": [{"path": "/dev/acme", "hostPath": "/dev/full"}], "mounts": [mount]})
    done = rootless.run(
        "(echo >/dev/acme) 2>&1 | grep -o 'No space'; cat /cdihooked/data; grep -c /cdihooked/data /proc/self/mountinfo", runtime=runtime
    )
    assert done.stdout.splitlines() == ["No space", "from the host", "1"], (done.stderr, rootless.said())
