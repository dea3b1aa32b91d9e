"""What a restore decides, without any site."""

from __future__ import annotations

import base64
import codecs
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.restorer.domain import diff
from services.restorer.domain.addresses import same_site, url_mappings
from services.restorer.domain.diff import REMOVE, SAME, WRITE, Act, Verdict
from services.restorer.domain.identity import Encoded
from services.restorer.domain.losses import kind_of, loss, own_trace
from services.restorer.domain.options import active_plugins, kept_options
from services.restorer.domain.paths import folder, wanted
from services.restorer.domain.people import user_map, with_author
from services.restorer.domain.stored import same_but_for_json
from services.restorer.domain.tables import refuse_tied, select
from services.restorer.errors import NotEnoughRoom, UnsupportedTables, VersionMismatch
from services.restorer.rebase import after_restore, packed
from services.restorer.settings import RestorerSettings
from services.restorer.steps.preflight import versions
from services.restorer.steps.stage import check_room
from services.restorer.steps.watch import Look, worse
from services.restorer.work import FilesWork, Work
from shared.contract.events import RestoreOptions
from shared.contract.jobs import RestorePlan
from shared.contract.snapshot_discard import discard_of
from shared.ids import is_job_id
from shared.wordpress.base import Base, BaseHeader, BaseTable, read_base
from shared.wordpress.rewrite import Rewriter, escape
from shared.wordpress.runtime import RUNTIME_TABLES, serialized

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16
ONLY = Verdict(Act.REMOVE, "production_only")
NEWER = Verdict(Act.WRITE, "production_newer")


@pytest.mark.parametrize(
    ("target", "clone", "base", "known", "verdict"),
    [
        (A, A, None, False, SAME),
        (None, C, None, False, WRITE),
        (None, C, C, True, WRITE),
        (A, C, None, False, WRITE),
        (A, C, A, True, WRITE),
        (A, C, B, True, NEWER),
        (A, B, B, True, NEWER),
        (A, C, None, True, NEWER),
        (A, None, None, False, ONLY),
        (A, None, None, True, ONLY),
        (A, None, A, True, REMOVE),
        (A, None, B, True, Verdict(Act.REMOVE, "production_newer")),
    ],
)
def test_rows(target: bytes | None, clone: bytes | None, base: bytes | None, known: bool, verdict: Verdict) -> None:
    assert diff.row(target, clone, base, base_known=known) == verdict


@pytest.mark.parametrize(
    ("target", "clone", "base", "known", "verdict"),
    [
        (A, C, None, False, WRITE),
        (A, B, B, True, SAME),
        (A, C, B, True, WRITE),
        (A, None, None, False, SAME),
        (A, None, None, True, SAME),
        (A, None, A, True, REMOVE),
        (A, None, B, True, SAME),
    ],
)
def test_options_the_clone_did_not_touch_stay(
    target: bytes | None, clone: bytes | None, base: bytes | None, known: bool, verdict: Verdict
) -> None:
    assert diff.setting(target, clone, base, base_known=known) == verdict


def test_files_of_production_stay_unless_the_clone_removed_what_is_there() -> None:
    assert diff.file("1", None, None, base_known=False).act is Act.NOTHING
    assert diff.file("1", None, "2", base_known=True).act is Act.NOTHING
    assert diff.file("1", None, "1", base_known=True) == REMOVE
    assert diff.file("1", "2", "1", base_known=True) == WRITE


COLUMNS = ("ID", "post_title", "post_type", "post_status", "post_modified_gmt")


def a_post(kind: str = "post", status: str = "publish", modified: str = "2026-01-02 00:00:00") -> bytes:
    return f"7\tHello\\tthere\t{kind}\t{status}\t{modified}".encode()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (a_post(), "post"),
        (a_post("shop_order"), "order"),
        (a_post("shop_order_refund"), "order"),
        (a_post("revision"), None),
        (a_post("oembed_cache"), None),
        (a_post(status="auto-draft"), None),
    ],
)
def test_what_a_post_is_to_people(line: bytes, what: str | None) -> None:
    found = loss("post", "wp_posts", b"7", COLUMNS, line, "production_only")
    assert (found.what if found else None) == what
    if found:
        assert (found.key, found.title) == ("7", "Hello\tthere")


def test_a_post_is_newer_only_if_it_was_changed_since() -> None:
    for since, lost in ((datetime(2026, 1, 3, tzinfo=UTC), False), (datetime(2026, 1, 1, tzinfo=UTC), True)):
        found = loss("post", "wp_posts", b"7", COLUMNS, a_post(), "production_newer", since=since)
        assert (found is not None) is lost


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("posts", "post"),
        ("comments", "comment"),
        ("users", "user"),
        ("postmeta", None),
        ("options", None),
        ("wc_orders", "order"),
        ("wc_orders_meta", None),
        ("wc_product_meta_lookup", None),
        ("frm_items", "entry"),
        ("harbour_bookings", "entry"),
        ("yoast_indexable", None),
    ],
)
def test_what_rows_of_a_table_are(table: str, what: str | None) -> None:
    assert kind_of(table) == what


@pytest.mark.parametrize(
    "name",
    "actionscheduler_actions woocommerce_sessions wflogs email_log cavalcade_jobs cavalcade_logs wsal_occurrences "
    "simple_history simple_history_contexts stream stream_meta aryo_activity_log itsec_lockouts itsec_temp sessions "
    "aiowps_audit_log login_attempts user_login_history statistics_visitor koko_analytics_post_stats queue_jobs "
    "mailpoet_scheduled_tasks mail_queue post_views rank_math_404_logs visits blc_links wc_rate_limits".split(),
)
def test_what_happens_while_a_site_runs_is_productions(name: str) -> None:
    assert RUNTIME_TABLES.match(name)


@pytest.mark.parametrize(
    "name", "bookings auditorium blog_posts catalog bp_activity streams frm_items wc_orders wc_orders_meta jobs".split()
)
def test_what_people_write_is_compared(name: str) -> None:
    assert not RUNTIME_TABLES.match(name)


@pytest.mark.parametrize(
    ("columns", "stays"),
    [
        ("id site hook args start nextrun interval status", True),
        ("id job attempts reserved_at available_at created_at", True),
        ("id runtime firstrun lastrun priority tries class batch args reason status", True),
        ("id queue payload attempts available_at", True),
        ("id hook status scheduled_date_gmt args", True),
        ("id title runtime director", False),
        ("id job salary town", False),
        ("id room booked_for start end", False),
    ],
)
def test_work_that_waits_for_its_time_is_productions_whatever_its_table_is_called(columns: str, stays: bool) -> None:
    table = a_table("wp_anything", *((name, "text", "utf8mb4") for name in columns.split()))
    chosen = select(facts(table), facts(table), RestoreOptions(), kept_options(RestoreOptions(), ("wp_",)), [])
    assert chosen.kept == ({"wp_anything": "what happens on the site while it runs"} if stays else {})
    assert len(chosen.pairs) == (0 if stays else 1)
    asked = RestoreOptions(include_tables=["anything"])
    assert select(facts(table), facts(table), asked, kept_options(asked, ("wp_",)), []).pairs


@pytest.mark.parametrize("name", ["bookings", "wp_bookings"])
def test_a_table_stays_as_asked_with_or_without_its_prefix(name: str) -> None:
    table, options = a_table("wp_bookings", ("id", "int", None)), RestoreOptions(preserve_tables=[name])
    chosen = select(facts(table), facts(table), options, kept_options(options, ("wp_",)), [])
    assert (chosen.kept, chosen.pairs) == ({"wp_bookings": "kept as asked"}, [])


@pytest.mark.parametrize(
    ("patterns", "stays"),
    [("bookings", True), ("wp_bookings", True), ("acme_*, *_x,book*", True), ("*", True), ("", False), ("book", False)],
)
def test_tables_marked_once_stay_in_every_restore(patterns: str, stays: bool) -> None:
    preserved = RestorerSettings(restore_preserve_tables=patterns).preserved_tables
    table, options = a_table("wp_bookings", ("id", "int", None)), RestoreOptions()
    chosen = select(facts(table), facts(table), options, kept_options(options, ("wp_",)), [], preserved=preserved)
    assert bool(chosen.pairs) is not stays
    assert ("SITEFERRY_RESTORE_PRESERVE_TABLES" in chosen.kept.get("wp_bookings", "")) is stays
    asked = RestoreOptions(include_tables=["bookings"])
    assert select(facts(table), facts(table), asked, kept_options(asked, ("wp_",)), [], preserved=preserved).pairs


@pytest.mark.parametrize(("clone", "production", "advice"), [(53496, 57155, "new clone"), (57155, 53496, "older side")])
def test_what_to_do_about_another_wordpress(clone: int, production: int, advice: str) -> None:
    sides = [{"versions": {"wordpress_db": str(number), "wordpress": "x"}} for number in (clone, production)]
    with pytest.raises(VersionMismatch) as refused:
        versions(*sides, clone=True)
    assert advice in refused.value.hint
    with pytest.raises(VersionMismatch, match="built differently") as refused:
        versions(*sides, clone=False)
    assert "older side" in refused.value.hint


def test_work_that_waits_among_posts_is_productions() -> None:
    posts = a_table("wp_posts", ("ID", "int", None), ("post_type", "text", "utf8mb4"))
    pair = select(facts(posts), facts(posts), RestoreOptions(), kept_options(RestoreOptions(), ("wp_",)), []).pairs[0]
    apart = {"column": "post_type", "not_in": ["scheduled-action"]}
    assert apart in pair.source.where
    assert pair.target is not None
    assert apart in pair.target.where


def test_addresses_in_forms_that_are_not_rewritten_are_found() -> None:
    encoded = Encoded(["http://clone-1.localhost:8080"])
    url = b"http://clone-1.localhost:8080"
    for value in (
        b"b64:" + base64.b64encode(url),
        base64.b64encode(b'{"at":"' + url + b'/"}'),
        base64.b64encode(b"x " + url + b" y"),
        hashlib.md5(url + b"/").hexdigest().encode(),
        b'a:1:{s:3:"url";s:40:"' + hashlib.sha1(b"clone-1.localhost:8080").hexdigest().encode() + b'";}',
        url.hex().encode(),
        url.hex().upper().encode(),
        base64.urlsafe_b64encode(b">>>" + url + b"/???"),
        codecs.encode(url.decode(), "rot13").encode(),
        b"x" + url[::-1],
        escape(f"at {url.decode()}/x".encode("utf-16-be")),
        escape(f"at {url.decode()}/x".encode("utf-16-le")),
        escape(url.decode().encode("utf-32-be")),
    ):
        assert encoded.found_in(value), value
    for value in (b"", url, base64.b64encode(b"https://shop.example.com"), hashlib.md5(b"x").hexdigest().encode()):
        assert not encoded.found_in(value), value


def test_what_our_own_signing_in_left_is_told_apart() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    users = [(1, "admin"), (7, "edda")]

    def ours(line: str, hours: float = 0) -> bool:
        columns = ("id", "user_id", "action", "made")
        return own_trace(
            columns, line.encode(), users, "Admin", cloned=[at], entered=at + timedelta(days=9), hours=hours
        )

    assert ours("5\t1\tlogged in\t2026-03-01 12:00:09")
    assert ours("5\tadmin\tlogged in\t1772366409"), "seconds since 1970"
    assert ours("5\t1\tlogged in\t2026-03-01 14:00:09", 2), "local time"
    assert ours("5\t1\tlogged in\t2026-03-10 11:59:00"), "the restore's"
    assert not ours("5\t7\tlogged in\t2026-03-01 12:00:09"), "somebody else"
    assert not ours("5\t1\twrote\t2026-03-05 12:00:09"), "between the two"
    assert not ours("5\t1\twrote\t-"), "undated"


def facts(*tables: dict[str, object], **more: object) -> dict[str, object]:
    return {"prefix": "wp_", "tables": list(tables), **more}


def a_table(name: str, *columns: tuple[str, str, str | None], **more: object) -> dict[str, object]:
    described = [
        {"name": column, "type_class": kind, "charset": charset, "type": kind, "generated": False, "collation": None}
        for column, kind, charset in columns
    ]
    kept = {"kind": "table", "key": [columns[0][0]], "rows": 3, "data_bytes": 9, "create": "", "create_b64": None}
    return {"name": name, "columns": described, **kept, **more}


def test_json_of_mysql_is_mariadbs() -> None:
    here = facts(a_table("wp_plans", ("id", "int", None), ("doc", "text", "utf8mb4")))
    there = facts(a_table("wp_plans", ("id", "int", None), ("doc", "json", None)))
    chosen = select(here, there, RestoreOptions(), kept_options(RestoreOptions(), ("wp_",)), [])
    assert [pair.live for pair in chosen.pairs] == ["wp_plans"]
    assert (chosen.drift, chosen.apart) == ([], [])


def test_tables_that_stay_behind_are_told_and_generated_columns_are_not() -> None:
    made = a_table("wp_made", ("id", "int", None), ("up", "text", "utf8mb4"))
    made["columns"][1]["generated"] = True  # type: ignore[index]
    other = a_table("wp_other", ("id", "int", None), ("v", "text", "latin1"))
    here = facts(made, a_table("wp_other", ("id", "int", None), ("v", "text", "utf8mb4")))
    chosen = select(here, facts(made, other), RestoreOptions(), kept_options(RestoreOptions(), ("wp_",)), [])
    assert chosen.apart == ["wp_other: about 3 rows on the clone"]
    assert [line for line in chosen.drift if "wp_made" in line] == []


def test_tied_tables_are_refused_only_when_they_change() -> None:
    tied = facts(a_table("wp_a", ("id", "int", None)), foreign_keys=["wp_a"])
    chosen = select(tied, tied, RestoreOptions(), kept_options(RestoreOptions(), ("wp_",)), [])
    refuse_tied(chosen, ["wp_b"])
    with pytest.raises(UnsupportedTables, match="wp_a"):
        refuse_tied(chosen, ["wp_a", "wp_b"])


def test_accounts_under_another_name_are_accounts() -> None:
    custom = {"constants": {"CUSTOM_USER_TABLE": "people", "CUSTOM_USER_META_TABLE": "people_meta"}}
    site = facts(a_table("people", ("ID", "int", None)), a_table("people_meta", ("umeta_id", "int", None)), **custom)
    chosen = select(site, site, RestoreOptions(), kept_options(RestoreOptions(), ("wp_",)), [])
    assert set(chosen.kept) == {"people", "people_meta"}


def test_options_that_stay() -> None:
    kept = kept_options(RestoreOptions(), ("wp_",))
    assert {"siteurl", "home", "active_plugins", "wp_user_roles", "cron", "blog_public"} <= set(kept.names)
    assert "template" not in kept.names
    bold = kept_options(RestoreOptions(preserve_plugins=False, preserve_themes=True, preserve_users=False), ("wp_",))
    assert not {"active_plugins", "wp_user_roles"} & set(bold.names)
    assert {"template", "stylesheet"} <= set(bold.names)


def test_active_plugins_without_what_is_bound_to_a_host() -> None:
    chosen = active_plugins(["shop/shop.php", "wp-rocket/wp-rocket.php"], ["old/old.php", "wordfence/wordfence.php"])
    assert chosen == ["shop/shop.php", "siteferry-connector/siteferry-connector.php", "wordfence/wordfence.php"]
    assert serialized(["ä"]) == 'a:1:{i:0;s:2:"ä";}'.encode()


def test_people_are_known_by_their_login() -> None:
    users = user_map(
        [(1, "admin"), (2, "Edda"), (9, "siteferry")], [(1, "admin"), (5, "edda"), (9, "other")], owner="admin"
    )
    assert with_author(b"1", users, owned=True) == b"1"
    assert with_author(b"2", users, owned=True) == b"5"
    assert with_author(b"9", users, owned=True) == b"1", "the clone's administrator is the one who restores"
    assert with_author(b"9", users, owned=False) == b"0"
    assert with_author(b"77", users, owned=True) == b"77"


def test_addresses() -> None:
    clone = {
        "home": "http://c.localhost:8080",
        "siteurl": "http://c.localhost:8080",
        "content": "http://c.localhost:8080/wp-content",
    }
    shop = {"home": "https://shop.org", "siteurl": "https://shop.org/wp", "content": "https://shop.org/app"}
    rewriter = Rewriter(url_mappings(clone, shop))
    assert rewriter.rewrite(b"http://c.localhost:8080/a") == b"https://shop.org/a"
    assert rewriter.rewrite(b"http://c.localhost:8080/wp-content/x.png") == b"https://shop.org/app/x.png"
    assert same_site("http://www.shop.org/", "https://shop.org")
    assert not same_site("http://shop.org/blog", "https://shop.org")


def test_paths_asked_for() -> None:
    options = RestoreOptions(include_paths=["uploads/2024", "wp-content/themes/harbour"])
    assert wanted("uploads", b"2024/01/a.png", options)
    assert not wanted("uploads", b"2023/01/a.png", options)
    assert wanted("themes", b"harbour/style.css", options)
    assert (folder("uploads", b"2024/01/a.png"), folder("content", b"x.txt")) == ("uploads/2024", "content")


def test_worse_is_what_was_well_before() -> None:
    home = Look("home", "http://a/", 200, 900)
    assert worse([home], [home]) == []
    assert worse([home], [Look("home", "http://a/", 500, 50, said="Fatal error: no")]) == [
        "http://a/ answers HTTP 500: Fatal error: no"
    ]
    assert worse([home], [Look("home", "http://a/", 200, 3)]) == ["http://a/ is a white page"]
    assert worse([Look("home", "http://a/", 200, 260)], [Look("home", "http://a/", 200, 180)]) == [], "a small site"
    assert worse([Look("home", "http://a/", 500, 3)], [Look("home", "http://a/", 500, 3)]) == [], "it was broken before"
    rest = Look("rest", "http://a/r", 200, 900, form=True)
    assert worse([rest], [Look("rest", "http://a/r", 200, 900)]) != []
    page = Look("page", "http://a/p", 200, 900)
    assert worse([page], [Look("page", "http://a/p", 404, 300)]) == [], "the clone may have removed a page"


def test_the_base_after_a_restore(tmp_path: Path) -> None:
    table = BaseTable(("ID",), ("ID", "x"), {b"1": A, b"2": B, b"3": C, b"4": A}, {b"1": C, b"3": A, b"4": A})
    base = Base(
        BaseHeader("clone-x", "http://a", "wp_", "2026-01-01T00:00:00+00:00"),
        {"posts": table},
        {("content", b"a"): "1" * 32},
    )

    class Changed:
        class pair:
            short = "posts"

        rebased = {b"1": B, b"2": None, b"4": C}
        apart = {b"4": B}

    files = FilesWork(rebased={("content", b"a"): None, ("uploads", b"b"): "2" * 32})
    work = Work([Changed], files, RestorePlan())  # type: ignore[list-item]
    after = after_restore(base, work, "2026-02-01T00:00:00+00:00")
    with packed(after, tmp_path) as file:
        again = read_base(file)
    assert again.tables["posts"].rows == {b"1": B, b"3": C, b"4": C}
    assert again.tables["posts"].loaded == {b"3": A, b"4": B}, "row 1 of the clone may have come back to what it was"
    assert again.files == {("uploads", b"b"): "2" * 32}
    assert again.created == datetime(2026, 2, 1, tzinfo=UTC)
    assert base.tables["posts"].rows[b"1"] == A


def test_room_on_the_target() -> None:
    work = Work([], FilesWork(bytes=10 << 20), RestorePlan())
    with pytest.raises(NotEnoughRoom) as refused:
        check_room(work, 20 << 20)
    assert refused.value.details["free_bytes"] == 20 << 20
    check_room(work, 200 << 20)
    check_room(work, None)  # the host does not say


def test_the_job_that_ends_a_snapshot_has_an_id_of_its_own() -> None:
    one = discard_of("restore-576y4mf1cxc20axn")
    assert is_job_id(one)
    assert one == discard_of("restore-576y4mf1cxc20axn") != discard_of("restore-576y4mf1cxc20axm")


@pytest.mark.parametrize(
    ("sent", "stored", "same"),
    [
        (b'{"bb":1,"a":[1,2]}', b'{"a": [1, 2], "bb": 1}', True),
        (rb'{"u":"https:\\/\\/a\\u00fc"}', '{"u": "https://aü"}'.encode(), True),
        (b'{"n":1e2}', b'{"n": 100.0}', True),
        (b'{"a":1,"a":2}', b'{"a": 2}', True),
        (b'{"a":1}', b'{"a": 2}', False),
        (b'{"a":9007199254740993}', b'{"a": 9007199254740992}', False),
        (b'{"a":true}', b'{"a": 1}', False),
        (b'{"a":1}', b"\\N", False),
        (b"no json", b"no  json", False),
        (b"[" * 5000, b"[ " * 5000, False),
    ],
)
def test_json_of_another_spelling_is_the_same(sent: bytes, stored: bytes, same: bool) -> None:
    assert same_but_for_json(b"7\t" + sent, b"7\t" + stored, {1}) is same
    assert same_but_for_json(b"7\t" + sent, b"7\t" + stored, {0}) is False
    assert same_but_for_json(b"7\t" + sent, b"8\t" + stored, {1}) is False
    assert same_but_for_json(b"7\t" + sent, b"7\t" + stored + b"\t", {1}) is False
