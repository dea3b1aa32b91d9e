"""What production keeps although the clone has it otherwise, and what a restore says of it."""

from __future__ import annotations

import base64

from tests.e2e.product import Product
from tests.e2e.restoring import Pair
from tests.sites.fixtures import MakeSite
from tests.sites.site import Site

TRAIL = """<?php
function harbour_trail( $what ) {
	global $wpdb;
	$wpdb->insert( $wpdb->prefix . 'harbour_trail', array(
		'user_login' => wp_get_current_user()->user_login, 'what' => $what, 'made' => current_time( 'mysql' ),
	) );
}
add_action( 'wp_login', function ( $login, $user ) {
	wp_set_current_user( $user->ID );
	harbour_trail( 'signed in' );
}, 10, 2 );
add_action( 'activated_plugin', function () { harbour_trail( 'activated' ); } );
"""


def a_site(make_site: MakeSite) -> Site:
    """Accounts in tables of other names, a plugin that records who signs in, one that remembers the address, tied
    tables."""
    site = make_site("kept", content="bare")
    site.sql("RENAME TABLE {p}users TO people, {p}usermeta TO people_meta")
    config = site.docroot / "wp-config.php"
    named = "define( 'CUSTOM_USER_TABLE', 'people' );\ndefine( 'CUSTOM_USER_META_TABLE', 'people_meta' );\n"
    config.write_text(config.read_text().replace("<?php", f"<?php\n{named}", 1))
    place = "b64:" + base64.b64encode(site.home.encode()).decode()
    site.script(
        "CREATE TABLE `{p}harbour_trail` (id INT AUTO_INCREMENT PRIMARY KEY, user_login VARCHAR(60), what VARCHAR(60), "
        "made DATETIME)",
        "INSERT INTO `{p}harbour_trail` VALUES (1, 'edda', 'signed in', '2024-01-01 10:00:00')",
        f"INSERT INTO `{{p}}options` (option_name, option_value) VALUES ('harbour_place', '{place}')",
        "CREATE TABLE `{p}permits` (id INT PRIMARY KEY, v VARCHAR(60))",
        "CREATE TABLE `{p}downloads` (id INT PRIMARY KEY, permit INT NOT NULL, "
        "CONSTRAINT `{p}tie` FOREIGN KEY (permit) REFERENCES `{p}permits` (id) ON DELETE CASCADE)",
        "INSERT INTO `{p}permits` VALUES (1, 'one')",
        "INSERT INTO `{p}downloads` VALUES (1, 1)",
        "INSERT INTO `{p}comments` (comment_post_ID, comment_author, comment_author_url, comment_content) VALUES "
        "(1, 'Long', 'https://elsewhere.example.org/a/rather/long/address', 'Hello')",
    )
    site.sql(
        "INSERT INTO `{p}posts` (ID, post_title, post_type, post_status, post_date, post_date_gmt, post_modified, "
        "post_modified_gmt, post_content, post_excerpt, to_ping, pinged, post_content_filtered) VALUES "
        "(900, 'send_invoice', 'scheduled-action', 'pending', NOW(), NOW(), NOW(), NOW(), '[]', '', '', '', '')"
    )
    site.mu_plugin("trail", TRAIL)
    return site


def test_a_restore_right_after_cloning_loses_nothing_and_keeps_what_is_productions(
    siteferry: Product, make_site: MakeSite
) -> None:
    site = a_site(make_site)
    pair = Pair(siteferry, site, siteferry.clone(site))
    people = site.sql("SELECT ID, user_login FROM people")
    trail = site.sql("SELECT COUNT(*) FROM {p}harbour_trail")[0][0]
    assert trail > 1, "our own signing in is recorded"
    elsewhere = "b64:" + base64.b64encode(pair.clone_url.encode()).decode()
    pair.on_clone("UPDATE {p}options SET option_value=%s WHERE option_name='harbour_place'", elsewhere)
    pair.on_clone("UPDATE {p}options SET option_value='Renamed' WHERE option_name='blogname'")
    pair.on_clone("UPDATE {p}comments SET comment_author_url=LEFT(comment_author_url, 30) WHERE comment_author='Long'")
    pair.on_clone("UPDATE {p}posts SET post_title='Renamed' WHERE ID=1")
    site.sql("UPDATE {p}posts SET post_status='publish', post_modified_gmt=NOW() WHERE ID=900")  # it has run
    shown = pair.restore(dry_run=True)["result"]
    assert shown["plan"]["losses"] == {}
    assert [line for line in shown["plan"]["drift"] if "comment_author_url: 1 value gets shorter" in line]
    job = pair.restore()
    notes = {note["code"]: note for note in job["result"]["notes"]}
    assert notes["identity_kept"]["samples"] == ["harbour_place"]
    assert notes["values_shorter"]["count"] == 1
    assert job["result"]["leftovers"] == 0
    option = "SELECT option_value FROM {p}options WHERE option_name=%s"
    assert site.sql(option, ("harbour_place",))[0][0] == "b64:" + base64.b64encode(site.home.encode()).decode()
    assert site.sql(option, ("blogname",)) == [("Renamed",)]
    posts = "SELECT post_title, post_status FROM {p}posts WHERE ID IN (1, 900) ORDER BY ID"
    assert site.sql(posts) == [("Renamed", "publish"), ("send_invoice", "publish")], "a job is not run twice"
    assert site.sql("SELECT COUNT(*) FROM {p}harbour_trail")[0][0] >= trail
    assert site.sql("SELECT ID, user_login FROM people") == people
    assert "REFERENCES" in site.sql("SHOW CREATE TABLE {p}downloads")[0][1]


def test_what_a_restore_leaves_over_is_named(siteferry: Product, make_site: MakeSite) -> None:
    """Encoded addresses outside of options, and serialized PHP that can not be read: counted, and told where."""
    site = make_site("named", content="bare")
    pair = Pair(siteferry, site, siteferry.clone(site))
    hidden = base64.b64encode(b"at " + pair.clone_url.encode() + b"/x").decode()
    broken = f's:999:"{pair.clone_url}/a";'
    for key, value in (("hidden", hidden), ("broken", broken)):
        pair.on_clone("INSERT INTO {p}postmeta (post_id, meta_key, meta_value) VALUES (1, %s, %s)", key, value)
    rows = pair.on_clone("SELECT meta_id FROM {p}postmeta WHERE meta_key IN ('hidden', 'broken')")
    result = pair.restore()["result"]
    note = next(note for note in result["notes"] if note["code"] == "leftovers")
    assert note["count"] == result["leftovers"] == 2
    assert sorted(note["samples"]) == sorted(f"{site.prefix}postmeta.meta_value row {int(row[0])}" for row in rows)
