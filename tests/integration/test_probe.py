"""Finding real WordPress sites, and saying what else is there."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.wordpress.errors import (
    AddressRefused,
    BasicAuthRequired,
    HostChallenge,
    HostNotFound,
    NotWordPress,
    SourceUnreachable,
    TlsError,
    TooManyRedirects,
)
from shared.wordpress.http import async_site_client, map_transport_errors, site_client
from shared.wordpress.probe import SiteAddress, find_site
from tests.sites.farm import SourceFarm
from tests.sites.fixtures import MakeSite
from tests.sites.site import Site
from tests.sites.spec import PLAIN


def found(typed: str, **options: object) -> SiteAddress:
    with site_client(**options) as client:  # type: ignore[arg-type]
        return find_site(client, typed)


@pytest.mark.parametrize("typed", ["{url}", "{url}/", "{url}/wp-admin/", "{url}/wp-login.php?x=1", "{bare}", "{UPPER}"])
def test_an_ordinary_site(plain_site: Site, typed: str) -> None:
    bare = plain_site.url.removeprefix("http://")
    site = found(typed.format(url=plain_site.url, bare=bare, UPPER=bare.upper()))
    assert (site.home, site.siteurl) == (plain_site.home, plain_site.siteurl)
    assert site.login_url == plain_site.home + "/wp-login.php"
    assert site.admin_url == plain_site.home + "/wp-admin/"
    assert site.login_found
    assert {"generator", "api.w.org", "EditURI", "login form"} <= set(site.evidence)
    assert site.version == plain_site.php("return get_bloginfo('version');")


def test_a_page_below_the_site_leads_to_its_home(plain_site: Site) -> None:
    page = next(path for path in plain_site.paths() if path.count("/") > 1)
    assert found(plain_site.origin + page).home == plain_site.home


def test_plain_permalinks_and_no_rest(make_site: MakeSite) -> None:
    made = make_site("quiet", permalinks=PLAIN, rest_disabled=True, content="bare")
    site = found(made.url)
    assert (site.home, site.siteurl, site.login_found) == (made.home, made.siteurl, True)


@pytest.mark.parametrize("layout", ["wp-subdir", "blog"])
def test_sites_in_directories(make_site: MakeSite, layout: str) -> None:
    made = make_site("nested", layout=layout, content="bare")
    site = found(made.url)
    assert (site.home, site.siteurl) == (made.home, made.siteurl)
    assert site.login_url == made.siteurl + "/wp-login.php"


def test_wordpress_knows_itself_by_another_host(make_site: MakeSite) -> None:
    made = make_site("moved", content="bare")
    made.sql("UPDATE {p}options SET option_value='http://elsewhere.localhost:1' WHERE option_name='siteurl'")
    site = found(made.url)
    assert (site.home, site.siteurl, site.login_found) == (made.home, made.siteurl, True)


def test_a_hidden_login_is_still_wordpress(make_site: MakeSite) -> None:
    made = make_site("hidden", hidden_login=True, content="bare")
    site = found(made.url)
    assert site.home == made.home
    assert not site.login_found


def test_not_wordpress(farm: SourceFarm) -> None:
    origin = farm.static("static", {"index.html": b"<!doctype html><title>Pottery</title><p>Made by hand.</p>"})
    with pytest.raises(NotWordPress) as caught:
        found(origin)
    assert caught.value.code == "not_wordpress"


def test_challenge_page(make_site: MakeSite) -> None:
    made = make_site("guarded", challenge_page=True, content="bare")
    with pytest.raises(HostChallenge, match="Cloudflare") as caught:
        found(made.url)
    assert caught.value.details["vendor"] == "Cloudflare"


def test_basic_auth_in_front(make_site: MakeSite) -> None:
    made = make_site("gated", basic_auth=("gate", "k33per"), content="bare")
    with pytest.raises(BasicAuthRequired):
        found(made.url)
    assert found(made.url, basic_auth=("gate", "k33per")).home == made.home


def test_redirect_loop(farm: SourceFarm) -> None:
    origin = farm.static("loop", {"index.php": b"<?php header('Location: /?again=1', true, 302);"})
    with pytest.raises(TooManyRedirects):
        found(origin)


def test_redirects_lead_to_the_canonical_origin(farm: SourceFarm, plain_site: Site) -> None:
    php = f"<?php header('Location: {plain_site.home}/', true, 301);".encode()
    assert found(farm.static("old-name", {"index.php": php})).home == plain_site.home


def test_a_redirect_can_not_lead_to_a_metadata_service(farm: SourceFarm) -> None:
    origin = farm.static("evil", {"index.php": b"<?php header('Location: http://169.254.169.254/latest/', true, 302);"})
    with pytest.raises(AddressRefused):
        found(origin)


def test_private_addresses_can_be_refused(plain_site: Site) -> None:
    with pytest.raises(AddressRefused):
        found(plain_site.url, allow_private=False)


def test_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused for as long as we hold it
        with pytest.raises(SourceUnreachable, match="refused") as caught:
            found(f"http://shop.localhost:{held.getsockname()[1]}")
    assert caught.value.details["reason"] == "refused"


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SourceUnreachable, match="too long"):
            found(url, timeout=httpx2.Timeout(0.3))


def test_no_such_name() -> None:
    with pytest.raises((HostNotFound, SourceUnreachable), match=r"nosuch\.invalid"):
        found("https://nosuch.invalid")


def self_signed(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("shop.localhost")]
    certificate = builder.add_extension(x509.SubjectAlternativeName(addresses), False).sign(key, hashes.SHA256())
    file = directory / "server.pem"
    unencrypted = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.fixture
def tls_server() -> Iterator[tuple[int, list[str | None]]]:
    """A TLS server with a certificate of its own making; yields its port and the server names clients asked for."""
    names: list[str | None] = []
    with tempfile.TemporaryDirectory(prefix="siteferry-") as directory:
        context = self_signed(Path(directory))
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(65536)
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], names
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_a_self_signed_certificate(tls_server: tuple[int, list[str | None]]) -> None:
    port, names = tls_server
    with pytest.raises(TlsError, match=r"certificate of shop\.localhost") as caught:
        found(f"https://shop.localhost:{port}")
    assert caught.value.code == "tls_error"
    with pytest.raises(NotWordPress):  # checks switched off: the site itself is looked at
        found(f"https://shop.localhost:{port}", verify=False)
    assert set(names) == {"shop.localhost"}


def test_no_tls_at_all(plain_site: Site) -> None:
    with pytest.raises(TlsError, match="does not speak TLS"):
        found(plain_site.url.replace("http://", "https://"))


async def test_the_async_client_reaches_the_same_site(plain_site: Site) -> None:
    async with async_site_client() as client:
        response = await client.get(plain_site.home + "/")
        with pytest.raises(SourceUnreachable), map_transport_errors():
            await client.get("http://shop.localhost:1/")
    assert response.status_code == 200
    assert str(response.url).startswith(plain_site.home)
