"""``linux.elf``: real libraries, and everything that is none."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cdi_hook.linux import elf


def libraries() -> list[Path]:
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return sorted({Path(line.split(None, 5)[5]) for line in lines if line.endswith(".so") or ".so." in line})


@pytest.fixture(scope="module")
def library() -> bytes:
    """A small library with a name, made by hand: one segment, a dynamic section, a table of strings."""
    return made(b"libacme.so.1")


def made(name: bytes, *, order: str = "little", wide: bool = True) -> bytes:
    """An ELF file whose only content is its SONAME."""
    mark = "<" if order == "little" else ">"
    strings = b"\0" + name + b"\0"
    head, segment, entry = (64, 56, 16) if wide else (52, 32, 8)
    at = head + 2 * segment
    dynamic = b"".join(struct.pack(mark + ("qQ" if wide else "iI"), *pair) for pair in ((5, at + 3 * entry), (14, 1), (0, 0)))
    size = at + len(dynamic) + len(strings)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "little" else 2, 1]) + bytes(9)
    fields = (3, 62, 1, 0, head, 0, 0, head, segment, 2, 0, 0, 0)
    top = ident + struct.pack(mark + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"), *fields)
    rows = [(1, 0, 0, size), (2, at, at, len(dynamic))]
    table = b"".join(
        struct.pack(mark + "IIQQQQQQ", kind, 4, where, start, start, length, length, 8)
        if wide
        else struct.pack(mark + "IIIIIIII", kind, where, start, start, length, length, 4, 8)
        for kind, where, start, length in rows
    )
    return top + table + dynamic + strings


def soname(data: bytes) -> str:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return elf.soname(file.fileno())


@pytest.mark.parametrize("wide", [True, False], ids=["64 bits", "32 bits"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_the_name_of_a_library(order: str, wide: bool) -> None:
    assert soname(made(b"libacme.so.1", order=order, wide=wide)) == "libacme.so.1"


def test_real_libraries() -> None:
    found = {}
    for path in libraries():
        fd = os.open(path, os.O_RDONLY)
        found[path.name] = elf.soname(fd)
        os.close(fd)
    assert found["libc.so.6"] == "libc.so.6"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x7fELF",
        b"#!/bin/sh\n",
        bytes(4096),
        b"INPUT(libacme.so.1)\n",
        made(b"a/b"),
        made(b".."),
        made(b""),
        made(b"\xff\xfe"),
        made(b"a\nb"),
    ],
    ids=["nothing", "the magic alone", "a script", "zeroes", "a linker script", "a path", "the parent", "no name", "no text", "two lines"],
)
def test_no_name(data: bytes) -> None:
    assert soname(data) == ""


def test_a_program_has_none() -> None:
    assert soname(Path(os.path.realpath("/bin/busybox")).read_bytes() if os.path.exists("/bin/busybox") else made(b"")) == ""


def test_damage_never_raises(library: bytes) -> None:
    """Each byte changed, and each length cut."""
    chance = random.Random(1)
    for at in range(len(library)):
        assert "/" not in soname(library[:at])
        assert "/" not in soname(library[:at] + bytes([chance.randrange(256)]) + library[at + 1 :])
        assert "/" not in soname(library[:at] + b"\xff" * 8 + library[at + 8 :])


def test_reads_little_of_a_file_that_lies() -> None:
    """A header that promises much costs no memory."""
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\nimport os, resource\nfrom cdi_hook.linux import elf\n"
        "resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))\n"
        "fd = os.memfd_create('x'); os.write(fd, sys.stdin.buffer.read()); os.ftruncate(fd, 1 << 40); print(repr(elf.soname(fd)))"
    )
    data = bytearray(made(b"libacme.so.1"))
    data[64 + 56 + 32 : 64 + 56 + 40] = b"\xff" * 7 + b"\x00"  # the dynamic section's size
    done = subprocess.run([sys.executable, "-c", code], input=bytes(data), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"'libacme.so.1'\n"), done.stderr
