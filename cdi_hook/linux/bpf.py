"""Device filters of cgroup v2: the programs that are attached, extended by rules that allow more. Row 3, hook only.

A program is never written from scratch. What the kernel runs is read back (its translated instructions), rules that allow the new
nodes are put in front, and the result takes the old one's place. Several programs of one cgroup must all say yes, so each gets the
rules. What cannot be read back is refused by name (bpf(2); ``include/uapi/linux/bpf.h``).
"""

from __future__ import annotations

import ctypes
import errno
import struct
import sys

from cdi_hook.errors import CdiError, KernelError
from cdi_hook.linux import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Callable

    Rule = tuple[str, int, int, str]
    """Type (``b`` or ``c``), major, minor, access (letters of ``rwm``)."""

BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
BPF_F_REPLACE = 4
BPF_OBJ_GET_INFO_BY_FD = 15
BPF_PROG_ATTACH = 8
BPF_PROG_DETACH = 9
BPF_PROG_GET_FD_BY_ID = 13
BPF_PROG_LOAD = 5
BPF_PROG_QUERY = 16
BPF_PROG_TYPE_CGROUP_DEVICE = 15

_ATTR_SIZE = 128
"""More than any command here reads or writes of ``union bpf_attr``; the kernel wants the rest to be zero."""
_INFO_SIZE = 256
_LOG_SIZE = 1 << 16
_PROGRAMS = 64
"""As many programs as one cgroup can have."""

_DEVICE_TYPE = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}

_LDX_W, _MOV_X, _MOV_K, _AND_K, _RSH_K = 0x61, 0xBF, 0xB7, 0x57, 0x77
_JNE_K, _JNE_X, _JA, _CALL, _EXIT = 0x55, 0x5D, 0x05, 0x85, 0x95
_LD_IMM64, _MOV32_X, _NOSPEC = 0x18, 0xBC, 0xC2
_INSTRUCTION = struct.Struct("=BBhi")

_FIX = "let the runtime wrapper put the devices into the config"


class Filter:
    """The device programs attached to one cgroup. ``cgroup``: its directory; ``name``: for messages."""

    def __init__(self, cgroup: int, name: str) -> None:
        self.cgroup = cgroup
        self.what = f"the device filter of cgroup {name}"

    def programs(self) -> tuple[list[int], int]:
        """``(ids, flags)``: the programs attached here, in order, and how they were attached. Raises KernelError."""
        ids = (ctypes.c_uint32 * _PROGRAMS)()
        attr = _attr("=IIIIQI", self.cgroup, BPF_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), _PROGRAMS)
        syscalls.bpf(BPF_PROG_QUERY, attr, what=self.what)
        (flags,) = struct.unpack_from("=I", attr, 12)
        (count,) = struct.unpack_from("=I", attr, 24)
        return list(ids[:count]), flags

    def allow(self, rules: list[Rule]) -> Callable[[], None]:
        """Let every program attached here allow these as well. Returns what puts the old ones back.

        Raises KernelError or CdiError; then nothing is changed. No program: nothing is forbidden, and nothing is done.
        """
        ids, flags = self.programs()
        undo: list[tuple[int, int]] = []

        def put_back() -> None:
            while undo:
                new, old = undo.pop()
                self._replace(new, old, flags)

        try:
            for number in ids:
                old = syscalls.bpf(BPF_PROG_GET_FD_BY_ID, _attr("=I", number), what=f"program {number} of {self.what}")
                new = load(prefix(rules) + self._dump(old, number), what=self.what)
                self._replace(old, new, flags)
                undo.append((new, old))
        except BaseException:
            put_back()
            raise
        return put_back

    def _replace(self, old: int, new: int, flags: int) -> None:
        """Let one program take another's place, without a moment in which neither of them filters."""
        if not flags & BPF_F_ALLOW_MULTI:
            # The only one of its cgroup: attaching is replacing.
            syscalls.bpf(BPF_PROG_ATTACH, _attr("=IIII", self.cgroup, new, BPF_CGROUP_DEVICE, flags), what=self.what)
            return
        try:
            attr = _attr("=IIIII", self.cgroup, new, BPF_CGROUP_DEVICE, flags | BPF_F_REPLACE, old)
            syscalls.bpf(BPF_PROG_ATTACH, attr, what=self.what)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                error.fix = f"it was attached by a bpf link, which only its owner can change; {_FIX}"
            if error.errno != errno.EINVAL:
                raise
            # Before Linux 5.6: both filter for a moment, which is the stricter way round.
            syscalls.bpf(BPF_PROG_ATTACH, _attr("=IIII", self.cgroup, new, BPF_CGROUP_DEVICE, flags), what=self.what)
            syscalls.bpf(BPF_PROG_DETACH, _attr("=III", self.cgroup, old, BPF_CGROUP_DEVICE), what=self.what)

    def _dump(self, program: int, number: int) -> bytes:
        """The instructions of a loaded program, in the form in which they can be loaded again."""
        what = f"program {number} of {self.what}"
        info = ctypes.create_string_buffer(_INFO_SIZE)
        attr = _attr("=IIQ", program, _INFO_SIZE, ctypes.addressof(info))
        syscalls.bpf(BPF_OBJ_GET_INFO_BY_FD, attr, what=what)
        (size,) = struct.unpack_from("=I", info, 20)
        code = ctypes.create_string_buffer(max(size, 1))
        info = ctypes.create_string_buffer(_INFO_SIZE)
        struct.pack_into("=IxxxxxxxxQ", info, 20, size, ctypes.addressof(code))
        syscalls.bpf(BPF_OBJ_GET_INFO_BY_FD, _attr("=IIQ", program, _INFO_SIZE, ctypes.addressof(info)), what=what)
        (shown,) = struct.unpack_from("=Q", info, 32)
        if not size or not shown:
            raise CdiError(f"the kernel does not show the instructions of {what}", fix=_FIX)
        return loadable(code.raw[:size], what)


def loadable(code: bytes, what: str) -> bytes:
    """Translated instructions as the verifier takes them. Raises CdiError for those that only the kernel's own loader can write."""
    out = []
    words = list(_INSTRUCTION.iter_unpack(code))
    skip = False
    for opcode, registers, offset, immediate in words:
        if skip:
            skip = False
        elif opcode == _LD_IMM64:
            if _source(registers):
                raise CdiError(f"{what} uses a map, and cannot be loaded again", fix=_FIX)
            skip = True
        elif opcode == _CALL:
            raise CdiError(f"{what} calls a function, and cannot be loaded again", fix=_FIX)
        elif opcode == _NOSPEC:
            # The verifier put this barrier in, and puts it in again.
            opcode, registers, offset, immediate = _JA, 0, 0, 0
        elif opcode == _MOV32_X and immediate == 1:
            immediate = 0  # Its mark for a zero extension.
        out.append(_INSTRUCTION.pack(opcode, registers, offset, immediate))
    return b"".join(out)


def prefix(rules: Iterable[Rule]) -> bytes:
    """Instructions that end with "allowed" for an access that one of these rules grants, and otherwise run into what follows.

    They leave register 1, the context, as it is; a program may not read any other before it has written it. The context is
    ``struct bpf_cgroup_dev_ctx``: access in the upper and type in the lower half of the first word, then major, then minor.
    """
    out = [
        _insn(_LDX_W, 2, 1, 0, 0),
        _insn(_MOV_X, 3, 2, 0, 0),
        _insn(_AND_K, 2, 0, 0, 0xFFFF),
        _insn(_RSH_K, 3, 0, 0, 16),
        _insn(_LDX_W, 4, 1, 4, 0),
        _insn(_LDX_W, 5, 1, 8, 0),
    ]
    for type_, major, minor, access in rules:
        bits = sum(_ACCESS[letter] for letter in set(access))
        out += [
            _insn(_JNE_K, 2, 0, 7, _DEVICE_TYPE[type_]),
            _insn(_JNE_K, 4, 0, 6, major),
            _insn(_JNE_K, 5, 0, 5, minor),
            _insn(_MOV_X, 0, 3, 0, 0),
            _insn(_AND_K, 0, 0, 0, bits),
            _insn(_JNE_X, 0, 3, 2, 0),
            _insn(_MOV_K, 0, 0, 0, 1),
            _insn(_EXIT, 0, 0, 0, 0),
        ]
    return b"".join(out)


def load(code: bytes, *, what: str) -> int:
    """A descriptor of the loaded program. Raises KernelError, with the last line of the verifier's log."""
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    log = ctypes.create_string_buffer(_LOG_SIZE)

    def attempt(level: int) -> int:
        size, place = (_LOG_SIZE, ctypes.addressof(log)) if level else (0, 0)
        head = (BPF_PROG_TYPE_CGROUP_DEVICE, len(code) // _INSTRUCTION.size, ctypes.addressof(instructions), ctypes.addressof(licence))
        return syscalls.bpf(BPF_PROG_LOAD, _attr("=IIQQIIQ", *head, level, size, place), what=what)

    try:
        return attempt(0)
    except KernelError as error:
        if error.errno not in (errno.EINVAL, errno.EACCES):
            raise
    try:
        return attempt(1)
    except KernelError as error:
        lines = [line for line in log.value.decode("utf-8", "replace").splitlines() if line and not line.startswith("processed ")]
        error.reason += f": the verifier says: {lines[-1]}" if lines else ""
        error.fix = _FIX
        raise


def _attr(form: str, *values: int) -> ctypes.Array[ctypes.c_char]:
    attr = ctypes.create_string_buffer(_ATTR_SIZE)
    struct.pack_into(form, attr, 0, *values)
    return attr


def _insn(opcode: int, to: int, source: int, offset: int, immediate: int) -> bytes:
    registers = to | source << 4 if sys.byteorder == "little" else to << 4 | source
    return _INSTRUCTION.pack(opcode, registers, offset, immediate)


def _source(registers: int) -> int:
    return registers >> 4 if sys.byteorder == "little" else registers & 0x0F
