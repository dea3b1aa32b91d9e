"""The database of a clone on its way, beside the files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from shared.engine.carriers.messages import Reported
from shared.lifecycle import ended


class RowsTask:
    """The database on its way, beside whatever else the job does."""

    def __init__(self, copy: Callable[[Callable[[Reported], None]], Any]) -> None:
        self.rows = 0
        self.task: asyncio.Task[str] = asyncio.create_task(copy(self._hear), name="database")

    def _hear(self, message: Reported) -> None:
        self.rows = max(self.rows, message.done or 0)


class Rows:
    """What a worker has of a clone's database: the task that fills it, if there is one. A `Belonging` of the job."""

    def __init__(self) -> None:
        self.task: RowsTask | None = None

    def taken(self) -> RowsTask | None:
        """The task, to be waited for by whoever takes it."""
        task, self.task = self.task, None
        return task

    async def close(self) -> None:
        """The job goes to another worker, or ends: nobody waits for these rows."""
        if task := self.taken():
            await ended(task.task)
