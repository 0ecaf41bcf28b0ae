"""The name that a shared library gives itself. Row 3, hook only.

The file may be the work of an enemy: sizes and offsets in it are bounded, and whatever does not fit means that there is no name
(ELF specification, "Dynamic Section"; elf(5)).
"""

from __future__ import annotations

import os
import struct

_MAGIC = b"\x7fELF"
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_STRTAB, _DT_SONAME = 0, 5, 14
_MOST_HEADERS = 256
_LARGEST_DYNAMIC = 1 << 16
_LONGEST_NAME = 255
"""NAME_MAX: it is to be the name of a file."""

_LAYOUTS = {
    # class: header (phoff, phentsize, phnum), program header (type, offset, vaddr, filesz), dynamic entry (tag, value)
    1: ("16xHHIIIIIHHHHHH", (4, 8, 9), "IIIIIIII", (0, 1, 2, 4), "iI"),
    2: ("16xHHIQQQIHHHHHH", (4, 8, 9), "IIQQQQQQ", (0, 2, 3, 5), "qQ"),
}


def soname(fd: int) -> str:
    """The DT_SONAME of an open file; empty when it has none, is no ELF file, or its name could not be that of a file. Raises OSError."""
    ident = os.pread(fd, 16, 0)
    if len(ident) < 16 or ident[:4] != _MAGIC or ident[4] not in _LAYOUTS or ident[5] not in (1, 2):
        return ""
    order = "<" if ident[5] == 1 else ">"
    try:
        name = _soname(fd, order, *_LAYOUTS[ident[4]])
        text = name.decode("utf-8")
    except (struct.error, ValueError, OverflowError):
        return ""
    return text if text not in ("", ".", "..") and "/" not in text and text.isprintable() else ""


def _soname(
    fd: int, order: str, head: str, of_head: tuple[int, int, int], segment: str, of_segment: tuple[int, int, int, int], entry: str
) -> bytes:
    fields = struct.unpack(order + head, os.pread(fd, struct.calcsize(order + head), 0))
    offset, size, number = (fields[at] for at in of_head)
    if number > _MOST_HEADERS or size < struct.calcsize(order + segment):
        return b""
    table = os.pread(fd, size * number, offset)
    segments = []
    for at in range(0, len(table) - size + 1, size):
        values = struct.unpack_from(order + segment, table, at)
        segments.append(tuple(values[each] for each in of_segment))
    dynamic = next((found for found in segments if found[0] == _PT_DYNAMIC), None)
    if dynamic is None:
        return b""
    data = os.pread(fd, min(dynamic[3], _LARGEST_DYNAMIC), dynamic[1])
    tags: dict[int, int] = {}
    width = struct.calcsize(order + entry)
    for at in range(0, len(data) - width + 1, width):
        tag, value = struct.unpack_from(order + entry, data, at)
        if tag == _DT_NULL:
            break
        tags.setdefault(tag, value)
    if _DT_SONAME not in tags or _DT_STRTAB not in tags:
        return b""
    address = tags[_DT_STRTAB]
    for kind, where, start, length in segments:
        if kind == _PT_LOAD and start <= address < start + length:
            text = os.pread(fd, _LONGEST_NAME + 1, where + address - start + tags[_DT_SONAME])
            name, end, _ = text.partition(b"\0")
            return name if end else b""
    return b""
