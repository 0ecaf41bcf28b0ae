"""In-root paths, on trees that need no root: every link stays below the root, and what is missing is made there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdi_hook.errors import CdiError, KernelError
from cdi_hook.linux.paths import Root, components, is_on_procfs


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[tuple[Root, Path, Path]]:
    """``(root, its directory, a directory outside)``."""
    inside, outside = tmp_path / "rootfs", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    fd = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    yield Root(fd, str(inside)), inside, outside
    os.close(fd)


CLEANED = {
    "/": [],
    "": [],
    "/a/b": ["a", "b"],
    "a//b/.": ["a", "b"],
    "/a/../b": ["b"],
    "/../../a": ["a"],
    "/a/b/../..": [],
}


@pytest.mark.parametrize(("path", "parts"), CLEANED.items(), ids=CLEANED)
def test_components(path: str, parts: list[str]) -> None:
    assert components(path) == parts


@pytest.mark.parametrize("directory", [True, False])
def test_missing_target_is_made(tree: tuple[Root, Path, Path], directory: bool) -> None:
    root, inside, _ = tree
    fd = root.make("/a/b/c", directory=directory)
    made = inside / "a/b/c"
    assert os.path.samestat(os.fstat(fd), made.stat())
    assert made.is_dir() is directory
    os.close(fd)
    os.close(root.make("/a/b/c", directory=directory))


LINKS = {
    "absolute": "/elsewhere",
    "relative": "elsewhere",
    "up and out": "../../../../elsewhere",
    "through itself": "./././elsewhere/.",
    "to the root": "/",
}


@pytest.mark.parametrize("text", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
def test_link_is_followed_below_the_root(tree: tuple[Root, Path, Path], text: str, there: bool) -> None:
    root, inside, outside = tree
    (inside / "link").symlink_to(text)
    target = inside / text.strip("./")
    if there:
        target.mkdir(exist_ok=True)
    fd = root.make("/link/new/file", directory=False)
    assert os.path.samestat(os.fstat(fd), (target / "new/file").stat())
    os.close(fd)
    assert list(outside.iterdir()) == []


def test_link_to_the_host_by_its_own_path(tree: tuple[Root, Path, Path]) -> None:
    root, inside, outside = tree
    (inside / "link").symlink_to(outside)
    os.close(root.make("/link/file", directory=False))
    assert list(outside.iterdir()) == []
    assert (inside / str(outside).lstrip("/") / "file").is_file()


def test_dangling_link_at_the_end(tree: tuple[Root, Path, Path]) -> None:
    root, inside, _ = tree
    (inside / "run").mkdir()
    (inside / "link").symlink_to("run/deep/er")
    os.close(root.make("/link", directory=False))
    assert (inside / "run/deep/er").is_file()
    assert (inside / "link").is_symlink()


def test_loop_of_links(tree: tuple[Root, Path, Path]) -> None:
    root, inside, _ = tree
    (inside / "one").symlink_to("two")
    (inside / "two").symlink_to("one")
    with pytest.raises(KernelError, match=r"^openat2 on /one/x in the container: is a loop of symbolic links \(ELOOP\)$"):
        root.make("/one/x", directory=True)


@pytest.mark.parametrize(
    ("path", "directory", "words"), [("/file", True, "a file, and a directory"), ("/dir", False, "a directory, and a file")]
)
def test_target_of_the_other_kind(tree: tuple[Root, Path, Path], path: str, directory: bool, words: str) -> None:
    root, inside, _ = tree
    (inside / "file").touch()
    (inside / "dir").mkdir()
    with pytest.raises(CdiError, match=f"^{path} in the container is {words} is to be mounted there$"):
        root.make(path, directory=directory)


def test_magic_links_are_never_followed(tree: tuple[Root, Path, Path]) -> None:
    """With the root of the host as the tree, so that there is a procfs in it."""
    with pytest.raises(KernelError) as caught:
        Root(os.open("/", os.O_PATH), "/").open(f"/proc/{os.getpid()}/cwd/x")
    assert caught.value.errno == errno.ELOOP


def test_parent_of_a_node(tree: tuple[Root, Path, Path]) -> None:
    root, inside, outside = tree
    fd, name = root.make_parent("/dev/acme/one")
    assert (os.path.samestat(os.fstat(fd), (inside / "dev/acme").stat()), name) == (True, "one")
    os.close(fd)
    (inside / "bad").symlink_to(outside)
    (inside / "good").symlink_to("dev")
    for link in ("bad", "good"):
        reason = f"^/{link} in the container is a symbolic link, and a device node is never made through one$"
        with pytest.raises(KernelError, match=reason):
            root.make_parent(f"/{link}/one")
    with pytest.raises(KernelError, match="is a directory"):
        root.make_parent("/")
    assert list(outside.iterdir()) == []


def test_procfs_is_known() -> None:
    for path, is_procfs in (("/proc", True), ("/proc/self/attr", True), ("/", False)):
        fd = os.open(path, os.O_PATH)
        assert is_on_procfs(fd, what=path) is is_procfs
        os.close(fd)
