"""The carriers' filter over system calls. Threads are made, processes are not: one that ends leaves nothing behind."""

from __future__ import annotations

import ctypes
import struct

from shared.system_calls import Filter

PR_SET_SECCOMP, MODE_FILTER = 22, 2
FILTER = Filter(processes=False)


def restrict(wanted: Filter = FILTER) -> bool:
    """Put the filter on this process for ever; False where we have none. The caller has set no_new_privs."""
    code = wanted.program()
    if code is None:
        return False
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(MODE_FILTER), filter_, 0, 0) == 0)
