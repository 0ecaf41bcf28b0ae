"""Device rules of a cgroup that exists already: version 1 by its files, version 2 by its filter programs. Row 3, hook only.

Which version rules is decided by what is mounted in our mount namespace, as the runtimes decide it: ``/proc/PID/cgroup`` lists
hierarchies that nobody sees. Only the container's own cgroups are changed; those above it belong to others as well.
"""

from __future__ import annotations

import os

from cdi_hook.errors import CdiError, KernelError
from cdi_hook.linux import bpf, namespaces, syscalls
from cdi_hook.linux.syscalls import from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from cdi_hook.linux.bpf import Rule
    from cdi_hook.linux.namespaces import Process

_BLOCK = 1 << 16
_ALL = ("a *:* rwm", "b *:* rwm", "c *:* rwm")


class Mount:
    """A mounted hierarchy: ``root`` is the cgroup that its mount point shows."""

    def __init__(self, root: str, point: str, magic: int) -> None:
        self.root, self.point, self.magic = root, point, magic

    def open(self, path: str) -> int:
        """The directory of a cgroup; -1 when it does not show in this mount, or another mount hides it."""
        inside = path if self.root == "/" else path[len(self.root) :] if f"{path}/".startswith(f"{self.root}/") else None
        if inside is None or ".." in inside.split("/"):
            return -1
        try:
            fd = os.open(f"{self.point}/{inside}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return -1
        if syscalls.filesystem_magic(fd, what=self.point) == self.magic:
            return fd
        os.close(fd)
        return -1


class Cgroups:
    """The cgroups of one container, the outermost first. ``version``: 1, 2, or 0 when no hierarchy filters devices here."""

    def __init__(self, version: int, directories: list[tuple[int, str]]) -> None:
        self.version = version
        self.directories = directories

    def allow(self, rules: list[Rule]) -> list[Callable[[], None]]:
        """Allow these accesses. Returns the functions that take it back, in the order in which it was done.

        Raises KernelError or CdiError; then nothing is changed.
        """
        undo: list[Callable[[], None]] = []
        try:
            for fd, name in self.directories:
                if self.version == 1:
                    for rule in rules:
                        undo.append(_allow_v1(fd, name, rule))
                else:
                    undo.append(bpf.Filter(fd, name).allow(rules))
        except BaseException as error:
            for back in reversed(undo):
                try:
                    back()
                except CdiError as other:
                    if isinstance(error, CdiError):
                        error.reason += f" (and it could not be undone: {other.reason})"
            raise
        return undo

    def close(self) -> None:
        """Let go of the directories."""
        for fd, _ in self.directories:
            os.close(fd)


def find(process: Process, name: str) -> Cgroups:
    """The cgroups of a container. ``name``: the last part of the path that its config asks for: what lies at and below a cgroup of this
    name is the container's own (crun and systemd nest them); empty: only the one that the process is in.

    A container that is in our own cgroup has none (crun's ``--cgroup-manager=disabled``): the runtime makes no rules then, and neither
    do we, since they would be those of the runtime and the engine.

    Raises CdiError when a hierarchy filters devices and the container's part of it does not show here.
    """
    paths, ours = _paths(process.read("cgroup")), _paths(namespaces.own("cgroup"))
    version_1, version_2 = _mounts()
    for version, mounts in ((1, version_1), (2, version_2)):
        if not mounts or version not in paths:
            continue
        if paths[version] == ours.get(version):
            return Cgroups(0, [])
        for mount in mounts:
            found = [(mount.open(path), path) for path in _own(paths[version], name)]
            if all(fd >= 0 for fd, _ in found):
                return Cgroups(version, found)
            Cgroups(version, [(fd, path) for fd, path in found if fd >= 0]).close()
        reason = f"the container's cgroup {paths[version]} does not show where cgroup v{version} is mounted ({mounts[0].point})"
        raise CdiError(reason, fix="let the runtime wrapper put the devices into the config")
    return Cgroups(0, [])


def _paths(text: str) -> dict[int, str]:
    """Version -> the cgroup whose devices are filtered, of a ``/proc/PID/cgroup``."""
    paths = {}
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        if "devices" in controllers.split(","):
            paths[1] = path
        elif number == "0":
            paths[2] = path
    return paths


def _own(path: str, name: str) -> list[str]:
    parts = path.split("/")
    if not name or name not in parts:
        return [path]
    first = len(parts) - parts[::-1].index(name)
    return ["/".join(parts[:end]) for end in range(first, len(parts) + 1)]


def _mounts() -> tuple[list[Mount], list[Mount]]:
    """Where the devices hierarchy of version 1, and where version 2 is mounted."""
    version_1, version_2 = [], []
    for line in namespaces.own("mountinfo").splitlines():
        place, _, rest = line.partition(" - ")
        type_, _, options = rest.split(" ", 2)
        root, point = (_plain(word) for word in place.split(" ")[3:5])
        if type_ == "cgroup" and "devices" in options.split(","):
            version_1.append(Mount(root, point, syscalls.CGROUP_SUPER_MAGIC))
        elif type_ == "cgroup2":
            version_2.append(Mount(root, point, syscalls.CGROUP2_SUPER_MAGIC))
    return version_1, version_2


def _plain(word: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, character)
    return word


def _allow_v1(cgroup: int, name: str, rule: Rule) -> Callable[[], None]:
    type_, major, minor, access = rule
    what = f"the device rules of cgroup {name}"
    entries = _read(cgroup, "devices.list", what).splitlines()
    # A cgroup that allows everything prints this line alone, whatever it forbids besides: the rule is written, and stays.
    everything = _ALL[0] in entries
    had: set[str] = set()
    covered = set()
    for entry in entries:
        kind, numbers, letters = entry.split(" ")
        if kind == type_ and numbers == f"{major}:{minor}":
            had |= set(letters)
        if kind == type_ and all(one in ("*", str(other)) for one, other in zip(numbers.split(":"), (major, minor))):
            covered |= set(letters)
    if not everything and covered >= set(access):
        return lambda: None
    try:
        _write(cgroup, "devices.allow", f"{type_} {major}:{minor} {access}", what)
    except KernelError:
        if everything:
            return lambda: None  # Rootless: nobody may write here, and all is allowed.
        raise
    added = "".join(letter for letter in access if letter not in had)
    if everything or not added:
        return lambda: None
    return lambda: _write(cgroup, "devices.deny", f"{type_} {major}:{minor} {added}", what)


def _read(directory: int, name: str, what: str) -> str:
    try:
        with syscalls.held(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)) as fd:
            data = b""
            while True:
                block = os.read(fd, _BLOCK)
                if not block:
                    return data.decode("ascii")
                data += block
    except OSError as error:
        raise from_os("open", error, f"{what} ({name})") from None


def _write(directory: int, name: str, text: str, what: str) -> None:
    try:
        with syscalls.held(os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)) as fd:
            os.write(fd, text.encode("ascii"))
    except OSError as error:
        raise from_os("write", error, f"{what} ({name}: {text})") from None
