"""Which cgroups are the container's own, and the rules of version 1 on a directory that stands for one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cdi_hook.errors import CdiError, KernelError
from cdi_hook.linux import cgroup, namespaces, syscalls
from cdi_hook.linux.cgroup import Cgroups, Mount

OWN = {
    "the container's only": ("/pod/abc", "abc", ["/pod/abc"]),
    "below it (crun, systemd)": ("/pod/abc.scope/container", "abc.scope", ["/pod/abc.scope", "/pod/abc.scope/container"]),
    "another name": ("/pod/xyz", "abc", ["/pod/xyz"]),
    "no name": ("/pod/xyz", "", ["/pod/xyz"]),
    "the name twice": ("/abc/abc/c", "abc", ["/abc/abc", "/abc/abc/c"]),
    "the root": ("/", "abc", ["/"]),
}


@pytest.mark.parametrize(("path", "name", "own"), OWN.values(), ids=OWN)
def test_own(path: str, name: str, own: list[str]) -> None:
    assert cgroup._own(path, name) == own


class FakeProcess:
    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, name: str) -> str:
        assert name == "cgroup"
        return self.text


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``tmp_path`` with two mounted hierarchies: ``v1`` shows the cgroup /top alone, ``v2`` everything."""
    for name in ("v1/pod", "v2/top/pod"):
        (tmp_path / name).mkdir(parents=True)
    mounts = [Mount("/top", f"{tmp_path}/v1", 1)], [Mount("/", f"{tmp_path}/v2", 1)]
    monkeypatch.setattr(cgroup, "_mounts", lambda: mounts)
    monkeypatch.setattr(syscalls, "filesystem_magic", lambda fd, what: 1)
    monkeypatch.setattr(namespaces, "own", {"cgroup": "5:devices:/engine\n0::/engine\n"}.get)
    return tmp_path


def find(text: str) -> Cgroups:
    process: Any = FakeProcess(text)
    return cgroup.find(process, "")


BOTH = "5:devices:/top/pod\n0::/top/pod\n"


def test_version_1_rules_where_it_is_mounted(world: Path) -> None:
    found = find(BOTH)
    assert (found.version, [name for _, name in found.directories]) == (1, ["/top/pod"])
    assert os.path.samestat(os.fstat(found.directories[0][0]), (world / "v1/pod").stat())
    found.close()


def test_version_2_rules_where_version_1_is_not_mounted(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``/proc/PID/cgroup`` goes on listing hierarchies that nobody sees."""
    monkeypatch.setattr(cgroup, "_mounts", lambda: ([], [Mount("/", f"{world}/v2", 1)]))
    found = find(BOTH)
    assert found.version == 2
    assert os.path.samestat(os.fstat(found.directories[0][0]), (world / "v2/top/pod").stat())
    found.close()


@pytest.mark.parametrize("text", ["5:devices:/engine\n0::/pod\n", "5:devices:/engine\n"])
def test_container_in_our_own_cgroup_has_none(world: Path, text: str) -> None:
    """A rule there would be one of the engine, and stay when the container is gone."""
    found = find(text)
    assert (found.version, found.directories) == (0, [])


def test_nothing_is_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_mounts", lambda: ([], []))
    found = find(BOTH)
    assert (found.version, found.directories) == (0, [])


@pytest.mark.parametrize("path", ["/elsewhere", "/topmost/pod", "/top/../pod", "/top/gone", "/.."])
def test_cgroup_that_does_not_show(world: Path, path: str) -> None:
    with pytest.raises(CdiError, match=f"^the container's cgroup {path} does not show where cgroup v1 is mounted"):
        find(f"5:devices:{path}\n")


def test_another_file_system_in_the_place(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "filesystem_magic", lambda fd, what: 2)
    with pytest.raises(CdiError, match="does not show"):
        find(BOTH)


def test_mountinfo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real table of this process, whatever it is: every entry is a directory or hidden."""
    version_1, version_2 = cgroup._mounts()
    assert all(mount.point.startswith("/") and mount.root.startswith("/") for mount in version_1 + version_2)
    assert cgroup._plain("/a\\040b\\134c\\011") == "/a b\\c\t"


RULES = {
    "new": ("", "rwm", "c 10:229 rwm", "c 10:229 rwm"),
    "a part was there": ("c 10:229 r\n", "rwm", "c 10:229 rwm", "c 10:229 wm"),
    "all was there": ("c 10:229 rwm\n", "rw", "", ""),
    "a pattern has it": ("c 10:* rw\nc *:* m\n", "rwm", "", ""),
    "a pattern of the other type": ("b *:* rwm\n", "rw", "c 10:229 rw", "c 10:229 rw"),
    "everything is allowed": ("a *:* rwm\n", "rwm", "c 10:229 rwm", ""),
}


@pytest.mark.parametrize(("listed", "access", "allowed", "denied"), RULES.values(), ids=RULES)
def test_version_1(tmp_path: Path, listed: str, access: str, allowed: str, denied: str) -> None:
    """What is written to allow, and to take exactly that back."""
    for name, text in (("devices.list", listed), ("devices.allow", ""), ("devices.deny", "")):
        (tmp_path / name).write_text(text, encoding="ascii")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    groups = Cgroups(1, [(fd, "/pod")])
    undo = groups.allow([("c", 10, 229, access)])
    assert ((tmp_path / "devices.allow").read_text(), (tmp_path / "devices.deny").read_text()) == (allowed, "")
    for back in reversed(undo):
        back()
    assert (tmp_path / "devices.deny").read_text() == denied
    groups.close()


def test_version_1_that_refuses_takes_back_what_went_before(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "devices.list").touch()
    for name in ("devices.allow", "devices.deny"):
        (tmp_path / "one" / name).touch()
    fds = [os.open(tmp_path / name, os.O_RDONLY | os.O_DIRECTORY) for name in ("one", "two")]
    groups = Cgroups(1, [(fds[0], "/one"), (fds[1], "/two")])
    with pytest.raises(
        KernelError, match=r"^write on the device rules of cgroup /two \(devices.allow: c 1:2 r\): does not exist \(ENOENT\)$"
    ):
        groups.allow([("c", 1, 2, "r")])
    assert (tmp_path / "one/devices.deny").read_text() == "c 1:2 r"
    groups.close()
