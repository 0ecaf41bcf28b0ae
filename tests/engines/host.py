"""What tests on real engines need of the host: commands, processes, mounts, cgroups, users, and the images that containers run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

PREFIX = "cdieng"
"""How everything begins that has a name outside of the work directory: users, cgroups, handlers."""

CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
"""The environment that an init system gives a daemon."""

Completed = subprocess.CompletedProcess[str]


def run(*argv: str | Path, check: bool = True, env: Mapping[str, str] | None = None, stdin: str = "", seconds: int = 120) -> Completed:
    """Run a command; on a failure that was not asked for, its output is the assertion's text."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, capture_output=True, text=True, env=env, input=stdin, timeout=seconds)
    assert not check or done.returncode == 0, f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def missing(*programs: str) -> str:
    """Why a test that needs these programs (and root) skips; empty when it can run."""
    absent = [name for name in programs if not shutil.which(name, path=CLEAN["PATH"])]
    if absent:
        return "not installed: " + ", ".join(absent)
    return "" if os.geteuid() == 0 else "needs root"


def wait_for(ready: Callable[[], bool], seconds: float = 30, *, what: str) -> None:
    """Ask again and again until ``ready`` says yes; the assertion names ``what`` it waited for."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def processes(word: str) -> list[int]:
    """Pids whose command line or environment names ``word`` (a work directory), without this one."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        if int(name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            text = Path("/proc", name, "cmdline").read_bytes() + Path("/proc", name, "environ").read_bytes()
            if word.encode() in text:
                found.append(int(name))
    return found


def end(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to each of these pids; one that is gone is no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def mounts(under: Path) -> list[str]:
    """Mount points at or below a directory, the deepest first."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split()[4].replace("\\040", " ") for line in lines]
    return sorted((point for point in points if point == str(under) or point.startswith(f"{under}/")), key=len, reverse=True)


def sweep(work: Path) -> None:
    """End every process that names ``work`` and unmount everything below it."""
    for _ in range(20):
        pids = processes(str(work))
        end(pids)
        if not pids:
            break
        time.sleep(0.1)
    for point in mounts(work):
        run("umount", "-l", point, check=False)


def sweep_cgroups() -> None:
    """Remove the parent cgroups that engines leave empty; one that is in use stays (the kernel refuses)."""
    for controller in Path("/sys/fs/cgroup").iterdir():
        for parent in (PREFIX, "default", "libpod_parent"):
            for place, _, _ in os.walk(controller / parent, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(place)


def in_cgroup_v1(*argv: str | Path) -> list[str]:
    """A command for engines with crun, which refuses a hybrid layout: it sees the host's cgroup v1 tree without the ``unified`` mount."""
    words = [str(word) for word in argv]
    if not os.path.ismount("/sys/fs/cgroup/unified"):
        return words
    script = 'umount /sys/fs/cgroup/unified && exec "$@"'
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *words]


class Images(NamedTuple):
    """Archives of the two test images, busybox and pause, in the form that each engine loads."""

    oci: dict[str, Path]
    docker: dict[str, Path]
    rootfs: Path


def build_images(work: Path) -> Images:
    """Make both images from Debian's static busybox, without a network."""
    rootfs = work / "rootfs"
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin/busybox")
    run("chroot", rootfs, "/bin/busybox", "--install", "-s", "/bin")
    (rootfs / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="ascii")
    (rootfs / "etc/group").write_text("root:x:0:\n", encoding="ascii")
    layout = work / "layout"
    run("umoci", "init", "--layout", layout)
    images = Images({}, {}, rootfs)
    starts = {"busybox": ["--config.cmd", "/bin/sh"], "pause": ["--config.entrypoint", "/bin/sleep", "--config.entrypoint", "1000000"]}
    for name, start in starts.items():
        run("umoci", "new", "--image", f"{layout}:{name}")
        run("umoci", "insert", "--image", f"{layout}:{name}", rootfs, "/")
        run("umoci", "config", "--image", f"{layout}:{name}", "--config.env", "PATH=/bin", *start)
        for form, archives in (("oci", images.oci), ("docker", images.docker)):
            archives[name] = work / f"{name}.{form}.tar"
            target = f"{form}-archive:{archives[name]}:localhost/{name}:latest"
            run("skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}:{name}", target)
    return images


@contextlib.contextmanager
def plain_user(name: str) -> Iterator[Path]:
    """An unprivileged user with subordinate ids; yields the home directory, and removes user and home at the end."""
    run("useradd", "-m", name)
    try:
        yield Path("/home", name)
    finally:
        end(_processes_of(name))
        time.sleep(0.2)
        run("userdel", "-r", name, check=False)


def _processes_of(user: str) -> list[int]:
    done = run("ps", "-u", user, "-o", "pid=", check=False)
    return [int(word) for word in done.stdout.split()]
