"""Landlock: a process gives up every path but those it names, for itself and all it becomes. Needs no rights.

The C library has no wrappers, so the three system calls are made by number (the same on every architecture). What a
kernel does not know is left out; `abi` says what it knows. See landlock(7) and linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1

WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 7, 1 << 8, 1 << 12
REFER, TRUNCATE = 1 << 13, 1 << 14
RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights over files an ABI knows; later ones know those of 5."""
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE
"""Regular files, directories and links: no devices, no sockets, no pipes, and nothing is ever executed."""
ON_A_FILE = READ_FILE | WRITE_FILE | TRUNCATE
BIND_TCP, CONNECT_TCP = 1, 2
RULE_PORT = 2
PORTS_SINCE = 4
"""The ABI that knows ports (Linux 6.7)."""
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The version of Landlock this kernel has switched on; 0: none."""
    answer = _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(CREATE_RULESET_VERSION))
    return max(0, int(answer))


def prepare(*, readable: Iterable[str], writable: Iterable[str]) -> int | None:
    """A ruleset with these paths, as a descriptor; None: this kernel has no Landlock. Paths that do not exist are left
    out. To be made while the process can still reach them.

    Ruled out as well, where the kernel can: listening on TCP, sockets of other processes without a path, signals to
    others. Raises OSError when the kernel refuses.
    """
    known = abi()
    if known == 0:
        return None
    rights = RIGHTS_BY_ABI[min(known, max(RIGHTS_BY_ABI))]
    ruleset = _ruleset(known, rights)
    for path in readable:
        _allow(ruleset, path, READ & rights)
    for path in writable:
        _allow(ruleset, path, WRITE & rights)
    return ruleset


def ports_but(refused: Iterable[int]) -> int | None:
    """A ruleset that forbids connecting to these TCP ports, as a descriptor; None: this kernel can not.

    The kernel knows only what is allowed, so there is a rule for every other port: 0.1 s and 5 MB to make, 20 ms to put
    on a process. To be made once and enforced by many. Raises OSError.
    """
    if abi() < PORTS_SINCE:
        return None
    attributes, closed = struct.pack("=2Q", 0, CONNECT_TCP), frozenset(refused)
    ruleset = _checked(_libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0)))
    for port in range(1 << 16):
        if port not in closed:
            rule = struct.pack("=QQ", CONNECT_TCP, port)
            arguments = (ctypes.c_int(RULE_PORT), rule, ctypes.c_uint32(0))
            _checked(_libc.syscall(ADD_RULE, ctypes.c_int(ruleset), *arguments))
    return ruleset


def enforce(ruleset: int | None) -> None:
    """Put it on this process and all it becomes, for ever. The caller has set no_new_privs. Raises OSError."""
    if ruleset is not None:
        _checked(_libc.syscall(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
        os.close(ruleset)


def _ruleset(known: int, rights: int) -> int:
    network = BIND_TCP if known >= 4 else 0
    scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS if known >= 6 else 0
    fields = [rights, *([network] if known >= 4 else []), *([scoped] if known >= 6 else [])]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    size = ctypes.c_size_t(len(attributes))
    return _checked(_libc.syscall(CREATE_RULESET, attributes, size, ctypes.c_uint32(0)))


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= ON_A_FILE
        rule = struct.pack("=Qi", rights, descriptor)
        arguments = (ctypes.c_int(RULE_PATH_BENEATH), rule, ctypes.c_uint32(0))
        _checked(_libc.syscall(ADD_RULE, ctypes.c_int(ruleset), *arguments))
    finally:
        os.close(descriptor)


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock: {os.strerror(number)}")
    return int(answer)
