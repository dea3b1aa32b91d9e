"""What people type, and which addresses we connect to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import httpx2
import pytest

from shared.hosts import answers_to
from shared.own import Own
from shared.wordpress.addresses import Resolver, is_localhost, keep_off, refusal
from shared.wordpress.errors import AddressRefused, InvalidAddress
from shared.wordpress.http import site_client
from shared.wordpress.nearby import Nearby
from shared.wordpress.probe import normalise


@pytest.mark.parametrize(
    ("typed", "urls"),
    [
        ("https://example.com", ["https://example.com"]),
        ("https://example.com/", ["https://example.com"]),
        ("  HTTPS://Example.COM/Blog/  ", ["https://example.com/Blog"]),
        ("example.com", ["https://example.com", "http://example.com"]),
        ("//example.com/shop", ["https://example.com/shop", "http://example.com/shop"]),
        ("example.com/wp-admin/plugins.php?a=1", ["https://example.com", "http://example.com"]),
        ("https://example.com/blog/wp-login.php?redirect_to=x", ["https://example.com/blog"]),
        ("https://example.com/blog/index.php#top", ["https://example.com/blog"]),
        ("https://example.com/wp-administration", ["https://example.com/wp-administration"]),
        ("https://example.com:8443//a//b/", ["https://example.com:8443/a/b"]),
        ("http://example.com:80/", ["http://example.com"]),
        ("shop.localhost:8081", ["http://shop.localhost:8081", "https://shop.localhost:8081"]),
        ("localhost", ["http://localhost", "https://localhost"]),
        ("192.0.2.7:8080/x", ["http://192.0.2.7:8080/x", "https://192.0.2.7:8080/x"]),
        ("http://[2001:db8::1]:8080/", ["http://[2001:db8::1]:8080"]),
        ("https://bücher.example", ["https://xn--bcher-kva.example"]),
        ("https://example.com./", ["https://example.com"]),
        ("<https://example.com>", ["https://example.com"]),
    ],
)
def test_normalise(typed: str, urls: list[str]) -> None:
    assert normalise(typed) == urls


@pytest.mark.parametrize(
    "typed", ["", "   ", "https://", "ftp://example.com", "javascript:alert(1)", "exa mple.com", "intranet", "a\\b.com"]
)
def test_not_an_address(typed: str) -> None:
    with pytest.raises(InvalidAddress):
        normalise(typed)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidAddress) as caught:
        normalise("https://boss:s3cret@example.com/")
    assert "s3cret" not in str(caught.value) + caught.value.hint + str(caught.value.details)


@pytest.mark.parametrize(
    ("address", "private_ok", "public_ok"),
    [
        ("93.184.216.34", True, True),
        ("2606:2800:220:1::1", True, True),
        ("127.0.0.1", True, False),
        ("::1", True, False),
        ("10.1.2.3", True, False),
        ("172.16.0.1", True, False),
        ("192.168.1.1", True, False),
        ("100.64.0.1", True, False),
        ("fd12:3456::1", True, False),
        ("::ffff:10.0.0.1", True, False),
        ("64:ff9b::a00:1", True, False),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:a9fe:a9fe::1", False, False),
        ("fe80::1", False, False),
        ("fd00:ec2::254", False, False),
        ("100.100.100.200", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
    ],
)
def test_which_addresses_are_refused(address: str, private_ok: bool, public_ok: bool) -> None:
    parsed = ipaddress.ip_address(address)
    assert (refusal(parsed, allow_private=True) is None) is private_ok
    assert (refusal(parsed, allow_private=False) is None) is public_ok


def test_one_forbidden_answer_spoils_the_name() -> None:
    with pytest.raises(AddressRefused, match=r"evil\.example is in a private network"):
        Resolver(allow_private=False).pin("evil.example", ["93.184.216.34", "10.0.0.1"])


def test_a_name_stays_where_it_was_first() -> None:
    resolver = Resolver(allow_private=False)
    resolver.pin("moving.example", ["93.184.216.34"])
    assert resolver.pin("moving.example", ["1.1.1.1"]) == ("93.184.216.34",)
    assert resolver.resolve("moving.example", 443) == ("93.184.216.34",)


def test_localhost_names_lead_to_loopback() -> None:
    assert is_localhost("Shop.LOCALHOST.")
    assert not is_localhost("localhost.example.com")
    assert Resolver(allow_private=True).resolve("shop.localhost", 80) == ("127.0.0.1",)
    with pytest.raises(AddressRefused):
        Resolver(allow_private=False).resolve("shop.localhost", 80)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/meta-data/", "http://[::ffff:a9fe:a9fe]/"])
def test_the_client_never_calls_metadata_services(url: str) -> None:
    with site_client(timeout=httpx2.Timeout(2)) as client, pytest.raises(AddressRefused):
        client.get(url)


@pytest.mark.parametrize(
    "address",
    [
        "168.63.129.16", "64:ff9b:1::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "192.88.99.1", "192.0.0.8", "5f00::1",
        "fec0::1", "0.1.2.3", "240.0.0.1", "255.255.255.255", "100::1", "2001:db8::1", "3fff::1", "64:ff9b::7f00:1",
        "2002:7f00:1::1", "::ffff:127.0.0.1", "fd20:ce::254", "fd00:ec2::254", "::1", "fe80::1",
    ],
)  # fmt: skip
def test_no_address_inside_is_public(address: str) -> None:
    assert refusal(ipaddress.ip_address(address), allow_private=False) is not None


@pytest.mark.parametrize(
    "address",
    ["168.63.129.16", "fd20:ce::254", "fd00:ec2::254", "fd00:42::42", "169.254.169.254", "::ffff:0:169.254.169.254",
     "::169.254.169.254", "64:ff9b::a83f:8110", "2002:a83f:8110::1", "192.0.0.192", "100.100.100.200"],
)  # fmt: skip
def test_metadata_services_are_refused_in_every_spelling(address: str) -> None:
    assert refusal(ipaddress.ip_address(address), allow_private=True) is not None


@pytest.mark.parametrize(
    "host", ["localhost:8080@evil", "localhost:8080/x", "evil#localhost", "localhost:", "", "a b", "[::1", "x" * 300]
)
def test_a_malformed_host_is_nobody(host: str) -> None:
    assert not answers_to(host, None)
    assert not answers_to(host, frozenset({"localhost", "*"}))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "[::1]:80", "127.0.0.1:1"])
def test_our_own_names_are_ours(host: str) -> None:
    assert answers_to(host, frozenset({"localhost", "127.0.0.1", "[::1]"}))
    assert not answers_to(host, frozenset({"example.com"}))


@pytest.fixture
def own() -> Iterator[None]:
    keep_off(Own(frozenset({4222}), edge=8080))
    yield
    keep_off(Own())


CLONE_HOST = "clone-0k3v9x2m7c1p5t8w.localhost"


@pytest.mark.parametrize(
    ("host", "port", "free"),
    [
        ("localhost", 4222, False),
        ("127.0.0.1", 4222, False),
        ("127.8.8.8", 4222, False),
        ("::1", 4222, False),
        ("::ffff:127.0.0.1", 4222, False),
        ("shop.localhost", 4222, False),
        (CLONE_HOST, 4222, False),
        ("localhost", 8080, False),
        ("127.0.0.1", 8080, False),
        ("shop.localhost", 8080, False),
        (f"evil.{CLONE_HOST}", 8080, False),
        (CLONE_HOST, 8080, True),
        (CLONE_HOST.upper(), 8080, True),
        ("shop.localhost", 8081, True),
        ("192.0.43.8", 4222, True),
        ("192.0.43.8", 8080, True),
    ],
)
def test_our_own_servers_are_no_sites(own: None, host: str, port: int, free: bool) -> None:
    resolver = Resolver(allow_private=True)
    if free:
        assert resolver.resolve(host, port)
    else:
        with pytest.raises(AddressRefused, match="Siteferry itself"):
            resolver.resolve(host, port)


def test_in_a_container_localhost_is_another_machine() -> None:
    resolver = Resolver(allow_private=True, nearby=Nearby(localhost="8080=127.0.0.7,*=127.0.0.9"))
    assert resolver.resolve(CLONE_HOST, 8080) == ("127.0.0.7",)
    assert resolver.resolve("shop.localhost.", 8081) == ("127.0.0.9",)
    assert resolver.resolve("127.0.0.1", 8080) == ("127.0.0.1",)


@pytest.mark.parametrize("host", ["localhost", "shop.localhost", f"evil.{CLONE_HOST}"])
def test_in_a_container_nothing_but_clones_is_at_our_port(host: str) -> None:
    resolver = Resolver(allow_private=True, nearby=Nearby(localhost="8080=127.0.0.7,*=127.0.0.9"))
    with pytest.raises(AddressRefused, match="Siteferry itself"):
        resolver.resolve(host, 8080)


def test_only_the_ports_that_are_named_lead_elsewhere() -> None:
    resolver = Resolver(allow_private=True, nearby=Nearby(localhost="8080=127.0.0.7"))
    assert resolver.resolve("shop.localhost", 8081) == ("127.0.0.1",)


def test_where_localhost_leads_is_checked_as_any_address() -> None:
    resolver = Resolver(allow_private=False, nearby=Nearby(localhost="*=127.0.0.7"))
    with pytest.raises(AddressRefused):
        resolver.resolve("shop.localhost", 80)
    metadata = Resolver(allow_private=True, nearby=Nearby(localhost="*=169.254.169.254"))
    with pytest.raises(AddressRefused):
        metadata.resolve("shop.localhost", 80)


@pytest.mark.parametrize("text", ["edge", "8080=", "eighty=edge"])
def test_where_localhost_leads_must_be_readable(text: str) -> None:
    with pytest.raises(ValueError, match="SITEFERRY_LOCALHOST"):
        Nearby(localhost=text)
