"""The only way to a path inside a container. Row 3, hook only.

The tree below the rootfs belongs to whoever made the image: any part of a path may be a link that points to the host, or become one
while we look. So nothing here works on a path of the host: the kernel itself resolves each path with the rootfs as its root
(openat2(2), ``RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS``), and what is done is done to the descriptor, or to a single name in a
directory that a descriptor holds.
"""

from __future__ import annotations

import errno
import os
import stat

from cdi_hook.errors import CdiError, KernelError
from cdi_hook.linux import syscalls
from cdi_hook.linux.syscalls import failure, from_os, held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10

_DIRECTORY_MODE = 0o755
_FILE_MODE = 0o644
_LINKS = 40
"""As many links as the kernel follows before it gives up (path_resolution(7))."""


class Root:
    """A tree that is not trusted. ``fd``: its root directory, opened with ``O_PATH``; ``name``: its path, for messages alone."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name

    def open(self, path: str, flags: int = os.O_PATH, *, links: bool = True) -> int:
        """A descriptor of what stands at ``path`` in this tree. ``links=False``: a symbolic link anywhere in it is an error (ELOOP)."""
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (0 if links else RESOLVE_NO_SYMLINKS)
        return syscalls.openat2(self.fd, path, flags, resolve, what=f"/{path.lstrip('/')} in the container")

    def make(self, path: str, *, directory: bool, may_write: Callable[[int], None] | None = None) -> int:
        """An ``O_PATH`` descriptor of the file or directory at ``path``; what is missing is made, as the runtimes do for a mount.

        Links are followed inside the tree, a dangling one as well: what it names is made. ``may_write`` is shown each directory before
        something is made in it, and raises to forbid it. Raises KernelError, and CdiError when something of the other kind stands there.
        """
        parts = components(path)
        for _ in range(len(parts) + 2 * _LINKS):
            try:
                fd = self.open("/".join(parts) or ".")
            except KernelError as error:
                if error.errno != errno.ENOENT:
                    raise
                parts = self._make_one(parts, directory=directory, may_write=may_write)
                continue
            if stat.S_ISDIR(os.fstat(fd).st_mode) == directory:
                return fd
            os.close(fd)
            stands, wanted = ("a file", "a directory") if directory else ("a directory", "a file")
            raise CdiError(f"{path} in the container is {stands}, and {wanted} is to be mounted there")
        raise failure("open", errno.ELOOP, f"{path} in the container")

    def _make_one(self, parts: list[str], *, directory: bool, may_write: Callable[[int], None] | None) -> list[str]:
        """Make the first missing part. Returns the path to go on with: another one when that part is a dangling link."""
        at = 1
        while at < len(parts):
            try:
                os.close(self.open("/".join(parts[:at]), os.O_PATH | os.O_DIRECTORY))
            except KernelError as error:
                if error.errno != errno.ENOENT:
                    raise
                break
            at += 1
        name, rest = parts[at - 1], parts[at:]
        what = f"/{'/'.join(parts[:at])} in the container"
        with held(self.open("/".join(parts[: at - 1]) or ".", os.O_PATH | os.O_DIRECTORY)) as parent:
            if may_write is not None:
                may_write(parent)
            try:
                if rest or directory:
                    os.mkdir(name, _DIRECTORY_MODE, dir_fd=parent)
                else:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                    os.close(os.open(name, flags, _FILE_MODE, dir_fd=parent))
                return parts
            except FileExistsError:
                pass
            except OSError as error:
                raise from_os("mkdirat" if rest or directory else "openat", error, what) from None
            try:
                text = os.readlink(name, dir_fd=parent)
            except OSError:
                return parts  # Somebody else made it meanwhile.
        target = text.split("/")
        return [
            part for part in ([*target, *rest] if text.startswith("/") else [*parts[: at - 1], *target, *rest]) if part not in ("", ".")
        ]

    def make_parent(self, path: str) -> tuple[int, str]:
        """``(descriptor, name)`` of the directory that holds ``path``, without any symbolic link on the way; missing ones are made.

        For things that must stand exactly there: a device node below a ``/dev`` that is a link would be made somewhere else.
        Raises KernelError; ELOOP names a link.
        """
        parts = components(path)
        if not parts:
            raise failure("open", errno.EISDIR, f"{path} in the container")
        fd = self.open(".", os.O_PATH | os.O_DIRECTORY)
        for at in range(1, len(parts)):
            what = f"/{'/'.join(parts[:at])} in the container"
            with held(fd):
                fd = _step(fd, parts[at - 1], what)
        return fd, parts[-1]


def _step(parent: int, name: str, what: str) -> int:
    """The directory of this name, made if it is missing."""
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS
    try:
        return syscalls.openat2(parent, name, os.O_PATH | os.O_DIRECTORY, resolve, what=what)
    except KernelError as error:
        if error.errno == errno.ELOOP:
            error.reason = f"{what} is a symbolic link, and a device node is never made through one"
        if error.errno != errno.ENOENT:
            raise
    try:
        os.mkdir(name, _DIRECTORY_MODE, dir_fd=parent)
    except FileExistsError:
        pass
    except OSError as error:
        raise from_os("mkdirat", error, what) from None
    return syscalls.openat2(parent, name, os.O_PATH | os.O_DIRECTORY, resolve, what=what)


def components(path: str) -> list[str]:
    """The parts of a path in the container, cleaned as the runtimes clean it: ``..`` takes the part before it away, the root stays.

    Raises KernelError (EINVAL) for a path with a NUL.
    """
    if "\0" in path:
        raise failure("open", errno.EINVAL, f"{path} in the container")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def is_on_procfs(fd: int, *, what: str) -> bool:
    """Whether an object is on a real procfs, where a mount or a write would change the kernel's own answers."""
    return syscalls.filesystem_magic(fd, what=what) == syscalls.PROC_SUPER_MAGIC
