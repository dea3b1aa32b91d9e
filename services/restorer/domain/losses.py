"""What production would lose, in the words of the people who work with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from services.restorer.domain.diff import Why
from services.restorer.domain.tables import CORE, USERS
from shared.contract.jobs import Loss
from shared.wordpress.rewrite import unescape

What = Literal["order", "comment", "post", "entry", "user", "row"]

PASSING_TYPES = frozenset("revision customize_changeset oembed_cache user_request".split())
PASSING_COMMENTS = frozenset({"action_log", "order_note", "webhook_delivery"})
DERIVED = re.compile(
    r"^(wc_\w*lookup|wc_reserved_stock|wc_category_lookup|wc_order_stats|wc_download_log|wc_admin_\w+|yoast_\w+|"
    r"redirection_\w+|relevanssi\w*|woocommerce_\w*(cache|log)\w*|\w*_cache|\w*_stats?|\w*_index)$"
)
"""Tables that are made from others, or that nobody misses."""
TITLE = 80
ACCOUNT = re.compile(r"user|login|author|account|actor|who", re.IGNORECASE)
"""Columns that say who did something."""
DATED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
BEFORE = timedelta(minutes=15)
VISIT = timedelta(hours=1)
"""How long a job of ours may be on a site, at most, for a row to be taken for its trace."""


def kind_of(short: str) -> What | None:
    """What a row of this table (named without prefix) is to people; None: nothing of its own."""
    if short == "posts":
        return "post"
    if short == "comments":
        return "comment"
    if short == "users":
        return "user"
    if short in CORE or short in USERS or DERIVED.match(short):
        return None
    if "wc_order" in short:
        return "order" if short.endswith("wc_orders") else None
    return "entry"


def loss(
    what: What, table: str, key: bytes, columns: Sequence[str], line: bytes, why: Why, *, since: datetime | None = None
) -> Loss | None:
    """The loss a row of production stands for; None when nobody would miss it.

    `since`: production's row counts as newer only if it was changed after this moment, where the row tells.
    """
    cells = dict(zip(columns, line.split(b"\t"), strict=False))
    found: What = what
    if what == "post":
        kind = _text(cells, "post_type")
        if kind in PASSING_TYPES or _text(cells, "post_status") == "auto-draft":
            return None
        found = "order" if kind.startswith("shop_order") else "post"
    elif what == "comment" and (
        _text(cells, "comment_type") in PASSING_COMMENTS or _text(cells, "comment_approved") in {"spam", "trash"}
    ):
        return None
    modified = modified_at(cells)
    dated = what == "post"  # a comment's date is not that of its last change
    if why == "production_newer" and dated and since is not None and modified is not None and modified <= since:
        return None
    return Loss(
        what=found,
        table=table,
        key=key.replace(b"\t", b", ").decode("utf-8", "backslashreplace"),
        title=_title(found, cells),
        why=why,
        modified_at=modified,
    )


def own_trace(
    columns: Sequence[str],
    line: bytes,
    users: Sequence[Sequence[object]],
    login: str,
    *,
    cloned: Sequence[datetime],
    entered: datetime,
    hours: float,
) -> bool:
    """Whether a row records that we signed in: it names the account, and was made while a job of ours was there.

    `users`: ids and logins of the site. `cloned`: when copying began. `entered`: when this restore was planned.
    `hours`: of the site's time zone; plugins write local time as well.
    """
    names = {login.lower(), *(str(number) for number, name in users if str(name).lower() == login.lower())}
    cells = dict(zip(columns, line.split(b"\t"), strict=False))
    who = {_text(cells, name).lower() for name in columns if ACCOUNT.search(name)} | {
        _text(cells, name).lower() for name in columns if _text(cells, name).lower() == login.lower()
    }
    if not login or not who & names:
        return False
    spans = [(at - BEFORE, at + VISIT) for at in cloned] + [(entered - VISIT, entered + VISIT)]
    zones = {timedelta(0), timedelta(hours=hours)}
    return any(start <= at - zone <= end for at in _moments(cells, columns) for zone in zones for start, end in spans)


def _moments(cells: Mapping[str, bytes], columns: Sequence[str]) -> list[datetime]:
    found = []
    for name in columns:
        text = _text(cells, name)
        try:
            if len(text) == 10 and text.isdigit():
                found.append(datetime.fromtimestamp(int(text), UTC))
            elif DATED.match(text):
                found.append(datetime.strptime(text[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC))
        except ValueError:
            continue
    return found


def modified_at(cells: Mapping[str, bytes]) -> datetime | None:
    """When a row says it was changed; None when it does not."""
    for name in ("post_modified_gmt", "date_updated_gmt", "comment_date_gmt", "date_created_gmt"):
        text = _text(cells, name)
        try:
            return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _title(what: What, cells: Mapping[str, bytes]) -> str:
    if what == "comment":
        return f"{_text(cells, 'comment_author')}: {_text(cells, 'comment_content')}"[:TITLE]
    names = {"post": ("post_title",), "order": ("post_title", "billing_email"), "user": ("user_login",)}
    return " ".join(filter(None, (_text(cells, name) for name in names.get(what, ()))))[:TITLE]


def _text(cells: Mapping[str, bytes], name: str) -> str:
    return unescape(cells.get(name, b"")).decode("utf-8", "replace")
