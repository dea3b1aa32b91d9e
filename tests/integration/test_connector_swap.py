"""The exchange on a live site: all at once, without an error for anybody, and back again byte for byte."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import pytest

from shared.wordpress.connector.errors import StageLost, TableNotExchangeable, TargetBusy
from shared.wordpress.connector.target import FileName, StagedTable, SwapFile, SwapPhase, SwapPlan, SwapTable
from shared.wordpress.connector.writer import SiteWriter
from tests.integration.connected import Connected, connected
from tests.integration.exchanging import Background, Restore, left_behind
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec


@pytest.fixture(scope="module")
def target(farm: SourceFarm) -> Iterator[Connected]:
    log = farm.sites_dir / "swapped" / "site" / "wp-content" / "debug.log"
    site = farm.create(SiteSpec("swapped", php_values={"error_log": str(log)}))
    with connected(site) as connection:
        yield connection
    site.destroy()


@pytest.fixture
def restore(target: Connected, request: pytest.FixtureRequest) -> Iterator[Restore]:
    restore = Restore(target, "restore-" + hashlib.sha1(request.node.name.encode()).hexdigest()[:12], files=20)
    yield restore
    if restore.writer.state().state is SwapPhase.SWAPPED:
        restore.writer.rollback()
    restore.writer.drop(snapshot=True)


def test_there_and_back_again(restore: Restore) -> None:
    plan = restore.prepare()
    assert restore.side() == "old"
    done = restore.writer.swap(plan)
    assert restore.side() == "new"
    assert restore.writer.swap(plan) == done
    assert (done.tables, done.files) == (4, 60)
    assert "Clone" in restore.site.get("/").text
    state = restore.writer.state()
    assert (state.state, state.swapped, state.replayed) == (SwapPhase.SWAPPED, done, False)
    assert not (restore.site.uploads / "gone").exists()
    (found,) = restore.writer.snapshots()
    assert (found.restore, found.state, found.tables) == (restore.id, SwapPhase.SWAPPED, 4)
    assert found.bytes > 10_000
    back = restore.writer.rollback()
    assert restore.side() == "old"
    assert not (restore.site.uploads / "added").exists()
    assert restore.writer.rollback() == back
    assert restore.writer.state().rolled_back == back
    assert restore.journal_is_closed()
    assert "of the clone" not in restore.site.get("/").text
    restore.writer.drop(snapshot=True)
    assert left_behind(restore) == []
    assert restore.writer.state().state is SwapPhase.NONE


KEEPS = r"""<?php
class Kept_Cache { private $inner;
    function __construct() { $this->inner = new WP_Object_Cache(); }
    function __call($name, $args) { return $this->inner->$name(...$args); }
    function flush() { file_put_contents(WP_CONTENT_DIR . '/flushed', 'x', FILE_APPEND); return $this->inner->flush(); }
}
$source = file_get_contents(ABSPATH . WPINC . '/cache.php');
eval('?>' . str_replace('new WP_Object_Cache()', 'new Kept_Cache()', str_replace('require_once', '//', $source)));
require_once ABSPATH . WPINC . '/class-wp-object-cache.php';
"""


def test_what_an_object_cache_remembers_is_forgotten(restore: Restore) -> None:
    plan = restore.prepare()
    restore.site.write("wp-content/object-cache.php", KEEPS)
    flushed = restore.site.content / "flushed"
    for way in (lambda: restore.writer.swap(plan), restore.writer.rollback):
        flushed.unlink(missing_ok=True)
        way()
        assert flushed.exists()


def test_pages_that_plugins_have_cached_go(restore: Restore) -> None:
    content, plan = restore.site.content, restore.prepare()
    for way in (lambda: restore.writer.swap(plan), restore.writer.rollback):
        for path in ("supercache/shop/index.html", "wp-rocket/shop/a/b.html", "autoptimize/css/a.css"):
            restore.site.write(f"wp-content/cache/{path}", "old")
        way()
        assert [path.name for path in (content / "cache").rglob("*") if path.is_file()] == ["a.css"]
        assert sorted(path.name for path in (content / "cache").iterdir()) == ["autoptimize", "supercache", "wp-rocket"]


def test_discarding_the_snapshot_leaves_the_new_site(restore: Restore) -> None:
    restore.writer.swap(restore.prepare())
    restore.writer.drop(snapshot=False)
    assert restore.writer.state().state is SwapPhase.SWAPPED
    restore.writer.drop(snapshot=True)
    assert restore.side() == "new"
    assert left_behind(restore) == []


def test_the_connector_survives_and_kept_options_are_fresh(restore: Restore) -> None:
    plan = restore.prepare()
    site = restore.site
    site.sql(f"UPDATE {restore.writer.staged_name(3)} SET option_value='a:0:{{}}' WHERE option_name='active_plugins'")
    site.sql("UPDATE {p}options SET option_value='http://moved.invalid' WHERE option_name='home'")
    site.sql("INSERT INTO {p}options (option_name, option_value) VALUES ('_transient_mine', '1')")
    restore.writer.swap(plan)
    found = dict(site.sql("SELECT option_name, option_value FROM {p}options"))
    assert found["home"] == "http://moved.invalid"
    assert found["_transient_mine"] == "1"
    assert "siteferry-connector" in found["active_plugins"]
    assert found["rewrite_rules"] == ""
    site.sql("UPDATE {p}options SET option_value=%s WHERE option_name='home'", (site.home,))
    restore.writer.rollback()
    site.sql("UPDATE {p}options SET option_value=%s WHERE option_name='home'", (site.home,))


def test_nobody_notices_and_nothing_is_lost(restore: Restore) -> None:
    """Visitors write 20 comments a second and read 20 pages a second, during the exchange and during the way back."""
    plan = restore.prepare()
    site = restore.site
    connection = site.connect()
    connection.autocommit(True)
    written: list[str] = []

    def write() -> None:
        with connection.cursor() as cursor:
            text = f"late {len(written)}"
            fields = "(comment_post_ID, comment_content, comment_author)"
            cursor.execute(f"INSERT INTO {site.prefix}comments {fields} VALUES (1, %s, 'v')", (text,))
            written.append(text)

    client = site.client()

    def read() -> tuple[int, bool]:
        answer = client.get(site.home + "/")
        return answer.status_code, "</html>" in answer.text

    def comments() -> list[str]:
        return sorted(row[0] for row in site.sql("SELECT comment_content FROM {p}comments WHERE comment_author='v'"))

    writer, reader = Background(write, 20), Background(read, 20)
    writer.start()
    reader.start()
    try:
        for thread in (writer, reader):
            thread.some(8)
        done = restore.writer.swap(plan)
        for thread in (writer, reader):
            thread.some(8)
        restore.writer.late()
        so_far = len(written)
        assert set(comments()) >= set(written[:so_far])
        back = restore.writer.rollback()
        for thread in (writer, reader):
            thread.some(4)
    finally:
        writer.stop()
        reader.stop()
        connection.close()
        client.close()
    assert writer.errors == reader.errors == []
    assert set(reader.results) == {(200, True)}
    assert comments() == sorted(written)
    assert done.late.rows > 0
    assert done.late.skipped == {}
    assert back.late.rows > 0
    assert len(written) > 20


def test_rows_since_the_swap_survive_the_way_back(restore: Restore) -> None:
    restore.writer.swap(restore.prepare())
    site = restore.site
    site.script(
        "INSERT INTO {p}posts (post_title, post_content) VALUES ('order', 'since')",
        "INSERT INTO {p}postmeta (post_id, meta_key) VALUES (LAST_INSERT_ID(), 'since')",
    )
    number = site.sql("SELECT ID FROM {p}posts WHERE post_title='order'")[0][0]
    assert number > 10_000
    back = restore.writer.rollback()
    assert back.late.by_table == {site.prefix + "posts": 1, site.prefix + "postmeta": 1}
    assert site.sql("SELECT ID FROM {p}posts WHERE post_title='order'") == [(number,)]
    site.script("DELETE FROM {p}posts WHERE post_title='order'", "DELETE FROM {p}postmeta WHERE meta_key='since'")
    assert restore.side() == "old"


def test_a_row_whose_place_is_taken_is_told(restore: Restore) -> None:
    plan = restore.prepare()
    site = restore.site
    taken = site.sql(f"SELECT MAX(ID) FROM {restore.writer.staged_name(0)}")[0][0]
    site.script(f"INSERT INTO {{p}}posts (ID, post_title) VALUES ({taken}, 'late')")
    done = restore.writer.swap(plan)
    assert done.late.skipped == {site.prefix + "posts": 1}
    restore.writer.rollback()
    assert site.sql("SELECT COUNT(*) FROM {p}posts WHERE post_title='late'")[0][0] == 1
    site.script("DELETE FROM {p}posts WHERE post_title='late'")


def test_a_table_that_is_held_makes_the_swap_wait_and_then_give_up(restore: Restore) -> None:
    plan = restore.prepare()
    with restore.site.connect() as holder, holder.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute(f"SELECT COUNT(*) FROM {restore.site.prefix}postmeta")
        with pytest.raises(TargetBusy):
            restore.writer.swap(plan)
        assert restore.side() == "old"
        assert restore.journal_is_closed()
        assert restore.writer.state().state is SwapPhase.STAGED
    restore.writer.swap(plan)
    assert restore.side() == "new"
    with restore.site.connect() as holder, holder.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute(f"SELECT COUNT(*) FROM {restore.site.prefix}postmeta")
        with pytest.raises(TargetBusy):
            restore.writer.rollback()
        assert restore.side() == "new"
    restore.writer.rollback()
    assert restore.side() == "old"


def test_a_broken_site_is_rolled_back_by_the_second_door(restore: Restore) -> None:
    plan = restore.prepare()
    restore.writer.swap(plan)
    site = restore.site
    broken = site.mu_plugin("000-broken", "<?php\nthis_function_is_not_there();\n")
    assert site.get("/").status_code == 500
    writer = SiteWriter(restore.target.client, restore.id, rescue=restore.writer.rescue)
    assert writer.state().state is SwapPhase.SWAPPED
    writer.rollback()
    assert restore.side() == "old"
    broken.unlink()
    assert restore.writer.state().state is SwapPhase.ROLLED_BACK


def test_the_second_door_is_closed_to_everybody_else(restore: Restore) -> None:
    assert restore.writer.rescue is not None
    with restore.site.client() as client:
        assert client.get(restore.writer.rescue).status_code == 404
        assert client.post(restore.writer.rescue, content=b"SF1." + b"0" * 64 + b".AAAA").status_code == 404
    rescue = restore.target.client.elsewhere(restore.writer.rescue)
    assert rescue.call("hello")["home"] == restore.site.home
    with pytest.raises(Exception, match="without its plugins"):
        rescue.call("inspect")


def test_tables_that_come_and_go(restore: Restore) -> None:
    site, writer = restore.site, restore.writer
    site.script("CREATE TABLE {p}leaves (id INT PRIMARY KEY)", "INSERT INTO {p}leaves VALUES (1)")
    comes = f"CREATE TABLE `{site.prefix}comes` (id INT PRIMARY KEY)"
    writer.begin([StagedTable(0, site.prefix + "comes", ("id",), comes)])
    writer.copy(0)
    writer.apply(0, [{"name": "id"}], ["id"], upserts=[b"7"])
    tables = [SwapTable(0, site.prefix + "comes", "create"), SwapTable(1, site.prefix + "leaves", "drop")]
    writer.swap(SwapPlan(tables))
    assert site.sql("SELECT id FROM {p}comes") == [(7,)]
    assert site.prefix + "leaves" not in site.tables()
    writer.rollback()
    assert site.sql("SELECT id FROM {p}leaves") == [(1,)]
    assert site.prefix + "comes" not in site.tables()
    writer.drop(snapshot=True)
    assert left_behind(restore) == []


def test_what_is_not_ready_is_not_exchanged(restore: Restore) -> None:
    plan = restore.prepare()
    extra = SwapFile(FileName("uploads", b"never-staged.txt"))
    with pytest.raises(StageLost):
        restore.writer.swap(SwapPlan(plan.tables, [*plan.files, extra], plan.options))
    restore.site.script("CREATE TRIGGER tied AFTER INSERT ON {p}postmeta FOR EACH ROW SET @a = 1")
    with pytest.raises(TableNotExchangeable, match="trigger"):
        restore.writer.swap(plan)
    restore.site.script("DROP TRIGGER tied", f"DROP TABLE {restore.writer.staged_name(1)}")
    with pytest.raises(StageLost):
        restore.writer.swap(plan)
    assert restore.side() == "old"
    assert restore.journal_is_closed()


def test_health_names_fatal_errors(restore: Restore) -> None:
    before = time.time() - 1
    assert restore.writer.health(before).php_errors == ()
    broken = restore.site.mu_plugin("broken", "<?php if (isset($_GET['boom'])) { this_is_not_there(); }")
    assert restore.site.get("/?boom=1").status_code == 500
    broken.unlink()
    found = restore.writer.health(before)
    assert found.log_readable
    assert [error for error in found.php_errors if "this_is_not_there" in error]
    assert found.theme
