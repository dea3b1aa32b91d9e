"""The command `siteferry`, run to its end without a terminal, and told nothing but where and with which key."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

SITEFERRY = str(Path(sys.executable).parent / "siteferry")


async def siteferry(url: str, key: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output, errors. Raises TimeoutError after a minute."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SITEFERRY_")}
    own = {"SITEFERRY_URL": url, "SITEFERRY_API_KEY": key, "SITEFERRY_STATE": "/nonexistent/siteferry"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        SITEFERRY, *arguments, env=kept | own | {"NO_COLOR": "1"}, stdout=pipe, stderr=pipe
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, out.decode(), err.decode()
