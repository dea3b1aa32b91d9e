"""Runs the agent's scripts inside of a clone's walls and hands on what they answer, as far as it is not too much."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from typing import Any

from shared import turns
from shared.printable import one_line
from siteferry.embedded.cells.sandbox import Account, agent_command, filter_file
from siteferry.embedded.cells.settings import CellSettings
from siteferry.embedded.cells.spawn import ENVIRONMENT
from siteferry.embedded.cells.usage import MemoryGroups, entering

CALLS = frozenset({"administrator", "mail", "place", "user"})
MAX_OUTPUT = 1_000_000
MAX_WORDS = 4000
AT_ONCE = 4
LONGEST_REASON = 500


class AgentError(Exception):
    """The agent did not answer; the message says why, in PHP's own words where there are some."""


class Agents:
    """All calls of the launcher."""

    def __init__(self, settings: CellSettings, groups: MemoryGroups) -> None:
        self._settings, self._groups = settings, groups
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._running: dict[str, set[asyncio.subprocess.Process]] = {}
        self._number = 0

    async def call(
        self, clone_id: str, account: Account, name: str, values: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        """One call. Raises AgentError."""
        if name not in CALLS:
            raise AgentError(f"the agent knows no {name}")
        async with self._turn:
            self._number += 1
            group = f"agent-{os.getpid()}-{self._number}"
            try:
                return await self._run(group, clone_id, account, name, values, seconds)
            finally:
                self._groups.leave(group)

    async def end(self, clone_id: str) -> None:
        """Kill what runs for a clone and wait for its end."""
        for process in list(self._running.get(clone_id, ())):
            _kill(process)
            await process.wait()

    async def _run(
        self, group: str, clone_id: str, account: Account, name: str, values: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        limits = {"memory": self._settings.memory, "processes": self._settings.processes}
        prefix = entering(self._groups.enter(group, **limits))
        with filter_file(self._settings) as filtered:
            command = agent_command(self._settings, clone_id, account, name, filtered=filtered)
            process = await asyncio.create_subprocess_exec(
                *prefix,
                *turns.behind(turns.WORK),
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=ENVIRONMENT,
                cwd="/",
                process_group=0,
                pass_fds=() if filtered is None else (filtered,),
            )
        self._running.setdefault(clone_id, set()).add(process)
        try:
            async with asyncio.timeout(seconds):
                output, said = await _talk(process, json.dumps(values).encode())
                code = await process.wait()
        except TimeoutError:
            raise AgentError(f"it did not answer within {seconds:g} s") from None
        finally:
            _kill(process)
            await process.wait()
            self._running[clone_id].discard(process)
        return _answer(code, output, said)


async def _talk(process: asyncio.subprocess.Process, text: bytes) -> tuple[bytes, bytes]:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write(text)
    with suppress(OSError):
        await process.stdin.drain()
    process.stdin.close()
    reading = asyncio.gather(_most(process.stdout, MAX_OUTPUT), _most(process.stderr, MAX_WORDS))
    output, said = await reading
    return output, said


async def _most(stream: asyncio.StreamReader, most: int) -> bytes:
    """All of a stream is read, the end of what is too much forgotten."""
    kept = bytearray()
    while data := await stream.read(65536):
        kept += data[: max(0, most + 1 - len(kept))]
    return bytes(kept)


def _answer(code: int, output: bytes, said: bytes) -> dict[str, Any]:
    if len(output) > MAX_OUTPUT:
        raise AgentError("its answer is too long")
    with suppress(ValueError, RecursionError):
        answer = json.loads(output[output.index(b"{") :])
        if code == 0 and isinstance(answer, dict):
            return answer
    raise AgentError(reason((said or output).decode(errors="replace")) or f"it ended without an answer ({code})")


def reason(words: str) -> str:
    """Of what PHP said, the end that says why; the way there is long, and full of paths."""
    return one_line(words.partition("\nStack trace:")[0].strip()[-LONGEST_REASON:])


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
