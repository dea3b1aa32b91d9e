r"""Addresses in the numbers of scripts and PHP (`\057`, `\u{2f}`), in mail as it is sent, in older character sets, and
before the name of somebody else's host: rewritten so that their own reader reads them back, or reported.
"""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from shared.wordpress.rewrite import ColumnRule, Mode, Rewriter, UrlMapping, escape, unescape
from tests.unit.php_values import serialize

S, T = "https://www.example.com", "http://clone-1.localhost:8080"
RULES = [ColumnRule("id", Mode.KEEP), ColumnRule("v")]


def rewritten(source: str, value: bytes) -> tuple[bytes, dict[str, int]]:
    """A value alone, which must come out the same as in a row; and what was left."""
    own, rows = (Rewriter([UrlMapping((source,), T)]) for _ in range(2))
    out = own.rewrite(value)
    row = rows.rewrite_tsv(b"1\t" + escape(value) + b"\n", RULES, "t")
    assert unescape(row.split(b"\t")[1].removesuffix(b"\n")) == out
    left = {str(reason): count for reason, count in own.report.total.left.items()}
    assert left == {str(reason): count for reason, count in rows.report.total.left.items()}
    if out != value or left:
        assert own.may_match(value)
        assert re.search(own.pattern, value), "the server's own search finds it"
        assert own.leftovers(value)
    assert len(own.leftovers(out)) == sum(left.values())
    return out, left


def php(function: str, values: list[bytes]) -> list[bytes]:
    """What PHP reads."""
    script = f'foreach (json_decode(stream_get_contents(STDIN)) as $v) echo json_encode(bin2hex({function})), "\\n";'
    text = json.dumps([value.decode("latin-1") for value in values])
    told = subprocess.run(
        ["php", "-n", "-r", script], input=text, capture_output=True, text=True, check=True, timeout=30
    )
    return [bytes.fromhex(json.loads(line)) for line in told.stdout.splitlines()]


NUMBERS = [
    r"https:\057\057www.example.com\057a", r"https:\57\57www.example.com\57a", r"https\072\057\057www.example.com/a",
    r"https:\u{2f}\u{2f}www.example.com\u{2f}a", r"https\u{3A}\u{2F}\u{002F}www.example.com/a",
    r"https://www\056example.com/a", r"https://www\56example\u{2e}com/a", r"https://www.example\x2ecom\057a",
    r"https://\167\167\167.example.com/a",
]  # fmt: skip


def test_numbers_of_scripts_and_php() -> None:
    moved = []
    for value in NUMBERS:
        out, left = rewritten(S, value.encode())
        assert left == {}, value
        moved.append(out)
    assert php("eval('return \"' . $v . '\";')", moved) == [f"{T}/a".encode()] * len(NUMBERS)


def test_numbers_inside_of_other_encodings() -> None:
    for value in NUMBERS[:7]:
        text = json.dumps({"u": value}).encode()
        out, left = rewritten(S, text)
        assert left == {}, text
        assert php("eval('return \"' . $v . '\";')", [json.loads(out)["u"].encode()]) == [f"{T}/a".encode()]
        out, left = rewritten(S, serialize({b"u": value.encode(), b"v": [b"x"]}))
        assert left == {}
        assert serialize({b"v": [b"x"]})[5:-1] in out, "the lengths are right: what follows is found"


@pytest.mark.parametrize(
    "text",
    [r"\057\057example.org", r"https:\057\057www.example.company/", r"https:\u{2f}\u{2f}x.www.example.com/",
     r"\1\057www.example.com", r"C:\057www", "https://www\\u{2f}example.com", r"post@www\056example.com"],
)  # fmt: skip
def test_numbers_that_are_no_addresses_of_ours(text: str) -> None:
    assert rewritten(S, text.encode()) == (text.encode(), {})


MAIL = [
    b"https:=2F=2Fwww.example.com=2Fa", b"https=3A//www.example.com/a", b"https://www.example=2Ecom/a",
    b"https://www=2eexample.com/a", b"https://www.exam=\r\nple.com/a", b"https://www.exam=\nple.com/a",
    b"https:=\r\n//www.example.com/a", b"https:/=\r\n/www.example.com/a", b"https://=\r\nwww.example.com/a",
    b"https://www.example.c=\r\nom/a", b"https://www.example.co=\nm/a", b"https://www.=\nexample.com/a",
    b"https://ww=\nw.example.com/a", b"https://www.example=\r\n.com/a",
    b"See =E2=80=93 <a href=3D\"https://www=\n=2Eexample.com/a\">",
]  # fmt: skip


def test_mail_as_it_is_sent_is_reported() -> None:
    read = php("quoted_printable_decode($v)", MAIL)
    for value, meant in zip(MAIL, read, strict=True):
        assert b"https://www.example.com/a" in meant
        assert rewritten(S, value) == (value, {"quoted_printable": 1}), value
        stored = json.dumps({"body": value.decode()}).encode()
        assert sum(rewritten(S, stored)[1].values()) == 1, stored
    split = b"htt=\nps://www.example.com/a"
    assert rewritten(S, split) == (split, {"other_scheme": 1})


def test_letters_beyond_ascii_in_mail() -> None:
    for value in (b"https://m=C3=BCnchen.de/a", b"https://www.m=c3=bcnchen.de/a", b"https://m=FCnchen.de/a"):
        assert rewritten("https://münchen.de", value) == (value, {"quoted_printable": 1})


def test_names_that_end_on_the_next_line() -> None:
    for value in (b"https://www.example.c\r\nom/", b"https://www.example.co\nm/"):
        assert rewritten(S, value) == (value, {"broken_by_a_line_break": 1})


def test_mail_whose_lines_break_elsewhere_is_rewritten() -> None:
    value = b'<a href=3D"https://www.example.com/a=\r\nb">=\n'
    assert rewritten(S, value) == (value.replace(S.encode(), T.encode()), {})
    assert rewritten(S, b"u=\nhttps://www.example.com/a")[0] == f"u=\n{T}/a".encode()
    for other in (b"x=2Eexample.com", b"a =2Ecom", b"https:=2F=2Fwww.example.company", b"me=40www.example.com"):
        assert rewritten(S, other) == (other, {})


def test_a_scheme_and_its_slashes_on_two_lines() -> None:
    for value in (b"https:\n//www.example.com/a", b"http:\r\n//www.example.com/a"):
        assert rewritten(S, value) == (value, {"broken_by_a_line_break": 1})
    assert rewritten(S, b"at home:\n//www.example.com/a") == (b"at home:\n//clone-1.localhost:8080/a", {})


@pytest.mark.parametrize(
    ("host", "charset"),
    [("münchen.de", "latin-1"), ("são-paulo.br", "latin-1"), ("www.łódź.pl", "iso8859-2"), ("łódź.pl", "cp1250"),
     ("пример.рф", "cp1251"), ("пример.рф", "koi8-r"), ("例え.jp", "euc-jp"), ("例え.jp", "shift_jis"),
     ("中国.cn", "gbk"), ("ελλάδα.gr", "iso8859-7")],
)  # fmt: skip
def test_names_in_older_character_sets(host: str, charset: str) -> None:
    for source in (host, "https://" + ".".join(_wire(label) for label in host.split("."))):
        address = source if "://" in source else f"https://{source}"
        for text in (f"https://{host}/a", f'<a href="//{host}/a">', f"https:\\/\\/{host}\\/a", f"x https://{host}"):
            out, left = rewritten(address, text.encode(charset))
            assert left == {}
            assert f"//{host}".encode(charset) not in out
            assert b"clone-1.localhost" in out, text
            assert rewritten(address, text.encode())[0] == out, "as in UTF-8"
        value = serialize({b"u": f"https://{host}/a".encode(charset), b"v": [b"x"]})
        assert rewritten(address, value)[0] == serialize({b"u": f"{T}/a".encode(), b"v": [b"x"]})
    shouted = f"HTTPS://{host.upper()}/a".encode(charset)
    assert rewritten(f"https://{host}", shouted)[0] == f"{T}/a".encode()


def _wire(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode").decode()


@pytest.mark.parametrize(
    "text", ["https://münchen.de\xe9/", "https://xmünchen.de/", "https://münchen.dé/", "a@münchen.de"]
)
def test_other_names_in_older_character_sets(text: str) -> None:
    assert rewritten("https://münchen.de", text.encode("latin-1")) == (text.encode("latin-1"), {})


@pytest.mark.parametrize(
    "text", [r"https://m\xfcnchen.de/a", r"https://m\xc3\xbcnchen.de/a", r"https://m\303\274nchen.de/a"]
)
def test_letters_beyond_ascii_as_numbers_of_bytes(text: str) -> None:
    assert rewritten("https://münchen.de", text.encode()) == (f"{T}/a".encode(), {})


@pytest.mark.parametrize(
    "between", [";", ",", "'", "(", ")", "&", "&amp;", "|", "]", "}", ":;", ";x", ",a:b", "%3B", "&#59;", ":80;", ";é"]
)
def test_a_host_that_is_only_the_user_of_another(between: str) -> None:
    """https://url.spec.whatwg.org/#authority-state: what stands before an @ is a user, whatever it is made of."""
    for text in (f"https://www.example.com{between}@evil.test/x", f"//www.example.com{between}@evil/"):
        assert rewritten(S, text.encode()) == (text.encode(), {"user_in_url": 1})


@pytest.mark.parametrize(
    "text",
    ["url(https://www.example.com);@media print{}", "https://www.example.com;info@example.org",
     "https://www.example.com,info@example.org\n", "[https://www.example.com],@user", "<https://www.example.com>@x.y/",
     "'https://www.example.com' @a.b/", "https://www.example.com,mailto:info@example.org?subject=x",
     "https://www.example.com/;@evil.test/", "https://www.example.com?;@evil.test/", "https://www.example.com;a/b@c.d/",
     "['https://www.example.com','foo@bar.baz/x']", "https://www.example.com|a@b.c|1"],
)  # fmt: skip
def test_lists_and_sentences_are_no_users(text: str) -> None:
    assert rewritten(S, text.encode()) == (text.replace(S, T).encode(), {})


def test_paths_in_directives_stay_and_are_told() -> None:
    source = S + "/blog"
    robots = b"User-agent: *\nDisallow: /blog/wp-admin/\nAllow: /blog/wp-admin/admin-ajax.php\nSitemap: %b/s.xml\n"
    out, left = rewritten(source, robots % source.encode())
    assert (out, left) == (robots % T.encode(), {"path_in_a_directive": 2})
    for line in (
        b"Disallow: /blog/",
        b"RewriteBase /blog/\nx",
        b"RewriteRule . /blog/index.php [L]",
        b"location ^~ /blog/ {",
    ):
        assert rewritten(source, line) == (line, {"path_in_a_directive": 1}), line
        assert rewritten(source, serialize([b"# x\r\n" + line])) == (
            serialize([b"# x\r\n" + line]),
            {"path_in_a_directive": 1},
        )
    assert rewritten(source, b"see /blog/ for more") == (b"see /blog/ for more", {})
