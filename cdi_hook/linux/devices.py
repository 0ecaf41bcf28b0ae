"""Device nodes: made with mknod(2) where the kernel allows it, else mounted from one that was made on the host's side. Row 3,
hook only.

In a user namespace nobody can make a node, and a bind mount of the host's node keeps the host's owner and mode, which the container's
root often may not open. So the node is made on a file system of our own first, with the owner and mode that it shall have in there.
"""

from __future__ import annotations

import errno
import os
import stat

from cdi_hook.errors import CdiError, KernelError
from cdi_hook.linux import syscalls
from cdi_hook.linux.paths import Root, is_on_procfs
from cdi_hook.linux.syscalls import from_os, held

TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_DEFAULT_MODE = 0o666
"""What the runtimes take when the config names no mode."""


_MAJORS, _MINORS = 1 << 12, 1 << 20
"""How many there can be (``include/linux/kdev_t.h``)."""


class Node:
    """What a device node is. ``mode``: permission bits; ``uid``, ``gid``: ids of the namespace it is made in.

    Raises CdiError for numbers that no device can have.
    """

    def __init__(self, path: str, type_: str, number: tuple[int, int], mode: int | None, owner: tuple[int, int]) -> None:
        self.path = path
        self.kind = TYPES[type_]
        if type_ != "p" and not (0 <= number[0] < _MAJORS and 0 <= number[1] < _MINORS):
            raise CdiError(f"device node {path} has the numbers {number[0]}:{number[1]}, and no device can have these")
        self.device = 0 if type_ == "p" else os.makedev(*number)
        self.mode = (_DEFAULT_MODE if mode is None else mode) & 0o7777
        self.uid, self.gid = owner


class Made:
    """A node that stands in the container now, and how to put back what stood there."""

    def __init__(self, parent: int, name: str, what: str, old: os.stat_result | None) -> None:
        self.parent, self.name, self.what, self.old = parent, name, what, old

    def undo(self) -> None:
        """Remove the node; the device node that it replaced comes back."""
        try:
            os.unlink(self.name, dir_fd=self.parent)
            if self.old is not None:
                _place(self.parent, self.name, (self.old.st_mode, self.old.st_rdev, self.old.st_uid, self.old.st_gid), self.what)
        except OSError as error:
            raise from_os("unlinkat", error, self.what) from None


def make(root: Root, node: Node) -> Made:
    """Make a node at its path in a container; a device node that stands there is replaced, as it is in the config of a container.

    Raises KernelError: EPERM and EOVERFLOW where nodes cannot be made at all; EEXIST when something else than a node stands there.
    """
    what = f"{node.path} in the container"
    parent, name = root.make_parent(node.path)
    old = _remove_old(parent, name, what)
    made = Made(parent, name, what, old)
    try:
        _place(parent, name, (node.kind | node.mode, node.device, node.uid, node.gid), what)
    except KernelError:
        if old is not None:
            _place(parent, name, (old.st_mode, old.st_rdev, old.st_uid, old.st_gid), what)
        raise
    return made


def _remove_old(parent: int, name: str, what: str) -> os.stat_result | None:
    try:
        old = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os("fstatat", error, what) from None
    if stat.S_IFMT(old.st_mode) not in TYPES.values():
        raise syscalls.failure("mknodat", errno.EEXIST, what, fix="something that is no device node stands there in the image")
    try:
        os.unlink(name, dir_fd=parent)
    except OSError as error:
        raise from_os("unlinkat", error, what) from None
    return old


def _place(parent: int, name: str, values: tuple[int, int, int, int], what: str) -> None:
    """mknod and chown, the second on the very node that was made. The caller's umask is 0."""
    mode, device, uid, gid = values
    try:
        os.mknod(name, mode, device, dir_fd=parent)
    except OSError as error:
        raise from_os("mknodat", error, what) from None
    try:
        with held(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)) as fd:
            now = os.fstat(fd)
            if (now.st_mode, now.st_rdev) != (mode, device):
                raise syscalls.failure("mknodat", errno.ESTALE, what)
            if (now.st_uid, now.st_gid) != (uid, gid):
                syscalls.chown(fd, uid, gid, what=what)
    except BaseException as error:
        try:
            os.unlink(name, dir_fd=parent)
        except OSError:
            pass  # Somebody else has taken it away.
        if isinstance(error, OSError):
            raise from_os("openat", error, what) from None
        raise


def make_detached(nodes: list[Node]) -> list[int]:
    """Each node on a file system of our own, as a detached mount that can be attached anywhere. Owners are ids of *this* namespace.

    Enters a mount namespace of its own, so that nothing shows on the host, and never comes back from it: call it in a process that
    goes on into another. Raises KernelError, EPERM when we are in a user namespace ourselves.
    """
    what = "a file system for device nodes"
    syscalls.unshare(syscalls.CLONE_NEWNS, what="the mount namespace")
    syscalls.make_private("/")
    with held(syscalls.fsopen("tmpfs", what=what)) as context:
        syscalls.fsconfig(context, syscalls.FSCONFIG_CMD_CREATE, None, None, what=what)
        mount = syscalls.fsmount(context, 0, what=what)
    with held(mount), held(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as root:
        # Attached, though nobody looks at it: before Linux 6.15 a mount that hangs nowhere cannot be copied.
        syscalls.move_mount(mount, root, what=what)
        trees = []
        for at, node in enumerate(nodes):
            _place(mount, str(at), (node.kind | node.mode, node.device, node.uid, node.gid), node.path)
            trees.append(syscalls.open_tree(mount, str(at), syscalls.OPEN_TREE_CLONE, what=node.path))
    return trees


def bind(root: Root, node: Node, tree: int) -> tuple[int, str, bool]:
    """Attach a detached mount of a node at the node's path. Returns ``(parent, name, whether the file below it was made by us)``."""
    what = f"{node.path} in the container"
    parent, name = root.make_parent(node.path)
    is_new = False
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(name, flags, 0o600, dir_fd=parent))
        is_new = True
    except FileExistsError:
        pass
    except OSError as error:
        raise from_os("openat", error, what) from None
    try:
        with held(root.open(node.path, links=False)) as target:
            if is_on_procfs(target, what=what):
                raise CdiError(f"{what} is on a procfs, where nothing is ever mounted")
            syscalls.move_mount(tree, target, what=what)
    except CdiError:
        if is_new:
            os.unlink(name, dir_fd=parent)
        raise
    return parent, name, is_new
