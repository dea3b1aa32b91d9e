"""Encodings in encodings around addresses: rewritten so that PHP reads them back, or reported; never silent.

The oracle is PHP: it takes off one encoding after the other, with its own functions, and says what stands inside.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shared.wordpress.rewrite import ColumnRule, Rewriter, RewriteReport, UrlMapping, escape
from tests.unit.php_values import PhpObject, serialize

_DECODER = r"""
set_error_handler(function ($n, $m) { throw new ErrorException($m); });
$steps = array(
    'serialized'  => function ($v) { return unserialize($v, array('allowed_classes' => false))['u'][0]; },
    'object'      => function ($v) { return ((array) unserialize($v, array('allowed_classes' => false)))["\0*\0u"]; },
    'string'      => function ($v) { return unserialize($v); },
    'session'     => function ($v) { return unserialize(substr($v, strpos($v, '|') + 1))['u'][0]; },
    'json'        => function ($v) { return json_decode($v, true, 512, JSON_THROW_ON_ERROR)['u']; },
    'block'       => function ($v) {
        preg_match('/^<!-- wp:x (.*) \/-->$/sD', $v, $m);
        return json_decode($m[1], true, 512, JSON_THROW_ON_ERROR)['u'];
    },
    'percent'     => function ($v) { return rawurldecode($v); },
    'urlencode'   => function ($v) { return urldecode($v); },
    'shortcode'   => function ($v) {
        preg_match('/^\[vc_raw_html\](.*)\[\/vc_raw_html\]$/sD', $v, $m);
        return rawurldecode(base64_decode($m[1], true));
    },
    'attribute'   => function ($v) {
        preg_match('/^<i data-x="([^"]*)">$/sD', $v, $m);
        return html_entity_decode($m[1], ENT_QUOTES | ENT_HTML5, 'UTF-8');
    },
    'csv'         => function ($v) { return str_getcsv($v, ',', '"', '')[1]; },
    'line'        => function ($v) { return substr($v, strpos($v, "\n") + 1); },
    'slashed'     => function ($v) { return stripslashes($v); },
    'script'      => function ($v) {
        return preg_replace_callback('/\\\\x([0-9A-F]{2})/', function ($m) { return chr(hexdec($m[1])); }, $v);
    },
    'cdata'       => function ($v) {
        preg_match('/^<x><!\[CDATA\[(.*)\]\]><\/x>$/sD', $v, $m);
        return str_replace(']]]]><![CDATA[>', ']]>', $m[1]);
    },
    'sql'         => function ($v) {
        preg_match("/^INSERT INTO x VALUES \\((.*)\\);$/sD", $v, $m);
        return stripslashes(substr($m[1], 1, -1));
    },
    'var_export'  => function ($v) { $a = eval('return ' . $v . ';'); return $a['u']; },
    'css'         => function ($v) {
        return preg_replace_callback('/\\\\(?:([0-9a-f]{1,6})[ \t\r\n\f]?|(.))/si', function ($m) {
            return isset($m[2]) ? $m[2] : mb_chr(hexdec($m[1]), 'UTF-8');
        }, $v);
    },
);
while (($line = fgets(STDIN)) !== false) {
    list($value, $names) = json_decode($line, true);
    try {
        $value = base64_decode($value);
        foreach ($names as $name) { $value = $steps[$name]($value); }
        $answer = base64_encode($value);
    } catch (Throwable $e) { $answer = false; }
    echo json_encode($answer), "\n";
    flush();
}
"""


class Php:
    """PHP, asked again and again."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(["php", "-r", _DECODER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def decoded(self, value: bytes, names: Sequence[str]) -> bytes | None:
        """What stands inside of all encodings, None if PHP cannot read it."""
        assert self._process.stdin
        assert self._process.stdout
        question = json.dumps([base64.b64encode(value).decode(), list(names)])
        self._process.stdin.write(question.encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return None if answer is False else base64.b64decode(answer)

    def end(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture(scope="module")
def php() -> Iterator[Php]:
    asked = Php()
    yield asked
    asked.end()


def _json(text: bytes, *, slashes: bool, ascii_only: bool, quotes: bool = False) -> bytes:
    encoded = json.dumps({"n": 1, "u": text.decode()}, ensure_ascii=ascii_only, separators=(",", ":"))
    encoded = encoded.replace("/", "\\/") if slashes else encoded
    if quotes:  # JSON_HEX_QUOT | JSON_HEX_TAG | JSON_HEX_AMP
        encoded = re.sub(r'\\(["\\])', lambda m: "\\u0022" if m[1] == '"' else m[0], encoded)
        encoded = encoded.replace("<", "\\u003C").replace(">", "\\u003E").replace("&", "\\u0026")
    return encoded.encode()


def _block(text: bytes) -> bytes:
    encoded = json.dumps({"u": text.decode()}, ensure_ascii=False, separators=(",", ":"))
    table = {
        "\\\\": "\\u005c",
        '\\"': "\\u0022",
        "--": "\\u002d\\u002d",
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
    }
    return b"<!-- wp:x " + re.sub(r'\\\\|\\"|--|[<>&]', lambda m: table[m[0]], encoded).encode() + b" /-->"


def _attribute(text: bytes) -> bytes:
    for character, entity in ((b"&", b"&amp;"), (b'"', b"&quot;"), (b"<", b"&lt;"), (b">", b"&gt;"), (b"'", b"&#039;")):
        text = text.replace(character, entity)
    return b'<i data-x="' + text + b'">'


def _percent(text: bytes) -> bytes:
    return quote(text, safe="-_.~").encode()


def _lower(text: bytes) -> bytes:
    return re.sub(b"%..", lambda m: m[0].lower(), _percent(text))


ENCODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "serialized": ("serialized", lambda text: serialize({b"a": 1, b"u": [text, "ü".encode()]})),
    "object": ("object", lambda text: serialize(PhpObject(b"Acme\\X", ((b"\0*\0u", text),)))),
    "string": ("string", serialize),
    "session": ("session", lambda text: b"user|" + serialize({b"u": [text]})),
    "json": ("json", lambda text: _json(text, slashes=True, ascii_only=True)),
    "json, plain": ("json", lambda text: _json(text, slashes=False, ascii_only=False)),
    "json, quotes": ("json", lambda text: _json(text, slashes=True, ascii_only=True, quotes=True)),
    "json, quotes, plain": ("json", lambda text: _json(text, slashes=False, ascii_only=False, quotes=True)),
    "block": ("block", _block),
    "percent": ("percent", _percent),
    "percent, lower": ("percent", _lower),
    "urlencode": ("urlencode", lambda text: quote_plus(text, safe="-_.").replace("~", "%7E").encode()),
    "shortcode": (
        "shortcode",
        lambda text: b"[vc_raw_html]" + base64.b64encode(_percent(text)) + b"[/vc_raw_html]",
    ),
    "attribute": ("attribute", _attribute),
    "csv": ("csv", lambda text: b'1,"' + text.replace(b'"', b'""') + b'",2'),
    "line": ("line", lambda text: b"x y\n" + text),
    "cdata": ("cdata", lambda text: b"<x><![CDATA[" + text.replace(b"]]>", b"]]]]><![CDATA[>") + b"]]></x>"),
    "sql": (
        "sql",
        lambda text: (
            b"INSERT INTO x VALUES ('" + re.sub(rb"""['"\\]""", rb"\\\g<0>", text).replace(b"\0", b"\\0") + b"');"
        ),
    ),
    "var_export": (
        "var_export",
        lambda text: b"array ( 'u' => '" + re.sub(rb"['\\]", rb"\\\g<0>", text) + b"', )",
    ),
    "slashed": ("slashed", lambda text: re.sub(rb"""['"\\\\]""", rb"\\\g<0>", text).replace(b"\0", b"\\0")),
}
INNERMOST: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "numbers": (
        "attribute",
        lambda text: b'<i data-x="' + re.sub(rb"[^0-9A-Za-z\s\x80-\xff]", lambda m: b"&#%d;" % ord(m[0]), text) + b'">',
    ),
    "script": (
        "script",
        lambda text: re.sub(rb"[^0-9A-Za-z,._\s\x80-\xff]", lambda m: b"\\x%02X" % ord(m[0]), text),
    ),
    "css": ("css", lambda text: re.sub(rb"[^0-9A-Za-z\s\x80-\xff]", lambda m: b"\\%x " % ord(m[0]), text)),
    "css, six digits": ("css", lambda text: re.sub(rb"[:/.a-e]", lambda m: b"\\%06X" % ord(m[0]), text)),
    "css, backslashes": ("css", lambda text: re.sub(rb"[^0-9A-Za-z\s\x80-\xff]", rb"\\\g<0>", text)),
    "css, letters": ("css", lambda text: re.sub(rb"(?<=/)[a-z]", lambda m: b"\\%x " % ord(m[0]), text)),
}
"""What style sheets, patterns and scripts hold is addresses: nothing else stands in their escapes."""
AROUND = sorted(ENCODINGS)
REPORTED = {("object", "var_export")}
"""Left, and told: what var_export() writes of the NULs in a property's name has other lengths than it says."""
COLUMNS = [ColumnRule("text")]
SITES = {
    "plain": ("http://www.example.com", "http://clone-1.localhost:8080"),
    "dashes": ("https://main--shop.example", "http://clone-1.localhost:8080"),
    "international": ("https://münchen.de", "http://clone-1.localhost:8080"),
    "back": ("http://clone-1.localhost:8080", "https://main--shop.example"),
    "port": ("http://shop.example.com:8081", "https://clone-1.example.net"),
    "folder": ("https://example.com/blog", "http://clone-1.localhost:8080"),
}


@cache
def _rewriter(site: str) -> Rewriter:
    return Rewriter([UrlMapping((SITES[site][0],), SITES[site][1])])


def composed(names: Sequence[str], text: bytes) -> bytes:
    """A text in one encoding after the other."""
    for name in names:
        text = _encoding(name)[1](text)
    return text


def _encoding(name: str) -> tuple[str, Callable[[bytes], bytes]]:
    return INNERMOST[name] if name in INNERMOST else ENCODINGS[name]


_texts = st.sampled_from(
    ["@/a", "@", "@/a-1x1.png 300w, @/b.png 2x", 'x "@/a" <y> & ü', "@/p?a=1&b=2", "[@/a,@/b]", "é@/c'@'"]
)


def check(php: Php, names: Sequence[str], site: str, text: str) -> bool:
    """Whether all was rewritten; fails when it was neither rewritten nor reported, or cannot be read any more."""
    source, target = SITES[site]
    value, expected = composed(names, text.replace("@", source).encode()), text.replace("@", target).encode()
    steps = [_encoding(name)[0] for name in reversed(names)]
    assert php.decoded(value, steps) == text.replace("@", source).encode(), "the test's own encoding"
    own = _rewriter(site)
    assert seen(own, value), f"nobody would find it: {value!r}"
    own.report = RewriteReport()
    done = own.rewrite(value)
    assert own.rewrite_tsv(escape(value) + b"\n", COLUMNS, "t") == escape(done) + b"\n"
    inside = php.decoded(done, steps)
    if inside == expected:
        return True
    assert inside is not None, f"PHP reads it no longer: {value!r} -> {done!r}"
    assert own.report.total.left, f"silent: {value!r} -> {done!r}"
    assert seen(own, done), f"silent where only what is left over is looked for: {value!r} -> {done!r}"
    return False


def seen(own: Rewriter, value: bytes) -> bool:
    """Whether an address in a value is found by all who look for what is left over: a clone's check, which asks the
    database first, and a restore's, which reads rows."""
    rows = own.count_leftovers_tsv(escape(value) + b"\n", COLUMNS, "t")
    return bool(re.search(own.pattern, value) and own.may_match(escape(value)) and own.leftovers(value) and rows)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(ENCODINGS)), max_size=4), st.sampled_from(sorted(SITES)), _texts)
@example(["percent", "json", "serialized", "serialized"], "plain", "@")
@example(["json", "percent", "percent", "serialized"], "plain", "@/a")
@example(["serialized", "block", "shortcode", "json"], "dashes", "@/a")
def test_compositions(php: Php, names: list[str], site: str, text: str) -> None:
    check(php, names, site, text)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(INNERMOST)),
    st.lists(st.sampled_from(AROUND), max_size=3),
    st.sampled_from(sorted(SITES)),
    _texts,
)
def test_compositions_around_backslashes(php: Php, inner: str, names: list[str], site: str, text: str) -> None:
    check(php, [inner, *names], site, text)


INSIDE = [*sorted(ENCODINGS), *sorted(INNERMOST)]


def _sites(inner: str, outer: str) -> list[str]:
    """Half of them for each pair of encodings, all of them for each encoding."""
    return [*SITES][(INSIDE.index(inner) + INSIDE.index(outer)) % 2 :: 2]


@pytest.mark.parametrize("outer", sorted(ENCODINGS))
def test_two_encodings_are_always_rewritten(php: Php, outer: str) -> None:
    for inner in INSIDE:
        for site in _sites(inner, outer):
            done = check(php, [inner, outer], site, 'x "@/a" ü')
            assert done or (inner, outer) in REPORTED, (inner, outer, site)


@pytest.mark.parametrize("outer", ["numbers", "script"])
def test_what_writes_every_sign_as_a_number_hides_no_address(php: Php, outer: str) -> None:
    for inner in sorted({*INSIDE} - {"object"}):  # PHP reads no NUL as a number
        for site in _sites(inner, outer):
            check(php, [inner, outer], site, 'x "@/a" ü')
