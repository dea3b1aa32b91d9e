"""What can be tuned about the engine. Defaults are the measured ones; tests use shorter times."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.contract import streams
from shared.contract.subjects import LANES, Lane


@dataclass(frozen=True)
class Limits:
    """How many jobs of a kind run at once, over all replicas. None: no limit."""

    total: int | None = None
    per_tenant: int | None = None
    per_source: int | None = None
    """Clones reading from one source host, restores writing to one target host, at the same time."""


@dataclass(frozen=True)
class EngineSettings:
    """Times in seconds."""

    ack_wait: float = streams.ACK_WAIT
    """Must be what the consumers were installed with."""
    heartbeat: float = streams.HEARTBEAT
    retry_base: float = 2.0
    """Mean of the first retry's full-jitter range is half of it; the range doubles with every try."""
    retry_cap: float = 300.0
    wait_step: float = 0.5
    """A job waiting for a permit asks again after this time multiplied by its place in the line."""
    wait_min: float = 1.0
    wait_max: float = 15.0
    poison_cap: int = 4
    """Crashes of a worker in one step of one job before the job is given up."""
    max_deliveries: int = 200
    """Safety net: deliveries of one message before its job is given up, whatever the reason."""
    park: float = 5.0
    """How long one pull waits at the server."""
    aging: int = 10
    """A lane passed over this many times gets the next turn."""
    progress_interval: float = 0.25
    """Between two progress events of one job; step changes are told at once."""
    stop_grace: float = 15.0
    """How long a step that was told to stop may take before its task is cancelled."""
    healthy_within: float = 30.0
    """A worker without a successful pull or heartbeat for so long is not healthy."""
    removal_tries: int = 3
    """Tries of each removal before it is left to the sweeper. While a part of ours is away none is counted."""
    part_patience: float = 6 * 3600
    """How long a job waits for a part of ours before it fails."""
    removal_patience: float = 600.0
    """How long a removal waits for a part of ours, in its worker."""
    keep_failed_secret: float = 24 * 3600
    """How long a failed job's credentials stay in the vault, so that a person can retry it."""
    lanes: tuple[Lane, ...] = LANES
    """Lanes this worker takes jobs from."""
    fair: bool = True
    """While other tenants wait, a tenant runs no more jobs than its share of the slots."""
    limits: Limits = field(default_factory=Limits)

    @property
    def lease_ttl(self) -> int:
        """A lease ends before its message is delivered again, so a redelivered job never waits for a dead worker."""
        return max(1, int(self.ack_wait * 5 / 6))
