"""The Celery side of the queue benchmark: the app and its one task."""

from __future__ import annotations

import os
import time

from celery import Celery

TIMEOUT = int(os.environ.get("QUEUE_TIMEOUT", "3600"))


def connected(broker: str) -> Celery:
    """An app at this broker, with late acknowledgement when asked for: without it a killed worker's task is lost."""
    made = Celery("queue", broker=broker)
    made.conf.update(
        task_ignore_result=True,
        task_acks_late=os.environ.get("QUEUE_LATE") == "1",
        worker_prefetch_multiplier=1,
        broker_transport_options={"visibility_timeout": TIMEOUT},
        broker_connection_retry_on_startup=True,
    )
    return made


app = connected(os.environ.get("QUEUE_REDIS", "redis://127.0.0.1:1/0"))


@app.task(name="work")
def work(path: str, seconds: float, payload: str) -> None:
    """Leave a mark, take a while."""
    with open(path, "ab", buffering=0) as file:
        file.write(b"%d\n" % os.getpid())
    if seconds:
        time.sleep(seconds)
