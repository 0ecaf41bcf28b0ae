"""Our own files: where they are below /run, whose they must be, and how a file is replaced at once. Row 1, hot.

What we remember between two containers (the index of the specs, what a runtime can do) is kept in one directory, and believed only if
nobody else can write to it. Files of other people (specs, settings of engines) are replaced by the same steps, but with their mode and
owner kept and with the disk waited for. A ``config.json`` has rules of its own, in ``oci/bundle``.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

SYSTEM_HOME = "/run/cdi-hook"
"""Where root's files are; a user's are in ``$XDG_RUNTIME_DIR/cdi-hook``."""

S_IFMT, S_IFDIR, S_IFREG, S_IFLNK = 0o170000, 0o040000, 0o100000, 0o120000
"""The file types of stat(2)."""


def home_directory() -> str:
    """The directory of our files: root's, if it is root's, else the user's."""
    if posix.geteuid() == 0 and is_ours(posix.stat, SYSTEM_HOME, S_IFDIR):
        return SYSTEM_HOME
    # Root inside a user's namespace owns nothing below /run, and is sent to that user's directory.
    user = posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
    return f"{user}/cdi-hook" if user.startswith("/") else SYSTEM_HOME


def is_ours(stat: Callable[[Any], posix.stat_result], target: object, kind: int) -> bool:
    """Whether it is of this kind, ours, and writable by nobody else."""
    try:
        found = stat(target)
    except OSError:
        return False
    return found.st_mode & S_IFMT == kind and found.st_uid == posix.geteuid() and not found.st_mode & 0o022


def keep(home: str, name: str, data: bytes) -> bool:
    """Put a file into this directory of ours, which is made if it is missing; whether the file is there now. Never raises OSError.

    A reader sees the old file or the new one. Nothing waits for the disk: whatever is lost can be found out again.
    """
    temporary = f"{home}/{name}.{posix.getpid()}"
    try:
        if not is_ours(posix.stat, home, S_IFDIR):
            posix.mkdir(home, 0o700)  # fails for one that is there and not ours
        fd = create(temporary)
        try:
            write(fd, data)
        finally:
            posix.close(fd)
        posix.rename(temporary, f"{home}/{name}")
    except OSError:
        remove(temporary)
        return False
    return True


def replace(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Give a file this content: it is old or new, never half, and new only once it is on the disk.

    ``mode``: permission bits of a file that is new; an old one keeps its own, and its owner. A symbolic link is itself replaced. Raises
    OSError, or ValueError for a path that cannot be one.
    """
    directory, slash, _ = path.rpartition("/")
    # Not hidden, and with an ending that no reader of directories looks for.
    temporary = f"{directory}{slash}cdi-hook.{posix.urandom(6).hex()}.tmp"
    fd = create(temporary)
    try:
        try:
            write(fd, data)
            _keep_mode_and_owner(fd, path, mode)
            posix.fsync(fd)
        finally:
            posix.close(fd)
        posix.rename(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def _keep_mode_and_owner(fd: int, path: str, mode: int) -> None:
    try:
        old = posix.lstat(path)
    except FileNotFoundError:
        old = None
    if old is not None and old.st_mode & S_IFMT == S_IFREG:
        mode = old.st_mode & 0o7777
        try:
            posix.fchown(fd, old.st_uid, old.st_gid)
        except PermissionError:
            pass  # Who may not give files away becomes the owner.
    # After the owner, which the kernel takes the set-user-ID bit away with (chown(2)).
    posix.fchmod(fd, mode)


def create(path: str) -> int:
    """A descriptor of a file that was not there before, ours alone. Raises OSError, FileExistsError among them."""
    return posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600)


def write(fd: int, data: bytes) -> None:
    """Write all of it: a signal or a full pipe can make write(2) stop early. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[posix.write(fd, view) :]


def remove(path: str) -> None:
    """Take a file away if it is there and can be."""
    try:
        posix.unlink(path)
    except OSError:
        pass
