"""Real engines for tests: each with a root, a state directory and a socket of its own, started here and ended here, by pid.

Everything lives below one work directory with a short unique name (a unix socket's path has 108 bytes at most). Ending an engine removes
its containers, ends the daemon and whatever process still names the work directory, and unmounts what is left below it.

    with Containerd(work, images, config=text) as engine:
        engine.ctr("run", "--rm", "localhost/busybox:latest", "c1", "env")
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from .cri import Cri
from .host import (
    CLEAN,
    PREFIX,
    Completed,
    Images,
    build_images,
    end,
    in_cgroup_v1,
    missing,
    mounts,
    plain_user,
    processes,
    run,
    sweep,
    sweep_cgroups,
    wait_for,
)

__all__ = [
    "BUSYBOX",
    "CLEAN",
    "DOCKER",
    "PREFIX",
    "Completed",
    "Containerd",
    "Dockerd",
    "Engine",
    "Images",
    "Pod",
    "Podman",
    "build_images",
    "end",
    "in_cgroup_v1",
    "missing",
    "mounts",
    "plain_user",
    "processes",
    "run",
    "sweep",
    "sweep_cgroups",
    "wait_for",
]

DOCKER = "/usr/bin/docker"
"""Debian's client: another one may come first on PATH."""

BUSYBOX = "localhost/busybox:latest"

E = TypeVar("E", bound="Engine")


class Engine:
    """A daemon and its work directory. Subclasses say how it is called, when it is ready and how its containers are removed."""

    def __init__(self, work: Path, images: Images, *, env: Mapping[str, str] | None = None) -> None:
        self.work = work
        self.images = images
        self.env = {**CLEAN, **(env or {})}
        self.log = work / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None
        work.mkdir(parents=True, exist_ok=True)

    def argv(self) -> list[str]:
        """The daemon's command line."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Does the daemon answer?"""
        raise NotImplementedError

    def clean(self) -> None:
        """Remove every container, while the daemon still runs."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv(), env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(lambda: self.alive() and self.ready(), what=f"{self.argv()[0]} (its log: {self.tail()})")
        except BaseException:
            self.stop()
            raise

    def alive(self) -> bool:
        """Is the daemon's process there? Raises AssertionError with the end of its log when it died."""
        assert self.process is not None
        assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}: {self.tail()}"
        return True

    def tail(self) -> str:
        """The end of the daemon's log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def stop(self) -> None:
        """End the daemon, politely at first."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def restart(self) -> None:
        """What the administrator does after ``configure``."""
        self.stop()
        self.start()

    def __enter__(self: E) -> E:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self.process is not None and self.process.poll() is None:
                self.clean()
        finally:
            self.stop()
            sweep(self.work)


class Containerd(Engine):
    """containerd with CRI and ``ctr``. ``config`` is the text of its file; without one, :meth:`base_config` is written."""

    def __init__(self, work: Path, images: Images, *, config: str = "", env: Mapping[str, str] | None = None) -> None:
        super().__init__(work, images, env=env)
        self.socket = work / "c.sock"
        self.config = work / "config.toml"
        self.cri = Cri(self.socket)
        self.config.write_text(config or self.base_config(), encoding="utf-8")

    def base_config(self) -> str:
        """A version 2 config without any runtime in it: private paths, and what a machine without CAP_SYS_RESOURCE needs."""
        (self.work / "cni").mkdir(exist_ok=True)
        loopback = {
            "cniVersion": "0.4.0",
            "name": PREFIX,
            "plugins": [{"type": "loopback"}],
        }  # the CRI plugin wants one network to be ready
        (self.work / "cni/10.conflist").write_text(json.dumps(loopback), encoding="utf-8")
        return f"""# containerd of a test
version = 2
root = "{self.work}/root"
state = "{self.work}/state"

[grpc]
  address = "{self.socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{self.work}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:latest"
  restrict_oom_score_adj = true  # without CAP_SYS_RESOURCE no sandbox starts otherwise
  disable_apparmor = true
  stream_server_address = "127.0.0.1"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{self.work}/cni"
"""

    def argv(self) -> list[str]:
        return ["containerd", "-c", str(self.config)]

    def ready(self) -> bool:
        return self.ctr("version", check=False).returncode == 0

    def start(self) -> None:
        super().start()
        for namespace in ("default", "k8s.io"):
            for archive in self.images.oci.values():
                self.ctr("-n", namespace, "images", "import", archive)

    def ctr(self, *argv: str | Path, check: bool = True) -> Completed:
        """Run ``ctr`` against this daemon."""
        return run("ctr", "-a", self.socket, *argv, check=check, env=self.env)

    def clean(self) -> None:
        for namespace in ("default", "k8s.io"):
            for name in self.ctr("-n", namespace, "tasks", "ls", "-q", check=False).stdout.split():
                self.ctr("-n", namespace, "tasks", "delete", "-f", name, check=False)
            for name in self.ctr("-n", namespace, "containers", "ls", "-q", check=False).stdout.split():
                self.ctr("-n", namespace, "containers", "delete", name, check=False)

    @contextlib.contextmanager
    def pod(self, handler: str, annotations: Mapping[str, str] | None = None) -> Iterator[Pod]:
        """A pod sandbox, removed with its containers at the end."""
        name = f"{PREFIX}-{os.urandom(4).hex()}"
        config = Cri.pod(name, annotations)
        pod = Pod(self.cri, config, self.cri.run_pod(config, handler))
        try:
            yield pod
        finally:
            for container in pod.containers:
                with contextlib.suppress(Exception):
                    self.cri.remove(container)
            self.cri.remove_pod(pod.sandbox)


class Pod:
    """A sandbox and the containers made in it."""

    def __init__(self, cri: Cri, config: dict[int, object], sandbox: str) -> None:
        self.cri = cri
        self.config = config
        self.sandbox = sandbox
        self.containers: list[str] = []

    def create(self, annotations: Mapping[str, str] | None = None, *, command: tuple[str, ...] = ("sleep", "1000")) -> str:
        """CreateContainer with the container's own annotations; the id."""
        name = f"c{len(self.containers)}"
        self.containers.append(self.cri.create(self.sandbox, self.config, name=name, annotations=annotations, command=command))
        return self.containers[-1]


class Dockerd(Engine):
    """dockerd with a containerd of its own. ``config`` is the text of daemon.json; without one, :meth:`base_config` is written."""

    def __init__(self, work: Path, images: Images, *, config: str = "", env: Mapping[str, str] | None = None) -> None:
        super().__init__(work, images, env=env)
        self.socket = work / "d.sock"
        self.config = work / "daemon.json"
        self.config.write_text(config or self.base_config(), encoding="utf-8")

    def base_config(self) -> str:
        """Private paths, and no network of any kind."""
        paths = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        settings: dict[str, object] = {key: f"{self.work}/{name}" for key, name in paths.items()}
        settings.update({"hosts": [f"unix://{self.socket}"], "bridge": "none", "cgroup-parent": f"/{PREFIX}"})
        settings.update(dict.fromkeys(("iptables", "ip6tables", "ip-forward", "userland-proxy"), False))
        return json.dumps(settings, indent=2) + "\n"

    def argv(self) -> list[str]:
        return ["dockerd", "--config-file", str(self.config)]

    def ready(self) -> bool:
        return self.docker("version", check=False).returncode == 0

    def start(self) -> None:
        super().start()
        self.docker("load", "-q", "-i", self.images.docker["busybox"])

    def reload(self) -> None:
        """What ``systemctl reload docker`` does; waits until the daemon says that it is done."""
        assert self.process is not None
        done = "Reloaded configuration"
        before = self.tail().count(done)
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.tail().count(done) > before, what="the reload")

    def docker(self, *argv: str | Path, check: bool = True) -> Completed:
        """Run the docker client against this daemon."""
        return run(DOCKER, "-H", f"unix://{self.socket}", *argv, check=check, env=self.env)

    def clean(self) -> None:
        for name in self.docker("ps", "-aq", check=False).stdout.split():
            self.docker("rm", "-f", name, check=False)


class Podman:
    """podman with storage and a containers.conf of its own; ``user`` (and its ``home``) runs it rootless.

    ``own_config``: the containers.conf is the user's own below ``~/.config``, where drop-ins are read too.
    """

    def __init__(self, work: Path, images: Images, *, user: str = "", home: Path | None = None, own_config: bool = False) -> None:
        self.work = work
        self.images = images
        self.user = user
        self.config = work / "containers.conf"
        self.xdg = work / "xdg"
        work.mkdir(parents=True, exist_ok=True)
        self.xdg.mkdir(mode=0o700, exist_ok=True)
        self.env = {**CLEAN, "CONTAINERS_CONF": str(self.config)}
        if user:
            shutil.chown(self.xdg, user, user)
            work.chmod(0o755)
            self.env.update({"HOME": str(home), "XDG_RUNTIME_DIR": str(self.xdg)})
        if own_config and home is not None:
            del self.env["CONTAINERS_CONF"]
            self.config = home / ".config/containers/containers.conf"
            run(*self.as_user("mkdir", "-p", self.config.parent))
        self.config.write_text(self.base_config(), encoding="utf-8")

    def base_config(self) -> str:
        """runc by default, cgroupfs, no journal, no locks in /dev/shm, and limits that need no CAP_SYS_RESOURCE."""
        return """# containers.conf of a test
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
"""

    def argv(self, *argv: str | Path) -> list[str]:
        """podman's command line for these arguments."""
        words = [str(word) for word in argv]
        if self.user:
            return self.as_user("podman", *words)
        places = {"--root": "root", "--runroot": "runroot", "--tmpdir": "tmp"}
        return ["podman", *(word for option, name in places.items() for word in (option, str(self.work / name))), *words]

    def as_user(self, *argv: str | Path) -> list[str]:
        """A command line that runs as the user."""
        return ["setpriv", "--reuid", self.user, "--regid", self.user, "--init-groups", *map(str, argv)]

    def podman(self, *argv: str | Path, check: bool = True, crun: bool = False) -> Completed:
        """Run podman; ``crun`` hides the cgroup mount that crun refuses."""
        words = self.argv(*argv)
        return run(*(in_cgroup_v1(*words) if crun else words), check=check, env=self.env)

    def __enter__(self) -> Podman:
        archive = self.work / "busybox.tar"
        shutil.copy(self.images.oci["busybox"], archive)  # where a plain user can read it
        archive.chmod(0o644)
        self.podman("load", "-q", "-i", archive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.podman("rm", "-f", "-a", "-t", "0", check=False)
            if self.user:
                self.podman("unshare", "rm", "-rf", Path(self.env["HOME"], ".local"), check=False)
        finally:
            sweep(self.work)
