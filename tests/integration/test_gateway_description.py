"""A real gateway does what its OpenAPI document says, whatever the document allows or forbids."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.gateway_process import running_gateway, running_status

SECONDS = 60
NOT_ASKED = "positive_data_acceptance"
"""JSON Schema has no words for what an address or a cursor is: some of what fits it is refused by 422."""
WORKER = "/preflight"
"""Answered by a cloner, and by 503 where there is none, as here; test_preflight.py asks it with one."""


@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", "--no-color", "--continue-on-failure"]
    command += ["--checks", "all", "--exclude-checks", NOT_ASKED, "--exclude-path", WORKER]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--max-time", str(SECONDS)]
    with running_gateway(rate_limit_per_minute=0, sync_seconds=1) as gateway, running_status(gateway):
        asked = subprocess.run(
            [*command, f"{gateway.url}/openapi.json"],
            cwd=tmp_path,  # where it keeps what it found
            capture_output=True,
            text=True,
            timeout=4 * SECONDS,
            check=False,
        )
        assert "Traceback" not in gateway.log, gateway.log[gateway.log.index("Traceback") - 600 :][:6000]
    assert asked.returncode == 0, asked.stdout[-12_000:] + asked.stderr[-2000:]
