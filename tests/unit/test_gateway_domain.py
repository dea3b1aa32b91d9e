"""What the edge decides, without any server."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import domain
from services.gateway.access import Principal, parse_keys
from shared.contract.api_keys import Scope
from shared.contract.subjects import Lane
from shared.ids import new_id

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("https://Shop.Example.COM/", "https://shop.example.com"),
        ("HTTPS://shop.example.com:443", "https://shop.example.com"),
        ("http://shop.example.com:80/blog/", "http://shop.example.com/blog"),
        ("http://shop.example.com:8080/a//b", "http://shop.example.com:8080/a/b"),
        ("https://shop.example.com/wp-admin/plugins.php?x=1", "https://shop.example.com"),
        ("https://shop.example.com/blog/wp-login.php", "https://shop.example.com/blog"),
        ("https://shop.example.com/index.php#top", "https://shop.example.com"),
        ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://demo.localhost:8081", "http://demo.localhost:8081"),
        ("https://my_site.example.com.", "https://my_site.example.com"),
    ],
)
def test_addresses_are_known_by_one_spelling(typed: str, known: str) -> None:
    assert domain.normalise_source(typed) == known
    assert domain.normalise_source(known) == known


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("shop.example.com", "must begin with https://"),
        ("javascript:alert(1)", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("https://", "is not an address"),
        ("https://-x.example", "is not an address"),
        ("https://a..example", "is not an address"),
        ("https://shop.example.com:99999", "is not an address"),
        ("https://u:geheim@shop.example.com", "must not hold a login"),
        ("https://shop.example.com/a b", "without spaces"),
        ("https://shop.example.com/\n", "without spaces"),
        ("https://[::1", "is not an address"),
    ],
)
def test_what_is_no_address_is_refused_without_echo(typed: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        domain.normalise_source(typed)
    assert "geheim" not in str(caught.value)


@given(st.text(max_size=80))
def test_nothing_typed_breaks_it_and_what_passes_is_stable(typed: str) -> None:
    try:
        known = domain.normalise_source("https://" + typed)
    except ValueError:
        return
    assert domain.normalise_source(known) == known
    assert "@" not in known.partition("://")[2].partition("/")[0]


@pytest.mark.parametrize(
    ("wanted", "allowed", "given_lane"),
    [
        (None, None, Lane.NORMAL),
        (None, Lane.LOW, Lane.LOW),
        (None, Lane.HIGH, Lane.HIGH),
        (Lane.HIGH, None, Lane.HIGH),
        (Lane.LOW, Lane.HIGH, Lane.LOW),
        (Lane.HIGH, Lane.NORMAL, None),
        (Lane.NORMAL, Lane.LOW, None),
    ],
)
def test_lanes(wanted: Lane | None, allowed: Lane | None, given_lane: Lane | None) -> None:
    assert domain.lane_for(wanted, allowed) is given_lane


def test_expiry_is_in_the_future_and_within_thirty_days() -> None:
    assert domain.expiry(NOW, ttl_minutes=60, expires_at=None) == NOW + timedelta(hours=1)
    at = NOW + timedelta(days=30)
    assert domain.expiry(NOW, ttl_minutes=None, expires_at=at) == at
    for wrong in (NOW, NOW - timedelta(days=1), NOW + timedelta(days=30, minutes=2)):
        with pytest.raises(ValueError, match="expires_at"):
            domain.expiry(NOW, ttl_minutes=None, expires_at=wrong)


def test_cursor_is_read_back_and_nothing_else_is() -> None:
    job_id = new_id("clone")
    assert domain.decode_cursor(domain.encode_cursor(job_id)) == job_id
    for wrong in ("", "x", "clone-1", "////", "ü", domain.encode_cursor("no")[1:]):
        with pytest.raises(ValueError, match="is not a cursor"):
            domain.decode_cursor(wrong)


def test_ids_of_all_kinds_sort_by_time() -> None:
    ids = [new_id(kind, now=second) for second, kind in enumerate(["restore", "clone", "restore", "clone"], 1)]
    assert sorted(reversed(ids), key=domain.sort_key) == ids


def test_key_file() -> None:
    digest = hashlib.sha256(b"sk-1").hexdigest()
    keys = parse_keys(f"# people\n\nann:{digest.upper()}:acme:high  # VIP\nbob:{'0' * 64}\neve:{'1' * 64}::low\n")
    assert keys[digest] == Principal("ann", "acme", Lane.HIGH, digest)
    assert keys["0" * 64] == Principal("bob", "bob", None, "0" * 64)
    assert (keys["0" * 64].scope, keys["0" * 64].operator) == (Scope.SUBMIT, False)
    scoped = parse_keys(f"mon:{'2' * 64}::low:read\nboss:{'3' * 64}:::operator\n")
    assert [(key.scope, key.operator) for key in scoped.values()] == [(Scope.READ, False), (Scope.ADMIN, True)]
    assert keys["1" * 64] == Principal("eve", "eve", Lane.LOW, "1" * 64)
    for wrong in (
        "ann",
        f"ann:{digest[1:]}",
        f"ann:{digest}:t:urgent",
        f"ann:{'x' * 64}",
        f"a:{digest}:b:low:root",
        f"a:{digest}:b:low:read:x",
    ):
        with pytest.raises(ValueError, match=r"line 1|urgent|root"):
            parse_keys(wrong)
