"""Where unix sockets live: beside their server, unless the kernel's limit on the length of their path forbids it."""

from __future__ import annotations

import hashlib
import os
import pwd
from pathlib import Path

from siteferry.embedded.servers.base import ServerError, make_directory, running_as_root

LONGEST = 99
"""Bytes. The kernel takes 107; PHP and libmariadb take a little less."""


def socket_path(directory: Path, name: str) -> Path:
    """`<directory>/<name>`, or `/run/siteferry-<hash>/<name>` (not root: `/tmp/siteferry-<uid>-<hash>/<name>`) when too
    long. The hash is that of the directory, so the same state always finds its sockets again."""
    direct = directory / name
    if len(os.fsencode(direct)) <= LONGEST:
        return direct
    tag = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    base = Path("/run") if running_as_root() else Path("/tmp")  # noqa: S108 - ownership is checked below
    unique = f"siteferry-{tag}" if running_as_root() else f"siteferry-{os.geteuid()}-{tag}"
    return base / unique / name


def prepare_socket_directory(path: Path, *, owner: str | None = None, mode: int = 0o711) -> None:
    """Make the directory of a socket, owned by the account that will bind there, and remove a stale socket."""
    folder = path.parent
    if folder.is_symlink():
        raise ServerError(f"{folder} is a symbolic link: remove it")
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
    allowed = {os.geteuid(), pwd.getpwnam(owner).pw_uid} if owner else {os.geteuid()}
    if folder.stat().st_uid not in allowed:
        raise ServerError(f"{folder} belongs to somebody else: remove it")
    make_directory(folder, mode=mode, owner=owner)
    path.unlink(missing_ok=True)
