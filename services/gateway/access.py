"""Who calls: an API key in the Authorization header, or the session cookie of a browser that signed in with one."""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway import problems
from services.gateway.problems import Problem
from shared.contract.api_keys import Scope
from shared.secrets.api_keys import LOCAL, Keys, Principal, bearer, parse_keys
from shared.secrets.tickets import Passes, cookies

__all__ = ["LOCAL", "Keys", "Principal", "authenticate", "authorise", "parse_keys", "unauthenticated"]


async def authenticate(
    keys: Keys,
    headers: Mapping[str, str],
    cookie: str,
    passes: Passes | None,
    *,
    changes: bool,
    local: Principal | None = None,
) -> Principal:
    """Who calls. Raises a 401 problem without a valid key or session where keys are needed, and for an invalid key;
    nats errors.

    `cookie` is the session's name, `passes` None while NATS is not connected, `changes` whether the call may change
    something: a browser sends the cookie by itself, so such a call must come from a page of ours. `local` is who shows
    nothing where no key is needed.
    """
    token = bearer(headers.get("authorization"))
    if token is not None or (headers.get("authorization") is not None and local is None):
        principal = await keys.principal(token) if token else None
        if principal is None:
            raise unauthenticated("The API key is not valid.")
        return principal
    secret = cookies(headers.get("cookie"), cookie)
    if secret is None:
        return local or _nobody("This call needs a valid API key.")
    if changes and local is None and headers.get("origin") is None and headers.get("sec-fetch-site") != "same-origin":
        raise Problem(
            403,
            "cross_origin",
            "A session is good for pages of this service only.",
            hint="Scripts send an API key: “Authorization: Bearer <key>”.",
        )
    if passes is None:
        return local or _nobody(None)
    return await passes.session(secret, keys) or local or _nobody("The session has ended.")


def authorise(principal: Principal, needed: Scope | None) -> None:
    """Raises a 403 problem when a caller's key is not good for an operation that needs this scope."""
    if needed is None or not principal.scope.includes(needed):
        raise Problem(
            403,
            "scope_missing",
            f"This API key has the scope “{principal.scope}”; this call needs “{needed or 'none there is'}”.",
            hint="Ask an administrator for a key with that scope.",
        )


def _nobody(detail: str | None) -> Principal:
    raise unauthenticated(detail) if detail else problems.unavailable()


def unauthenticated(detail: str) -> Problem:
    """Nobody we know."""
    return Problem(
        401,
        "unauthenticated",
        detail,
        hint="Send the header Authorization: Bearer <key>.",
        headers={"WWW-Authenticate": "Bearer"},
    )
