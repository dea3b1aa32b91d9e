"""The database of a clone on its way, beside the files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from shared.engine.carriers.messages import Reported


class RowsTask:
    """The database on its way, beside whatever else the job does."""

    def __init__(self, copy: Callable[[Callable[[Reported], None]], Any]) -> None:
        self.rows = 0
        self.task: asyncio.Task[str] = asyncio.create_task(copy(self._hear), name="database")

    def _hear(self, message: Reported) -> None:
        self.rows = max(self.rows, message.done or 0)
