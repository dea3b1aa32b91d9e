"""The filter's numbers are the kernel's, and its jumps lead where they should."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from shared import system_calls
from shared.system_calls import ALLOW, ARCHITECTURES, INET, KILL, UNIX, Filter

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
EVERY = {
    **system_calls.DANGEROUS,
    **system_calls.NEW_PROCESSES,
    **system_calls.DEVICES,
    "clone": system_calls.CLONE,
    "clone3": system_calls.CLONE3,
    "socket": system_calls.SOCKET,
    **{name: numbers for name, (numbers, _) in system_calls.SENDS.items()},
}
CELL, CARRIER = Filter(processes=True), Filter(processes=False, families=(UNIX,))
REFUSED = 0x00050000 | errno.EPERM


@pytest.mark.parametrize("machine", HEADERS)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip("the kernel's headers are not installed")
    found = dict(re.findall(r"#define\s+__NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    column = list(ARCHITECTURES).index(machine)
    ours = {name: numbers[column] for name, numbers in EVERY.items()}
    assert {name: int(found.get(name, -1)) for name in ours} == ours


def answer(program: bytes, machine: str, number: int, *arguments: int) -> int:
    """What the kernel's machine makes of a call."""
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    words = {0: number, 4: ARCHITECTURES[machine], 16: 0, 32: 0, 40: 0}
    words |= {16 + 8 * place: value for place, value in enumerate(arguments)}
    held, at = 0, 0
    while True:
        kind, yes, no, value = code[at]
        at += 1
        if kind == system_calls.RETURN:
            return value
        if kind == system_calls.LOAD:
            held = words[value]
            continue
        jumps = {
            system_calls.JUMP_EQUAL: held == value,
            system_calls.JUMP_GREATER_EQUAL: held >= value,
            system_calls.JUMP_SET: bool(held & value),
        }
        at += yes if jumps[kind] else no


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize("filter_", [CELL, CARRIER])
def test_every_call_is_answered_as_it_should(machine: str, filter_: Filter) -> None:
    program, column = filter_.program(machine), list(ARCHITECTURES).index(machine)
    assert program is not None
    for name, numbers in EVERY.items():
        if numbers[column] < 0 or name in {"clone", "clone3", "socket", *system_calls.SENDS}:
            continue
        free = filter_.processes and name not in system_calls.DANGEROUS
        assert answer(program, machine, numbers[column]) == (ALLOW if free else REFUSED), name
    assert answer(program, machine, 0) == ALLOW
    assert answer(program, machine, system_calls.CLONE3[column]) == 0x00050000 | errno.ENOSYS
    for flags, free in ((17, filter_.processes), (0x10000000 | 17, False), (0x3D0F00, True)):
        assert answer(program, machine, system_calls.CLONE[column], flags) == (ALLOW if free else REFUSED), hex(flags)
    for family in range(50):
        free = family in filter_.families
        expected = ALLOW if free else 0x00050000 | errno.EAFNOSUPPORT
        assert answer(program, machine, system_calls.SOCKET[column], family) == expected, family
        expected = 0x00050000 | (errno.EPROTONOSUPPORT if free else errno.EAFNOSUPPORT)
        assert answer(program, machine, system_calls.SOCKET[column], family, 1, system_calls.MPTCP) == expected
    for numbers, place in system_calls.SENDS.values():
        arguments = [0] * place
        assert answer(program, machine, numbers[column], *arguments, 0x4000) == ALLOW
        assert answer(program, machine, numbers[column], *arguments, 0x20004000) == REFUSED
    if machine == "x86_64":
        assert answer(program, machine, 0x40000000) == REFUSED
    other = next(name for name in ARCHITECTURES if name != machine)
    assert answer(program, other, 0) == KILL


def test_another_processor_gets_no_filter() -> None:
    assert CELL.program("riscv64") is None
    assert INET in CELL.families
