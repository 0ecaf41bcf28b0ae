"""The createRuntime hook against root file systems made by an enemy. Each test looks at the host afterwards.

Two kinds of container: real ones of runc and crun, where these start a container from such a tree at all, and ones that the test makes
itself as a runtime does (a mount namespace, the rootfs mounted on itself, a tmpfs on ``/dev``), which can be attacked while the hook
works. What the enemy aims at is ``victim``, a directory of the host beside the rootfs.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .hookbundle import ALL, CLEAN, Bundle, Completed, Runtime, forbidding, ids, missing, unchanged_host

pytestmark = pytest.mark.skipif(bool(missing("runc", "crun", "busybox", "unshare")), reason=missing("runc", "crun", "busybox", "unshare"))

every_runtime = pytest.mark.parametrize("runtime", ALL, ids=ids)
either_user = pytest.mark.parametrize("userns", [False, True], ids=["root", "userns"])

NODE = {"path": "/dev/acme", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600}


class Target(Bundle):
    """A bundle with a victim, and things to mount."""

    def __init__(self, runtime: Runtime, *, userns: bool = False) -> None:
        super().__init__(runtime, userns=userns)
        self.victim = self.work / "victim"
        self.victim.mkdir()
        (self.victim / "secret").write_text("of the host\n", encoding="ascii")
        (self.victim / "empty").mkdir()
        self.source = self.host / "source"
        self.source.mkdir()
        (self.source / "file").write_text("of the vendor\n", encoding="ascii")

    def mount(self, path: str, *, file: bool = False) -> dict[str, Any]:
        """A CDI mount of a directory, or of the file in it, at this path of the container."""
        return {"hostPath": str(self.source / "file" if file else self.source), "containerPath": path, "options": ["rbind", "ro"]}

    def link(self, path: str, to: str) -> None:
        """Put a symbolic link into the rootfs in place of whatever stands there."""
        place = self.rootfs / path
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        place.symlink_to(to)

    @contextlib.contextmanager
    def safe(self) -> Iterator[None]:
        """Nothing on the host has changed at the end: the victim stands for the host's files, since the real ones change by themselves."""
        with unchanged_host(self.victim, self.source):
            yield

    @contextlib.contextmanager
    def created(self, *, dev: bool = True) -> Iterator[int]:
        """The pid of a process in a container that the test makes itself; its cgroup is the test's own, which forbids nothing."""
        script = f"mount --bind {self.rootfs} {self.rootfs}; "
        script += f"mount -t tmpfs cdihook-dev {self.rootfs}/dev; " if dev else ""
        process = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-ec", f"{script} echo made; exec sleep 1000"],
            stdout=subprocess.PIPE,
            env=CLEAN,
        )
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == b"made\n"
        try:
            yield process.pid
        finally:
            process.kill()
            process.wait()

    def hook(self, pid: int) -> Completed:
        """Call the entry point as a runtime does."""
        self.write("true")
        state = {"ociVersion": "1.0.2", "id": self.id, "status": "creating", "pid": pid, "bundle": str(self.work / "bundle")}
        state["annotations"] = self.config["annotations"]
        env = {"CDI_HOOK_CONFIG": str(self.settings)}
        return subprocess.run(
            [self.program, "createRuntime"], input=json.dumps(state), capture_output=True, text=True, env=env, cwd=self.rootfs, check=False
        )


def points_of(pid: int, word: str = "source") -> list[str]:
    """Mount points in a process's namespace whose line has this word."""
    lines = Path("/proc", str(pid), "mountinfo").read_text(encoding="utf-8").splitlines()
    return [line.split()[4] for line in lines if word in line.split()[3]]


@every_runtime
@either_user
@pytest.mark.parametrize("to", ["../../../../../../../../{victim}/secret", "{victim}/secret", "/proc/1/root/{victim}/secret"])
def test_mount_target_is_a_link_to_a_file_of_the_host(runtime: Runtime, userns: bool, to: str) -> None:
    with Target(runtime, userns=userns) as bundle:
        bundle.link("etc/passwd", to.format(victim=bundle.victim))
        bundle.write_spec({"mounts": [bundle.mount("/etc/passwd", file=True)]})
        with bundle.safe():
            done = bundle.run("cat /etc/passwd")
        if "proc" not in to:
            # The link is followed below the rootfs, where it says the same in the container.
            assert (done.returncode, done.stdout, done.stderr) == (0, "of the vendor\n", "")
        else:
            assert done.returncode != 0
            (message,) = bundle.said()
            assert " on /etc/passwd in the container: " in message


@every_runtime
@either_user
def test_directory_on_the_way_is_a_link_to_the_host(runtime: Runtime, userns: bool) -> None:
    with Target(runtime, userns=userns) as bundle:
        bundle.link("opt", f"../../../../../../..{bundle.victim}")
        bundle.link("var", str(bundle.victim))
        bundle.write_spec({"mounts": [bundle.mount("/opt/new/dir"), bundle.mount("/var/new.file", file=True), bundle.mount("/opt/empty")]})
        with bundle.safe():
            done = bundle.run("cat /opt/new/dir/file /var/new.file /opt/empty/file")
        assert (done.returncode, done.stdout) == (0, "of the vendor\n" * 3)


@every_runtime
def test_dev_is_a_link_to_the_host(runtime: Runtime) -> None:
    """CVE-2026-41579 and CVE-2026-47766 of the runtimes; the runtime's own nodes are not our business, the vendor's is."""
    with Target(runtime) as bundle:
        bundle.link("dev", f"../../..{bundle.victim}/empty")
        bundle.write_spec({"deviceNodes": [NODE]})
        bundle.run("true")
        assert not (bundle.victim / "empty/acme").exists()
        assert not Path("/dev/acme").exists()


@pytest.mark.parametrize("to", ["{victim}", "../../..{victim}", "/proc/self/root/{victim}"])
@pytest.mark.parametrize("path", ["/dev/acme", "/dev/sub/acme"])
def test_node_is_never_made_through_a_link(to: str, path: str) -> None:
    with Target(Runtime("runc", 1)) as bundle:
        first = path.split("/")[1:-1]
        bundle.write_spec({"deviceNodes": [{**NODE, "path": path}]})
        with bundle.created(dev=len(first) > 1) as pid:
            if len(first) == 1:
                bundle.link("dev", to.format(victim=bundle.victim))
            else:
                inside = ["nsenter", "-t", str(pid), "-m", "ln", "-s", to.format(victim=bundle.victim), f"{bundle.rootfs}/dev/sub"]
                subprocess.run(inside, check=True)
            with bundle.safe():
                done = bundle.hook(pid)
        link = "/" + "/".join(first)
        reason = f"{link} in the container is a symbolic link, and a device node is never made through one"
        assert (done.returncode, done.stderr) == (1, f"cdi-hook: {bundle.work}/cdi/acme.json: acme.com/thing=one: {reason}\n")


@pytest.mark.parametrize("what", ["file", "link", "directory", "socket"])
def test_something_stands_where_the_node_shall_be(what: str) -> None:
    with Target(Runtime("runc", 1)) as bundle:
        place = bundle.rootfs / "dev/acme"
        make: dict[str, Callable[[], object]] = {
            "file": lambda: place.write_text("mine", encoding="ascii"),
            "link": lambda: place.symlink_to(bundle.victim / "secret"),
            "directory": place.mkdir,
            "socket": lambda: os.mknod(place, 0o600 | stat.S_IFSOCK),
        }
        make[what]()
        bundle.write_spec({"deviceNodes": [NODE]})
        with bundle.safe(), bundle.created(dev=False) as pid:
            done = bundle.hook(pid)
        assert done.returncode == 1
        assert done.stderr.endswith(
            "mknodat on /dev/acme in the container: File exists (EEXIST); something that is no device node stands there in the image\n"
        )


@every_runtime
@either_user
def test_target_is_a_fifo(runtime: Runtime, userns: bool) -> None:
    """Nobody waits for its other end: the target is never opened for reading or writing."""
    with Target(runtime, userns=userns) as bundle:
        os.mkfifo(bundle.rootfs / "pipe")
        bundle.write_spec({"mounts": [bundle.mount("/pipe", file=True)]})
        with bundle.safe():
            done = bundle.run("cat /pipe", seconds=20)
        assert (done.returncode, done.stdout) == (0, "of the vendor\n")


def test_target_is_a_fifo_and_a_directory_is_mounted() -> None:
    with Target(Runtime("runc", 1)) as bundle:
        os.mkfifo(bundle.rootfs / "pipe")
        bundle.write_spec({"mounts": [bundle.mount("/pipe")]})
        with bundle.safe(), bundle.created() as pid:
            done = bundle.hook(pid)
        assert done.returncode == 1
        assert done.stderr.endswith("/pipe in the container is a file, and a directory is to be mounted there\n")


@every_runtime
@pytest.mark.parametrize("path", ["/proc", "/proc/sys/kernel/hostname", "/dev/../proc/self/attr", "/"])
def test_target_under_proc(runtime: Runtime, path: str) -> None:
    with Target(runtime) as bundle:
        bundle.write_spec({"mounts": [bundle.mount(path)]})
        with bundle.safe():
            done = bundle.run("echo started")
        assert done.returncode != 0
        assert "started" not in done.stdout
        fix = "let the runtime wrapper put it into the config: what may stand there is for the runtime to say"
        reason = f"a mount at {path} is never made; {fix}"
        assert bundle.said() == [f"{bundle.work}/cdi/acme.json: acme.com/thing=one: {reason}"]


@pytest.mark.parametrize("to", ["proc/sys/kernel/hostname", "/proc/self/attr/current", "/proc/thread-self/root/etc", "/proc/self/fd/0"])
@every_runtime
def test_target_is_a_link_into_proc(runtime: Runtime, to: str) -> None:
    """The container's own procfs is below the rootfs by then: a mount there would answer the kernel's questions for it."""
    with Target(runtime) as bundle:
        bundle.link("trap", to)
        bundle.write_spec({"mounts": [bundle.mount("/trap", file=True)]})
        with bundle.safe():
            done = bundle.run("echo started")
        assert done.returncode != 0
        assert "started" not in done.stdout
        (message,) = bundle.said()
        assert "leads to a procfs, where nothing is ever mounted" in message or "(ELOOP)" in message or "(ENOENT)" in message


@pytest.mark.parametrize("userns", [False, True], ids=["root", "userns"])
@pytest.mark.parametrize("runtime", [Runtime("crun", 1), Runtime("crun", 2)], ids=ids)
def test_proc_that_is_no_procfs(runtime: Runtime, userns: bool) -> None:
    """The image's /proc is a tree of links to the host, and no procfs is mounted over it: nothing of ours ever looks there. (runc starts
    no such container.)"""
    with Target(runtime, userns=userns) as bundle:
        bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] != "/proc"]
        for key in ("maskedPaths", "readonlyPaths"):
            bundle.config["linux"].pop(key, None)
        for name in ("self", "thread-self", "1"):
            (bundle.rootfs / "proc" / name / "attr").mkdir(parents=True)
            for entry in ("fd", "ns", "root", "cwd"):
                (bundle.rootfs / "proc" / name / entry).symlink_to(bundle.victim)
        bundle.write_spec({"deviceNodes": [NODE], "mounts": [bundle.mount("/opt/dir"), bundle.mount("/proc2/x", file=True)]})
        with bundle.safe():
            done = bundle.run("cat /opt/dir/file /proc2/x; ls /dev/acme")
        assert (done.returncode, done.stdout) == (0, "of the vendor\nof the vendor\n/dev/acme\n")


RENAME_EXCHANGE = 2


@contextlib.contextmanager
def swapping(one: Path, other: Path) -> Iterator[list[int]]:
    """All the while, one name stands for the other and back. Yields a list with the number of swaps."""
    libc = ctypes.CDLL(None, use_errno=True)
    over = threading.Event()
    count = [0]

    def swap() -> None:
        while not over.is_set():
            libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), RENAME_EXCHANGE)
            count[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield count
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("kind", ["link to the host", "link up", "file"])
def test_directory_is_swapped_while_we_work(kind: str) -> None:
    """Mount targets below a directory that is a link every other moment: what is made and mounted is below the rootfs, or refused."""
    with Target(Runtime("runc", 1)) as bundle:
        swapped, other = bundle.rootfs / "opt", bundle.rootfs / "other"
        (swapped / "deep").mkdir(parents=True)
        if kind == "file":
            other.write_text("", encoding="ascii")
        else:
            other.symlink_to(str(bundle.victim) if kind == "link to the host" else f"../../../../../../../..{bundle.victim}")
        paths = ["/opt/deep/new/dir", "/opt/empty", "/opt/made/by/us", "/opt/x/../y"]
        bundle.write_spec({"mounts": [*map(bundle.mount, paths), bundle.mount("/opt/secret", file=True)]})
        outcomes = []
        with bundle.safe(), swapping(swapped, other) as count:
            for _ in range(12):
                with bundle.created() as pid:
                    done = bundle.hook(pid)
                    outcomes.append(done.returncode)
                    points = points_of(pid)
                    assert all(point.startswith(f"{bundle.rootfs}/") for point in points), points
                    assert (len(points) == 5) is (done.returncode == 0), done.stderr
                    assert "internal error" not in done.stderr
        assert count[0] > 1000
        assert set(outcomes) <= {0, 1}


def test_dev_is_swapped_while_we_work() -> None:
    """A device node is made in the container or not at all, whatever /dev is just now."""
    with Target(Runtime("runc", 1)) as bundle:
        other = bundle.rootfs / "other"
        other.symlink_to(bundle.victim)
        bundle.write_spec({"deviceNodes": [NODE, {**NODE, "path": "/dev/deep/er/acme"}]})
        made = 0
        with bundle.safe(), swapping(bundle.rootfs / "dev", other) as count:
            for _ in range(12):
                with bundle.created(dev=False) as pid:
                    done = bundle.hook(pid)
                    made += done.returncode == 0
                    assert "internal error" not in done.stderr
                    assert done.returncode == 0 or "symbolic link" in done.stderr or "(ELOOP)" in done.stderr
        assert count[0] > 1000
        for place in (bundle.rootfs / "dev", other):
            if not place.is_symlink():
                assert (place / "acme").exists() == (made > 0)


def test_source_of_a_mount_is_a_path_of_the_host_alone() -> None:
    """The vendor's paths are resolved before any namespace is entered: a tree of the same name in the image is not looked at."""
    with Target(Runtime("runc", 1)) as bundle:
        evil = bundle.rootfs / str(bundle.source).lstrip("/")
        evil.mkdir(parents=True)
        (evil / "file").write_text("of the image\n", encoding="ascii")
        bundle.write_spec({"mounts": [bundle.mount("/opt/dir")]})
        with bundle.safe():
            assert bundle.run("cat /opt/dir/file").stdout == "of the vendor\n"


@every_runtime
def test_hook_of_the_spec_is_a_program_of_the_host(runtime: Runtime) -> None:
    """A createContainer hook runs in the container's namespaces, and still from the host's file system, with the host's libraries: not
    what the image has at the same path, and not in a directory of the image."""
    with Target(runtime) as bundle:
        path = bundle.host / "hook"
        path.write_text(f"#!/bin/sh\npwd >{bundle.host}/ran\n", encoding="ascii")
        path.chmod(0o755)
        evil = bundle.rootfs / str(path).lstrip("/")
        evil.parent.mkdir(parents=True)
        evil.write_text(f"#!/bin/sh\ntouch {bundle.victim}/owned\n", encoding="ascii")
        evil.chmod(0o755)
        (bundle.rootfs / "etc/ld.so.preload").write_text("/evil.so\n", encoding="ascii")
        bundle.write_spec({"hooks": [{"hookName": "createContainer", "path": str(path)}]})
        with bundle.safe():
            done = bundle.run("true")
        assert (done.returncode, done.stderr) == (0, "")
        assert (bundle.host / "ran").read_text(encoding="ascii") == "/\n"


def test_bundle_whose_root_is_no_root() -> None:
    """A state that names a directory of the host as the container's root: nothing is put there, since no runtime has mounted it."""
    with Target(Runtime("runc", 1)) as bundle:
        bundle.write_spec({"mounts": [bundle.mount("/empty")]})
        bundle.config["root"]["path"] = str(bundle.victim)
        with bundle.safe(), bundle.created() as pid:
            done = bundle.hook(pid)
        reason = f"{bundle.victim} is not mounted as a root in the container's mount namespace; nothing is put there"
        assert (done.returncode, done.stderr) == (1, f"cdi-hook: {reason}\n")


STATES = {
    "not JSON": ("{", "is not JSON"),
    "two documents": ("{} {}", "is not JSON"),
    "a list": ("[]", "is not an object"),
    "no pid": ("{}", "pid: names no process"),
    "pid 0": ('{"pid": 0}', "pid: names no process"),
    "negative pid": ('{"pid": -1}', "pid: names no process"),
    "pid as text": ('{"pid": "1"}', "pid: names no process"),
    "pid is true": ('{"pid": true}', "pid: names no process"),
    "pid that a 32-bit word makes 1 of": ('{"pid": 4294967297}', "pid: names no process"),
    "a container that runs": ('{"pid": 1, "status": "running"}', "status: is running: the container has started already"),
    "pid twice": ('{"pid": 1, "pid": 2}', "stands twice"),
    "bundle with a NUL": ('{"pid": 1, "bundle": "/a\\u0000b"}', "bundle: is not a path"),
    "bundle is a number": ('{"pid": 1, "bundle": 7}', "bundle: is not a path"),
    "no such bundle": ('{"pid": 1, "bundle": "/nowhere\\n"}', "leads to no config.json (tried /nowhere\\n"),
    "annotations are a list": ('{"pid": 1, "bundle": "/", "annotations": []}', "annotations: is not an object"),
}


@pytest.mark.parametrize(("state", "reason"), STATES.values(), ids=STATES)
def test_hostile_state(state: str, reason: str) -> None:
    with Target(Runtime("runc", 1)) as bundle:
        env = {"CDI_HOOK_CONFIG": str(bundle.settings)}
        done = subprocess.run(
            [bundle.program, "createRuntime"], input=state, capture_output=True, text=True, env=env, cwd=bundle.victim, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert reason in done.stderr
        assert done.stderr.count("\n") == 1


def test_state_that_cannot_be_read() -> None:
    with Target(Runtime("runc", 1)) as bundle:
        argv = ["sh", "-c", f"exec {bundle.program} createRuntime <&-"]
        done = subprocess.run(argv, capture_output=True, text=True, env={"CDI_HOOK_CONFIG": str(bundle.settings)}, check=False)
        reason = "the container state on standard input: cannot be read: Bad file descriptor"
        assert (done.returncode, done.stderr) == (1, f"cdi-hook: {reason}\n")


_PIVOT = """
mount --bind {root} {root}
cd {root}
mkdir old
pivot_root . old
mkdir -p .{root}
mount -t tmpfs cdihook-inner .{root}
echo made
exec sleep 1000
"""


def test_container_that_has_left_the_hosts_root() -> None:
    """The hook stands at a later stage, and a state that hides it: the container has made a mount at the path of its root, and a program
    of its own at the path of the vendor's hook. Neither is used."""
    with Target(Runtime("runc", 1)) as bundle:
        hook = bundle.host / "hook"
        evil = bundle.rootfs / str(hook).lstrip("/")
        evil.parent.mkdir(parents=True)
        for path in (hook, evil):
            path.write_text(f"#!/bin/sh\n: >{bundle.victim}/owned\n: >/owned\n", encoding="ascii")
            path.chmod(0o755)
        bundle.write_spec({"mounts": [bundle.mount("/opt/dir")], "hooks": [{"hookName": "createContainer", "path": str(hook)}]})
        argv = ["unshare", "-m", "--propagation", "private", "sh", "-ec", _PIVOT.format(root=bundle.rootfs)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, env=CLEAN)
        assert process.stdout is not None
        try:
            with bundle.safe(), process.stdout:
                assert process.stdout.readline() == b"made\n"
                done = bundle.hook(process.pid)
                points = points_of(process.pid)
        finally:
            process.kill()
            process.wait()
        reason = "the container has left the host's root already, and every path in it may be its own"
        assert (done.returncode, done.stderr) == (1, f"cdi-hook: {reason}; register the hook for the stage createRuntime\n")
        assert points == []
        assert not (bundle.rootfs / "owned").exists()


def test_wrong_process_keeps_its_cgroup() -> None:
    """The rules come after the look whether the process is the container's."""
    with Target(Runtime("runc", 1)) as bundle, forbidding(bundle.id) as inside:
        bundle.write_spec({"deviceNodes": [NODE]})
        argv = ["unshare", "-m", "sh", "-c", "echo made; exec sleep 1000"]
        other = subprocess.Popen([*inside, *argv], stdout=subprocess.PIPE, env=CLEAN)
        assert other.stdout is not None
        try:
            with other.stdout:
                assert other.stdout.readline() == b"made\n"
                done = bundle.hook(other.pid)
            look = subprocess.run([*inside, "sh", "-c", ": </dev/fuse"], capture_output=True, text=True, env=CLEAN, check=False)
        finally:
            other.kill()
            other.wait()
        reason = f"{bundle.rootfs} is not mounted as a root in the container's mount namespace; nothing is put there"
        assert (done.returncode, done.stderr) == (1, f"cdi-hook: {reason}\n")
        assert "Operation not permitted" in look.stderr


def test_process_that_has_ended() -> None:
    """Its pid may be another process's by now."""
    with Target(Runtime("runc", 1)) as bundle:
        bundle.write_spec({"mounts": [bundle.mount("/opt")]})
        gone = subprocess.Popen(["true"])
        gone.wait()
        done = bundle.hook(gone.pid)
        assert (done.returncode, done.stderr.count("(ESRCH)")) == (1, 1), done.stderr
