"""What a carrier says is read as one of our messages, or refused; whatever it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.cloner.carried import SaidConfig
from shared.contract.events import CloneOptions
from shared.contract.media import Media
from shared.engine.carriers.errors import CarrierFault, CarrierStalled, JobTooLong, fault, raised
from shared.engine.carriers.memory import Shadow
from shared.engine.carriers.messages import Bounded, Fault, Noted, read, written
from shared.engine.carriers.watch import Clock, Deadlines
from shared.errors import JobError
from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.found import Found, source_key
from shared.wordpress.paths import BadPath, relative

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(
    "t call done total unit message moves code count samples number changes set drop value fault kind name".split()
)
KINDS = st.sampled_from(["report", "note", "save", "returned", "failed", "log"])

CALMLY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@CALMLY
@given(st.dictionaries(FIELDS, ANYTHING, max_size=8), KINDS)
def test_anything_is_a_message_or_refused(body: dict[str, Any], kind: str) -> None:
    _read_or_refused(json.dumps({**body, "t": kind}).encode())


@CALMLY
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(body: bytes) -> None:
    _read_or_refused(body)


def _read_or_refused(body: bytes) -> None:
    try:
        message = read(body)
    except ValueError:
        return
    assert isinstance(message, Bounded)
    if isinstance(message, Noted):
        assert message.note().message.isprintable() or "\N{REPLACEMENT CHARACTER}" in message.note().message
    json.dumps(message.model_dump(), allow_nan=False)  # fit for a checkpoint


@CALMLY
@given(st.text(max_size=50), st.text(max_size=50), st.dictionaries(st.text(max_size=9), ANYTHING, max_size=4))
def test_our_errors_cross_and_nothing_else_becomes_one(module: str, name: str, details: dict[str, Any]) -> None:
    try:
        told = Fault(kind="job", name=f"{module}:{name}", message="m", details=details)
    except ValueError:
        return
    assert isinstance(raised(told), CarrierFault | JobError)


def test_an_error_with_odd_details_still_arrives() -> None:
    error = CarrierStalled("slow", retry_after=10**9, **{"k" * 300: 1})
    again = raised(Fault.model_validate_json(written(fault(error))[4:]))
    assert isinstance(again, CarrierStalled)
    assert (again.message, again.retry_after, again.details) == ("slow", 86_400, {})


def test_only_what_is_new_counts_as_advance() -> None:
    clock, limits = Clock(0.0), Deadlines(stall=10, job=3600)
    for second in range(1, 10):
        clock.moved(float(second), 5, 0)  # the same number again and again
    assert clock.advanced == 1.0
    clock.moved(10.0, 4, 0)
    assert isinstance(limits.missed(clock, 11.5, None), CarrierStalled)
    clock.moved(11.5, 6, 0)
    assert limits.missed(clock, 20.0, None) is None
    clock.moved(20.0, None, 1)
    assert limits.missed(clock, 29.0, None) is None
    assert isinstance(limits.missed(clock, 29.0, datetime.now(UTC) - timedelta(hours=2)), JobTooLong)


def test_memory_crosses_by_name_and_what_is_kept_never_does() -> None:
    worker, carrier = Shadow({"password"}), Shadow()
    here: dict[str, Any] = {"a": {"b": [1]}, "password": "sealed"}
    there: dict[str, Any] = {}
    carrier.apply(there, *worker.changes(here))
    assert there == {"a": {"b": [1]}}
    there["a"]["b"].append(2)
    there["c"] = 1
    here["d"] = 1
    worker.apply(here, *carrier.changes(there))
    assert here == {"a": {"b": [1, 2]}, "c": 1, "d": 1, "password": "sealed"}
    assert worker.changes(here) == ({"d": 1}, [])
    with pytest.raises(ValueError, match="password"):
        worker.apply(here, {"password": "mine"}, [])


SAID: dict[str, Any] = {
    "prefix": "wp_",
    "charset": "utf8mb4",
    "collate": "",
    "constants": {"WP_DEBUG": True},
    "wordpress_path": "wp",
    "content_path": None,
    "source_host": "shop.example.com",
}


MEDIA = {
    "prefix": "/wp-content/uploads/",
    "source": "http://shop.example.com/wp-content/uploads/",
    "page": "https://shop.example.com/",
}
SHOP = Found(home="https://shop.example.com", siteurl="https://shop.example.com/wp")


@pytest.mark.parametrize(
    "wrong",
    [
        {"wordpress_path": "../../clone-1/site"},
        {"wordpress_path": "/etc"},
        {"content_path": "a/../../b"},
        {"content_path": "a\0b"},
        {"wordpress_path": "a/" * 300},
        {"prefix": "wp_'; DROP"},
        {"charset": "utf8 COLLATE x"},
        {"constants": {"WP_DEBUG": {"a": 1}}},
        {"source_host": "a\nb"},
        {"surplus": 1},
        {"media": {**MEDIA, "prefix": "/up'loads/"}},
        {"media": {**MEDIA, "prefix": "/../"}},
        {"media": {**MEDIA, "prefix": "/a/$b/"}},
        {"media": {**MEDIA, "source": "file:///etc/"}},
        {"media": {**MEDIA, "surplus": ""}},
    ],
)
def test_a_configuration_that_leads_astray_is_refused(wrong: dict[str, Any]) -> None:
    assert SaidConfig.model_validate(SAID)
    with pytest.raises(ValueError, match="validation error"):
        SaidConfig.model_validate({**SAID, **wrong})


def test_what_a_clone_may_call_is_not_the_carriers_to_say() -> None:
    said = SaidConfig.model_validate({**SAID, "allow_http": ["evil.example"], "constants": {"DB_HOST": "evil"}})
    config = said.checked(CloneOptions(allow_http=["api.example.com"]), SHOP)
    assert (config.allow_http, config.constants) == (("api.example.com",), {})


def test_media_come_from_the_sources_own_server_and_only_when_asked_for() -> None:
    said = SaidConfig.model_validate({**SAID, "media": MEDIA})
    assert said.checked(CloneOptions(), SHOP).media is None
    remote = CloneOptions(media=Media.REMOTE)
    assert said.checked(remote, SHOP).media == MEDIA
    for evil in ("https://evil.example/up/", "https://shop.example.com:8443/up/", "http://127.0.0.1/", "http://shop/"):
        with pytest.raises(ImplausibleSite):
            SaidConfig.model_validate({**SAID, "media": {**MEDIA, "source": evil}}).checked(remote, SHOP)


def test_a_site_that_says_it_is_another_is_not_given_its_connector() -> None:
    victim = Found(home="https://victim.example", siteurl="https://victim.example")
    assert source_key(victim, "https://www.victim.example/shop") == "https://victim.example"
    assert source_key(victim, "https://evil.example") != "https://victim.example"


@pytest.mark.parametrize("path", [b"/etc/passwd", b"a/../../b", b"..", b"a\0b", b"a/" * 101, b"x" * 256, b"y/" * 2001])
def test_paths_that_lead_out_are_refused(path: bytes) -> None:
    with pytest.raises(BadPath):
        relative(path)


def test_paths_are_names() -> None:
    assert relative(b"./wp-content//uploads/./a..b") == [b"wp-content", b"uploads", b"a..b"]
