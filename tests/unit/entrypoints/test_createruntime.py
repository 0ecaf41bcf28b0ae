"""The createRuntime hook without a container: the state, the bundle, whose annotations count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cdi_hook.entrypoints import createruntime
from cdi_hook.live import edits as live
from tests.unit.world import World

ROOT = Path(__file__).parents[3]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def bundle(path: Path, config: object) -> str:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(path)


RUNC = '{"ociVersion":"1.0.2-dev","id":"c1","status":"creating","pid":7,"bundle":"/b","annotations":{"a":"b"}}'
CRUN = '{"ociVersion":"1.0","id":"c1","pid":7,"root":"rootfs","bundle":"\\/b","status":"created","annotations":{"a":"b"}}'


@pytest.mark.parametrize("text", [RUNC, CRUN, RUNC.replace(",", ",\n  ")], ids=["runc", "crun", "pretty"])
def test_state(text: str) -> None:
    found = createruntime.read_state(text.encode())
    assert (found["pid"], found["bundle"], found["annotations"]) == (7, "/b", {"a": "b"})


WHOSE = {
    "the state's": ({"cdi.k8s.io/x": "acme.com/gpu=state"}, {"cdi.k8s.io/x": "acme.com/gpu=config"}, ["A=state"]),
    "the state has none": (None, {"cdi.k8s.io/x": "acme.com/gpu=config"}, ["A=config"]),
    "an empty state": ({}, {"cdi.k8s.io/x": "acme.com/gpu=config"}, ["A=config"]),
    "nobody's": ({"other": "x"}, {}, None),
    "a sandbox": ({"cdi.k8s.io/x": "acme.com/gpu=state", "io.kubernetes.cri.container-type": "sandbox"}, {}, None),
}


@pytest.mark.parametrize(("of_state", "of_config", "applied"), WHOSE.values(), ids=WHOSE)
def test_whose_annotations(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    of_state: dict[str, str] | None,
    of_config: dict[str, str],
    applied: list[str] | None,
) -> None:
    world.spec("acme.com/gpu", {name: {"env": [f"A={name}"]} for name in ("state", "config")})
    seen = []
    monkeypatch.setattr(live, "apply", lambda container, ops, settings: seen.append([value for _, value, _ in ops]))
    path = bundle(world.root / "b", {"annotations": of_config, "root": {"path": "rootfs"}})
    state = {"id": "c", "pid": os.getpid(), "bundle": path, **({} if of_state is None else {"annotations": of_state})}
    createruntime.run(json.dumps(state).encode(), world.settings)
    assert seen == ([] if applied is None else [applied])


def test_held_request_needs_no_process(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The config has it all: the container is not even looked at (its pid is long gone here)."""
    world.spec("acme.com/gpu", {"0": {"env": ["A=1"]}})
    path = bundle(world.root / "b", {"process": {"env": ["A=1"]}, "root": {"path": "rootfs"}})
    state = {"pid": 2**22, "bundle": path, "annotations": {"cdi.k8s.io/x": "acme.com/gpu=0"}}
    createruntime.run(json.dumps(state).encode(), world.settings)


def call(stdin: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The entry point in a process of its own, since it changes signal handlers."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from cdi_hook.__main__ import main; sys.exit(main(['createRuntime']))"
    argv = [sys.executable, "-I", "-S", "-B", "-c", code]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, env=env, check=False)


def test_failure_is_said_once_on_stderr_and_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"log:\n  file: {tmp_path}/log\n", encoding="ascii")
    done = call("[]", CDI_HOOK_CONFIG=f"{tmp_path}/config.yaml")
    message = "the container state on standard input: is not an object"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"cdi-hook: {message}\n")
    (line,) = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert {key: json.loads(line)[key] for key in ("level", "msg")} == {"level": "error", "msg": message}


def test_settings_that_are_missing(tmp_path: Path) -> None:
    done = call("{}", CDI_HOOK_CONFIG=f"{tmp_path}/none.yaml")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"cdi-hook: {tmp_path}/none.yaml: " in done.stderr


def test_switched_off(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("enabled: false\n", encoding="ascii")
    done = call("not even JSON", CDI_HOOK_CONFIG=f"{tmp_path}/config.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
