"""Helper hooks of any vendor's spec: symbolic links, the dynamic linker's cache, permissions. Row 4, loaded by ``cdi-hook helper`` alone.

They run as ``createContainer`` hooks: in the container's namespaces, before pivot_root(2), on a root file system that belongs to whoever
made the image. Every path is resolved by the kernel with that root as its root, and what is done is done to a descriptor, or to one name
in a directory that a descriptor holds (``linux/paths``). What is mounted in from the host is never changed: a link in the image may lead
there.
"""

from __future__ import annotations

import errno
import os
import stat

from cdi_hook.errors import CdiError, KernelError
from cdi_hook.linux import elf, ldconfig, namespaces, paths, syscalls
from cdi_hook.linux.paths import Root
from cdi_hook.linux.syscalls import from_os, held

CONFIGURATION = "/etc/ld.so.conf"
DROP_IN = "/etc/ld.so.conf.d/00-cdi-hook.conf"
"""Sorts before those of the distributions, so that the driver's libraries are found before a copy in the image."""

CACHE = "/etc/ld.so.cache"
_SYSTEM = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
"""Where distributions keep libraries; the host's ldconfig knows those of its own distribution alone."""

_TRIPLETS = ("x86_64-linux-gnu", "aarch64-linux-gnu", "powerpc64le-linux-gnu", "riscv64-linux-gnu", "s390x-linux-gnu")
_MUSL_PATHS = "/lib:/usr/local/lib:/usr/lib"
"""What musl searches when it has no file that says otherwise (musl, ``ldso/dynlink.c``)."""

_LARGEST_TEXT = 1 << 20
_MOST_LIBRARIES = 10_000


class Container:
    """The container's tree. ``rootfs``: its absolute path. Raises KernelError, and CdiError when no container's root is mounted there."""

    def __init__(self, rootfs: str) -> None:
        self.rootfs = rootfs
        self.root: Root = namespaces.open_rootfs(rootfs)
        self._mount, _ = syscalls.mount_of(self.root.fd, what=rootfs)
        self._of_the_host = _devices_outside(rootfs)

    def check_own(self, fd: int, path: str) -> None:
        """Raises CdiError when the object is on a file system of the host that was mounted into the container."""
        what = f"{path} in the container"
        mount, _ = syscalls.mount_of(fd, what=what)
        if mount != self._mount and os.stat(fd).st_dev in self._of_the_host:
            raise CdiError(f"{what} is on a file system of the host, where a container's hook changes nothing")
        if paths.is_on_procfs(fd, what=what):
            raise CdiError(f"{what} is on a procfs")

    def directory(self, path: str) -> int:
        """A descriptor of a directory in the container, made where it is missing, links followed below the root."""
        fd = self.root.make(path, directory=True, may_write=lambda parent: self.check_own(parent, path))
        try:
            self.check_own(fd, path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def replace(self, path: str, data: bytes) -> None:
        """Give a file of the container this content, world-readable, in place of whatever name stands there."""
        parent, name = _split(path)
        with held(self.directory(parent)) as where:
            temporary = f".cdi-hook.{os.urandom(6).hex()}"
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with held(os.open(temporary, flags, 0o600, dir_fd=where)) as fd:
                    view = memoryview(data)
                    while view:
                        view = view[os.write(fd, view) :]
                    os.fchmod(fd, 0o644)
                os.rename(temporary, name, src_dir_fd=where, dst_dir_fd=where)
            except OSError as error:
                _forget(temporary, where)
                raise from_os("write", error, f"{path} in the container") from None

    def text(self, path: str) -> str | None:
        """A small text file of the container; None when there is none. Raises KernelError, and CdiError for what is no such file."""
        what = f"{path} in the container"
        try:
            fd = self.root.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except KernelError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            raise
        with held(fd):
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise CdiError(f"{what} is no file")
            data = os.pread(fd, _LARGEST_TEXT, 0)
        return data.decode("utf-8", "surrogateescape")

    def has_directory(self, path: str) -> bool:
        """Whether this is a directory of the container."""
        try:
            os.close(self.root.open(path, os.O_PATH | os.O_DIRECTORY))
        except KernelError:
            return False
        return True


def create_symlinks(container: Container, links: list[tuple[str, str]]) -> None:
    """Make symbolic links. ``links``: (text of the link, its path); a missing directory is made, another link or a file replaced."""
    for text, path in dict.fromkeys(links):
        parent, name = _split(path)
        with held(container.directory(parent)) as where:
            _link(where, name, text, f"{path} in the container")


def change_mode(container: Container, mode: int, files: list[str]) -> None:
    """Give files and directories of the container these permission bits; what is not there is passed over."""
    descriptors = namespaces.own_descriptors()
    with held(descriptors):
        for path in files:
            try:
                fd = container.root.open(path)
            except KernelError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR):
                    continue
                raise
            with held(fd):
                if stat.S_IMODE(os.stat(fd).st_mode) == mode:
                    continue
                container.check_own(fd, path)
                try:
                    # fchmod(2) refuses O_PATH; the link in /proc leads to the very object.
                    os.chmod(str(fd), mode, dir_fd=descriptors)
                except OSError as error:
                    raise from_os("fchmodat", error, f"{path} in the container") from None


def update_ldcache(container: Container, folders: list[str], *, program: str = "") -> None:
    """Let the container's dynamic linker find the libraries in these directories: links by their SONAME, configuration, cache.

    ``program``: the host's ldconfig, if not the usual one. Changes the mount namespace of the calling process.
    """
    folders = [f"/{'/'.join(paths.components(folder))}" for folder in dict.fromkeys(folders)]
    bad = next((folder for folder in folders if not folder.isprintable() or set(folder) & set(" \t:#=,*?[")), None)
    if bad is not None:
        raise CdiError(f"{bad!r} cannot be named in ld.so.conf", fix="choose a directory without blanks and special characters")
    for folder in folders:
        if container.has_directory(folder):
            _link_sonames(container, folder)
    known = [line.strip() for line in (container.text(DROP_IN) or "").splitlines()]
    wanted = list(dict.fromkeys([*(line for line in known if line and not line.startswith("#")), *folders]))
    if wanted != known:
        container.replace(DROP_IN, ("\n".join(wanted) + "\n").encode("utf-8", "surrogateescape"))
    own = container.text(CONFIGURATION)
    if own is None:
        container.replace(CONFIGURATION, b"include /etc/ld.so.conf.d/*.conf\n")
    _update_musl(container, wanted)
    lines = [*wanted, f"include {CONFIGURATION}", "include /etc/ld.so.conf.d/*.conf", *_system_directories(container)]
    data = ldconfig.cache(container.rootfs, "\n".join([*lines, ""]), program=program)
    container.replace(CACHE, data)


def _link_sonames(container: Container, folder: str) -> None:
    """Make the links that ldconfig makes: each library's SONAME leads to the newest file that bears it."""
    newest: dict[str, str] = {}
    with held(container.root.open(folder, os.O_RDONLY | os.O_DIRECTORY)) as where:
        for name in sorted(os.listdir(where))[:_MOST_LIBRARIES]:
            if not name.startswith("lib") or ".so" not in name:
                continue
            try:
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=where)
            except OSError:
                continue  # a link, or nothing that can be read
            with held(fd):
                found = elf.soname(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else ""
            if found and _version(name) >= _version(newest.get(found, "")):
                newest[found] = name
        missing = {link: name for link, name in newest.items() if link != name and _leads_to(where, link) not in (name, None)}
        if missing:
            container.check_own(where, folder)
        for link, name in missing.items():
            _link(where, link, name, f"{folder}/{link} in the container")


def _leads_to(where: int, name: str) -> str | None:
    """The text of a link, empty where nothing stands; None for a file, which stays."""
    try:
        return os.readlink(name, dir_fd=where)
    except FileNotFoundError:
        return ""
    except OSError:
        return None


def _version(name: str) -> tuple[int, ...]:
    """The numbers behind ``.so``, by which libraries are compared."""
    return tuple(int(part) for part in name.partition(".so")[2].split(".") if part.isdecimal())


def _update_musl(container: Container, folders: list[str]) -> None:
    """musl has a list of directories in place of a cache."""
    if not container.has_directory("/lib"):
        return
    with held(container.root.open("/lib", os.O_RDONLY | os.O_DIRECTORY)) as where:
        loaders = [name for name in os.listdir(where) if name.startswith("ld-musl-") and name.endswith(".so.1")]
    for name in loaders:
        path = f"/etc/{name[: -len('.so.1')]}.path"
        known = (container.text(path) or _MUSL_PATHS).replace("\n", ":").split(":")
        wanted = list(dict.fromkeys([*folders, *(entry for entry in known if entry)]))
        if wanted != known:
            container.replace(path, ("\n".join(wanted) + "\n").encode("utf-8", "surrogateescape"))


def _system_directories(container: Container) -> list[str]:
    everywhere = [*(f"{base}/{triplet}" for triplet in _TRIPLETS for base in ("/lib", "/usr/lib", "/usr/local/lib")), *_SYSTEM]
    return [path for path in everywhere if container.has_directory(path)]


def _link(where: int, name: str, text: str, what: str) -> None:
    """Make a link in a directory, in place of another link or a file, by a rename: no reader finds nothing."""
    if _leads_to(where, name) == text:
        return
    temporary = f".cdi-hook.{os.urandom(6).hex()}"
    try:
        os.symlink(text, temporary, dir_fd=where)
        os.rename(temporary, name, src_dir_fd=where, dst_dir_fd=where)
    except (OSError, ValueError) as error:
        _forget(temporary, where)
        raise from_os("symlinkat", error if isinstance(error, OSError) else OSError(errno.EINVAL, ""), what) from None


def _forget(name: str, where: int) -> None:
    try:
        os.unlink(name, dir_fd=where)
    except OSError:
        pass


def _split(path: str) -> tuple[str, str]:
    """Directory and name of a path in the container. Raises CdiError when it names none."""
    parts = paths.components(path)
    if not parts:
        raise CdiError(f"{path!r} is no path of a file in the container")
    return "/" + "/".join(parts[:-1]), parts[-1]


def _devices_outside(rootfs: str) -> set[int]:
    """The numbers (stat(2), ``st_dev``) of all file systems that are mounted outside this tree (proc_pid_mountinfo(5))."""
    found = set()
    for line in namespaces.own("mountinfo").splitlines():
        fields = line.split()
        place = fields[4].encode("latin-1", "replace").decode("unicode_escape") if "\\" in fields[4] else fields[4]
        if place != rootfs and not place.startswith(f"{rootfs.rstrip('/')}/"):
            major, _, minor = fields[2].partition(":")
            found.add(os.makedev(int(major), int(minor)))
    return found
