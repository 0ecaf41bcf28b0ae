"""The rules that are put before a device filter: run by a small interpreter here, by the kernel in tests/integration."""

from __future__ import annotations

import struct
import sys
from itertools import product

import pytest

from cdi_hook.errors import CdiError
from cdi_hook.linux import bpf

pytestmark = pytest.mark.skipif(sys.byteorder == "big", reason="the bytes in these tests are little-endian")

RULES = [("c", 10, 229, "rwm"), ("b", 8, 0, "r"), ("c", 195, 255, "w")]
BITS = {"m": 1, "r": 2, "w": 4}
FELL_THROUGH = "fell through"


def run(code: bytes, type_: str, major: int, minor: int, access: str) -> int | str:
    """What the program answers; the registers that it leaves are checked when it falls through."""
    context = {0: sum(BITS[letter] for letter in access) << 16 | {"b": 1, "c": 2}[type_], 4: major, 8: minor}
    registers: dict[int, int] = {1: -1}
    at = 0
    words = list(struct.iter_unpack("<BBhi", code))
    while at < len(words):
        opcode, both, offset, immediate = words[at]
        to, source = both & 15, both >> 4
        at += 1
        if opcode == 0x61:
            assert source == 1
            registers[to] = context[offset]
        elif opcode == 0xBF:
            registers[to] = registers[source]
        elif opcode == 0xB7:
            registers[to] = immediate
        elif opcode == 0x57:
            registers[to] &= immediate
        elif opcode == 0x77:
            registers[to] >>= immediate
        elif opcode == 0x55:
            at += offset if registers[to] != immediate else 0
        elif opcode == 0x5D:
            at += offset if registers[to] != registers[source] else 0
        elif opcode == 0x95:
            return registers[0]
        else:
            raise AssertionError(f"opcode {opcode:#x}")
    assert registers[1] == -1
    return FELL_THROUGH


@pytest.mark.parametrize("number", range(len(RULES) + 1))
def test_exactly_what_the_rules_grant_is_allowed(number: int) -> None:
    rules = RULES[:number]
    code = bpf.prefix(rules)
    accesses = ["r", "w", "m", "rw", "rm", "wm", "rwm"]
    for type_, major, minor, access in product("bc", (8, 10, 195), (0, 229, 255), accesses):
        granted = any(rule[:3] == (type_, major, minor) and set(access) <= set(rule[3]) for rule in rules)
        assert run(code, type_, major, minor, access) == (1 if granted else FELL_THROUGH)


def insn(opcode: int, registers: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", opcode, registers, offset, immediate)


LOADABLE = {
    "plain": (insn(0xB7, 0, 0, 1) + insn(0x95), insn(0xB7, 0, 0, 1) + insn(0x95)),
    "a barrier of the verifier": (insn(0xC2) + insn(0x95), insn(0x05) + insn(0x95)),
    "a zero extension of the verifier": (insn(0xBC, 0x22, 0, 1), insn(0xBC, 0x22, 0, 0)),
    "a constant of 64 bits, whose second half is no instruction": (insn(0x18, 2, 0, 7) + insn(0x00, 0, 0, 0x85),) * 2,
}


@pytest.mark.parametrize(("dumped", "wanted"), LOADABLE.values(), ids=LOADABLE)
def test_what_can_be_loaded_again(dumped: bytes, wanted: bytes) -> None:
    assert bpf.loadable(dumped, "program 7") == wanted


REFUSED = {
    "a helper": (insn(0x85, 0, 0, 14), "program 7 calls a function, and cannot be loaded again"),
    "another function of the program": (insn(0x85, 0x10, 0, 3), "program 7 calls a function, and cannot be loaded again"),
    "a map": (insn(0x18, 0x12, 0, 5) + insn(0), "program 7 uses a map, and cannot be loaded again"),
}


@pytest.mark.parametrize(("code", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_loaded_again(code: bytes, reason: str) -> None:
    with pytest.raises(CdiError, match=f"^{reason}; let the runtime wrapper put the devices into the config$"):
        bpf.loadable(code, "program 7")
