"""The sources the other tests clone are real: they answer, log in, keep their limits, and are as hard as they say."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.site import THEMES
from tests.sites import nasty
from tests.sites.core import run_php
from tests.sites.farm import SourceFarm
from tests.sites.fixtures import MakeSite
from tests.sites.http import client
from tests.sites.nasty.files import ODD_NAMES
from tests.sites.site import Site
from tests.sites.spec import PLAIN, SiteSpec, User


@pytest.fixture(scope="module")
def hard_site(farm: SourceFarm) -> Iterator[Site]:
    """One site with everything on it (the big file small: its size is a parameter)."""
    site = farm.create(SiteSpec("hard", constants={"WP_CACHE": True}))
    yield site
    site.destroy()


def test_an_ordinary_site_answers_signs_in_and_serves_rest(plain_site: Site) -> None:
    home = plain_site.get("/")
    assert home.status_code == 200
    assert "Pine &amp; Sons" in home.text
    with plain_site.sign_in() as browser:
        assert "Dashboard" in browser.get(plain_site.siteurl + "/wp-admin/").text
    assert len(plain_site.get("/wp-json/wp/v2/posts").json()) == 10
    assert plain_site.get("/wp-content/uploads/2024/03/shed-300x200.jpg").headers["content-type"] == "image/jpeg"
    with pytest.raises(PermissionError), plain_site.sign_in(password="wrong"):
        pass


def test_every_public_page_answers(plain_site: Site) -> None:
    with plain_site.client() as client:
        found = {path: client.get(path).status_code for path in plain_site.paths(30)}
    assert len(found) > 15
    assert {path for path, status in found.items() if status != 200} == {"/?p=999999"}


def test_sites_do_not_share_anything(make_site: MakeSite) -> None:
    one, two = make_site("one", content="bare"), make_site("two", content="bare")
    one.script("UPDATE {p}options SET option_value='Only one' WHERE option_name='blogname'")
    one.write("wp-includes/version.php", "<?php // broken on purpose\n")
    assert "Only one" not in two.get("/").text
    assert two.get("/").status_code == 200
    assert one.db_password != two.db_password
    knock = (
        "mysqli_report( MYSQLI_REPORT_OFF );"
        "$c = @new mysqli( null, DB_USER, DB_PASSWORD, $input['data'], 0, substr( DB_HOST, 10 ) );"
        "return $c->connect_errno;"
    )
    assert one.php(knock, one.database) == 0
    assert one.php(knock, two.database) == 1044  # access denied to the database


def test_prefix_and_plain_permalinks(make_site: MakeSite) -> None:
    site = make_site("plain", table_prefix="shop9_", permalinks=PLAIN, content="bare")
    assert all(name.startswith("shop9_") for name in site.tables())
    assert "/?p=1" in site.get("/").text
    assert "text/html" in site.get("/wp-json/wp/v2/posts").headers["content-type"]
    assert site.get("/?rest_route=/wp/v2/posts").json()[0]["id"] == 1
    with site.sign_in() as browser:
        assert browser.get("/wp-admin/").status_code == 200


def test_php_limits_are_in_force_for_their_site_alone(make_site: MakeSite) -> None:
    limits = {"memory_limit": "64M", "max_execution_time": "30", "post_max_size": "8M", "upload_max_filesize": "2M"}
    site = make_site("limited", php_values=limits, content="bare")
    other = make_site("free", content="bare")
    probe = "<?php ini_set('memory_limit', '1G'); echo json_encode(array_map('ini_get', explode(',', $_GET['n'])));"
    for each, wanted in ((site, list(limits.values())), (other, ["1G", "120", "128M", "128M"])):
        each.write("probe.php", probe)
        said = each.get("/probe.php?n=" + ",".join(limits)).json()
        assert said[1:] == wanted[1:]
    assert site.get("/probe.php?n=memory_limit").json() == ["64M"]


@pytest.mark.parametrize("layout", ["wp-subdir", "blog"])
def test_layouts(make_site: MakeSite, layout: str) -> None:
    site = make_site(f"layout-{layout}", layout=layout)
    pages = site.paths(12)
    assert all(site.get(site.origin + path).status_code == 200 for path in pages)
    assert "Log entry 12" in site.get("/").text
    with site.sign_in() as browser:
        assert browser.get(site.siteurl + "/wp-admin/").status_code == 200


def test_a_moved_content_folder(make_site: MakeSite) -> None:
    site = make_site("moved", content_dir="assets")
    assert "/assets/uploads/2024/03/shed" in site.get("/").text
    assert site.get("/assets/uploads/2024/03/shed.jpg").status_code == 200
    assert site.php("return WP_CONTENT_DIR;") == str(site.docroot / "assets")


def test_rest_disabled(make_site: MakeSite) -> None:
    site = make_site("norest", rest_disabled=True, content="bare")
    assert site.get("/wp-json/").status_code == 403
    assert site.get("/").status_code == 200


def test_doors_that_a_password_does_not_open(make_site: MakeSite) -> None:
    two_factor = make_site("two-factor", two_factor=True, content="bare")
    with pytest.raises(PermissionError), two_factor.sign_in():
        pass
    with two_factor.client() as browser:
        browser.get("/wp-login.php")
        form = {"log": two_factor.username, "pwd": two_factor.password, "testcookie": "1"}
        asked = browser.post("/wp-login.php", data=form)
        assert 'name="authcode"' in asked.text
        hidden = dict(re.findall(r'name="(wp-auth-\w+)" value="([^"]+)"', asked.text))
        browser.post("/wp-login.php?action=validate_2fa", data=hidden | {"authcode": "246810"})
        assert "Dashboard" in browser.get("/wp-admin/").text
    captcha = make_site("captcha", captcha=True, content="bare")
    with pytest.raises(PermissionError), captcha.sign_in():
        pass
    assert "g-recaptcha" in captcha.get("/wp-login.php").text
    hidden_login = make_site("hidden-login", hidden_login=True, content="bare")
    assert hidden_login.get("/wp-login.php").status_code == 404
    challenged = make_site("challenged", challenge_page=True, content="bare")
    answer = challenged.get("/")
    assert (answer.status_code, answer.headers["cf-mitigated"]) == (403, "challenge")
    assert "Just a moment" in answer.text


def test_basic_auth_in_front(make_site: MakeSite) -> None:
    site = make_site("fenced", basic_auth=("guest", "let me in"), content="bare")
    assert site.get("/").status_code == 200
    with site.client() as client:
        client.auth = ("guest", "wrong")
        assert client.get("/").status_code == 401
    with site.sign_in() as browser:
        assert browser.get("/wp-admin/").status_code == 200


def test_accounts_and_forbidden_installs(make_site: MakeSite) -> None:
    editor = User("ed", "ed-password")
    site = make_site("fixed", users=(editor,), disallow_file_mods=True, content="bare")
    upload = "/wp-admin/plugin-install.php?tab=upload"
    with site.sign_in() as browser:
        assert browser.get(upload).status_code == 403
    with site.sign_in(editor.login, editor.password) as browser:
        assert browser.get("/wp-admin/").status_code == 200
        assert browser.get("/wp-admin/plugins.php").status_code == 403
    ftp = make_site("ftp", fs_method="ftpext", content="bare")
    assert ftp.php("require ABSPATH . 'wp-admin/includes/file.php'; return get_filesystem_method();") == "ftpext"


def test_a_network(make_site: MakeSite) -> None:
    site = make_site("network", multisite=True, content="bare")
    assert site.get("/").status_code == 200
    assert site.php("return array( is_multisite(), get_current_blog_id(), get_network()->domain );") == [
        True,
        1,
        site.home.removeprefix("http://"),
    ]
    with site.sign_in() as browser:
        assert browser.get("/wp-admin/").status_code == 200


def test_a_destroyed_site_leaves_nothing(farm: SourceFarm) -> None:
    site = farm.create(SiteSpec("gone", php_values={"memory_limit": "64M"}, content="bare"))
    site.destroy()
    site.destroy()
    assert not site.directory.exists()
    with farm.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW DATABASES LIKE 'src_gone%'")
        assert not cursor.fetchall()
        cursor.execute("SELECT user FROM mysql.user WHERE user LIKE 'src_gone%'")
        assert not cursor.fetchall()


def test_a_host_that_is_no_wordpress(farm: SourceFarm) -> None:
    origin = farm.static("brochure", {"index.html": b"<h1>Just a page</h1>"})
    with client(origin) as browser:
        assert "Just a page" in browser.get("/").text
        assert browser.get("/wp-login.php").status_code == 404
    farm.destroy("brochure")


def test_hard_tables(hard_site: Site) -> None:
    tables = nasty.hard_tables(hard_site)
    assert len(tables) > 20
    with_key = "SELECT table_name FROM information_schema.statistics WHERE table_schema=%s AND index_name='PRIMARY'"
    keyed = {row[0] for row in hard_site.sql(with_key, (hard_site.database,))}
    assert {"wp_nopk", "wp_twins", "wp_latin1"} - keyed == {"wp_nopk", "wp_twins"}
    raw = hard_site.sql("SELECT name, body FROM {p}latin1 ORDER BY id", charset="binary")
    assert raw[0][0] == "Müller – Ærø ⛵".encode()
    assert raw[1][0] == b"caf\xe9 (real latin1)"
    assert hard_site.sql("SELECT dt FROM {p}zero WHERE id=1 AND dt='0000-00-00 00:00:00'")
    assert len(hard_site.sql("SELECT lb FROM {p}bits WHERE id=3", charset="binary")[0][0]) > 1 << 20
    assert hard_site.sql("SELECT LENGTH(up), len FROM {p}generated WHERE id=1")[0] == (len(hard_site.home) + 4,) * 2
    assert nasty.views(hard_site) == hard_site.tables(views=True)
    name = nasty.triggers(hard_site)
    assert [row[0] for row in hard_site.sql(f"SELECT v FROM {name}")] == [
        f"{hard_site.home}/{n}!" for n in ("one", "two")
    ]
    assert set(nasty.wide_charsets(hard_site) + nasty.foreign_tables(hard_site)) < set(hard_site.tables())
    assert "wp_2_options" in nasty.sibling_install(hard_site)


def test_hard_values(hard_site: Site) -> None:
    stored = nasty.hard_values(hard_site)
    rows = hard_site.sql(
        "SELECT option_name, option_value FROM {p}options WHERE option_name LIKE 'nasty\\_%%'", charset="binary"
    )
    assert {row[0].decode(): row[1] for row in rows if row[0] != b"nasty_big"} == stored
    assert hard_site.php("return get_option( 'nasty_multibyte' );") == {"clé": f"é⛵ {hard_site.home}/ü"}
    assert (
        hard_site.php("return unserialize( unserialize( get_option( 'nasty_serialized_thrice' ) ) );")
        == f"{hard_site.home}/deep"
    )


def test_big_values(hard_site: Site) -> None:
    made = nasty.big_values(hard_site, 5 << 20)
    text = hard_site.sql("SELECT option_value FROM {p}options WHERE option_id=%s", (made["option"],))[0][0]
    assert text.startswith(hard_site.home)
    assert text.count(hard_site.home) == 3
    assert len(text) >= (5 << 20) - 64
    assert hard_site.get("/").status_code == 200


def test_hard_files(hard_site: Site) -> None:
    film = nasty.big_file(hard_site, 30 << 20)
    assert film.stat().st_size == 30 << 20
    assert hard_site.get("/wp-content/uploads/2024/05/film.mp4").content[5 << 20 :].startswith(b"block 000005242880 ")
    assert sum(1 for _ in nasty.many_files(hard_site, 300).rglob("*.txt")) == 300
    kept = nasty.odd_names(hard_site) + nasty.hidden_files(hard_site)
    root = os.fsencode(hard_site.docroot)
    assert len(kept) > len(ODD_NAMES)
    assert all(os.path.exists(os.path.join(root, path)) for path in kept)
    made = nasty.links(hard_site)
    assert os.path.islink(os.path.join(root, made["loop"]))
    assert not os.path.exists(os.path.join(root, made["dangling"]))
    assert nasty.stylesheet_with_urls(hard_site).read_text().count(hard_site.home[5:]) == 2
    assert (hard_site.docroot / os.fsdecode(nasty.clutter(hard_site)["pipe"])).is_fifo()


def test_unreadable_files_are_unreadable_for_php(hard_site: Site) -> None:
    paths = [os.path.join(str(hard_site.docroot), os.fsdecode(path)) for path in nasty.unreadable(hard_site)]
    said = hard_site.php(
        "return array_map( 'is_readable', $input['data'] );", [*paths, paths[0].replace("secret", "open")]
    )
    assert said == [False, False, True]


def test_plugins_of_the_host_run_on_the_source(hard_site: Site) -> None:
    nasty.drop_ins(hard_site)
    nasty.host_bound(hard_site)
    nasty.noisy(hard_site)
    answer = hard_site.get("/")
    assert (answer.status_code, answer.headers["x-sg-cachepress"], answer.headers["x-endurance"]) == (200, "on", "on")
    assert set(hard_site.get("/?noisy=drop_ins").json()["said"]) == set(nasty.plugins.DROP_INS)
    outside = hard_site.get("/?noisy=exec&cmd=echo+free").json()
    assert outside == {"what": "exec", "ok": True, "said": "free"}
    assert hard_site.get(f"/?noisy=http&url={hard_site.origin}/wp-includes/css/dashicons.min.css").json()["ok"]


def test_the_web_account_runs_scripts_of_a_checkout_that_is_closed_to_it(tmp_path: Path) -> None:
    """As with /root/siteferry, whose home is of mode 0700: what the web account runs is handed to it, not a path."""
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    script = closed / "script.php"
    script.write_text("<?php\n/* Says what it was given. */\necho implode( '|', array_slice( $argv, 1 ) );")
    script.chmod(0o600)
    assert run_php(script, "one", "--two", "three four") == b"one|--two|three four"
    script.write_text("<?php\nthrow new RuntimeException( 'on purpose' );")
    with pytest.raises(RuntimeError, match=r"script\.php failed with 255[^$]*on purpose"):
        run_php(script)


def test_the_demo_brings_its_themes() -> None:
    """Parent and child are ours: which themes a distribution packages changes with every release."""
    parent = re.search(r"^Template: (\S+)$", (THEMES / "harbour-pine" / "style.css").read_text(), re.MULTILINE)
    assert parent
    assert (THEMES / parent[1] / "style.css").is_file()
