"""A filter over system calls: what a carrier never needs, and what a carrier taken over would want, is refused.

Threads are made, processes are not: a carrier that ends leaves nothing behind. Written in the kernel's own form
(classic BPF, seccomp(2)), as the library that writes it is one more package. An architecture we have no numbers of gets
no filter; the other walls stand without it.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32 = 0x40000000
"""Calls of the 32-bit ABI of x86_64 carry this bit: another set of numbers, all refused."""
REFUSED: dict[str, tuple[int, int]] = {  # number on x86_64, on aarch64; -1: not there
    "fork": (57, -1),
    "vfork": (58, -1),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "open_by_handle_at": (304, 265),
    "mknod": (133, -1),
    "mknodat": (259, 33),
}
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
CLONE_THREAD = 0x00010000
FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (which resolving names asks for routes)."""

LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
PR_SET_SECCOMP, MODE_FILTER = 22, 2


def restrict() -> bool:
    """Put the filter on this process for ever; False where we have none. The caller has set no_new_privs."""
    machine = platform.machine()
    if machine not in ARCHITECTURES or sys.maxsize < 2**32 or sys.byteorder != "little":
        return False
    code = program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(MODE_FILTER), filter_, 0, 0) != 0:
        return False
    return True


def program(machine: str) -> bytes:
    """The filter for one architecture."""
    column = list(ARCHITECTURES).index(machine)
    refused = sorted(numbers[column] for numbers in REFUSED.values() if numbers[column] >= 0)
    lines = [
        _line(LOAD, ARCHITECTURE),
        _line(JUMP_EQUAL, ARCHITECTURES[machine], yes=1),
        _line(RETURN, KILL),
        _line(LOAD, NUMBER),
    ]
    if machine == "x86_64":
        lines += [_line(JUMP_GREATER_EQUAL, X32, no=1), _line(RETURN, REFUSE | errno.EPERM)]
    for number in refused:
        lines += [_line(JUMP_EQUAL, number, no=1), _line(RETURN, REFUSE | errno.EPERM)]
    # its flags lie in memory, which a filter can not read; told that it is not there, the C library uses clone
    lines += [_line(JUMP_EQUAL, CLONE3[column], no=1), _line(RETURN, REFUSE | errno.ENOSYS)]
    lines += [
        _line(JUMP_EQUAL, CLONE[column], no=4),
        _line(LOAD, FIRST_ARGUMENT),
        _line(JUMP_SET, CLONE_THREAD, no=1),
        _line(RETURN, ALLOW),
        _line(RETURN, REFUSE | errno.EPERM),
    ]
    lines += [_line(JUMP_EQUAL, SOCKET[column], no=len(FAMILIES) + 3), _line(LOAD, FIRST_ARGUMENT)]
    lines += [_line(JUMP_EQUAL, family, yes=len(FAMILIES) - place) for place, family in enumerate(FAMILIES)]
    lines += [_line(RETURN, REFUSE | errno.EAFNOSUPPORT), _line(RETURN, ALLOW), _line(RETURN, ALLOW)]
    return b"".join(lines)


def _line(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
