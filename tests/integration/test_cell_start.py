"""The first process of a cell: it ends when PHP-FPM does, however early that is."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from shared.cells.isolation import Walls, isolation
from shared.cells.source import cell_source

SLOW_WEB_SERVER = """#!/bin/sh
sleep 1
trap 'exit 0' TERM
sleep 60 &
wait
"""


@pytest.mark.skipif(isolation().walls is Walls.NONE, reason="no namespaces here")
def test_php_that_dies_before_the_web_server_listens_to_signals_ends_the_cell(tmp_path: Path) -> None:
    web = tmp_path / "nginx"
    web.write_text(SLOW_WEB_SERVER)
    web.chmod(0o755)
    start = str(Path(str(cell_source())) / "start.sh")
    command = [shutil.which("bwrap") or "bwrap", "--unshare-pid", "--as-pid-1", "--die-with-parent"]
    command += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--", "/bin/sh", start]
    command += [str(web), "/bin/false", "1000", "100000", "10000000", str(tmp_path), ""]
    began = time.monotonic()
    subprocess.run(command, timeout=45, check=False, stdin=subprocess.DEVNULL)
    assert 0.9 < time.monotonic() - began < 40
