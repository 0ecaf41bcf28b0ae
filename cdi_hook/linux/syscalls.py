"""System calls that Python's ``os`` lacks, by ctypes, and the words for what the kernel refuses. Row 3, hook only.

Each function is one call: it raises KernelError, which names the call, the errno and the object, and returns a descriptor or nothing.
Every descriptor is close-on-exec. Constants keep the names of the kernel's headers.
"""

from __future__ import annotations

import ctypes
import errno
import os

from cdi_hook.errors import KernelError, os_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

AT_EMPTY_PATH = 0x1000
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100
CLONE_NEWNS = 0x00020000
FSCONFIG_CMD_CREATE = 6
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSMOUNT_CLOEXEC = 1
FSOPEN_CLOEXEC = 1
MNT_DETACH = 2
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MS_PRIVATE = 1 << 18
MS_REC = 1 << 14
OPEN_TREE_CLONE = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1
STATX_ATTR_MOUNT_ROOT = 0x2000
STATX_MNT_ID = 0x1000

CGROUP2_SUPER_MAGIC = 0x63677270
CGROUP_SUPER_MAGIC = 0x27E0EB
PROC_SUPER_MAGIC = 0x9FA0

_SYS_BPF = {"x86_64": 321, "i686": 357, "armv7l": 386, "ppc64le": 361, "s390x": 351}
_SYS_BPF_GENERIC = 280
_SYS_CLOSE_RANGE = 436
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_SYS_FSOPEN = 430
_SYS_MOUNT_SETATTR = 442
_SYS_MOVE_MOUNT = 429
_SYS_OPENAT2 = 437
_SYS_OPEN_TREE = 428
_SYS_PIDFD_OPEN = 434

_SINCE = {
    "fsopen": "5.2",
    "mount_setattr": "5.12",
    "move_mount": "5.2",
    "open_tree": "5.2",
    "openat2": "5.6",
    "pidfd_open": "5.3",
}
"""The Linux version that brought each of the younger calls."""

_AGAIN = 64
"""How often a look-up is tried again that the kernel gave up because something was renamed meanwhile (openat2(2), EAGAIN)."""

_libc = ctypes.CDLL(None, use_errno=True)


class OpenHow(ctypes.Structure):
    """``struct open_how`` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class MountAttr(ctypes.Structure):
    """``struct mount_attr`` of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class held:
    """Closes a descriptor at the end of a block (``contextlib`` would cost an import)."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.fd)


def failure(syscall: str, number: int, what: str, fix: str = "") -> KernelError:
    """The error for a refused call: ``move_mount on /dev/acme: does not exist (ENOENT)``."""
    if number == errno.ENOSYS:
        reason = f"this kernel has no {syscall}, which came with Linux {_SINCE.get(syscall, 'a later version')}"
        return KernelError(reason, syscall=syscall, errno=number, fix=fix or "use the runtime wrapper, which needs no such call")
    name = errno.errorcode.get(number, str(number))
    return KernelError(
        f"{syscall} on {what}: {os_words(OSError(number, os.strerror(number)))} ({name})", syscall=syscall, errno=number, fix=fix
    )


def from_os(syscall: str, error: OSError, what: str) -> KernelError:
    """The same for a call that ``os`` made."""
    return failure(syscall, error.errno or 0, what)


def _checked(name: str, result: int, what: str) -> int:
    if result < 0:
        raise failure(name, ctypes.get_errno(), what)
    return result


def _call(name: str, number: int, what: str, *args: Any) -> int:
    words = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return _checked(name, _libc.syscall(ctypes.c_long(number), *words), what)


def _text(name: str, text: str, what: str) -> bytes:
    """A string as the kernel takes it. One with a NUL would end there, and be another: it is refused."""
    if "\0" in text:
        raise failure(name, errno.EINVAL, what)
    return os.fsencode(text)


def openat2(directory: int, path: str, flags: int, resolve: int, *, what: str) -> int:
    """Open ``path`` below a directory's descriptor, with the kernel's own confinement. ``what`` names the object in errors."""
    how = OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    for _ in range(_AGAIN):
        try:
            return _call("openat2", _SYS_OPENAT2, what, directory, _text("openat2", path, what), ctypes.byref(how), ctypes.sizeof(how))
        except KernelError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                raise
    raise failure("openat2", errno.EAGAIN, what, fix="something in the container's file system is being renamed all the time")


def open_tree(directory: int, path: str, flags: int, *, what: str) -> int:
    """A detached copy of the mount at ``path`` (with ``OPEN_TREE_CLONE``), which vanishes when its last descriptor is closed."""
    return _call("open_tree", _SYS_OPEN_TREE, what, directory, _text("open_tree", path, what), flags | os.O_CLOEXEC)


def move_mount(tree: int, target: int, *, what: str) -> None:
    """Attach a detached mount on top of what the descriptor ``target`` stands for."""
    _call("move_mount", _SYS_MOVE_MOUNT, what, tree, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def mount_setattr(tree: int, flags: int, attr: MountAttr, *, what: str) -> None:
    """Change the attributes of a mount; ``AT_RECURSIVE`` in ``flags``: of all mounts below it too."""
    _call("mount_setattr", _SYS_MOUNT_SETATTR, what, tree, b"", flags | AT_EMPTY_PATH, ctypes.byref(attr), ctypes.sizeof(attr))


def fsopen(type_: str, *, what: str) -> int:
    """The context of a file system that is to be created."""
    return _call("fsopen", _SYS_FSOPEN, what, _text("fsopen", type_, what), FSOPEN_CLOEXEC)


def fsconfig(context: int, command: int, key: str | None, value: str | None, *, what: str) -> None:
    """One option of the file system, or the command to create it."""
    words = [None if word is None else ctypes.c_char_p(_text("fsconfig", word, what)) for word in (key, value)]
    _call("fsconfig", _SYS_FSCONFIG, what, context, command, *words, 0)


def fsmount(context: int, attributes: int, *, what: str) -> int:
    """A detached mount of the file system that a context has created."""
    return _call("fsmount", _SYS_FSMOUNT, what, context, FSMOUNT_CLOEXEC, attributes)


def pidfd_open(pid: int, *, what: str) -> int:
    """A descriptor that stands for this process and for no later one of the same number."""
    return _call("pidfd_open", _SYS_PIDFD_OPEN, what, pid, 0)


def bpf(command: int, attr: ctypes.Array[ctypes.c_char], *, what: str) -> int:
    """One bpf(2) command; ``attr`` is the part of ``union bpf_attr`` that the command reads and writes."""
    number = _SYS_BPF.get(os.uname().machine, _SYS_BPF_GENERIC)
    return _call("bpf", number, what, command, attr, ctypes.sizeof(attr))


def setns(fd: int, *, what: str) -> None:
    """Enter the namespace that the descriptor stands for (Python has this only from 3.12)."""
    _checked("setns", _libc.setns(fd, 0), what)


def unshare(flags: int, *, what: str) -> None:
    """Leave namespaces for new ones."""
    _checked("unshare", _libc.unshare(flags), what)


def make_private(path: str) -> None:
    """Cut every mount at and below ``path`` off from other namespaces."""
    _checked("mount", _libc.mount(None, os.fsencode(path), None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), path)


def umount_detach(path: str, *, what: str) -> None:
    """Take a mount out of the tree; it ends when nobody uses it any more."""
    _checked("umount2", _libc.umount2(os.fsencode(path), MNT_DETACH), what)


def chown(fd: int, uid: int, gid: int, *, what: str) -> None:
    """Give the very object of an ``O_PATH`` descriptor an owner; -1 leaves the user or the group."""
    _checked("fchownat", _libc.fchownat(fd, b"", ctypes.c_uint(uid & 0xFFFFFFFF), ctypes.c_uint(gid & 0xFFFFFFFF), AT_EMPTY_PATH), what)


def die_with_parent(signal: int) -> None:
    """Get this signal when the parent dies. Lost by a change of credentials, so it comes after setresuid(2)."""
    _checked("prctl", _libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal), 0, 0, 0), "this process")


def adopt_orphans() -> None:
    """Be the parent of every descendant whose own parent has died, instead of the init process."""
    _checked("prctl", _libc.prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "this process")


def close_from(first: int) -> None:
    """Close every descriptor from this number on."""
    if _libc.syscall(ctypes.c_long(_SYS_CLOSE_RANGE), ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), ctypes.c_uint(0)) < 0:
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))  # Before Linux 5.9.


def filesystem_magic(fd: int, *, what: str) -> int:
    """Which file system an object is on, as the numbers of statfs(2)."""
    buffer = ctypes.create_string_buffer(256)
    _checked("fstatfs", _libc.fstatfs(fd, buffer), what)
    return int.from_bytes(buffer.raw[:4], "big" if os.uname().machine == "s390x" else "little")


def mount_of(fd: int, *, what: str) -> tuple[int, bool]:
    """``(mount id, whether the object is the root of that mount)``, by statx(2)."""
    buffer = ctypes.create_string_buffer(256)
    result = _libc.statx(fd, b"", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, ctypes.c_uint(STATX_MNT_ID), buffer)
    _checked("statx", result, what)
    attributes = ctypes.c_uint64.from_buffer(buffer, 8).value
    return ctypes.c_uint64.from_buffer(buffer, 144).value, bool(attributes & STATX_ATTR_MOUNT_ROOT)
