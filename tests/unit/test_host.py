"""What stands at a path of the host."""

from __future__ import annotations

import os
import posix
from pathlib import Path

import pytest

from cdi_hook import host

NULL = ("c", 1, 3, 0o666)


def test_a_device_node() -> None:
    stat = os.lstat("/dev/null")
    assert host.node("/dev/null") == ("c", os.major(stat.st_rdev), os.minor(stat.st_rdev), stat.st_mode & 0o7777)
    assert host.node("/dev/null") == NULL


def test_other_things(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o640)
    (tmp_path / "file").touch(mode=0o600)
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "dangling").symlink_to("nowhere")
    found = {name: host.node(str(tmp_path / name)) for name in ("fifo", "file", "link", "dangling", "nothing", "file/below")}
    assert found == {
        "fifo": ("p", 0, 0, 0o640),
        "file": ("", 0, 0, 0o600),
        "link": ("", 0, 0, 0o777),
        "dangling": ("", 0, 0, 0o777),
        "nothing": None,
        "file/below": None,
    }
    assert host.node("a\0b") is None


def test_the_sticky_and_set_id_bits_count_as_permission(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "fifo").chmod(0o4755)
    assert host.node(str(tmp_path / "fifo")) == ("p", 0, 0, 0o4755)


def test_exists(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    found = {name: host.exists(str(tmp_path / name)) for name in ("file", "link", "dangling", "loop", "nothing", "file/below", ".")}
    assert found == {"file": True, "link": True, "dangling": False, "loop": True, "nothing": False, "file/below": False, ".": True}
    assert host.exists("a\0b") is False


def test_what_may_not_be_looked_at_counts_as_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> object:
        raise PermissionError(13, "no")

    monkeypatch.setattr(posix, "stat", refuse)
    assert host.exists("/root/secret") is True


@pytest.mark.parametrize(
    ("uid_map", "inside"),
    [
        pytest.param(b"         0          0 4294967295\n", False, id="the first namespace"),
        pytest.param(b"         0       1000          1\n         1     100000      65536\n", True, id="rootless"),
        pytest.param(b"         0     100000 4294867295\n", True, id="shifted"),
        pytest.param(b"", True, id="a namespace without a map yet"),
    ],
)
def test_user_namespace(uid_map: bytes, inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "uid_map"
    file.write_bytes(uid_map)
    real = posix.open
    monkeypatch.setattr(posix, "open", lambda path, flags: real(str(file) if path == "/proc/self/uid_map" else path, flags))
    before = sorted(os.listdir("/proc/self/fd"))
    assert host.in_user_namespace() is inside
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int) -> int:
        raise FileNotFoundError(2, path)

    monkeypatch.setattr(posix, "open", refuse)
    assert host.in_user_namespace() is False
