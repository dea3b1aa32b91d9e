"""Filters over system calls: what a process that may fall into strange hands never needs, and its taker would want.

Written in the kernel's own form (classic BPF, seccomp(2)), as the library that writes it is one more package. An
architecture we have no numbers of gets no filter; the other walls stand without it.
"""

from __future__ import annotations

import errno
import platform
import struct
import sys
from dataclasses import dataclass

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32 = 0x40000000
"""Calls of the 32-bit ABI of x86_64 carry this bit: another set of numbers, all refused."""
DANGEROUS: dict[str, tuple[int, int]] = {  # number on x86_64, on aarch64; -1: not there
    # other processes and their memory
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # doors to much of the kernel that few programs use
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "vmsplice": (278, 75),
    "memfd_secret": (447, 447),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, -1),
    "uselib": (134, -1),
    "sysfs": (139, -1),
    # the machine itself
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    "vhangup": (153, 58),
}
NEW_PROCESSES = {"fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281)}
DEVICES = {"mknod": (133, -1), "mknodat": (259, 33)}
SENDS = {"sendto": ((44, 206), 3), "sendmsg": ((46, 211), 2), "sendmmsg": ((307, 269), 3)}
"""Numbers, and which argument holds the flags."""
FAST_OPEN, MPTCP = 0x20000000, 262
"""Ways to connect that Landlock's rules for ports do not see: with the first bytes sent, and by another protocol."""
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
CLONE_THREAD = 0x00010000
CLONE_NAMESPACES = 0x7E020000
"""Every CLONE_NEW… that clone(2) takes; that of time is for unshare and clone3 alone."""
UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
"""Families of sockets. Others (of virtual machines' hosts, of the kernel's ciphers, raw packets) know no network
namespace, or are there for few."""

LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000


@dataclass(frozen=True)
class Filter:
    """What is left beyond DANGEROUS, which is refused always."""

    processes: bool
    """Whether programs and processes may be started, without namespaces of their own; threads may be always."""
    families: tuple[int, ...] = (UNIX, INET, INET6, NETLINK)
    """Sockets that may be made. Resolving names asks NETLINK for routes."""

    def program(self, machine: str | None = None) -> bytes | None:
        """The filter for an architecture, this machine's unless said; None where we know no numbers."""
        machine = machine or platform.machine()
        if machine not in ARCHITECTURES or sys.maxsize < 2**32 or sys.byteorder != "little":
            return None
        column = list(ARCHITECTURES).index(machine)
        lines = [
            _line(LOAD, ARCHITECTURE),
            _line(JUMP_EQUAL, ARCHITECTURES[machine], yes=1),
            _line(RETURN, KILL),
            _line(LOAD, NUMBER),
        ]
        if machine == "x86_64":
            lines += [_line(JUMP_GREATER_EQUAL, X32, no=1), _line(RETURN, REFUSE | errno.EPERM)]
        for number in self._refused(column):
            lines += [_line(JUMP_EQUAL, number, no=1), _line(RETURN, REFUSE | errno.EPERM)]
        # its flags lie in memory, which a filter can not read; told that it is not there, the C library uses clone
        lines += [_line(JUMP_EQUAL, CLONE3[column], no=1), _line(RETURN, REFUSE | errno.ENOSYS)]
        good, bad = _line(RETURN, ALLOW), _line(RETURN, REFUSE | errno.EPERM)
        told = [_line(JUMP_SET, CLONE_NAMESPACES, no=1), bad, good]
        if not self.processes:
            told = [_line(JUMP_SET, CLONE_THREAD, no=1), good, bad]
        lines += [_line(JUMP_EQUAL, CLONE[column], no=4), _line(LOAD, FIRST_ARGUMENT), *told]
        count = len(self.families)
        for numbers, place in SENDS.values():
            flags = FIRST_ARGUMENT + 8 * place
            lines += [_line(JUMP_EQUAL, numbers[column], no=4), _line(LOAD, flags)]
            lines += [_line(JUMP_SET, FAST_OPEN, no=1), bad, good]
        lines += [_line(JUMP_EQUAL, SOCKET[column], no=count + 5), _line(LOAD, FIRST_ARGUMENT)]
        lines += [_line(JUMP_EQUAL, family, yes=count - place) for place, family in enumerate(self.families)]
        lines += [_line(RETURN, REFUSE | errno.EAFNOSUPPORT), _line(LOAD, FIRST_ARGUMENT + 16)]
        lines += [_line(JUMP_EQUAL, MPTCP, no=1), _line(RETURN, REFUSE | errno.EPROTONOSUPPORT), good]
        return b"".join(lines)

    def _refused(self, column: int) -> list[int]:
        names = DANGEROUS if self.processes else {**DANGEROUS, **NEW_PROCESSES, **DEVICES}
        return sorted(numbers[column] for numbers in names.values() if numbers[column] >= 0)


def known() -> bool:
    """Whether this machine's processor is one we have a filter for."""
    return Filter(processes=True).program() is not None


def _line(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
