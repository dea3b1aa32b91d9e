"""One question and its answer over a unix socket, as `shared.cells.client` asks: a line of JSON each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from siteferry.embedded.cells.agents import AgentError

QUESTION_SECONDS = 30


async def converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    obey: Callable[[Any], Awaitable[dict[str, Any]]],
    *,
    welcome: Callable[[asyncio.StreamWriter], bool] = lambda _: True,
) -> None:
    """Answer one visitor, unless he is not `welcome`. Raises nothing for what he does or sends."""
    try:
        if not welcome(writer):
            return
        async with asyncio.timeout(QUESTION_SECONDS):
            line = await reader.readline()
        try:
            answer = {"ok": True, **await obey(json.loads(line))}
        except (AgentError, OSError, ValueError, KeyError, TypeError) as error:
            answer = {"ok": False, "error": str(error) or type(error).__name__}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
    except (OSError, ValueError, TimeoutError):
        pass  # whoever asked is gone
    finally:
        writer.close()
