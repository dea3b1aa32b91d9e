"""The bed's Kubernetes is built once; a build that was cut off goes on with what it had compiled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from siteferry.embedded.servers import ServerError
from tests.kubernetes.bed import build

GO = """#!/bin/sh
if [ "$1" = env ]; then echo go1.26.0; exit; fi
mkdir -p "$GOCACHE"
if [ ! -e "$GOCACHE/half" ]; then touch "$GOCACHE/half"; echo cut off >&2; exit 1; fi
while [ "$1" != -o ]; do shift; done
echo built >"$2"
"""


def test_a_build_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    go = tmp_path / "bin" / "go"
    go.write_text(GO)
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "FREE_BYTES", 0)
    with pytest.raises(ServerError, match="cut off"):
        build.build()
    assert build.built() is None
    program = build.build()
    assert program == build.built()
    assert sorted(path.name for path in program.parent.iterdir()) == ["lock", "plane"], "what is of no use is gone"
