"""All or nothing: what the createRuntime hook has done is gone after a failure, and nothing outlives it when it is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from .hookbundle import ALL, PREFIX, ROOT, Bundle, Runtime, cgroup_directories, ids, missing, processes_with, unchanged_host

pytestmark = pytest.mark.skipif(bool(missing("runc", "crun", "busybox", "unshare")), reason=missing("runc", "crun", "busybox", "unshare"))

every_runtime = pytest.mark.parametrize("runtime", ALL, ids=ids)
either_user = pytest.mark.parametrize("userns", [False, True], ids=["root", "userns"])

_AROUND = """#!/usr/bin/python3 -IS
# The real hook, and around it: what the container's namespaces and its cgroup are like.
import json, os, subprocess, sys
sys.dont_write_bytecode = True
sys.path.insert(0, {root!r})
from cdi_hook.linux import bpf, cgroup, namespaces
state = sys.stdin.buffer.read()
process = namespaces.Process(json.loads(state)["pid"])

def look():
    groups = cgroup.find(process, {name!r})
    rules = []
    for fd, path in groups.directories:
        if groups.version == 1:
            with open(os.open("devices.list", os.O_RDONLY, dir_fd=fd)) as file:
                rules.append([path, file.read()])
        else:
            rules.append([path, bpf.Filter(fd, path).programs()])
    dev = "/proc/%d/root" % process.pid
    # Without times: an undone node is made again.
    find = ["find", {rootfs!r} + "/dev", "-exec", "stat", "-c", "%A %u %g %t:%T %n", "{{}}", "+"]
    names = subprocess.run(["nsenter", "-t", str(process.pid), "-m", *find], capture_output=True, text=True)
    tables = [process.read("mountinfo"), open("/proc/self/mountinfo").read()]
    # Everything here has this word in it; other mounts of the host come and go.
    return [[line for line in table.splitlines() if {word!r} in line] for table in tables] + [rules, names.stdout]

before = look()
done = subprocess.run([{program!r}, "createRuntime"], input=state, capture_output=True)
with open({out!r}, "w") as file:
    json.dump([done.returncode, done.stderr.decode(), before, look()], file)
sys.exit(done.returncode)
"""


def watch(bundle: Bundle) -> Path:
    """Put a watcher around the hook. Returns the file of what it saw: exit status, message, before, after."""
    out = bundle.work / "seen.json"
    watcher = bundle.work / "watcher"
    places = {
        "root": str(ROOT),
        "rootfs": str(bundle.rootfs),
        "program": str(bundle.program),
        "out": str(out),
        "name": bundle.id,
        "word": PREFIX,
    }
    watcher.write_text(_AROUND.format(**places), encoding="utf-8")
    watcher.chmod(0o755)
    bundle.config["hooks"]["createRuntime"][0]["path"] = str(watcher)
    return out


def everything(bundle: Bundle) -> dict[str, Any]:
    """Edits of each kind that this hook can do."""
    node = bundle.host / "node"
    os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(10, 229))
    (bundle.host / "dir").mkdir()
    return {
        "deviceNodes": [{"path": "/dev/acme/one", "hostPath": str(node)}, {"path": "/dev/null", "hostPath": str(node)}],
        "mounts": [
            {"hostPath": str(bundle.host / "dir"), "containerPath": "/opt/dir", "options": ["rbind", "ro"]},
            {"hostPath": str(node), "containerPath": "/opt/file", "options": ["bind"]},
            {"hostPath": "cdihook-tmpfs", "containerPath": "/scratch", "type": "tmpfs"},
        ],
        "hooks": [],
    }


def script(bundle: Bundle, name: str, text: str) -> str:
    path = bundle.host / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    path.chmod(0o755)
    return str(path)


@every_runtime
@either_user
@pytest.mark.parametrize("stage", ["createRuntime", "createContainer"])
def test_failure_at_the_end_is_undone(runtime: Runtime, userns: bool, stage: str) -> None:
    with Bundle(runtime, userns=userns) as bundle:
        edits = everything(bundle)
        failing = script(bundle, "failing", "echo first; echo the driver is not loaded; exit 3")
        edits["hooks"] = [{"hookName": stage, "path": failing}]
        bundle.write_spec(edits)
        out = watch(bundle)
        with unchanged_host(bundle.host):
            done = bundle.run("echo started")
        assert done.returncode != 0
        assert "started" not in done.stdout
        status, message, before, after = json.loads(out.read_text(encoding="utf-8"))
        said = f"{bundle.work}/cdi/acme.json: acme.com/thing=one: {failing} ended with exit status 3: the driver is not loaded"
        assert (status, message) == (1, f"cdi-hook: {said}\n")
        assert bundle.said() == [said]
        assert after[:3] == before[:3]
        assert before[2] != []
        # What stays is an empty directory, as the runtimes leave one: /dev/acme.
        assert f" {bundle.rootfs}/dev/null\n" in before[3]
        left = sorted(set(after[3].splitlines()) ^ set(before[3].splitlines()))
        assert [line.rpartition(" ")[2] for line in left] == [f"{bundle.rootfs}/dev/acme"]


@every_runtime
def test_failure_in_the_middle_is_undone(runtime: Runtime) -> None:
    """The second of two mounts has no source: the first is taken away, and so are node and rules."""
    with Bundle(runtime) as bundle:
        edits = everything(bundle)
        (bundle.rootfs / "busy").mkdir()
        edits["mounts"].append({"hostPath": str(bundle.host / "node"), "containerPath": "/busy", "options": ["bind"]})
        bundle.write_spec(edits)
        out = watch(bundle)
        assert bundle.run("echo started").returncode != 0
        status, message, before, after = json.loads(out.read_text(encoding="utf-8"))
        reason = "/busy in the container is a directory, and a file is to be mounted there"
        assert (status, message) == (1, f"cdi-hook: {bundle.work}/cdi/acme.json: acme.com/thing=one: {reason}\n")
        assert (after[0], after[2]) == (before[0], before[2])
        assert "/one\n" not in after[3]


def wait_for(path: Path) -> str:
    end = time.monotonic() + 20
    while not path.exists() or not path.read_text(encoding="ascii").endswith("\n"):
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)
    return path.read_text(encoding="ascii").strip()


@every_runtime
@pytest.mark.parametrize("stage", ["createRuntime", "createContainer"])
@pytest.mark.parametrize("by", ["us", "runtime"])
def test_killed_half_way_leaves_nothing(runtime: Runtime, stage: str, by: str) -> None:
    """SIGKILL, by hand or after the runtime's timeout, while a hook of the spec runs: everything is in place by then."""
    with Bundle(runtime) as bundle:
        edits = everything(bundle)
        # In the foreground and in the background, and deaf to polite signals.
        sleep = bundle.host / "sleep"
        shutil.copy("/bin/busybox", sleep)
        text = f'trap "" TERM HUP INT; {sleep} 1000 & echo waiting >{bundle.host}/waits; {sleep} 1000'
        edits["hooks"] = [{"hookName": stage, "path": script(bundle, "waiting", text)}]
        bundle.write_spec(edits)
        if by == "runtime":
            bundle.config["hooks"]["createRuntime"][0]["timeout"] = 1
        with unchanged_host():
            running = bundle.start("echo started")
            assert running.stdin is not None
            running.stdin.close()
            wait_for(bundle.host / "waits")
            if by == "us":
                os.kill(program_of(bundle), signal.SIGKILL)
            assert running.wait(20) != 0
        assert "started" not in (bundle.work / "output").read_text(encoding="utf-8")
        bundle.call("delete", "--force", bundle.id)
        end = time.monotonic() + 5
        while processes_with(str(bundle.work)) and time.monotonic() < end:
            time.sleep(0.05)
        assert processes_with(str(bundle.work)) == []
        assert cgroup_directories(bundle.id) == []


@pytest.mark.parametrize("runtime", [Runtime("runc", 2), Runtime("crun", 1)], ids=ids)
def test_killed_child_does_not_keep_the_container(runtime: Runtime) -> None:
    """Whoever kills the child of ours that waits for a program in the container's pid namespace (the kernel, out of memory): nobody
    would reap that program where the host's init does not, and the runtime would wait for the namespace for ever."""
    with Bundle(runtime) as bundle:
        edits = everything(bundle)
        text = f"echo $PPID >{bundle.host}/parent; echo waits >{bundle.host}/waits; exec sleep 1000"
        edits["hooks"] = [{"hookName": "createContainer", "path": script(bundle, "waiting", text)}]
        bundle.write_spec(edits)
        running = bundle.start("echo started")
        assert running.stdin is not None
        running.stdin.close()
        wait_for(bundle.host / "waits")
        program = program_of(bundle)
        (child,) = [pid for pid in children_of(program) if children_of(pid)]
        os.kill(child, signal.SIGKILL)
        try:
            assert running.wait(20) != 0
        finally:
            running.kill()
            running.wait()
        (said,) = bundle.said()
        assert said.startswith("read on the child in the container's namespaces, which was killed: No child processes (ECHILD)")


def children_of(pid: int) -> list[int]:
    text = Path("/proc", str(pid), "task", str(pid), "children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


def program_of(bundle: Bundle) -> int:
    """The process of our hook, and not a child that it has: the parent of that one is the hook."""
    programs = {}
    for pid in processes_with(str(bundle.program)):
        words = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
        if words[-2:] == [b"createRuntime", b""]:
            programs[pid] = int(Path("/proc", str(pid), "stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    (first,) = [pid for pid, parent in programs.items() if parent not in programs]
    return first


@pytest.mark.parametrize("runtime", [Runtime("runc", 1), Runtime("crun", 2)], ids=ids)
def test_asked_to_stop_it_undoes(runtime: Runtime) -> None:
    with Bundle(runtime) as bundle:
        edits = everything(bundle)
        edits["hooks"] = [
            {"hookName": "createContainer", "path": script(bundle, "waiting", f"echo waits >{bundle.host}/waits; sleep 1000")}
        ]
        bundle.write_spec(edits)
        out = watch(bundle)
        running = bundle.start("echo started")
        assert running.stdin is not None
        running.stdin.close()
        wait_for(bundle.host / "waits")
        os.kill(program_of(bundle), signal.SIGTERM)
        assert running.wait(20) != 0
        status, message, before, after = json.loads(out.read_text(encoding="utf-8"))
        assert (status, message) == (1, "cdi-hook: was stopped by signal 15\n")
        assert (after[0], after[2]) == (before[0], before[2])


@pytest.mark.parametrize("runtime", [Runtime("runc", 2), Runtime("crun", 1)], ids=ids)
def test_hook_that_takes_too_long_is_ended(runtime: Runtime) -> None:
    with Bundle(runtime) as bundle:
        path = script(bundle, "slow", "echo begins; sleep 1000")
        bundle.write_spec({"hooks": [{"hookName": "createContainer", "path": path, "timeout": 1}]})
        assert bundle.run("echo started").returncode != 0
        reason = f"{path} was ended after its timeout of 1 s: begins"
        assert bundle.said() == [f"{bundle.work}/cdi/acme.json: acme.com/thing=one: {reason}"]
