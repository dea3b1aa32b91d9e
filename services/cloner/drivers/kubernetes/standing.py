"""How a Pod stands, from what the cluster says of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Standing:
    """One look at a Pod."""

    ready: bool = False
    over: bool = False
    """It ends, or has ended, and will not work again."""
    crowded: bool = False
    """No node has room for it."""
    why: str = ""
    """Why it does not work, in the cluster's words."""


def standing(pod: dict[str, Any]) -> Standing:
    """What to make of it."""
    status = pod.get("status") or {}
    conditions = {one.get("type"): one for one in status.get("conditions") or []}
    scheduled = conditions.get("PodScheduled") or {}
    over = bool(pod["metadata"].get("deletionTimestamp")) or status.get("phase") in {"Failed", "Succeeded"}
    return Standing(
        ready=not over and (conditions.get("Ready") or {}).get("status") == "True",
        over=over,
        crowded=scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable",
        why=_why(status, scheduled)[:300],
    )


def _why(status: dict[str, Any], scheduled: dict[str, Any]) -> str:
    if status.get("reason"):
        return f"{status['reason']}: {status.get('message', '')}"
    for container in (*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])):
        for state in ("waiting", "terminated"):
            found = (container.get("state") or {}).get(state)
            if found and found.get("reason") not in {"PodInitializing", "ContainerCreating"}:
                return f"{container.get('name')}: {found.get('reason')} {found.get('message') or ''}".strip()
    return str(scheduled.get("message") or "") if scheduled.get("status") == "False" else ""
