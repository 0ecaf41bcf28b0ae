"""Bundles for real runtimes: a busybox root file system, a config, a CDI spec, and the wrapper in front of runc or crun.

Everything is below one directory that a container's mapped root can reach, and everything that was started is ended here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cdi_hook import memory
from cdi_hook.cdi import indexwriter

ROOT = Path(__file__).parents[2]
PREFIX = "cditest-"
"""How everything begins that has a name outside of our directory: containers and their cgroups."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNIFIED = "/sys/fs/cgroup/unified"
APPLETS = "sh cat echo env id ls stat sleep test true grep mount wc"

Config = dict[str, Any]


class Done(NamedTuple):
    status: int
    out: str
    err: str


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("real containers need root")


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """The directory of this session."""
    needs_root()
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    path.chmod(0o755)
    home = Path(memory.SYSTEM_HOME)
    was_there = home.is_dir()
    yield path
    forget(home, path, everything=not was_there)
    shutil.rmtree(path)


def forget(home: Path, ground: Path, *, everything: bool) -> None:
    """Remove what the wrapper remembers: of our specs, or everything if nothing was there before us."""
    if everything:
        shutil.rmtree(home, ignore_errors=True)
        return
    for file in home.glob("index-*"):
        with contextlib.suppress(OSError):  # another process rebuilds it, or has swept it
            if all(directory.startswith(f"{ground}/") for directory in indexwriter._dirs_of(str(file))):
                file.unlink()


@pytest.fixture(scope="session")
def rootfs(ground: Path) -> Path:
    """A root file system of busybox alone, with mount points, which the root of a user namespace could not make."""
    busybox = shutil.which("busybox", path=PATH)
    if busybox is None:
        pytest.skip("busybox is not installed (Debian: busybox-static)")
    path = ground / "rootfs"
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "run/cdi/tree"):
        (path / name).mkdir(parents=True)
    (path / "run" / "cdi" / "file").touch()
    shutil.copy(busybox, path / "bin" / "busybox")
    for name in APPLETS.split():
        (path / "bin" / name).symlink_to("busybox")
    (path / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    return path


@pytest.fixture(scope="session")
def installed(ground: Path) -> Path:
    """The wrapper, installed below a prefix of its own."""
    prefix = ground / "prefix"
    command = ["sh", str(ROOT / "packaging" / "install.sh"), "--prefix", str(prefix)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return prefix / "bin" / "cdi-runtime"


@pytest.fixture(scope="session")
def from_source(ground: Path) -> Path:
    """The wrapper, run from the source tree by the interpreter of the tests."""
    path = ground / "cdi-runtime-source"
    places = [str(ROOT), *(entry for entry in sys.path if entry.endswith("site-packages"))]
    code = f"import sys; sys.path[:0] = {places!r}; from cdi_hook.entrypoints.wrapper import main; sys.exit(main(sys.argv[1:]))"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S -B -c {json.dumps(code)} "$0" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def node() -> str:
    """A device node that a container does not get by itself."""
    for path in ("/dev/fuse", "/dev/kvm", "/dev/net/tun"):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.stat(path).st_mode):
                return path
    pytest.skip("this machine has none of /dev/fuse, /dev/kvm and /dev/net/tun")


class Bundle:
    """One bundle, and the wrapper that runs it."""

    def __init__(self, path: Path, rootfs: Path, wrapper: Path, runtime: str) -> None:
        self.path = path
        self.wrapper = wrapper
        self.runtime = runtime
        self.state = path / "state"
        self.specs = path / "specs"
        self.bundle = path / "bundle"
        self.log = path / "log"
        self.settings = path / "config.yaml"
        for directory in (self.specs, self.bundle):
            directory.mkdir(parents=True)
        self.settings.write_text(f"runtime: {runtime}\nspecDirs: [{self.specs}]\n")
        self.id = PREFIX + path.name
        self.config: Config = {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": ["/bin/sh", "-c", "true"],
                "env": ["PATH=/bin"],
                "cwd": "/",
                "capabilities": {name: ["CAP_MKNOD", "CAP_KILL"] for name in ("bounding", "effective", "permitted")},
            },
            "root": {"path": str(rootfs)},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            ],
            "linux": {
                "cgroupsPath": f"/{self.id}",
                "namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount", "network")],
                "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            },
        }

    @property
    def file(self) -> Path:
        return self.bundle / "config.json"

    def spec(self, kind: str, device: str, edits: dict[str, Any], version: str = "0.7.0") -> None:
        document = {"cdiVersion": version, "kind": kind, "devices": [{"name": device, "containerEdits": edits}]}
        (self.specs / f"{kind.replace('/', '-')}.json").write_text(json.dumps(document))

    def ask(self, *names: str) -> None:
        self.config["annotations"] = {"cdi.k8s.io/test": ",".join(names)}

    def script(self, text: str) -> None:
        self.config["process"]["args"] = ["/bin/sh", "-c", text]

    def write(self) -> bytes:
        """Write the config; returns its bytes."""
        data = json.dumps(self.config).encode()
        self.file.write_bytes(data)
        return data

    def user_namespace(self) -> None:
        self.config["linux"]["namespaces"].append({"type": "user"})
        for key in ("uidMappings", "gidMappings"):
            self.config["linux"][key] = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]

    def __call__(self, *args: str, stdin: str = "", pass_fds: tuple[int, ...] = ()) -> Done:
        """Call the wrapper as an engine does, with these arguments behind the global ones. Its output goes to files, since a container
        keeps the output of its create."""
        command = [str(self.wrapper), "--root", str(self.state), "--log", str(self.log), "--log-format", "json", *args]
        if self.runtime.endswith("crun") and os.path.ismount(UNIFIED):
            # crun refuses a hybrid layout whose unified part has controllers: without that mount it takes cgroup v1.
            hide = f'umount {UNIFIED} && exec "$@"'
            command = ["unshare", "-m", "--propagation", "private", "sh", "-c", hide, "sh", *command]
        environment = {"PATH": PATH, "CDI_HOOK_CONFIG": str(self.settings)}
        out, err = self.path / "stdout", self.path / "stderr"
        with out.open("w") as stdout, err.open("w") as stderr:
            done = subprocess.run(
                command,
                cwd=self.path,
                env=environment,
                input=stdin,
                stdout=stdout,
                stderr=stderr,
                text=True,
                timeout=60,
                check=False,
                pass_fds=pass_fds,
            )
        return Done(done.returncode, out.read_text(), err.read_text())

    def run(self, *args: str) -> Done:
        return self("run", "--bundle", str(self.bundle), *args, self.id)

    def stamp(self) -> tuple[int, int, int]:
        """What changes when somebody writes the config or its mode."""
        found = self.file.stat()
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns

    def seen(self) -> dict[str, str]:
        """Run the container; the lines ``key=value`` that it prints."""
        done = self.run()
        assert (done.status, done.err) == (0, ""), done
        return dict(line.split("=", 1) for line in done.out.splitlines())

    def logged(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture(params=["runc", "crun"])
def runtime(request: pytest.FixtureRequest) -> str:
    """The absolute path of a real runtime."""
    needs_root()
    name: str = request.param
    path = shutil.which(name, path=PATH)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def made(ground: Path, rootfs: Path, wrapper: Path, runtime: str) -> Iterator[Bundle]:
    bundle = Bundle(Path(tempfile.mkdtemp(prefix="b", dir=ground)), rootfs, wrapper, runtime)
    bundle.path.chmod(0o755)
    yield bundle
    bundle("delete", "--force", bundle.id)
    assert [path for path in Path("/sys/fs/cgroup").glob(f"*/{bundle.id}") if path.is_dir()] == []


@pytest.fixture
def bundle(ground: Path, rootfs: Path, installed: Path, runtime: str) -> Iterator[Bundle]:
    """A bundle behind the installed wrapper, for each real runtime."""
    yield from made(ground, rootfs, installed, runtime)


@pytest.fixture
def source_bundle(ground: Path, rootfs: Path, from_source: Path, runtime: str) -> Iterator[Bundle]:
    """The same behind the wrapper from the source tree."""
    yield from made(ground, rootfs, from_source, runtime)
