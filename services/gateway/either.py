"""Rules that JSON Schema says between fields: this or that, both or neither. A null counts as not sent."""

from __future__ import annotations

from pydantic.config import JsonDict, JsonValue


def given(*names: str, absent: tuple[str, ...] = (), of: str = "string") -> JsonDict:
    """All of these fields are sent, and none of `absent`; `of` is the type of what is sent."""
    properties: dict[str, JsonValue] = {name: {"type": of} for name in names}
    properties |= {name: {"type": "null"} for name in absent}
    return {"required": list(names), "properties": properties}


def one_of(*ways: JsonDict) -> JsonDict:
    """Exactly one of these holds."""
    return {"oneOf": list(ways)}


def not_both(one: str, other: str) -> JsonDict:
    """One of these fields at most is sent."""
    return {"anyOf": [{"properties": {name: {"type": "null"}}} for name in (one, other)]}


def some_of(**kinds: JsonDict) -> JsonDict:
    """One of these fields at least is sent; each with what it then has to be."""
    return {"anyOf": [{"required": [name], "properties": {name: kind}} for name, kind in kinds.items()]}


def needs(name: str, value: JsonValue, **others: JsonDict) -> JsonDict:
    """Who sends this value of a field must send these others."""
    free: JsonDict = {"not": {"required": [name], "properties": {name: {"const": value}}}}
    return {"anyOf": [free, {"required": list(others), "properties": dict(others)}]}


LOGIN_OR_KEY = one_of(
    given("username", "password", absent=("pairing_key",)),
    given("pairing_key", absent=("username", "password")),
)
WHOLE_LOGIN_OR_NONE = one_of(
    given("username", "password"),
    {"properties": {"username": {"type": "null"}, "password": {"type": "null"}}},
)
CLONE_OR_SITE = one_of(
    given(
        "clone_id",
        absent=("source_url", "source_username", "source_password", "source_login_url", "source_basic_auth"),
    ),
    given("source_url", "source_username", "source_password", absent=("clone_id",)),
)
IDS_OR_FILTER = one_of(
    given("ids", absent=("filter",), of="array"),
    given("filter", absent=("ids",), of="object"),
)
MINUTES_OR_MOMENT = one_of(
    given("ttl_minutes", absent=("expires_at",), of="integer"),
    given("expires_at", absent=("ttl_minutes",)),
)
