"""A container's health: whether it answers HTTP on loopback. It runs every few seconds, so it loads next to nothing.

python -IS …/siteferry/compose/check.py 8081 /readyz
"""

import socket
import sys

SECONDS = 3.0


def healthy(port: int, path: str, host: str = "localhost") -> bool:
    """Whether the answer is no error of the server's."""
    request = f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as stream:
        stream.settimeout(SECONDS)
        stream.sendall(request.encode())
        words = stream.makefile("rb").readline(200).split()
    return len(words) > 1 and words[1] < b"500"


if __name__ == "__main__":
    try:
        sys.exit(not healthy(int(sys.argv[1]), *sys.argv[2:]))
    except OSError as error:
        sys.exit(str(error))
