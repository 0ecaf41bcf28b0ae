"""Writing the index that ``index`` reads. Row 4, cold.

Done by whoever had to read the specs: the wrapper after a change, ``cdi-hook index --rebuild``, the systemd unit.
"""

from __future__ import annotations

import marshal
import posix
import time
from binascii import crc32

from cdi_hook import memory
from cdi_hook.cdi import index
from cdi_hook.cdi.registry import Registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from cdi_hook.model import Part

_GRAIN = 50_000_000
_COARSE_GRAIN = 2_000_000_000
"""Nanoseconds in which a file may change twice without a new ctime: a kernel tick with some reserve; two seconds where the file
system only keeps whole ones. What changed so shortly before it was read is not trusted (git's "racily clean" rule)."""


def refresh(dirs: list[str], home: str = "", *, anew: bool = False) -> tuple[Registry, bool]:
    """Read the specs of these directories and write their index, unless a valid one is there (``anew``: even then); the specs, and
    whether there is an index now."""
    started, before = time.time_ns(), index.signature(dirs)
    registry = Registry.discover(dirs)
    if not anew and index.parts(dirs, [], home) is not None:
        return registry, True
    return registry, write(dirs, before, started, ((name, registry.parts([name])) for name in registry.devices()), home)


def write(dirs: list[str], before: bytes | None, started: int, devices: Iterable[tuple[str, list[Part]]], home: str = "") -> bool:
    """Write the index of these directories. Never raises; False when there is none now.

    ``before``: the signature, taken before the specs were read; ``started``: nanoseconds since the epoch at that time;
    ``devices``: each device's name and parts. Not written when a file changed meanwhile, or so shortly before that its next change
    could not be told from this one.
    """
    home = home or memory.home_directory()
    if before is None or _racy(before, started) or index.signature(dirs) != before:
        return False
    name = index.file_name(dirs)
    if not memory.keep(home, name, _image(before, devices)):
        return False
    _sweep(home, f"{home}/{name}")
    return True


def _racy(state: bytes, started: int) -> bool:
    for _, files in marshal.loads(state):
        for file in files or ():
            changed = file[5] if isinstance(file[5], int) else started
            if changed >= started - (_GRAIN if changed % 1_000_000_000 else _COARSE_GRAIN):
                return True
    return False


def _image(state: bytes, devices: Iterable[tuple[str, list[Part]]]) -> bytes:
    """The whole file."""
    records = bytearray()
    start = index.HEADER + len(state)

    def add(value: Any) -> tuple[int, int]:
        data = marshal.dumps(value, index.MARSHAL)
        offset = start + len(records)
        records.extend(crc32(data).to_bytes(4, "little") + data)
        return offset, len(data) + 4

    specs: dict[str, tuple[int, int]] = {}
    entries: list[tuple[int, int, int]] = []
    for name, of_device in devices:
        (path, _), edits = of_device[-1]
        if path not in specs:
            specs[path] = add(of_device[0][1]) if len(of_device) > 1 else (0, 0)
        offset, length = add((name, path, *specs[path], edits))
        entries.append((index.hash_of(name), length, offset))
    table = _table(entries)
    head = index.MAGIC.ljust(8, b"\0") + len(state).to_bytes(8, "little") + (start + len(records)).to_bytes(8, "little")
    head += (len(table) - index.WINDOW).to_bytes(8, "little")
    head += crc32(head).to_bytes(4, "little")
    slots = bytearray()
    for hash_, length, offset in table:
        slots += hash_.to_bytes(4, "little") + length.to_bytes(4, "little") + offset.to_bytes(8, "little")
    return head + state + bytes(records) + bytes(slots)


def _table(entries: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The slots, a power of two and a window more, so that a window never wraps. Doubled while some entry does not fit its window;
    names made to collide do not get far with that: what still does not fit is left out, and looked up in the specs."""
    size = index.WINDOW
    while size < 2 * len(entries):
        size *= 2
    most = 8 * size
    while True:
        table = [(0, 0, 0)] * (size + index.WINDOW)
        homeless = 0
        for entry in entries:
            home = entry[0] & (size - 1)
            for at in range(home, home + index.WINDOW):
                if not table[at][1]:
                    table[at] = entry
                    break
            else:
                homeless += 1
        if not homeless or size >= most:
            return table
        size *= 2


def _sweep(home: str, keep: str) -> None:
    """Remove index files of directories that are all gone, and temporary files of the dead."""
    try:
        names = posix.listdir(home)
    except OSError:
        return
    for name in names:
        path = f"{home}/{name}"
        if not name.startswith("index-") or path == keep:
            continue
        try:
            pid = name.partition(".")[2]
            if not (_exists(f"/proc/{int(pid)}") if pid else any(_exists(directory) for directory in _dirs_of(path))):
                posix.unlink(path)
        except index.DAMAGE:
            pass


def _dirs_of(path: str) -> list[str]:
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    try:
        head = posix.read(fd, index.HEADER)
        length = int.from_bytes(head[8:16], "little")
        if index.check_header(head, length) is None:
            return []
        return [directory for directory, _ in marshal.loads(posix.read(fd, length))]
    finally:
        posix.close(fd)


def _exists(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True
