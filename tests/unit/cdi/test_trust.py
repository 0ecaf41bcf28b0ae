"""``cdi.trust``: who can change what is at a path, on a tree with owners of all kinds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cdi_hook.cdi import trust

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")

USER = 4711


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory that nobody but root can reach by a writable one: pytest's own is below a sticky /tmp."""
    for place in ("safe", "open", "sticky", "theirs", "group"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "file").write_text("x")
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "sticky").chmod(0o1777)
    (tmp_path / "group").chmod(0o775)
    os.chown(tmp_path / "theirs", USER, USER)
    os.chown(tmp_path / "group", 0, USER)
    (tmp_path / "sticky/their").write_text("x")
    os.chown(tmp_path / "sticky/their", USER, USER)
    (tmp_path / "sticky/link").symlink_to(tmp_path / "safe/file")
    (tmp_path / "open/link").symlink_to(tmp_path / "safe/file")
    (tmp_path / "safe/link").symlink_to("../open/link")
    (tmp_path / "safe/loop").symlink_to("loop")
    (tmp_path / "safe/write").write_text("x")
    (tmp_path / "safe/write").chmod(0o666)
    os.mkfifo(tmp_path / "safe/fifo")
    (tmp_path / "safe/fifo").chmod(0o666)
    return tmp_path


CASES = {
    "safe/file": "",
    "safe": "",
    "safe/not/there": "",
    "safe/loop": "",
    "safe/fifo": "",
    "safe/write": "{tree}/safe/write is writable by everybody",
    "open/file": "{tree}/open is writable by everybody",
    "open": "{tree}/open is writable by everybody",
    "sticky/file": "",
    "sticky": "",
    "sticky/link": "",
    "sticky/their": "{tree}/sticky is writable by everybody",
    "theirs/file": "{tree}/theirs belongs to user 4711",
    "group/file": "{tree}/group is writable by group 4711",
    "open/link": "{tree}/open is writable by everybody",
    "safe/link": "{tree}/open is writable by everybody",
}


@pytest.mark.parametrize("path", CASES)
def test_who_can_change_it(tree: Path, path: str) -> None:
    assert trust.changeable(f"{tree}/{path}") == CASES[path].format(tree=tree)


def test_a_user_who_is_trusted(tree: Path) -> None:
    assert trust.changeable(f"{tree}/theirs/file", uid=USER) == ""


@pytest.mark.parametrize("path", ["/etc/passwd", "/dev/null", "/bin/sh", "/tmp", "/proc/self/exe", "a\0b", ""])
def test_the_host(path: str) -> None:
    assert trust.changeable(path) == ""
