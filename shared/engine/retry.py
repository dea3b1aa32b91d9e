"""When to try again. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable


def backoff(
    tries: int,
    *,
    base: float,
    cap: float,
    retry_after: float | None = None,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Seconds until the next try after `tries` failures: exponential with full jitter.

    What the other side asked for (`retry_after`) is the least we wait, whatever the cap.
    """
    ceiling = min(cap, base * 2 ** min(tries - 1, 60))
    delay = uniform(0.0, ceiling)
    return delay if retry_after is None else retry_after + uniform(0.0, min(ceiling, 1.0 + retry_after / 10))


def wait_delay(
    place: int,
    *,
    step: float,
    least: float,
    most: float,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Seconds until a job at this place of a line (0 is the front) asks for a permit again.

    The front asks often and the back seldom, so a long line costs little and keeps its order.
    """
    return min(most, max(least, step * (place + 1))) * uniform(0.8, 1.2)
