"""Whether a part of ours lives, as /proc tells it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

from shared.standing import works

HOLDS = """
import socket, sys
memory = bytearray(64 << 20)
memory[::4096] = b"x" * len(memory[::4096])
held = socket.socket(fileno=int(sys.argv[1]))
held.sendall(b"ready")
held.recv(1)
"""


def test_who_notices_a_death_by_its_socket_sees_a_dead_process() -> None:
    """A dying process closes its sockets long before it is a zombie: its memory is freed in between."""
    for _ in range(20):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            number = theirs.fileno()
            process = subprocess.Popen([sys.executable, "-S", "-c", HOLDS, str(number)], pass_fds=[number])
            theirs.close()
            assert ours.recv(5) == b"ready"
            assert works(process.pid)
            process.send_signal(signal.SIGKILL)
            assert ours.recv(1) == b""
            assert not works(process.pid)
            process.wait(10)


def test_a_process_that_is_stopped_does_not_work_and_one_that_goes_on_does() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as process:
        try:
            os.kill(process.pid, signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            assert not works(process.pid)
            os.kill(process.pid, signal.SIGCONT)
            assert works(process.pid)
        finally:
            process.kill()
    assert not works(process.pid)
    assert not works(2**22 + 1)
