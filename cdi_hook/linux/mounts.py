"""Mounts that are made on one side of a namespace and attached on the other. Row 3, hook only.

A mount is copied or created *detached* (open_tree(2), fsmount(2)), gets its attributes before anybody can see it (mount_setattr(2)),
and is attached to a descriptor of its target (move_mount(2)). So there is no moment with a writable read-only mount, and no path of
the target is resolved twice. Options are those of an OCI mount (runtime specification 1.3.0, "Mounts"; mount(8)).
"""

from __future__ import annotations

import errno
import os

from cdi_hook.errors import CdiError, KernelError
from cdi_hook.linux import syscalls
from cdi_hook.linux.syscalls import AT_FDCWD, AT_RECURSIVE, MountAttr, held

MOUNT_ATTR_RDONLY = 0x00000001
MOUNT_ATTR_NOSUID = 0x00000002
MOUNT_ATTR_NODEV = 0x00000004
MOUNT_ATTR_NOEXEC = 0x00000008
MOUNT_ATTR__ATIME = 0x00000070
MOUNT_ATTR_RELATIME = 0x00000000
MOUNT_ATTR_NOATIME = 0x00000010
MOUNT_ATTR_STRICTATIME = 0x00000020
MOUNT_ATTR_NODIRATIME = 0x00000080
MOUNT_ATTR_IDMAP = 0x00100000
MOUNT_ATTR_NOSYMFOLLOW = 0x00200000

MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, 0),
    "rw": (0, MOUNT_ATTR_RDONLY),
    "nosuid": (MOUNT_ATTR_NOSUID, 0),
    "suid": (0, MOUNT_ATTR_NOSUID),
    "nodev": (MOUNT_ATTR_NODEV, 0),
    "dev": (0, MOUNT_ATTR_NODEV),
    "noexec": (MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, MOUNT_ATTR_NOEXEC),
    "nodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, MOUNT_ATTR_NODIRATIME),
    "noatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
    "atime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "relatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "norelatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "strictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    "nostrictatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "nosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
}
"""Option -> ``(attr_set, attr_clr)``. With an ``r`` before it (``rro``): of the mounts below as well."""

PROPAGATION = {
    "private": (MS_PRIVATE,),
    "slave": (MS_SLAVE,),
    # A copy of a shared mount is a peer of the host's: it becomes its slave before it is shared again, so that nothing that
    # happens in the container ever shows on the host.
    "shared": (MS_SLAVE, MS_SHARED),
    "unbindable": (MS_PRIVATE, MS_UNBINDABLE),
}
"""Option -> what is set, one after the other, on the mount and those below it; with or without an ``r`` before it."""

_NOTHING = ("defaults", "bind", "rbind", "async", "loud", "silent", "nomand", "nolazytime", "noiversion")

OF_THEIR_MAKER = ("proc", "sysfs", "mqueue", "cgroup", "cgroup2", "binfmt_misc")
"""File systems that show the namespaces of the process that mounts them, which is not the container's."""


class Wanted:
    """The options of one mount, understood. ``idmap``: the option that asks for it, or empty; ``data``: for the file system itself."""

    def __init__(self, type_: str, options: list[str]) -> None:
        self.type = type_
        self.recursive = "rbind" in options
        self.bind = type_ == "bind" or self.recursive or "bind" in options
        self.own = [0, 0]
        self.below = [0, 0]
        self.propagation: tuple[int, ...] = PROPAGATION["private"]
        self.idmap = ""
        self.data: list[str] = []
        for option in options:
            self._option(option)
        if not self.bind and (not type_ or type_ in OF_THEIR_MAKER):
            reason = f"a mount of type {type_}" if type_ else "a mount without type that is no bind mount"
            raise CdiError(f"{reason} cannot be made in a container that exists already")

    def _option(self, option: str) -> None:
        plain = option[1:] if option.startswith("r") else ""
        if option in ATTRIBUTES:
            _merge(self.own, ATTRIBUTES[option])
        elif plain in ATTRIBUTES:
            _merge(self.own, ATTRIBUTES[plain])
            _merge(self.below, ATTRIBUTES[plain])
        elif option in PROPAGATION or plain in PROPAGATION:
            self.propagation = PROPAGATION[option if option in PROPAGATION else plain]
        elif option in ("idmap", "ridmap"):
            self.idmap = option
        elif option in _NOTHING:
            pass
        elif self.bind:
            raise CdiError(f"the mount option {option} is unknown")
        else:
            self.data.append(option)


def _merge(into: list[int], change: tuple[int, int]) -> None:
    """The later option wins."""
    set_, clear = change
    into[0] = (into[0] & ~clear) | set_
    into[1] = (into[1] | clear) & ~(set_ & ~MOUNT_ATTR__ATIME)


def clone(source: str, wanted: Wanted) -> int:
    """A detached copy of what stands at a path of *our* side, with the attributes and the propagation that are wanted."""
    tree = syscalls.open_tree(AT_FDCWD, source, syscalls.OPEN_TREE_CLONE | (AT_RECURSIVE if wanted.recursive else 0), what=source)
    try:
        _configure(tree, wanted, source)
    except BaseException:
        os.close(tree)
        raise
    return tree


def create(source: str, wanted: Wanted, *, what: str) -> int:
    """A detached mount of a new file system, which belongs to the user namespace we are in."""
    with held(syscalls.fsopen(wanted.type, what=f"type {wanted.type} for {what}")) as context:
        if source:
            syscalls.fsconfig(context, syscalls.FSCONFIG_SET_STRING, "source", source, what=what)
        for option in wanted.data:
            key, given, value = option.partition("=")
            command = syscalls.FSCONFIG_SET_STRING if given else syscalls.FSCONFIG_SET_FLAG
            syscalls.fsconfig(context, command, key, value if given else None, what=f"{what}, option {key}")
        syscalls.fsconfig(context, syscalls.FSCONFIG_CMD_CREATE, None, None, what=what)
        tree = syscalls.fsmount(context, 0, what=what)
    try:
        _configure(tree, wanted, what)
    except BaseException:
        os.close(tree)
        raise
    return tree


def _configure(tree: int, wanted: Wanted, what: str) -> None:
    for propagation in wanted.propagation:
        syscalls.mount_setattr(tree, AT_RECURSIVE, MountAttr(0, 0, propagation, 0), what=what)
    for (set_, clear), flags in ((wanted.below, AT_RECURSIVE), (wanted.own, 0)):
        if set_ or clear:
            syscalls.mount_setattr(tree, flags, MountAttr(set_, clear, 0, 0), what=what)


def map_ids(tree: int, userns: int, wanted: Wanted, *, what: str) -> bool:
    """Show the files of a detached mount with the ids of a user namespace; False when this kernel or file system cannot.

    Raises KernelError for that if the options ask for it by name.
    """
    flags = AT_RECURSIVE if wanted.idmap == "ridmap" or (not wanted.idmap and wanted.recursive) else 0
    try:
        syscalls.mount_setattr(tree, flags, MountAttr(MOUNT_ATTR_IDMAP, 0, 0, userns), what=f"{what}, to map its ids")
    except KernelError as error:
        if wanted.idmap or error.errno not in (errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return False
    return True


def detach(tree: int, descriptors: int, *, what: str) -> None:
    """Take an attached mount away again. ``descriptors``: an ``O_PATH`` descriptor of our ``/proc/self/fd``, opened before any
    namespace was entered: umount2(2) wants a path, and this one leads to the mount itself whatever was renamed meanwhile."""
    os.fchdir(descriptors)
    try:
        syscalls.umount_detach(str(tree), what=what)
    finally:
        os.chdir("/")


def is_directory(tree: int) -> bool:
    """Whether a detached mount wants a directory as its target."""
    return os.path.isdir(tree)
