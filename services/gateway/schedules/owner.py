"""Whose schedule it is: the API key it was made, replaced or resumed with, as that key is now."""

from __future__ import annotations

from services.gateway.access import LOCAL, Keys, Principal
from services.gateway.schedules.record import Schedule
from shared.contract.api_keys import KEY_ID, Scope


def holder(principal: Principal) -> str:
    """What a schedule keeps of the key it belongs to."""
    return principal.id or principal.key


async def owner(keys: Keys, schedule: Schedule, *, keys_needed: bool) -> Principal | None:
    """Whoever its jobs are made for; None when that key has ended, or may not submit for this tenant any more.

    Rotating a key changes nothing. Raises nats errors, ConnectionError or TimeoutError when nobody knows.
    """
    if not schedule.holder:
        found = None if keys_needed else LOCAL
    elif KEY_ID.fullmatch(schedule.holder):
        found = await keys.living(schedule.holder)
    else:
        found = await keys.holder(schedule.holder)
    good = found is not None and found.tenant == schedule.tenant and found.scope.includes(Scope.SUBMIT)
    return found if good else None
