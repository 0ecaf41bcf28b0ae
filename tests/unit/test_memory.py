"""``memory.replace``: whole or not at all, with mode and owner."""

from __future__ import annotations

import os
import posix
from pathlib import Path

import pytest

from cdi_hook.memory import replace


def test_a_new_file_has_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "new"
    old_mask = os.umask(0o077)
    try:
        replace(str(path), b"text", mode=0o664)
    finally:
        os.umask(old_mask)
    assert path.read_bytes() == b"text"
    assert path.stat().st_mode & 0o7777 == 0o664


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o400])
def test_an_old_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"old")
    path.chmod(mode)
    replace(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o7777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_an_old_file_keeps_its_owner_and_with_it_its_special_bits(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.touch()
    os.chown(path, 1, 2)
    path.chmod(0o4750)
    replace(str(path), b"new")
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o7777) == (1, 2, 0o4750)


def test_who_may_not_give_files_away_becomes_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "old"
    path.write_bytes(b"old")
    path.chmod(0o640)
    monkeypatch.setattr(posix, "fchown", refuse)
    replace(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize("call", ["fsync", "rename", "fchmod"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "old"
    path.write_bytes(b"old")
    monkeypatch.setattr(posix, call, fail)
    with pytest.raises(OSError, match="No space left"):
        replace(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["old"]


def test_a_name_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    replace("plain", b"text")
    assert (tmp_path / "plain").read_bytes() == b"text"
