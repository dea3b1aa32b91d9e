"""How webhooks are signed, where they must not go, and how their log reads."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.gateway.routes.webhooks import deliveries
from shared.contract.events import now
from shared.contract.webhooks import (
    Attempt,
    Endpoint,
    OutwardResolver,
    check_url,
    delivery_id,
    new_endpoint_id,
    new_secret,
    parse_networks,
    sign,
)
from shared.wordpress.errors import AddressRefused


def test_signature_is_that_of_the_published_vector() -> None:
    # the vector the reference libraries of Standard Webhooks are tested with
    secret, message = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    signature = sign(secret, message, 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secrets_are_long_and_new() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
    assert sign(new_secret(), "a", 1, b"x").startswith("v1,")
    with pytest.raises(ValueError, match="not a webhook secret"):
        sign("whsec_?", "a", 1, b"")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd12:3456::1",
        "fec0::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_addresses_inside_are_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        OutwardResolver(()).resolve(address, 443)
    with pytest.raises(AddressRefused):
        OutwardResolver(()).pin("rebound.example", ("93.184.216.34", address))


def test_public_and_allowed_addresses_are_taken_and_metadata_never_is() -> None:
    assert OutwardResolver(()).resolve("93.184.216.34", 443) == ("93.184.216.34",)
    local = parse_networks("127.0.0.0/8, ::1/128,169.254.0.0/16")
    assert OutwardResolver(local).resolve("localhost", 80) == ("127.0.0.1", "::1")
    with pytest.raises(AddressRefused):
        OutwardResolver(local).resolve("10.0.0.1", 80)
    with pytest.raises(AddressRefused):
        OutwardResolver(local).resolve("169.254.169.254", 80)


def test_a_name_is_resolved_once_for_a_connection() -> None:
    resolver = OutwardResolver(())
    resolver.pin("hooks.example", ("93.184.216.34",))
    assert resolver.resolve("hooks.example", 443) == ("93.184.216.34",)


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example/", "https://", "https://u:p@a.example/", "https://a.example/#x", "https://a.example:0/", "x"],
)
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must"):
        check_url(url)


def test_an_endpoint_wants_its_own_tenants_events_from_its_registration_on() -> None:
    made = now()
    endpoint = Endpoint(
        id=new_endpoint_id(), tenant="a", url="https://a.example/", events=["clone.failed"], sealed_secret="",
        created_at=made,
    )  # fmt: skip
    assert endpoint.wants("a", "clone.failed", made)
    assert not endpoint.wants("b", "clone.failed", made)
    assert not endpoint.wants("a", "clone.completed", made)
    assert not endpoint.wants("a", "clone.failed", made - timedelta(seconds=1))
    assert endpoint.model_copy(update={"events": []}).wants("a", "clone.completed", made)
    assert not endpoint.model_copy(update={"disabled": "gone"}).wants("a", "clone.failed", made)


def test_the_id_of_a_message_depends_on_event_and_endpoint_only() -> None:
    assert delivery_id("e", "wh-1") == delivery_id("e", "wh-1") != delivery_id("e", "wh-2")


def test_the_log_reads_by_message_newest_first() -> None:
    began = now()

    def line(delivery: str, attempt: int, outcome: str, seconds: int) -> Attempt:
        return Attempt.model_validate(
            {"delivery": delivery, "type": "clone.failed", "job_id": None, "attempt": attempt, "outcome": outcome,
             "at": began + timedelta(seconds=seconds)}
        )  # fmt: skip

    told = deliveries([line("a", 1, "retrying", 0), line("b", 1, "delivered", 1), line("a", 2, "delivered", 5)])
    assert [(item.id, item.state, len(item.attempts)) for item in told] == [
        ("b", "delivered", 1),
        ("a", "delivered", 2),
    ]
    assert [attempt.attempt for attempt in told[1].attempts] == [2, 1]
