"""Who may make and change which API keys. Pure."""

from __future__ import annotations

from services.gateway.problems import Problem
from shared.contract.api_keys import ApiKey
from shared.contract.subjects import LANES
from shared.secrets.api_keys import Principal


def may_see(principal: Principal, key: ApiKey) -> bool:
    """Whether the key exists for this administrator: others' tenants do not."""
    return principal.operator or key.tenant == principal.tenant


def check_power(principal: Principal, key: ApiKey) -> None:
    """Nobody makes, or gets the secret of, a key that may do more than his own. Raises a 403 problem that says what."""
    if principal.operator:
        return
    more = (
        (key.operator, "operator"),
        (not principal.scope.includes(key.scope), "scope"),
        (_exceeds(_place(principal), _place(key)), "lane"),
        (_exceeds(principal.rate_per_minute, key.rate_per_minute), "rate_per_minute"),
        (_exceeds(principal.slots, key.slots), "slots"),
        (principal.ends is not None and (key.expires_at is None or key.expires_at > principal.ends), "expires_at"),
    )
    for exceeded, field in more:
        if exceeded:
            raise Problem(
                403,
                "key_too_powerful",
                f"This key may do more than the one this call is made with: {field}.",
                hint="Choose no more than your own key has, or ask an operator.",
            )


def _place(key: ApiKey | Principal) -> int | None:
    """Lanes from the worst on; None: any."""
    return None if key.lane is None else len(LANES) - LANES.index(key.lane)


def _exceeds(own: int | None, wanted: int | None) -> bool:
    """Whether a limit is looser than one's own; None is no limit."""
    return own is not None and (wanted is None or wanted > own)
