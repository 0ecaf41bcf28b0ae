"""``cdi-hook helper`` as a createContainer hook of real runtimes: links, the linker's cache, permissions, and images made by an enemy."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.linux.test_elf import made

from .hookbundle import _MAPPED, CLEAN, Bundle, Completed, Runtime, ids, missing, unchanged_host

pytestmark = pytest.mark.skipif(bool(missing("runc", "crun", "busybox", "ldconfig")), reason=missing("runc", "crun", "busybox", "ldconfig"))

RUNTIMES = [Runtime("runc", 1), Runtime("crun", 1)]
every_runtime = pytest.mark.parametrize("runtime", RUNTIMES, ids=ids)
either_user = pytest.mark.parametrize("userns", [False, True], ids=["root", "userns"])


class Helped(Bundle):
    """A bundle whose config names helper hooks, and a victim on the host."""

    def __init__(self, runtime: Runtime, *, userns: bool = False) -> None:
        super().__init__(runtime, userns=userns)
        self.config["hooks"] = {"createContainer": []}
        del self.config["annotations"]
        self.victim = self.work / "victim"
        self.victim.mkdir()
        (self.victim / "secret").write_text("of the host\n", encoding="ascii")
        (self.victim / "secret").chmod(0o600)

    def help(self, *args: str) -> None:
        """One more hook."""
        hook = {"path": str(self.program), "args": ["cdi-hook", "helper", *args], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}
        self.config["hooks"]["createContainer"].append(hook)

    def put(self, path: str, content: bytes | str) -> None:
        """A file of the image."""
        place = self.rootfs / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.give(path)

    def give(self, path: str) -> None:
        """To the container's root, with the directories above."""
        if self.userns:
            for place in [self.rootfs / path, *(self.rootfs / path).parents]:
                if self.rootfs in place.parents:
                    os.lchown(place, _MAPPED, _MAPPED)

    def bind(self, source: Path, path: str) -> None:
        """A mount of the host, writable."""
        self.config["mounts"].append({"destination": path, "source": str(source), "type": "bind", "options": ["rbind", "rw"]})


@every_runtime
@either_user
def test_links(runtime: Runtime, userns: bool) -> None:
    with Helped(runtime, userns=userns) as bundle:
        bundle.put("usr/lib/libcuda.so", "an old one")
        links = {"libcuda.so.1": "/usr/lib/libcuda.so", "../x y": "/new/below/here", "/absolute": "/etc/link"}
        bundle.help("create-symlinks", *(word for text, path in links.items() for word in ("--link", f"{text}::{path}")))
        bundle.help("create-symlinks", "--link=libcuda.so.1::/usr/lib/libcuda.so")
        with unchanged_host(bundle.victim):
            done = bundle.run("; ".join(f"readlink {path}" for path in links.values()) + "; ls -A /usr/lib")
        assert (done.stdout, done.stderr, done.returncode) == ("".join(f"{text}\n" for text in links) + "libcuda.so\n", "", 0)


@every_runtime
@either_user
def test_permissions(runtime: Runtime, userns: bool) -> None:
    with Helped(runtime, userns=userns) as bundle:
        bundle.put("opt/driver/file", "text")
        (bundle.rootfs / "opt/link").symlink_to("/opt/driver")
        bundle.help("chmod", "--mode", "751", "--path", "/opt/link", "--path", "/not/there")
        bundle.help("chmod", "--mode=0640", "/opt/driver/file", "/dev/shm")
        with unchanged_host(bundle.victim):
            done = bundle.run("stat -c %a /opt/driver /opt/driver/file /dev/shm")
        assert (done.stdout, done.stderr, done.returncode) == ("751\n640\n640\n", "", 0)


@every_runtime
@either_user
def test_cache(runtime: Runtime, userns: bool) -> None:
    """The cache knows the library by its SONAME, links lead to the newest, and the image's own configuration counts as before."""
    with Helped(runtime, userns=userns) as bundle:
        real = next(path for path in Path("/lib").glob("*-linux-gnu/libz.so.1*") if not path.is_symlink())
        bundle.put("opt/vendor/lib/libz.so.1.2.9", made(b"libz.so.1"))
        bundle.put(f"opt/vendor/lib/{real.name}", real.read_bytes())
        bundle.put("opt/own/liby.so.1", real.read_bytes())
        bundle.put("etc/ld.so.conf", "/opt/own\n")
        bundle.help("update-ldcache", "--folder", "/opt/vendor/lib")
        with unchanged_host(bundle.victim):
            shown = "readlink /opt/vendor/lib/libz.so.1; cat /etc/ld.so.conf /etc/ld.so.conf.d/*; stat -c %a /etc/ld.so.cache"
            done = bundle.run(f"{shown}; ls /proc | head -1")
        assert (done.stdout.splitlines()[:4], done.stderr) == ([real.name, "/opt/own", "/opt/vendor/lib", "644"], "")
        assert done.stdout.splitlines()[4:] == ["1"], "the container's own /proc is as it was"
        cache = subprocess.run(
            ["/sbin/ldconfig", "-p", "-C", bundle.rootfs / "etc/ld.so.cache"], capture_output=True, text=True, check=True
        ).stdout
        assert "/opt/vendor/lib/libz.so.1" in cache
        assert "liby.so.1 (" in cache or "/opt/own/" in cache
        assert not list((bundle.rootfs / "proc").iterdir())


@every_runtime
def test_cache_without_any_configuration(runtime: Runtime) -> None:
    with Helped(runtime) as bundle:
        bundle.put("lib/ld-musl-x86_64.so.1", "musl")
        bundle.help("update-ldcache", "--folder", "/opt/a", "--folder", "/opt/b")
        bundle.help("update-ldcache", "--folder", "/opt/c")
        done = bundle.run("cat /etc/ld.so.conf /etc/ld.so.conf.d/*; cat /etc/ld-musl-x86_64.path | tr '\\n' ' '")
        assert done.stdout == "include /etc/ld.so.conf.d/*.conf\n/opt/a\n/opt/b\n/opt/c\n/opt/a /opt/b /opt/c /lib /usr/local/lib /usr/lib "
        assert done.stderr == ""


# --- images made by an enemy


@every_runtime
@either_user
@pytest.mark.parametrize("to", ["../../../../../../../../../..{victim}", "{victim}", "/proc/1/root{victim}", "/proc/self/cwd{victim}"])
def test_links_to_the_host_lead_into_the_container(runtime: Runtime, userns: bool, to: str) -> None:
    with Helped(runtime, userns=userns) as bundle:
        target = to.format(victim=bundle.victim)
        (bundle.rootfs / "usr").mkdir()
        (bundle.rootfs / "usr/lib").symlink_to(target)
        (bundle.rootfs / "opt").symlink_to(f"{target}/secret")
        shutil.rmtree(bundle.rootfs / "etc")
        (bundle.rootfs / "etc").symlink_to(target)
        bundle.give("usr")
        bundle.help("create-symlinks", "--link", "a::/usr/lib/evil", "--on-error=warn")
        bundle.help("chmod", "--mode=777", "/opt", "--on-error=warn")
        bundle.help("update-ldcache", "--folder=/usr/lib", "--on-error=warn")
        with unchanged_host(bundle.victim):
            bundle.run("true")
        assert stat.S_IMODE((bundle.victim / "secret").stat().st_mode) == 0o600


@every_runtime
@either_user
def test_what_is_mounted_from_the_host_is_not_changed(runtime: Runtime, userns: bool) -> None:
    with Helped(runtime, userns=userns) as bundle:
        if userns:
            for path in (bundle.victim, bundle.victim / "secret"):
                os.chown(path, _MAPPED, _MAPPED)
        (bundle.rootfs / "usr").mkdir()
        (bundle.rootfs / "usr/lib").symlink_to("/volume")
        bundle.give("usr")
        bundle.bind(bundle.victim, "/volume")
        for args in (
            ("create-symlinks", "--link", "a::/usr/lib/evil"),
            ("create-symlinks", "--link", "a::/usr/lib/not/there/evil"),
            ("chmod", "--mode=777", "/usr/lib/secret"),
        ):
            bundle.config["hooks"]["createContainer"] = []
            bundle.help(*args)
            with unchanged_host(bundle.victim):
                done = bundle.run("true")
            assert done.returncode != 0
            if runtime.name == "runc":
                assert "is on a file system of the host, where a container's hook changes nothing" in done.stderr


@every_runtime
def test_hostile_configuration_of_the_linker(runtime: Runtime) -> None:
    """It includes itself, devices, FIFOs and the host's files, and its cache is a link to the host."""
    with Helped(runtime) as bundle:
        bundle.put(
            "etc/ld.so.conf", f"include /etc/ld.so.conf\ninclude /dev/*\ninclude /etc/fifo*\ninclude {bundle.victim}/*\n/dev\n/proc\n"
        )
        bundle.put("lib/libevil.so.1", b"\x7fELF" + b"\xff" * 4096)
        os.mkfifo(bundle.rootfs / "lib/libfifo.so.1")
        (bundle.rootfs / "lib/libdev.so.1").symlink_to("/dev/zero")
        (bundle.rootfs / "etc/ld.so.cache").symlink_to(bundle.victim / "secret")
        (bundle.rootfs / "etc/ld.so.conf.d").mkdir()
        (bundle.rootfs / "etc/ld.so.conf.d/00-cdi-hook.conf").symlink_to(bundle.victim / "secret")
        bundle.help("update-ldcache", "--folder", "/lib")
        with unchanged_host(bundle.victim):
            done = bundle.run("test -f /etc/ld.so.cache -a ! -L /etc/ld.so.cache && echo replaced; cat /etc/ld.so.conf.d/*")
        assert (done.stdout, done.stderr) == ("replaced\n/lib\n", "")


@every_runtime
def test_no_program_and_no_environment_of_the_image(runtime: Runtime) -> None:
    with Helped(runtime) as bundle:
        for path in ("sbin/ldconfig", "usr/sbin/ldconfig", "lib/ld-linux-x86-64.so.2"):
            bundle.put(path, "#!/bin/sh\necho evil >/evil\n")
            (bundle.rootfs / path).chmod(0o755)
        bundle.config["process"]["env"] += ["LD_PRELOAD=/evil.so", "PYTHONPATH=/evil", "PYTHONSTARTUP=/evil.py"]
        bundle.help("update-ldcache", "--folder", "/opt/lib")
        done = bundle.run("ls /evil; test -s /etc/ld.so.cache && echo cache")
        assert done.stdout == "cache\n"


@every_runtime
def test_read_only_root(runtime: Runtime) -> None:
    """It takes no container down when the spec says so, and says why when it does."""
    with Helped(runtime) as bundle:
        (bundle.rootfs / "usr").mkdir()
        # A file system that is read-only itself: crun binds the root anew, writable.
        script = (
            f"mount -t tmpfs cdihook-tmpfs {bundle.host} && cp -a {bundle.rootfs}/. {bundle.host} && mount -o remount,ro {bundle.host}"
            f' && mount --bind {bundle.host} {bundle.rootfs} && exec "$@"'
        )
        bundle.wrap = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"]
        bundle.help("create-symlinks", "--link", "a::/usr/b", "--on-error", "warn")
        bundle.help("update-ldcache", "--folder", "/usr", "--on-error=warn")
        assert bundle.run("echo started").stdout == "started\n"
        bundle.config["hooks"]["createContainer"] = []
        bundle.help("create-symlinks", "--link", "a::/usr/b")
        done = bundle.run("echo started")
        assert (done.returncode != 0, done.stdout) == (True, "")
        if runtime.name == "runc":
            assert "cdi-hook: helper: symlinkat on /usr/b in the container: the file system is read-only (EROFS)" in done.stderr


# --- wrong use


def call(bundle: Helped, *args: str, stdin: str = "{}") -> Completed:
    return subprocess.run([bundle.program, "helper", *args], input=stdin, capture_output=True, text=True, env=CLEAN, check=False)


WRONG = {
    "no helper": ((), "the following arguments are required: HELPER"),
    "unknown": (("make-coffee",), "invalid choice: 'make-coffee'"),
    "no pair": (("create-symlinks", "--link", "a:b"), '"a:b" is not TARGET::PATH'),
    "three parts": (("create-symlinks", "--link", "a::b::c"), '"a::b::c" is not TARGET::PATH'),
    "no mode": (("chmod", "/x"), "the following arguments are required: --mode"),
    "a mode that is none": (("chmod", "--mode", "u+x", "/x"), '"u+x" is not a mode such as 0755'),
    "no state": (("create-symlinks", "--link", "a::/b"), "bundle: leads to no config.json"),
    "the host's own root": (("create-symlinks", "--link", "a::/b"), "is not mounted as a root in the container's mount namespace"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line(case: str) -> None:
    args, words = WRONG[case]
    with Helped(RUNTIMES[0]) as bundle:
        bundle.write("true")
        state: dict[str, Any] = {"bundle": str(bundle.work / "bundle")} if case == "the host's own root" else {}
        with unchanged_host(bundle.victim, bundle.rootfs):
            done = call(bundle, *args, stdin=json.dumps(state))
        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr
        assert done.stderr.startswith("cdi-hook: helper: ")
        assert done.stderr.count("\n") == 1
