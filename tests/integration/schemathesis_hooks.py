"""What JSON Schema has no words for, said to schemathesis: what the formats of the document mean, and which of what is
allowed can not stand together. So all that it sends as right can be held against the product."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st

from services.gateway.domain import encode_cursor

SITES = st.from_regex(r"https?://localhost(:[1-9][0-9]{0,3})?(/[a-z0-9_.~-]{1,20}){0,3}", fullmatch=True)
"""Whatever is sent to such a webhook stays on this machine."""
SOON = st.timedeltas(timedelta(hours=1), timedelta(days=29))
"""What ends a clone or a key must be ahead, and a clone's end is at most 30 days away."""
FORMATS: dict[str, st.SearchStrategy[str]] = {
    "iri": SITES,
    "uri": SITES,
    "iri-reference": SITES | st.from_regex(r"/[a-z0-9_~-]{1,30}", fullmatch=True),
    "date-time": SOON.map(lambda span: (datetime.now(UTC) + span).isoformat()),
    "cron": st.sampled_from(
        ["@hourly", "@daily", "@monthly", "30 2 * * 1-5", "0 5 1 * *", "0 0,12 * * *", "5 0 2 * * *"]
    ),
    "time-zone": st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"]),
    "cursor": st.from_regex(r"[a-z]{4,9}-[0-9a-z]{16}", fullmatch=True).map(encode_cursor),
    "one-line": st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=80),
}
for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)

NUMBERS = itertools.count()
WAYS_IN = ("username", "password", "pairing_key")


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Mends what is sent as right, and leaves alone what is sent as wrong."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if key := case.headers.get("Idempotency-Key"):  # which stands for one body
        case.headers["Idempotency-Key"] = f"{next(NUMBERS)} {key}"[:255]
    if case.query and "cursor" in case.query:  # goes with the order it comes from
        for other in ("sort", "offset", "after"):
            case.query.pop(other, None)
    if isinstance(case.body, dict):
        _mend(case.operation.label, case.body)


def _mend(operation: str, body: dict[str, Any]) -> None:
    if operation == "POST /batches":  # each clone on top of the defaults must have one way in
        for one in (body.get("defaults") or {}, *body["clones"]):
            for way in WAYS_IN:
                one.pop(way, None)
        for one in body["clones"]:
            one["pairing_key"] = "sf1_x"
    if body.get("expires_at"):  # the tool tries moments it has read, too, and those are over
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    if operation == "POST /webhooks":  # nobody has the name in its example
        body["url"] = body["url"].replace("hooks.example.com", "localhost")
    if operation.endswith(("/schedules", "/schedules/{schedule_id}")) and body.get("clone_id") is not None:
        for kept in ("name", "ttl_minutes", "options"):  # a refresh keeps what the clone has
            body.pop(kept, None)
    if body.get("source_url") and body.get("target_url"):  # nothing is restored to itself
        body["target_url"] = body["target_url"].replace("localhost", "127.0.0.1")
    for one in (body, body.get("defaults") or {}, *body.get("clones", ())):
        if (one.get("options") or {}).get("media") == "remote":  # no clone keeps its site's password
            one.pop("basic_auth", None)
