"""The index: every resolved device of a list of spec directories in one file, read partly. Row 4, hot.

A create that asks for one device must not pay for ten thousand. Whoever had to parse the specs writes down, once, the edits of each
device; the next create finds its own by one hash and two short reads. The file holds, in this order::

    header      magic, length of the signature, offset and number of slots, checksum of these
    signature   the directories and every spec file in them, as ``signature`` gives it; the index is valid for exactly these
    records     checksum and marshalled value: one a device (name, spec, where the spec's record is, edits), one a spec (its edits)
    slots       16 bytes each: hash of the name, length and offset of the record

What is *not* in it: facts about the host (``major``, modes), which are looked up at each create, and negative answers: a name that
is not found, or anything that does not check out, means that the specs are read again. Nobody needs the file: deleting it is safe,
and when it cannot be written creates are slower, nothing else. ``indexwriter`` writes it.
"""

from __future__ import annotations

import errno
import marshal
import posix
from binascii import crc32

from cdi_hook import memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cdi_hook.model import Part

SUFFIXES = (".yaml", ".json", ".yml")
"""Names of spec files end so."""

MAGIC = b"CDIX1\n"
"""With the number of the format, which also changes when the same spec comes to mean other edits."""
HEADER = 36
SLOT = 16
WINDOW = 8
"""A name stands in one of this many slots, counted from the one that its hash names."""
MARSHAL = 2
"""The marshal version without references: the same value always gives the same bytes."""
_LONGEST = 64 << 20
"""A record is made of a spec of at most 32 MiB."""
DAMAGE = (OSError, ValueError, EOFError, TypeError, OverflowError)
"""What reading a damaged file may raise."""


def parts(dirs: list[str], names: list[str], home: str = "") -> list[Part] | None:
    """The edits of these devices, in order, each spec's own once before its first device; None when the index cannot tell.

    ``dirs``: spec directories, lowest precedence first. ``home``: the directory of the index files, if not the usual one.
    """
    home = home or memory.home_directory()
    wanted = signature(dirs) if home else None
    if wanted is None or not memory.is_ours(posix.stat, home, memory.S_IFDIR):
        return None
    try:
        fd = posix.open(f"{home}/{file_name(dirs)}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not memory.is_ours(posix.fstat, fd, memory.S_IFREG):
            return None
        head = posix.read(fd, HEADER + len(wanted))
        slots = check_header(head[:HEADER], len(wanted))
        if slots is None or head[HEADER:] != wanted:
            return None
        return _collect(fd, slots, names)
    except DAMAGE:
        return None
    finally:
        posix.close(fd)


def signature(dirs: list[str]) -> bytes | None:
    """What tells whether the specs are the same: for each directory, in order, each spec file's name, device, inode, size, mtime and
    ctime in nanoseconds, and for a symbolic link also its text and what it leads to. None when a directory cannot be read."""
    state: list[Any] = []
    try:
        for path in dirs:
            state.append((path, _listing(path)))
    except OSError:
        return None
    return marshal.dumps(state, MARSHAL)


def _listing(path: str) -> list[Any] | None:
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    stat = posix.stat
    files: list[Any] = []
    try:
        for name in posix.listdir(fd):
            if not name.endswith(SUFFIXES):
                continue
            file = stat(name, dir_fd=fd, follow_symlinks=False)
            files.append((name, file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns))
            if file.st_mode & memory.S_IFMT == memory.S_IFLNK:
                files.append((name, *_linked(name, fd)))
    finally:
        posix.close(fd)
    files.sort()
    return files


def _linked(name: str, fd: int) -> tuple[Any, ...]:
    text = posix.readlink(name, dir_fd=fd)
    try:
        file = posix.stat(name, dir_fd=fd)
    except OSError:
        return (0, 0, 0, 0, 0, text)
    return (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns, text)


def file_name(dirs: list[str]) -> str:
    return f"index-{crc32(chr(0).join(dirs).encode('utf-8', 'surrogateescape')):08x}"


def check_header(head: bytes, signature_length: int) -> tuple[int, int] | None:
    """``(offset, number)`` of the slots, if this is an index with a signature of that length."""
    if len(head) != HEADER or crc32(head[:32]) != int.from_bytes(head[32:], "little") or not head.startswith(MAGIC):
        return None
    if int.from_bytes(head[8:16], "little") != signature_length:
        return None
    return int.from_bytes(head[16:24], "little"), int.from_bytes(head[24:32], "little")


def _collect(fd: int, slots: tuple[int, int], names: list[str]) -> list[Part] | None:
    found: list[Part] = []
    seen = set()
    for name in names:
        record = _find(fd, slots, name)
        if record is None:
            return None
        _, path, offset, length, edits = record
        if path not in seen:
            seen.add(path)
            if length:
                of_spec = _record(fd, offset, length)
                if of_spec is None:
                    return None
                found.append(((path, ""), of_spec))
        found.append(((path, name), edits))
    return found


def _find(fd: int, slots: tuple[int, int], name: str) -> Any:
    offset, number = slots
    wanted = hash_of(name)
    window = posix.pread(fd, WINDOW * SLOT, offset + (wanted & (number - 1)) * SLOT)
    for at in range(0, len(window), SLOT):
        length = int.from_bytes(window[at + 4 : at + 8], "little")
        if length and int.from_bytes(window[at : at + 4], "little") == wanted:
            record = _record(fd, int.from_bytes(window[at + 8 : at + 16], "little"), length)
            if record is None or record[0] == name:
                return record
    return None


def _record(fd: int, offset: int, length: int) -> Any:
    if length > _LONGEST:
        return None
    data = posix.pread(fd, length, offset)
    if len(data) != length or crc32(data[4:]) != int.from_bytes(data[:4], "little"):
        return None
    return marshal.loads(data[4:])


def hash_of(name: str) -> int:
    return crc32(name.encode("utf-8", "surrogateescape"))
