"""Getting in and out: who is answered, who is not, and what is left behind."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx2
import pytest

from shared.wordpress.connector import protocol
from shared.wordpress.connector.client import ConnectorClient, endpoints
from shared.wordpress.connector.errors import ConnectorFault, ConnectorGone, ConnectorRefused
from shared.wordpress.connector.package import build_connector_zip, connector_version
from shared.wordpress.connector.protocol import FrameDecoder, TruncatedResponse
from shared.wordpress.errors import BasicAuthRequired, HostChallenge, SourceUnreachable
from shared.wordpress.http import site_client
from tests.integration.connected import KEY, Connected, activate, connected, unpack
from tests.sites import nasty
from tests.sites.core import give, give_up_to
from tests.sites.farm import SourceFarm
from tests.sites.fixtures import MakeSite
from tests.sites.spec import PLAIN, SiteSpec


@pytest.fixture(scope="module")
def source(farm: SourceFarm) -> Iterator[Connected]:
    site = farm.create(SiteSpec("entry", permalinks=PLAIN, rest_disabled=True))
    nasty.views(site)
    nasty.foreign_tables(site)
    with connected(site) as connection:
        yield connection
    site.destroy()


def test_hello_and_the_second_door(source: Connected) -> None:
    first, second = endpoints(source.site.home, source.site.siteurl)
    for door in (first, second):
        hello = ConnectorClient(source.http, [door], KEY).call("hello")
        assert hello["connector"] == connector_version()
        assert hello["home"] == source.site.home
    blocked = ConnectorClient(source.http, [source.site.home + "/wp-login.php", second], KEY)
    assert blocked.call("hello")["siteurl"] == source.site.siteurl


def test_the_package_of_an_install_that_broke_off_goes_with_the_first_greeting(source: Connected) -> None:
    """WordPress keeps it among the uploads, where anybody could fetch the key in it, and removes it two hours later."""
    site, places = source.site, []
    for name, context in (("siteferry-connector.zip", "upgrader"), ("siteferry-connector-manual.zip", "")):
        path = site.uploads / "2026" / "11" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PK")
        give_up_to(path, site.content)
        places.append(path)
        url = f"{site.home}/wp-content/uploads/2026/11/{name}"
        site.script(
            "INSERT INTO {p}posts (post_type, post_status, post_title, post_content, guid, post_excerpt, to_ping,"
            f" pinged, post_content_filtered) VALUES ('attachment', 'private', '{name}', '{url}', '{url}',"
            " '', '', '', '')",
            "INSERT INTO {p}postmeta (post_id, meta_key, meta_value) VALUES"
            f" (LAST_INSERT_ID(), '_wp_attached_file', '2026/11/{name}')",
            "INSERT INTO {p}postmeta (post_id, meta_key, meta_value) SELECT MAX(ID), '_wp_attachment_context',"
            f" '{context}' FROM {{p}}posts",
        )
    source.client.call("hello")
    assert [path.exists() for path in places] == [False, True]
    left = site.sql("SELECT post_title FROM {p}posts WHERE post_type='attachment' AND post_title LIKE 'siteferry%%'")
    assert [row[0] for row in left] == ["siteferry-connector-manual.zip"]


def test_inspect_tells_what_a_preflight_needs(source: Connected) -> None:
    site, facts = source.site, source.client.call("inspect")
    assert facts["database"]["flavour"] == "mariadb"
    assert facts["limits"]["memory_limit"] > 0
    assert facts["roots"][0]["path"] == str(site.docroot)
    tables = {table["name"]: table for table in facts["tables"]}
    assert set(tables) == {name for name in site.tables() + site.tables(views=True) if name.startswith("wp_")}
    assert tables["wp_term_relationships"]["key"] == ["object_id", "term_taxonomy_id"]
    assert tables["wp_view_posts"]["kind"] == "view"
    assert tables["wp_posts"]["create"].startswith("CREATE TABLE `wp_posts`")
    assert facts["permalink_structure"] == ""


def test_code_that_wp_config_loads_from_elsewhere_is_named(make_site: MakeSite) -> None:
    site = make_site("composed", content="bare")
    vendor = site.docroot.parent / "vendor"
    vendor.mkdir()
    (vendor / "autoload.php").write_text("<?php define( 'ACME_LOADED', true );")
    give(vendor)
    (site.docroot / "inside.php").write_text("<?php")
    config = site.docroot / "wp-config.php"
    loaded = f"<?php\nrequire '{vendor}/autoload.php';\nrequire __DIR__ . '/inside.php';\n"
    config.write_text(config.read_text().replace("<?php", loaded, 1))
    with connected(site) as connection:
        assert connection.client.call("inspect")["code_outside"] == [str(vendor)]


def test_a_second_install_with_a_longer_prefix_is_foreign(make_site: MakeSite) -> None:
    site = make_site("twins")
    names = nasty.sibling_install(site)
    with connected(site) as connection:
        facts = connection.client.call("inspect")
    assert {table["name"] for table in facts["foreign_tables"]} == set(names)
    assert not {table["name"] for table in facts["tables"]} & set(names)


def test_one_site_of_a_network_says_that_it_is_one(make_site: MakeSite) -> None:
    site = make_site("network", multisite=True)
    with connected(site) as connection:
        facts = connection.client.call("inspect")
    assert facts["multisite"] is True
    assert facts["multisite_facts"]["main_site"] is True
    assert facts["multisite_facts"]["sites"] >= 1


def test_a_request_works_once(source: Connected) -> None:
    url = endpoints(source.site.home, source.site.siteurl)[0]
    request = protocol.sign("hello", {}, KEY, now=time.time())
    first, again = (source.http.post(url, content=request.body) for _ in range(2))
    decoder = FrameDecoder(request.nonce, KEY)
    list(decoder.feed(first.content))
    decoder.finish()
    assert again.status_code == 403
    assert again.json()["code"] == "replayed"


def test_strangers_get_nothing(source: Connected) -> None:
    url = endpoints(source.site.home, source.site.siteurl)[0]
    with pytest.raises(ConnectorRefused) as caught:
        ConnectorClient(source.http, [url], b"x" * 32).call("inspect")
    assert caught.value.fault == "bad_signature"
    for body in (b"", b"SF1", b"SF1." + b"0" * 64 + b".AAAA", b"a" * 100_000):
        answer = source.http.post(url, content=body)
        assert answer.status_code in (400, 403)
        assert answer.json()["code"] in ("bad_request", "bad_signature")
    key_file = source.http.get(source.site.home + "/wp-content/plugins/siteferry-connector/key.php")
    assert key_file.content == b""
    assert source.http.get(url).status_code in (200, 301)  # a GET is an ordinary visit
    assert b"SFR1" not in source.http.get(url).content


@pytest.mark.parametrize("skew", [-7200, 7200])
def test_a_wrong_clock_is_corrected(source: Connected, skew: int) -> None:
    url = endpoints(source.site.home, source.site.siteurl)
    client = ConnectorClient(source.http, url, KEY, clock=lambda: time.time() + skew)
    assert client.call("hello")["home"] == source.site.home


def test_a_stale_request_is_refused(source: Connected) -> None:
    url = endpoints(source.site.home, source.site.siteurl)[0]
    answer = source.http.post(url, content=protocol.sign("hello", {}, KEY, now=time.time() - 600).body)
    assert (answer.status_code, answer.json()["code"]) == (403, "stale_request")
    assert abs(answer.json()["server_time"] - time.time()) < 60


def test_an_unknown_operation_is_a_typed_refusal(source: Connected) -> None:
    with pytest.raises(ConnectorRefused) as caught:
        source.client.call("format.disk")
    assert caught.value.fault == "unknown_op"


def test_chatty_plugins_do_not_disturb(make_site: MakeSite) -> None:
    """A BOM, a notice and a shutdown message around the answer; a maintenance screen behind it."""
    site = make_site("chatty")
    site.mu_plugin(
        "chatty", "\ufeff<?php echo 'Notice: SF'; add_action('shutdown', function () { echo '<!-- bye -->'; });"
    )
    site.mu_plugin("closed", "<?php add_action('init', function () { wp_die('closed', '', 503); });")
    with connected_by_hand(site) as client:
        assert client.call("hello")["home"] == site.home


def test_a_fatal_error_is_told_and_mails_nobody(make_site: MakeSite) -> None:
    site = make_site("fatal")
    site.mu_plugin(
        "greedy",
        "<?php if (isset($_GET['siteferry'])) { add_filter('option_home', function ($v) {"
        " global $n; if (++$n > 3) { ini_set('memory_limit', '16M'); str_repeat('x', 900 << 20); } return $v; }); }",
    )
    with connected_by_hand(site) as client:
        client._endpoints = client._endpoints[:1]
        with pytest.raises(ConnectorFault) as caught:
            client.call("inspect")
    assert caught.value.fault == "php_fatal"
    assert "memory" in caught.value.message
    assert site.sql("SELECT COUNT(*) FROM {p}options WHERE option_name LIKE 'recovery%%'")[0][0] == 0


def test_remove_leaves_nothing(make_site: MakeSite) -> None:
    site = make_site("tidy")
    site.get("/")  # WordPress caches what the theme needs on the first visit
    (
        site.content / "upgrade"
    ).rmdir()  # goes when it is empty: WordPress makes it to unpack something, and makes it again
    before = (sorted(site.content.rglob("*")), site.sql("SELECT option_name FROM {p}options ORDER BY 1"))
    with connected(site) as connection:
        connection.client.call("inspect")
        assert connection.client.remove() == {"removed": True, "left": []}
        with pytest.raises(ConnectorGone):
            connection.client.call("hello")
        assert connection.client.remove() == {"removed": True, "left": []}
    assert (sorted(site.content.rglob("*")), site.sql("SELECT option_name FROM {p}options ORDER BY 1")) == before
    assert site.sql("SELECT option_value FROM {p}options WHERE option_name='active_plugins'")[0][0] == "a:0:{}"
    assert site.get("/").status_code == 200


def test_a_deactivated_connector_is_gone_even_in_mid_stream(make_site: MakeSite) -> None:
    site = make_site("switched-off")
    with connected(site) as connection:
        *_, end = connection.client.stream("files.stream", {"max_bytes": 1})
        site.php("update_option('active_plugins', array()); return null;")
        with pytest.raises(ConnectorGone):
            list(connection.client.stream("files.stream", {"cursor": end.json()["cursor"]}))


def test_an_expired_connector_leaves_by_itself(make_site: MakeSite) -> None:
    site = make_site("expired")
    with connected(site, lifetime=-1) as connection:
        with pytest.raises(ConnectorRefused) as caught:
            connection.client.call("hello")
        assert caught.value.fault == "expired"
        assert not connection.plugin_dir.exists()
    with connected(site, lifetime=-1) as connection:
        site.get("/")
        assert connection.plugin_dir.exists()  # visitors are not made to wait for it
        with site.sign_in() as admin:
            admin.get(site.siteurl + "/wp-admin/")
        assert not connection.plugin_dir.exists()


def test_a_connector_installed_by_hand_shows_a_key_that_works(make_site: MakeSite) -> None:
    site = make_site("by-hand")
    unpack(build_connector_zip(), site)
    activate(site)
    page = site.siteurl + "/wp-admin/tools.php?page=siteferry-connector"
    with site.sign_in() as admin, site_client() as http:
        shown = _pairing_key(admin.get(page).text)
        client = ConnectorClient(http, endpoints(site.home, site.siteurl), protocol.parse_pairing_key(shown))
        assert client.call("hello")["home"] == site.home
        form = admin.get(page).text
        nonce = re.search(r'name="_wpnonce" value="([0-9a-f]+)"', form)
        assert nonce
        post = site.siteurl + "/wp-admin/admin-post.php"
        assert admin.post(post, data={"action": "siteferry_key", "_wpnonce": "0" * 10}).status_code == 403
        assert _pairing_key(admin.get(page).text) == shown
        admin.post(post, data={"action": "siteferry_key", "_wpnonce": nonce.group(1)})
        renewed = _pairing_key(admin.get(page).text)
        assert renewed != shown
        with pytest.raises(ConnectorRefused):
            client.call("hello")
        client = ConnectorClient(http, endpoints(site.home, site.siteurl), protocol.parse_pairing_key(renewed))
        assert client.remove()["removed"]


def test_a_job_connector_shows_no_key(source: Connected) -> None:
    with source.site.sign_in() as admin:
        page = admin.get(source.site.siteurl + "/wp-admin/tools.php?page=siteferry-connector").text
    assert "sf1_" not in page
    assert KEY.hex() not in page


def _pairing_key(page: str) -> str:
    found = re.search(r'value="(sf1_[A-Za-z0-9_-]+)"', page)
    assert found, page[:2000]
    return found.group(1)


class connected_by_hand:
    """Like `connected`, for sites that would not let its own removal through."""

    def __init__(self, site: object) -> None:
        self.site = site

    def __enter__(self) -> ConnectorClient:
        unpack(build_connector_zip(KEY, "clone-test", int(time.time()) + 600), self.site)  # type: ignore[arg-type]
        self.site.script(  # type: ignore[attr-defined]
            "UPDATE `{p}options` SET option_value='a:1:{i:0;s:43:\"siteferry-connector/siteferry-connector.php\";}'"
            " WHERE option_name='active_plugins'"
        )
        self.http = site_client()
        return ConnectorClient(self.http, endpoints(self.site.home, self.site.siteurl), KEY)  # type: ignore[attr-defined]

    def __exit__(self, *_: object) -> None:
        self.http.close()


@pytest.mark.parametrize(
    ("status", "headers", "body", "error"),
    [
        (404, "", "<html>Not found</html>", ConnectorGone),
        (200, "", "<html>Welcome</html>", ConnectorGone),
        (200, "", "", TruncatedResponse),
        (503, "cf-mitigated: challenge", "<html>x</html>", HostChallenge),
        (403, "", "<html><title>Just a moment...</title></html>", HostChallenge),
        (200, "", "<html><script src='/cdn-cgi/challenge-platform/jsd.js'></script></html>", ConnectorGone),
        (200, "", "<html><form><div class='g-recaptcha'></div></form></html>", ConnectorGone),
        (403, "", "<html><form><div class='g-recaptcha'></div></form></html>", HostChallenge),
        (503, "x-iinfo: 1-1", "busy", SourceUnreachable),
        (503, "Retry-After: 7", "busy", SourceUnreachable),
        (301, "Location: https://elsewhere.example/", "", ConnectorGone),
        (401, "", "who?", BasicAuthRequired),
        (200, "", "SFR1 and then rubbish", TruncatedResponse),
    ],
)
def test_what_other_answers_mean(
    farm: SourceFarm, status: int, headers: str, body: str, error: type[Exception]
) -> None:
    code = "<?php "
    if headers:
        code += f"header({headers!r}); "
    code += f"http_response_code({status}); echo {body!r};"
    origin = farm.static("answers", {"index.php": code.encode()})
    with site_client() as http:
        client = ConnectorClient(http, [origin + "/?siteferry=1"], KEY, sleep=lambda _: None)
        with pytest.raises(error):
            client.call("hello")


def test_a_server_that_is_not_there(unused_port: int) -> None:
    waits: list[float] = []
    with httpx2.Client(trust_env=False) as http:
        client = ConnectorClient(http, [f"http://127.0.0.1:{unused_port}/?siteferry=1"], KEY, sleep=waits.append)
        with pytest.raises(SourceUnreachable):
            client.call("hello")
    assert waits == sorted(waits)
    assert len(waits) == 3


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that refuses connections for as long as the test runs: bound, but nobody listens."""
    import socket

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_what_lies_beside_a_core_behind_links_is_named(make_site: MakeSite) -> None:
    site = make_site("linked", content="bare")
    core = site.docroot.parent / "core"
    site.docroot.rename(core)
    site.docroot.mkdir()
    for entry in core.iterdir():
        (site.docroot / entry.name).symlink_to(entry)
    site.write("robots.txt", "User-agent: *")
    site.write("landing/index.html", "<html>beside</html>")
    with connected(site) as connection:
        assert connection.client.call("inspect")["beside"] == ["landing", "robots.txt"]
