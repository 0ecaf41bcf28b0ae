"""The dynamic linker's cache of a tree that is not trusted, made by the host's own ldconfig. Row 3, hook only.

ldconfig(8) is made for a root that is one's own: it follows links, writes beside them, and reads what its configuration includes. So it
never sees the tree itself, but a read-only copy of its mounts in a mount namespace of ours, whose ``/proc`` is a small file system of
ours that holds its configuration and takes its cache. The program is a sealed copy in memory of the host's file, so that nothing in the
tree can change it while it runs (CVE-2019-5736), and it is given no environment.
"""

from __future__ import annotations

import fcntl
import os
import stat

from cdi_hook.errors import CdiError
from cdi_hook.linux import mounts, namespaces, processes, syscalls
from cdi_hook.linux.paths import Root
from cdi_hook.linux.syscalls import AT_RECURSIVE, MountAttr, from_os, held

PROGRAMS = ("/sbin/ldconfig.real", "/usr/sbin/ldconfig.real", "/sbin/ldconfig", "/usr/sbin/ldconfig")
"""Where it is; where ``.real`` exists, the other is a script around it (Ubuntu)."""

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_BLOCK = 1 << 20
_LARGEST_PROGRAM = 64 << 20
_LARGEST_CACHE = 64 << 20
_ROOM = "72m"
"""Of the file system that takes configuration and cache."""
_SECONDS = 30
_PLACES = ("proc", "dev", "sys", "run", "tmp")
"""Directories of a container's root that our file system may cover in the copy; a runtime has made the first."""


def cache(rootfs: str, configuration: str, *, program: str = "") -> bytes:
    """The bytes of a cache for this tree. Changes the mount namespace of the calling process, which must be a short-lived one.

    ``rootfs``: the path by which the tree is reached; ``configuration``: lines of ld.so.conf(5), paths inside the tree; ``program``: the
    host's ldconfig, if not the usual one. Raises KernelError and CdiError.
    """
    program = program or _found()
    with held(_sealed(program)) as image:
        syscalls.unshare(syscalls.CLONE_NEWNS, what="this process")
        syscalls.make_private("/")
        # Opened anew: a descriptor from before leads into the namespace that we have left.
        with held(namespaces.open_rootfs(rootfs).fd) as old, held(_copy(old, rootfs)) as tree:
            syscalls.move_mount(tree, old, what=rootfs)
            name, place = _place(Root(tree, rootfs))
            with held(place):
                made = mounts.create("", mounts.Wanted("tmpfs", [f"size={_ROOM}", "mode=0700"]), what="the place of the cache")
                with held(made):
                    syscalls.move_mount(made, place, what="the place of the cache")
                    return _run(made, program, image, rootfs, f"/{name}", configuration)


def _copy(root: int, rootfs: str) -> int:
    """A detached copy of all mounts at and below a root, in which nothing can be written, executed or opened as a device."""
    tree = syscalls.open_tree(root, ".", syscalls.OPEN_TREE_CLONE | AT_RECURSIVE, what=rootfs)
    safe = mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV | mounts.MOUNT_ATTR_NOEXEC
    try:
        syscalls.mount_setattr(tree, AT_RECURSIVE, MountAttr(safe, 0, 0, 0), what=rootfs)
    except BaseException:
        os.close(tree)
        raise
    return tree


def _run(made: int, program: str, image: int, rootfs: str, place: str, configuration: str) -> bytes:
    with held(os.open("ld.so.conf", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=made)) as fd:
        os.write(fd, configuration.encode("utf-8", "surrogateescape"))
    args = ["ldconfig", "-X", "-i", "-r", rootfs, "-f", f"{place}/ld.so.conf", "-C", f"{place}/ld.so.cache"]
    processes.run(program, args, [], stdin=b"", seconds=_SECONDS, image=image)
    try:
        with held(os.open("ld.so.cache", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=made)) as fd:
            return _whole(fd, _LARGEST_CACHE, "the cache")
    except FileNotFoundError:
        raise CdiError("ldconfig has written no cache") from None


def _place(copy: Root) -> tuple[str, int]:
    """``(name, descriptor)`` of a directory in the copy that may be covered."""
    for name in _PLACES:
        try:
            return name, copy.open(name, os.O_PATH | os.O_DIRECTORY, links=False)
        except CdiError:
            continue
    raise CdiError(f"the container's root has none of the directories {', '.join(_PLACES)}, where the cache could be made")


def _found() -> str:
    for path in PROGRAMS:
        if os.access(path, os.X_OK):
            return path
    raise CdiError("this host has no ldconfig", fix=f"install it at one of {', '.join(PROGRAMS)}, or name it by --ldconfig-path")


def _sealed(path: str) -> int:
    """A copy of a program in memory that nobody can change."""
    try:
        with held(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)) as fd:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise CdiError("is not a program", file=path)
            data = _whole(fd, _LARGEST_PROGRAM, path)
    except OSError as error:
        raise from_os("open", error, path) from None
    if not data.startswith(b"\x7fELF"):
        raise CdiError("is a script, and only the program itself can be run from memory", file=path, fix="name ldconfig.real or the like")
    image = os.memfd_create("ldconfig", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(image, view) :]
        fcntl.fcntl(image, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(image)
        raise
    return image


def _whole(fd: int, most: int, what: str) -> bytes:
    blocks: list[bytes] = []
    size = 0
    while True:
        block = os.read(fd, _BLOCK)
        if not block:
            return b"".join(blocks)
        size += len(block)
        if size > most:
            raise CdiError(f"{what} is larger than {most >> 20} MiB")
        blocks.append(block)
