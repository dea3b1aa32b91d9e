"""The product does what its OpenAPI document says, whatever the document allows or forbids."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from nats.aio.msg import Msg

from shared.bus.connection import connect
from shared.contract import images
from shared.contract.preflight import Preview, Question, Reply
from shared.contract.subjects import rpc
from siteferry.embedded.servers.ports import free_port
from tests.integration.edge import caddy_before
from tests.integration.gateway_process import Gateway, running_gateway, running_status

EXAMPLES = int(os.environ.get("SITEFERRY_SCHEMATHESIS_EXAMPLES", "10"))
"""Of each operation. With SITEFERRY_SCHEMATHESIS_EXAMPLES=100 every bound of every field is tried, too: some 700 s of
processor time instead of 60."""
PHASES = "examples,fuzzing" if EXAMPLES < 100 else "examples,coverage,fuzzing"
"""The bounds alone are 5,600 calls, however few examples are wanted."""
HOOKS = "tests.integration.schemathesis_hooks"
ROOT = Path(__file__).parents[2]
SECONDS = 3600
SETTINGS = """
[[operations]]
include-name = "GET /ws"
[operations.checks]
positive_data_acceptance.expected-statuses = [426]
[[operations]]
include-name = "GET /jobs/{job_id}/events"
max-stream-events = 1
"""
"""The tool speaks no WebSocket; and of a job nobody works on the first event is all that comes."""


@asynccontextmanager
async def looker(gateway: Gateway) -> AsyncIterator[None]:
    """In place of a cloner: says of every site that nothing answers there, and keeps no images."""

    async def look(asked: Msg) -> None:
        question = Question.model_validate_json(asked.data)
        seen = Preview(ready=False, source_url=question.source_url, message="Nothing answers there.")
        await asked.respond(Reply(preview=seen).model_dump_json().encode())

    async def no_images(asked: Msg) -> None:
        await asked.respond(images.Reply().model_dump_json().encode())

    async with connect(gateway.settings, service="test") as bus:
        await bus.nc.subscribe(rpc("cloner", "preflight"), cb=look)
        await bus.nc.subscribe(rpc("cloner", "images"), cb=no_images)
        yield


@pytest.mark.timeout(4000)
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", "--no-color", "--continue-on-failure"]
    command += ["--checks", "all"]
    command += ["--phases", PHASES, "--max-examples", str(EXAMPLES), "--workers", "4"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": str(ROOT)}
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    status_port = free_port()
    with ExitStack() as stack:
        gateway = stack.enter_context(
            running_gateway(rate_limit_per_minute=0, sync_seconds=1, webhook_networks="127.0.0.0/8,::1/128")
        )
        stack.enter_context(running_status(gateway, status_port))
        origin = stack.enter_context(caddy_before(gateway.port, status_port)).url
        httpx2.get(f"{gateway.url}/openapi.json", timeout=90, trust_env=False).raise_for_status()  # it is made once
        async with looker(gateway):
            asked = await asyncio.to_thread(
                subprocess.run,
                [*command, f"{origin}/openapi.json"],
                cwd=tmp_path,  # where it keeps what it found
                capture_output=True,
                text=True,
                timeout=SECONDS,
                env=environment,
                check=False,
            )
        assert "Traceback" not in gateway.log, gateway.log[gateway.log.index("Traceback") - 600 :][:6000]
    print(asked.stdout[-3000:])
    assert asked.returncode == 0, asked.stdout[-12_000:] + asked.stderr[-2000:]
