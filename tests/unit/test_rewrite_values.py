"""Every rule of the rewriter on values of its own, and on PHP itself."""

from __future__ import annotations

import base64
import json
import re
import subprocess

import pytest

from shared.wordpress.rewrite import ColumnRule, PathMapping, Rewriter, RewriteReport, UrlMapping, escape
from tests.unit.php_values import serialize
from tests.unit.rewrite_cases import CHANGED, REPORTED, UNTOUCHED, S, T, rewriter

COLUMNS = [ColumnRule("id"), ColumnRule("v")]


@pytest.mark.parametrize(("source", "expected"), CHANGED.values(), ids=CHANGED.keys())
def test_changed(source: bytes, expected: bytes) -> None:
    own = rewriter()
    assert own.rewrite(source) == expected
    assert own.may_match(source)
    assert own.report.total.changed == 1
    assert own.rewrite(expected) == expected, "a second run changes nothing"


@pytest.mark.parametrize("value", UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_untouched(value: bytes) -> None:
    own = rewriter()
    assert own.rewrite(value) is value
    assert own.report.total.changed == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("length too short", "unreadable_serialized"),
        ("count wrong", "unreadable_serialized"),
        ("unknown token", "unreadable_serialized"),
        ("inner length wrong", "unreadable_serialized"),
        ("array key", "array_key_or_property_name"),
        ("property name", "array_key_or_property_name"),
        ("enum", "enum"),
        ("C body of another form", "custom_serialized_body"),
        ("escaped string", "escaped_serialized_string"),
        ("serialized in json, length too short", "unreadable_serialized"),
        ("serialized in json, cut", "unreadable_serialized"),
        ("serialized in a session, count wrong", "unreadable_serialized"),
        ("ftp://www.example.com/", "other_scheme"),
        ("http://user@example.com/", "user_in_url"),
    ],
)
def test_reason_of_what_is_left(name: str, reason: str) -> None:
    own = rewriter()
    own.rewrite(UNTOUCHED[name])
    assert own.report.total.left == {reason: 1}
    assert [sample.reason for sample in own.report.samples] == [reason]


@pytest.mark.parametrize("name", REPORTED)
def test_what_is_left_is_told_by_everybody_who_looks(name: str) -> None:
    value, own = REPORTED[name], rewriter()
    row = escape(value) + b"\n"
    assert own.rewrite(value) is value
    assert own.report.total.left == {name.partition(",")[0]: 1}
    own.report = RewriteReport()
    assert own.rewrite_tsv(row, [ColumnRule("v")], "t") == row
    assert own.report.total.left == {name.partition(",")[0]: 1}
    assert re.search(own.pattern, value)
    assert own.leftovers(value)
    assert own.count_leftovers_tsv(row, [ColumnRule("v")], "t")


def test_what_an_earlier_attempt_left_is_told_by_the_next() -> None:
    rows = [b"%d\t%b\n" % (n, escape(value)) for n, value in enumerate(REPORTED.values())]
    whole, first, second = rewriter(), rewriter(), rewriter()
    whole.rewrite_tsv(b"".join(rows), COLUMNS, "t")
    first.rewrite_tsv(b"".join(rows[:4]), COLUMNS, "t")
    second.rewrite_tsv(b"".join(rows[4:]), COLUMNS, "t")
    stored = json.loads(json.dumps(first.report.left_facts()))
    both = RewriteReport.of_left(stored) + second.report
    assert both.total.left == whole.report.total.left
    assert both.samples == whole.report.samples
    assert RewriteReport.of_left(RewriteReport().left_facts()).total.left == {}


@pytest.mark.parametrize("value", [b"user@example.com", b"http://sub.example.com/", b"http://www.example.com:9999/"])
def test_strangers_are_not_reported(value: bytes) -> None:
    own = rewriter()
    own.rewrite(value)
    assert own.report.total.matched == 0


def test_php_reads_every_serialized_value_afterwards() -> None:
    """PHP itself: no warning, and never a value that became unreadable."""
    own = rewriter()
    values = {name: pair[0] for name, pair in CHANGED.items()} | UNTOUCHED
    readable = _php_reads(list(values.values()))
    afterwards = _php_reads([own.rewrite(value) for value in values.values()])
    assert sum(readable) > 20
    broken = [name for name, was, now in zip(values, readable, afterwards, strict=True) if was and not now]
    assert broken == []


def _php_reads(values: list[bytes]) -> list[bool]:
    code = """
        set_error_handler(function ($n, $m) { throw new ErrorException($m); });
        enum Suit { case Hearts; }
        $read = function ($v) {
            $v = trim($v);
            try { return unserialize($v, ['allowed_classes' => false]) !== false || $v === 'b:0;'; }
            catch (Throwable $e) { return strpos($e->getMessage(), 'Error at') === false; }
        };
        $all = json_decode(stream_get_contents(STDIN));
        echo json_encode(array_map(fn ($v) => $read(base64_decode($v)), $all));
    """
    feed = json.dumps([base64.b64encode(value).decode() for value in values])
    done = subprocess.run(["php", "-r", code], input=feed.encode(), capture_output=True, check=True, timeout=60)
    answer: list[bool] = json.loads(done.stdout)
    return answer


def test_longest_source_wins() -> None:
    own = Rewriter(
        [
            UrlMapping(("http://h.test",), "http://a.localhost"),
            UrlMapping(("http://h.test/wp",), "http://b.localhost/x"),
        ]
    )
    assert own.rewrite(
        b"http://h.test/ https://h.test/wp/a http://h.test/wp http://h.test/wp-x http://h.test/wp%2Fa"
    ) == (
        b"http://a.localhost/ http://b.localhost/x/a http://b.localhost/x http://a.localhost/wp-x "
        b"http://b.localhost/x%2Fa"
    )
    assert own.rewrite(rb'"http:\/\/h.test\/wp\/a"') == rb'"http:\/\/b.localhost\/x\/a"'
    assert own.rewrite(b"http%3A%2F%2Fh.test%2Fwp%2Fa") == b"http%3A%2F%2Fb.localhost%2Fx%2Fa"


def test_base_path_maps_only_what_is_below() -> None:
    own = Rewriter([UrlMapping(("http://h.test:8081/blog",), "http://clone.localhost:8080")])
    below = b"http://h.test:8081/blog http://h.test:8081/blog/a //h.test:8081/blog?x=1"
    clone = b"http://clone.localhost:8080"
    assert own.rewrite(below) == clone + b" " + clone + b"/a //clone.localhost:8080?x=1"
    for other in (b"http://h.test:8081/", b"http://h.test:8081/blogs", b"http://h.test/blog", b"http://h.test:80/blog"):
        assert own.rewrite(other) is other
        assert own.leftovers(other) == []


@pytest.mark.parametrize(
    "text", [b"http://h.test:8081", rb"http:\/\/h.test:8081\/a", b"http%3a%2f%2fh.test%3a8081%2fa"]
)
def test_source_with_port(text: bytes) -> None:
    own = Rewriter([UrlMapping(("http://h.test:8081",), "https://www.new.test")])
    for _ in range(2):
        assert own.rewrite(text) == text.replace(b"http", b"https").replace(b"h.test:8081", b"www.new.test").replace(
            b"h.test%3a8081", b"www.new.test"
        )
        for other in (b"http://h.test/", b"http://h.test:80811/", b"http://h.test:8082", b"http://h.test:8081.5"):
            assert own.rewrite(other) is other


def test_a_named_variant_wins_over_a_derived_one() -> None:
    own = Rewriter(
        [UrlMapping(("http://h.test",), "http://a.localhost"), UrlMapping(("http://www.h.test",), "http://b.localhost")]
    )
    assert own.rewrite(b"http://h.test http://www.h.test") == b"http://a.localhost http://b.localhost"


def test_many_domains_in_one_value() -> None:
    own = Rewriter([UrlMapping(("http://a.test", "http://shop.a.test", "https://cdn.b.test"), "http://c.localhost:1")])
    assert own.rewrite(serialize([b"http://cdn.b.test/x //shop.a.test https://a.test"])) == serialize(
        [b"http://c.localhost:1/x //c.localhost:1 http://c.localhost:1"]
    )


def test_target_on_the_source_host_is_stable() -> None:
    own = Rewriter([UrlMapping(("http://h.test",), "http://h.test/stage")])
    once = own.rewrite(b"http://h.test/a //www.h.test/b")
    assert once == b"http://h.test/stage/a //h.test/stage/b"
    assert own.rewrite(once) is once
    assert own.leftovers(once) == []


def test_bare_domains_by_option_only() -> None:
    own = rewriter(rewrite_bare_domains=True)
    text = b"See www.example.com/a, example.com. me@example.com sub.example.com http://example.com/ x.example.com.y"
    assert own.rewrite(text) == (
        b"See clone-1.localhost:8080/a, clone-1.localhost:8080. me@example.com sub.example.com "
        b"http://clone-1.localhost:8080/ x.example.com.y"
    )


def test_paths_longest_first_and_short_ones_with_care() -> None:
    own = Rewriter(
        [], [PathMapping("/app", "/site"), PathMapping("/srv/web", "/n"), PathMapping("/srv/web/content", "/m/c")]
    )
    assert own.rewrite(b"/srv/web/content/x /srv/web/x /srv/web/contents") == b"/m/c/x /n/x /n/contents"
    assert own.rewrite(b"/app/wp-content /app/page") == b"/site/wp-content /app/page"


@pytest.mark.parametrize("url", ["example.com", "ftp://h.test", "http://", "http://u@h.test", "http://h.test/?a=1"])
def test_a_base_url_is_checked(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Rewriter([UrlMapping((url,), "http://clone.localhost")])


def test_a_root_directory_is_refused() -> None:
    with pytest.raises(ValueError, match="directory"):
        Rewriter([], [PathMapping("/", "/x")])


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (S, 1),
        (T, 0),
        (S + b" " + T + b" //example.com", 2),
        (serialize({S: 1}), 1),
        (b's:99:"' + S + b'";', 1),
        (rb"http:\\\/\\\/example.com", 1),
        (b"http%253A%252F%252Fexample.com", 1),
        (rb"http:\u002f\u002fexample.com", 1),
        (b"http:&#x2F;&#47;example.com", 1),
        (b"/var/www/html/x", 1),
        (b"me@example.com mailto:you@www.example.com", 0),
        (b"http://sub.example.com http://example.com:99", 0),
        (b'"' + base64.b64encode(b"<a href='" + S + b"'>") + b'"', 1),
        (base64.b64encode(b"me@example.com and more"), 0),
    ],
)
def test_leftovers(value: bytes, count: int) -> None:
    assert len(rewriter().leftovers(value)) == count


@pytest.mark.parametrize("depth", [13, 400, 5_000])
def test_what_is_nested_too_deep_is_left_and_reported(depth: int) -> None:
    for wrap in (b'C:1:"A":%d:{%s}', b's:%d:"%s";'):
        value = serialize([S])
        for _ in range(depth):
            value = wrap % (len(value), value)
        own = rewriter()
        assert own.rewrite(value) is value
        assert own.report.total.left == {"nested_too_deep": 1}
        assert len(own.leftovers(value)) == 1


def test_paths_alone() -> None:
    own = Rewriter([], [PathMapping("/var/www/html", "/srv/site")])
    assert own.rewrite(rb"a\xb /var/www/html/x \n\x2e") == rb"a\xb /srv/site/x \n\x2e"


@pytest.mark.parametrize("host", ["x", "a.b", "t.co", "abc"])
def test_short_hosts(host: str) -> None:
    own = Rewriter([UrlMapping((f"http://{host}",), "http://clone.localhost")])
    text = f"http://{host}/a x a.b t.co //{host}/b".encode()
    assert own.rewrite(text) == b"http://clone.localhost/a x a.b t.co //clone.localhost/b"
    assert len(own.leftovers(text)) == 2
    for pad in range(3):
        for url in (f"http://{host}/", f"//{host}", rf"http:\/\/{host}\/", f"http%3A%2F%2F{host}"):
            encoded = base64.b64encode(b" " * pad + url.encode() + b" ")
            assert [left.kind for left in own.leftovers(b"data:" + encoded)] == ["base64"], url
    assert own.leftovers(base64.b64encode(bytes(range(256)) * 40)) == []


@pytest.mark.parametrize("pad", range(3))
def test_leftovers_in_base64_at_each_alignment(pad: int) -> None:
    found = rewriter().leftovers(b"data:" + base64.b64encode(b"-" * pad + S))
    assert [(left.kind, left.text) for left in found] == [("base64", S)]
