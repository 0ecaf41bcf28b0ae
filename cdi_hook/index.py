"""The index: every resolved device of a list of spec directories in one file, read partly. Layer 2, hot.

A create that asks for one device must not pay for ten thousand. Whoever had to parse the specs writes down, once, the edits of each
device; the next create finds its own by one hash and two short reads. The file holds, in this order::

    header      magic, length of the signature, offset and number of slots, checksum of these
    signature   the directories and every spec file in them, as ``signature`` gives it; the index is valid for exactly these
    records     checksum and marshalled value: one a device (name, spec, where the spec's record is, edits), one a spec (its edits)
    slots       16 bytes each: hash of the name, length and offset of the record

What is *not* in it: facts about the host (``major``, modes), which are looked up at each create, and negative answers: a name that
is not found, or anything that does not check out, means that the specs are read again. Nobody needs the file: deleting it is safe,
and when it cannot be written creates are slower, nothing else.
"""

from __future__ import annotations

import errno
import marshal
import posix
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Callable

    from cdi_hook.model import Part

SUFFIXES = (".yaml", ".json", ".yml")
"""Names of spec files end so."""

SYSTEM_HOME = "/run/cdi-hook"
"""Where root's index files are; a user's are in ``$XDG_RUNTIME_DIR/cdi-hook``."""

_MAGIC = b"CDIX1\n"
"""With the number of the format, which also changes when the same spec comes to mean other edits."""
_HEADER = 36
_SLOT = 16
_WINDOW = 8
"""A name stands in one of this many slots, counted from the one that its hash names."""
_MARSHAL = 2
"""The marshal version without references: the same value always gives the same bytes."""
_GRAIN = 50_000_000
_COARSE_GRAIN = 2_000_000_000
"""Nanoseconds in which a file may change twice without a new ctime: a kernel tick with some reserve; two seconds where the file
system only keeps whole ones. What changed so shortly before it was read is not trusted (git's "racily clean" rule)."""
_LONGEST = 64 << 20
"""A record is made of a spec of at most 32 MiB."""
_DAMAGE = (OSError, ValueError, EOFError, TypeError, OverflowError)
"""What reading a damaged file may raise."""
_S_IFMT, _S_IFDIR, _S_IFREG, _S_IFLNK = 0o170000, 0o040000, 0o100000, 0o120000


def parts(dirs: list[str], names: list[str], home: str = "") -> list[Part] | None:
    """The edits of these devices, in order, each spec's own once before its first device; None when the index cannot tell.

    ``dirs``: spec directories, lowest precedence first. ``home``: the directory of the index files, if not the usual one.
    """
    home = home or _home()
    wanted = signature(dirs) if home else None
    if wanted is None or not _ours(posix.stat, home, _S_IFDIR):
        return None
    try:
        fd = posix.open(f"{home}/{_file_name(dirs)}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not _ours(posix.fstat, fd, _S_IFREG):
            return None
        head = posix.read(fd, _HEADER + len(wanted))
        slots = _check_header(head[:_HEADER], len(wanted))
        if slots is None or head[_HEADER:] != wanted:
            return None
        return _collect(fd, slots, names)
    except _DAMAGE:
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
    return marshal.dumps(state, _MARSHAL)


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
            if file.st_mode & _S_IFMT == _S_IFLNK:
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


def _home() -> str:
    if posix.geteuid() == 0 and _ours(posix.stat, SYSTEM_HOME, _S_IFDIR):
        return SYSTEM_HOME
    # Root inside a user's namespace owns nothing below /run, and is sent to that user's directory.
    user = posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
    return f"{user}/cdi-hook" if user.startswith("/") else SYSTEM_HOME


def _ours(stat: Callable[[Any], posix.stat_result], target: object, kind: int) -> bool:
    """Whether it is of this kind, ours, and writable by nobody else."""
    try:
        found = stat(target)
    except OSError:
        return False
    return found.st_mode & _S_IFMT == kind and found.st_uid == posix.geteuid() and not found.st_mode & 0o022


def _file_name(dirs: list[str]) -> str:
    return f"index-{crc32(chr(0).join(dirs).encode('utf-8', 'surrogateescape')):08x}"


def _check_header(head: bytes, signature_length: int) -> tuple[int, int] | None:
    """``(offset, number)`` of the slots, if this is an index with a signature of that length."""
    if len(head) != _HEADER or crc32(head[:32]) != int.from_bytes(head[32:], "little") or not head.startswith(_MAGIC):
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
    wanted = _hash(name)
    window = posix.pread(fd, _WINDOW * _SLOT, offset + (wanted & (number - 1)) * _SLOT)
    for at in range(0, len(window), _SLOT):
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


def _hash(name: str) -> int:
    return crc32(name.encode("utf-8", "surrogateescape"))


def write(dirs: list[str], before: bytes | None, started: int, devices: Iterable[tuple[str, list[Part]]], home: str = "") -> bool:
    """Write the index of these directories. Not for the hot path; never raises, False when there is none now.

    ``before``: the signature, taken before the specs were read; ``started``: nanoseconds since the epoch at that time;
    ``devices``: each device's name and parts. Not written when a file changed meanwhile, or so shortly before that its next change
    could not be told from this one.
    """
    home = home or _home()
    if before is None or _racy(before, started) or signature(dirs) != before:
        return False
    path = f"{home}/{_file_name(dirs)}"
    temporary = f"{path}.{posix.getpid()}"
    try:
        if not _ours(posix.stat, home, _S_IFDIR):
            posix.mkdir(home, 0o700)
        fd = posix.open(temporary, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600)
        try:
            view = memoryview(_image(before, devices))
            while view:
                view = view[posix.write(fd, view) :]
        finally:
            posix.close(fd)
        posix.rename(temporary, path)
    except OSError:
        try:
            posix.unlink(temporary)
        except OSError:
            pass
        return False
    _sweep(home, path)
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
    start = _HEADER + len(state)

    def add(value: Any) -> tuple[int, int]:
        data = marshal.dumps(value, _MARSHAL)
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
        entries.append((_hash(name), length, offset))
    table = _table(entries)
    head = _MAGIC.ljust(8, b"\0") + len(state).to_bytes(8, "little") + (start + len(records)).to_bytes(8, "little")
    head += (len(table) - _WINDOW).to_bytes(8, "little")
    head += crc32(head).to_bytes(4, "little")
    slots = bytearray()
    for hash_, length, offset in table:
        slots += hash_.to_bytes(4, "little") + length.to_bytes(4, "little") + offset.to_bytes(8, "little")
    return head + state + bytes(records) + bytes(slots)


def _table(entries: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The slots, a power of two and a window more, so that a window never wraps. Doubled while some entry does not fit its window;
    names made to collide do not get far with that: what still does not fit is left out, and looked up in the specs."""
    size = _WINDOW
    while size < 2 * len(entries):
        size *= 2
    most = 8 * size
    while True:
        table = [(0, 0, 0)] * (size + _WINDOW)
        homeless = 0
        for entry in entries:
            home = entry[0] & (size - 1)
            for at in range(home, home + _WINDOW):
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
        except _DAMAGE:
            pass


def _dirs_of(path: str) -> list[str]:
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    try:
        head = posix.read(fd, _HEADER)
        length = int.from_bytes(head[8:16], "little")
        if _check_header(head, length) is None:
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
