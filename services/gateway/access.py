"""Who calls: an API key in the Authorization header, or the session cookie of a browser that signed in with one."""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway import problems
from services.gateway.problems import Problem
from shared.secrets.api_keys import LOCAL, Keys, Principal, bearer, parse_keys
from shared.secrets.tickets import Passes, cookies

__all__ = ["LOCAL", "Keys", "Principal", "authenticate", "parse_keys", "unauthenticated"]


async def authenticate(
    keys: Keys | None, headers: Mapping[str, str], cookie: str, passes: Passes | None, *, changes: bool
) -> Principal:
    """Who calls. Raises a 401 problem without a valid key or session when keys are needed; nats errors.

    `cookie` is the session's name, `passes` None while NATS is not connected, `changes` whether the call may change
    something: a browser sends the cookie by itself, so such a call must come from a page of ours.
    """
    if keys is None:
        return LOCAL
    authorization = headers.get("authorization")
    if authorization is not None:
        token = bearer(authorization)
        principal = keys.principal(token) if token else None
        if principal is None:
            raise unauthenticated("The API key is not valid.")
        return principal
    secret = cookies(headers.get("cookie"), cookie)
    if secret is None:
        raise unauthenticated("This call needs a valid API key.")
    if changes and headers.get("origin") is None and headers.get("sec-fetch-site") != "same-origin":
        raise Problem(
            403,
            "cross_origin",
            "A session is good for pages of this service only.",
            hint="Scripts send an API key: “Authorization: Bearer <key>”.",
        )
    if passes is None:
        raise problems.unavailable()
    principal = await passes.session(secret, keys)
    if principal is None:
        raise unauthenticated("The session has ended.")
    return principal


def unauthenticated(detail: str) -> Problem:
    """Nobody we know."""
    return Problem(
        401,
        "unauthenticated",
        detail,
        hint="Send the header Authorization: Bearer <key>.",
        headers={"WWW-Authenticate": "Bearer"},
    )
