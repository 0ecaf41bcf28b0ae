"""What is at a path of this host. Row 1, hot.

``cdi/edits`` and ``pipeline/stale`` are handed these functions and touch no file themselves.
"""

from __future__ import annotations

import posix

_S_IFMT = 0o170000
_TYPES = {0o020000: "c", 0o060000: "b", 0o010000: "p"}
_WHOLE_HOST = ["0", "0", "4294967295"]


def node(path: str) -> tuple[str, int, int, int] | None:
    """``(type, major, minor, permission bits)`` of a device node or FIFO; an empty type for anything else, None for nothing.

    A symbolic link is not followed: the reference does not, and a link is no device node (mknod(2), inode(7)).
    """
    try:
        stat = posix.lstat(path)
    except (OSError, ValueError):
        return None
    return _TYPES.get(stat.st_mode & _S_IFMT, ""), posix.major(stat.st_rdev), posix.minor(stat.st_rdev), stat.st_mode & 0o7777


def is_directory(path: str) -> bool:
    """Whether the path leads to a directory, through whatever links; False for nothing."""
    try:
        return posix.stat(path).st_mode & _S_IFMT == 0o040000
    except (OSError, ValueError):
        return False


def exists(path: str) -> bool:
    """Whether the path leads to something, through whatever links. What may not be looked at counts as there."""
    try:
        posix.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def in_user_namespace() -> bool:
    """Whether we ourselves are in a user namespace other than the first, as under rootless podman (user_namespaces(7))."""
    try:
        fd = posix.open("/proc/self/uid_map", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False
    try:
        return posix.read(fd, 4096).decode().split() != _WHOLE_HOST
    finally:
        posix.close(fd)
