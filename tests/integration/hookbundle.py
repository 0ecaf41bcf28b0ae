"""Bundles whose config calls our hook, run by real runtimes under both versions of cgroups.

    with Bundle(work, Runtime("runc", 1), edits={"mounts": [...]}) as bundle:
        done = bundle.run("cat /proc/self/mountinfo")

Everything lies below the bundle's own directory. The runtimes are given their own state directory, every container's cgroup has
the name of that directory, and leaving the block removes all of it.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import pytest
import yaml

from cdi_hook import memory
from cdi_hook.cdi import index

ROOT = Path(__file__).parents[2]
PREFIX = "cdihook"
CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
NAME = "acme.com/thing=one"
FUSE = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}
_MAPPED = 100000
"""Root of the container is this user of the host, in the bundles with a user namespace."""

B = TypeVar("B", bound="Bundle")
Completed = subprocess.CompletedProcess[str]


class Runtime(NamedTuple):
    """A runtime and the version of cgroups that it shall see."""

    name: str
    cgroup: int

    def view(self, *argv: str) -> list[str]:
        """A command in a mount namespace of its own that shows one version of cgroups alone: crun refuses a hybrid layout, and only
        where nothing but version 2 is mounted do the runtimes filter devices with BPF."""
        if self.cgroup == 2:
            script = 'umount -R /sys/fs/cgroup && mount -t cgroup2 c /sys/fs/cgroup && exec "$@"'
        elif self.name == "crun" and os.path.ismount("/sys/fs/cgroup/unified"):
            script = 'umount /sys/fs/cgroup/unified && exec "$@"'
        else:
            return list(argv)
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *argv]


ALL = [Runtime("runc", 1), Runtime("runc", 2), Runtime("crun", 1), Runtime("crun", 2)]


def ids(value: object) -> str:
    return f"{value.name}-v{value.cgroup}" if isinstance(value, Runtime) else str(value)


def missing(*programs: str) -> str:
    """Why a test with these programs skips; empty when it can run."""
    absent = [name for name in programs if not shutil.which(name, path=CLEAN["PATH"])]
    return "not installed: " + ", ".join(absent) if absent else "" if os.geteuid() == 0 else "needs root"


def allow_memlock() -> None:
    """Between fork and exec: let the runtime believe that it has raised RLIMIT_MEMLOCK. crun does so before it loads a BPF program and
    gives up when it cannot, which is the case without CAP_SYS_RESOURCE; the kernel has needed no such limit since Linux 5.11.
    A seccomp filter answers ``prlimit64(…, RLIMIT_MEMLOCK, new)`` with success."""
    load, equal, give = 0x20, 0x15, 0x06
    prlimit64 = {"x86_64": 302, "aarch64": 261}[os.uname().machine]
    program = [
        (load, 0, 0, 0),
        (equal, 0, 5, prlimit64),
        (load, 0, 0, 16 + 8),
        (equal, 0, 3, 8),
        (load, 0, 0, 16 + 16),
        (equal, 1, 0, 0),
        (give, 0, 0, 0x00050000),
        (give, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, 2, head, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")


def make_rootfs(path: Path, owner: int = 0) -> Path:
    """A root file system with busybox in it, owned by ``owner``."""
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
        (path / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox", path=CLEAN["PATH"]) or "/bin/busybox", path / "bin/busybox")
    subprocess.run(["chroot", path, "/bin/busybox", "--install", "-s", "/bin"], check=True)
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="ascii")
    if owner:
        for place, directories, files in os.walk(path):
            for name in [".", *directories, *files]:
                os.lchown(os.path.join(place, name), owner, owner)
    return path


def base_config() -> dict[str, Any]:
    """What ``runc spec`` writes, without a terminal."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["runc", "spec"], cwd=directory, check=True)
        config: dict[str, Any] = json.loads(Path(directory, "config.json").read_text(encoding="utf-8"))
    config["process"]["terminal"] = False
    config["process"]["env"] = ["PATH=/bin"]
    config["root"]["readonly"] = False
    return config


def write_program(path: Path) -> Path:
    """A ``cdi-hook`` that runs from the source tree, started as the installed one: no environment, no site, its own directories."""
    library = Path(yaml.__file__).parents[1]
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    text = f"""#!{python} -IS
import sys
sys.dont_write_bytecode = True
sys.path[:0] = [{str(ROOT)!r}]
sys.path.append({str(library)!r})
from cdi_hook.__main__ import main
sys.exit(main())
"""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


class Bundle:
    """A bundle with a CDI spec of its own and our hook in its config. ``edits``: the containerEdits of the device ``NAME``."""

    def __init__(self, runtime: Runtime, *, edits: dict[str, Any] | None = None, userns: bool = False, settings: str = "") -> None:
        self.runtime = runtime
        self.userns = userns
        self.work = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-"))
        self.work.chmod(0o755)
        self.id = self.work.name
        self.log = self.work / "hook.log"
        self.rootfs = make_rootfs(self.work / "bundle/rootfs", _MAPPED if userns else 0)
        self.host = self.work / "host"
        self.host.mkdir()
        self.wrap: list[str] = []
        self.manager = "cgroupfs"
        (self.work / "cdi").mkdir()
        self.settings = self.work / "settings.yaml"
        self.settings.write_text(f"specDirs: [{self.work}/cdi]\nlog:\n  file: {self.log}\n{settings}", encoding="utf-8")
        self.program = write_program(self.work / "cdi-hook")
        self.config = base_config()
        self.config["annotations"] = {"cdi.k8s.io/test": NAME}
        self.config["linux"]["cgroupsPath"] = f"/{self.id}"
        hook = {"path": str(self.program), "args": ["cdi-hook", "createRuntime"], "env": [f"CDI_HOOK_CONFIG={self.settings}"]}
        self.config["hooks"] = {"createRuntime": [hook]}
        if userns:
            self._add_user_namespace()
        if edits is not None:
            self.write_spec(edits)

    def _add_user_namespace(self) -> None:
        linux = self.config["linux"]
        linux["namespaces"].append({"type": "user"})
        for kind in ("uidMappings", "gidMappings"):
            linux[kind] = [{"containerID": 0, "hostID": _MAPPED, "size": 65536}]

    def write_spec(self, edits: dict[str, Any]) -> None:
        """A CDI spec with one device."""
        kind, _, name = NAME.partition("=")
        spec = {"cdiVersion": "1.1.0", "kind": kind, "devices": [{"name": name, "containerEdits": edits}]}
        (self.work / "cdi/acme.json").write_text(json.dumps(spec), encoding="utf-8")

    def argv(self, *argv: str) -> list[str]:
        """The runtime with its global options, in its view; ``wrap`` comes before all."""
        options = ["--cgroup-manager", self.manager] if self.runtime.name == "crun" else []
        return self.wrap + self.runtime.view(self.runtime.name, *options, "--root", str(self.work / "state"), *argv)

    def call(self, *argv: str, stdin: str = "", seconds: int = 60) -> Completed:
        """One command of the runtime."""
        return subprocess.run(
            self.argv(*argv),
            capture_output=True,
            text=True,
            env=CLEAN,
            input=stdin,  # never /dev/null: crun gives its standard streams to the container's user, the host's node included
            timeout=seconds,
            preexec_fn=allow_memlock if self.runtime == ("crun", 2) else None,
        )

    def write(self, script: str) -> None:
        """Write config.json, with this shell script as the container's command."""
        config = copy.deepcopy(self.config)
        config["process"]["args"] = ["sh", "-c", script]
        (self.work / "bundle/config.json").write_text(json.dumps(config), encoding="utf-8")

    def run(self, script: str, *, seconds: int = 60) -> Completed:
        """Run a shell script in the container."""
        self.write(script)
        return self.call("run", "--bundle", str(self.work / "bundle"), self.id, seconds=seconds)

    def start(self, script: str) -> subprocess.Popen[bytes]:
        """The same, without waiting for it; its output goes to ``output``."""
        self.write(script)
        with open(self.work / "output", "wb") as output:
            return subprocess.Popen(
                self.argv("run", "--bundle", str(self.work / "bundle"), self.id),
                env=CLEAN,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                preexec_fn=allow_memlock if self.runtime == ("crun", 2) else None,
            )

    def said(self) -> list[str]:
        """The messages of our log."""
        if not self.log.exists():
            return []
        return [json.loads(line)["msg"] for line in self.log.read_text(encoding="utf-8").splitlines()]

    def __enter__(self: B) -> B:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.call("delete", "--force", self.id)
        sweep_cgroups(self.id)
        for pid in processes_with(str(self.work)):  # what a failed test has left
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for point in reversed(mounts(self.work)):
            subprocess.run(["umount", "-l", point], check=False)
        forget([f"{self.work}/cdi"])
        shutil.rmtree(self.work)


def forget(directories: list[str]) -> None:
    """Remove what the hook remembers of these spec directories."""
    home = Path(memory.SYSTEM_HOME)
    (home / index.file_name(directories)).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        home.rmdir()


def cgroup_directories(name: str) -> list[Path]:
    """The cgroup of this name, in each hierarchy that has it."""
    return [path for path in Path("/sys/fs/cgroup").glob(f"*/{name}") if path.is_dir()]


def sweep_cgroups(name: str) -> None:
    """Remove a container's cgroups that a failed test has left."""
    end = time.monotonic() + 5
    while (left := cgroup_directories(name)) and time.monotonic() < end:
        for path in left:
            with contextlib.suppress(OSError):
                path.rmdir()


@contextlib.contextmanager
def forbidding(name: str) -> Iterator[list[str]]:
    """A cgroup of version 1 that allows every device but FUSE. Yields the words that put a command into it."""
    place = Path("/sys/fs/cgroup/devices", f"{name}-other")
    if not os.path.ismount(place.parent):
        pytest.skip("no devices hierarchy of cgroup version 1")
    place.mkdir()
    try:
        (place / "devices.deny").write_text("c 10:229 rwm", encoding="ascii")
        yield ["sh", "-c", f'echo $$ >{place}/cgroup.procs && exec "$@"', "sh"]
    finally:
        end = time.monotonic() + 10
        while place.exists() and time.monotonic() < end:
            with contextlib.suppress(OSError):  # what was in it is about to end
                place.rmdir()


def processes_with(word: str) -> list[int]:
    """Living processes whose command line names this."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(word) in line:
            found.append(int(name))
    return found


def mounts(under: Path) -> list[str]:
    """Mount points at or below a directory, in the order of mounting."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split()[4] for line in lines]
    return [point for point in points if point == str(under) or point.startswith(f"{under}/")]


def tree(path: Path) -> list[tuple[str, int, int, int, int]]:
    """Everything in a directory with its type, mode, owner and size: to see that nothing has changed."""
    found = []
    for place, directories, files in os.walk(path):
        for name in sorted([*directories, *files]):
            status = os.lstat(os.path.join(place, name))
            size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
            found.append((os.path.relpath(os.path.join(place, name), path), status.st_mode, status.st_uid, status.st_rdev, size))
    return sorted(found)


@contextlib.contextmanager
def unchanged_host(*watched: Path) -> Iterator[None]:
    """Nothing of ours is left on the host afterwards: no mount (all that these tests mount has ``cdihook`` in its line, wherever it
    would be attached), no file or node in the watched directories, and no change of the nodes in ``/dev`` that a container has too."""

    def look() -> tuple[object, ...]:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        return (
            [line for line in lines if PREFIX in line],
            [tree(path) for path in watched],
            [_identity(Path("/dev", name)) for name in _NODES],
        )

    before = look()
    yield
    after = look()
    assert after == before


_NODES = ("null", "zero", "full", "random", "urandom", "tty", "fuse", "acme", "pipe", "one", "victim")


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_ino
