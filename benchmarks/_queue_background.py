"""The FastAPI BackgroundTasks side of the queue benchmark."""

from __future__ import annotations

import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def work(path: str) -> None:
    time.sleep(0.1)
    with open(path, "ab", buffering=0) as file:
        file.write(b"done\n")


@app.post("/work", status_code=202)
async def submit(path: str, background: BackgroundTasks) -> None:
    background.add_task(work, path)
