"""The createRuntime hook and device filters that are not plain: several programs, nested cgroups, programs that nobody can read back."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from .hookbundle import CLEAN, ROOT, Bundle, Runtime, forbidding, ids, missing
from .test_hook_apply import add_other, fuse, opens

pytestmark = pytest.mark.skipif(bool(missing("runc", "crun", "busybox", "unshare")), reason=missing("runc", "crun", "busybox", "unshare"))

on_version_2 = pytest.mark.parametrize("runtime", [Runtime("runc", 2), Runtime("crun", 2)], ids=ids)
everywhere = pytest.mark.parametrize("runtime", [Runtime("runc", 1), Runtime("crun", 1), Runtime("runc", 2), Runtime("crun", 2)], ids=ids)

_BEFORE = """#!/usr/bin/python3 -IS
import json, os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, {root!r})
from cdi_hook.linux import bpf, cgroup, namespaces, syscalls
process = namespaces.Process(json.load(sys.stdin)["pid"])
groups = cgroup.find(process, {name!r})
fd, path = groups.directories[-1]

def attach(code, fd=fd):
    program = bpf.load(code, what="a test")
    syscalls.bpf(bpf.BPF_PROG_ATTACH, bpf._attr("=IIII", fd, program, bpf.BPF_CGROUP_DEVICE, bpf.BPF_F_ALLOW_MULTI), what="a test")

def copy(number):
    program = syscalls.bpf(bpf.BPF_PROG_GET_FD_BY_ID, bpf._attr("=I", number), what="a test")
    return bpf.Filter(fd, path)._dump(program, number)

"""


def before(bundle: Bundle, script: str) -> None:
    """Run a Python script as a createRuntime hook before ours."""
    path = bundle.work / "before"
    path.write_text(_BEFORE.format(root=str(ROOT), name=bundle.id) + script, encoding="utf-8")
    path.chmod(0o755)
    bundle.config["hooks"]["createRuntime"].insert(0, {"path": str(path)})


@on_version_2
def test_every_program_that_must_agree_gets_the_rules(runtime: Runtime) -> None:
    """systemd attaches a filter beside the runtime's; both have to say yes, and both go on refusing what they refused."""
    with Bundle(runtime) as bundle:
        before(bundle, "attach(copy(bpf.Filter(fd, path).programs()[0][0]))\nassert len(bpf.Filter(fd, path).programs()[0]) == 2\n")
        add_other(bundle)
        bundle.write_spec({"deviceNodes": [fuse(bundle)]})
        done = bundle.run(opens("/dev/acme", "/dev/other"))
        assert done.stdout.splitlines() == ["/dev/acme: opened", "/dev/other: sh: can't open /dev/other: Operation not permitted"]


_CALLS_A_HELPER = """
# r0 = bpf_get_current_pid_tgid(); return 1
attach(b"\\x85\\0\\0\\0\\x0e\\0\\0\\0" b"\\xb7\\0\\0\\0\\x01\\0\\0\\0" b"\\x95\\0\\0\\0\\0\\0\\0\\0")
"""


@on_version_2
def test_program_that_cannot_be_loaded_again_is_refused_by_name(runtime: Runtime) -> None:
    """And the first program, which had the rules already, has lost them again."""
    with Bundle(runtime) as bundle:
        before(bundle, _CALLS_A_HELPER)
        bundle.write_spec({"deviceNodes": [fuse(bundle)]})
        done = bundle.run("echo started")
        assert done.returncode != 0
        assert "started" not in done.stdout
        (message,) = bundle.said()
        assert message.startswith("program ")
        assert message.endswith(
            f" of the device filter of cgroup /{bundle.id} calls a function, and cannot be loaded again; "
            "let the runtime wrapper put the devices into the config"
        )


_NEST = """
os.mkdir("container", dir_fd=fd)
place = os.open("container", os.O_RDONLY, dir_fd=fd)
with open(os.open("cgroup.procs", os.O_WRONLY, dir_fd=place), "w") as file:
    file.write(str(process.pid))
"""


@everywhere
def test_nested_cgroup(runtime: Runtime) -> None:
    """crun and systemd put the process one below the container's cgroup: each on the way has its say."""
    with Bundle(runtime) as bundle:
        copies = "attach(copy(bpf.Filter(fd, path).programs()[0][0]), place)\n" if runtime.cgroup == 2 else ""
        before(bundle, _NEST + copies)
        bundle.write_spec({"deviceNodes": [fuse(bundle)]})
        done = bundle.run(opens("/dev/acme"))
        assert (done.stdout, done.stderr) == ("/dev/acme: opened\n", "")
        bundle.call("delete", "--force", bundle.id)
        for path in Path("/sys/fs/cgroup").glob(f"*/{bundle.id}/container"):
            path.rmdir()


def test_container_without_a_cgroup_of_its_own() -> None:
    """It is in that of the runtime then, whose rules nobody has to change, and none would take back."""
    with Bundle(Runtime("crun", 1)) as bundle, forbidding(bundle.id) as inside:
        bundle.manager = "disabled"
        bundle.wrap = inside
        bundle.write_spec({"deviceNodes": [fuse(bundle)]})
        done = bundle.run("stat -c %t:%T /dev/acme\n" + opens("/dev/acme"))
        assert done.stdout.splitlines() == ["a:e5", "/dev/acme: sh: can't open /dev/acme: Operation not permitted"], done.stderr
        look = subprocess.run([*inside, "sh", "-c", ": </dev/fuse"], capture_output=True, text=True, env=CLEAN, check=False)
        assert "Operation not permitted" in look.stderr


@everywhere
def test_config_that_forbids_nothing(runtime: Runtime) -> None:
    """Without a filter there is nothing to extend, and no filter is made: what was open before stays open."""
    with Bundle(runtime) as bundle:
        bundle.config["linux"]["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
        add_other(bundle)
        bundle.write_spec({"deviceNodes": [fuse(bundle)]})
        done = bundle.run(opens("/dev/acme", "/dev/other"))
        first, second = done.stdout.splitlines()
        assert first == "/dev/acme: opened"
        assert "Operation not permitted" not in second


@everywhere
def test_block_device_and_several_rules(runtime: Runtime) -> None:
    """Rules of both types for many nodes; the block device has no driver here, so that ENXIO means: allowed."""
    with Bundle(runtime) as bundle:
        nodes = [{"path": f"/dev/b{minor}", "type": "b", "major": 250, "minor": minor, "fileMode": 0o600} for minor in range(20)]
        bundle.write_spec({"deviceNodes": [fuse(bundle), *nodes]})
        done = bundle.run(opens("/dev/acme", "/dev/b0", "/dev/b19") + "\nstat -c '%F' /dev/b7")
        no_driver = [f"/dev/{name}: sh: can't open /dev/{name}: No such device or address" for name in ("b0", "b19")]
        assert done.stdout.splitlines() == ["/dev/acme: opened", *no_driver, "block special file"]
        assert stat.S_ISCHR((bundle.host / "node").stat().st_mode)
