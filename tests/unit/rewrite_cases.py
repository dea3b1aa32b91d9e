"""Hard values and what must become of them, for a site at http://www.example.com below /var/www/html."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

from shared.wordpress.rewrite import PathMapping, Rewriter, UrlMapping
from tests.unit.php_values import PhpObject, serialize

S = b"http://www.example.com"
T = b"http://clone-1.localhost:8080"


def rewriter(**options: bool) -> Rewriter:
    """The mapping every case is written for."""
    urls = [UrlMapping((S.decode(),), T.decode())]
    return Rewriter(urls, [PathMapping("/var/www/html/", "/srv/clones/1/site")], **options)


def _both(template: bytes) -> tuple[bytes, bytes]:
    return template.replace(b"@", S), template.replace(b"@", T)


def _serialized(make: Callable[[bytes], object]) -> tuple[bytes, bytes]:
    return serialize(make(S)), serialize(make(T))


def _pair(make: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
    return make(S), make(T)


def _json(value: object, *, slashes: bool = True, ascii_only: bool = True) -> bytes:
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
    return (text.replace("/", "\\/") if slashes else text).encode()


def _custom(url: bytes) -> bytes:
    body = b"x:i:0;" + serialize({b"u": url}) + b";m:a:0:{}"
    return b'C:11:"ArrayObject":%d:{%s}' % (len(body), body)


def _wrapped(url: bytes, line: int = 1 << 20) -> bytes:
    markup = quote(f'<img src="{url.decode()}/a.png">', safe="-_.~")
    body = base64.b64encode(markup.encode())
    folded = b"\n".join(body[at : at + line] for at in range(0, len(body), line))
    return b'[vc_row][vc_raw_html css="x"]%s[/vc_raw_html]' % folded


def _escaped(url: bytes, depth: int) -> bytes:
    return url.replace(b"/", b"\\" * (2**depth - 1) + b"/")


OBJECT = b"Acme\\Widget"

CHANGED: dict[str, tuple[bytes, bytes]] = {
    # text
    "plain": _both(b'<a href="@/about/">x</a> and @'),
    "only the url": (S, T),
    "trailing slash": _both(b"@/"),
    "query": _both(b"@?p=1&amp;q=2"),
    "fragment": _both(b"@#top"),
    "sentence end": _both(b"Visit @. Or @, or (@)!"),
    "closing quote in UTF-8": _both("“@” «@»".encode()),
    "letters of a script without spaces behind": _both("见@谢谢。见@。".encode()),
    "an entity behind": _both(b"@&nbsp;&rdquo;&#8217;"),
    "empty port": (b"http://www.example.com:/a http://www.example.com:?b", T + b"/a " + T + b"?b"),
    "colon behind": _both(b"@: see"),
    "dot of the root": (b"http://www.example.com./a //example.com.:80/", T + b"/a //clone-1.localhost:8080/"),
    "dot of the root, json": (rb'"http:\/\/www.example.com.\/a"', rb'"http:\/\/clone-1.localhost:8080\/a"'),
    "dot of the root, urlencoded": (b"http%3A%2F%2Fexample.com%2E%2Fa", b"http%3A%2F%2Fclone-1.localhost%3A8080%2Fa"),
    "three slashes": (b"http:///www.example.com/a", b"http:///clone-1.localhost:8080/a"),
    "backslashes": (rb"http:\\www.example.com\a", rb"http:\\clone-1.localhost:8080\a"),
    "backslashes in json": (rb'"http:\\\\example.com\\a"', rb'"http:\\\\clone-1.localhost:8080\\a"'),
    "letters of full width": ("http://ｗｗｗ.ｅxample．com/ä".encode(), T + "/ä".encode()),
    "dots of East Asia": ("見http://www。example｡com。".encode(), "見".encode() + T + "。".encode()),
    "numbers of scripts": (rb"'http:\x2f\x2fwww\x2eexample.com\x2Fa'", rb"'http:\x2f\x2fclone-1.localhost:8080\x2Fa'"),
    "css in a form's data": (rb"a=http\3a+\2f+\2f+www\2e+example.com\2f+a", b"a=" + T + rb"\2f+a"),
    "port with zeros": (b"http://www.example.com:080/a", T + b"/a"),
    "two glued by a comma": _both(b"@/a,@/b"),
    "url in a url": _both(b"https://other.test/?u=@/x"),
    "https": (b"https://www.example.com/a", T + b"/a"),
    "without www": (b"http://example.com/a", T + b"/a"),
    "https without www": (b"https://example.com/a", T + b"/a"),
    "upper-case host": (b"http://WWW.Example.COM/A", T + b"/A"),
    "upper-case scheme": (b"HTTP://www.example.com/A", T + b"/A"),
    "protocol-relative": (b'src="//www.example.com/a"', b'src="//clone-1.localhost:8080/a"'),
    "protocol-relative at the start": (b"//example.com/a", b"//clone-1.localhost:8080/a"),
    "protocol-relative after a colon that begins a line": (
        b"\n://example.com/a",
        b"\n://clone-1.localhost:8080/a",
    ),
    "default port": (b"http://www.example.com:80/a https://example.com:443/b", T + b"/a " + T + b"/b"),
    "srcset": _both(b"@/a-300x200.jpg 300w, @/a.jpg 1024w"),
    "css": _both(b"body{background:url(@/bg.png)}"),
    "block comment": _both(b'<!-- wp:image {"url":"@/a.png"} -->'),
    "invalid UTF-8 around": _both(b"\xff\xfe@\xff"),
    "latin1": _both(b"caf\xe9 @/caf\xe9"),
    # JSON by depth
    "json": _both(b'{"url":"@/a","n":1.0}'),
    **{
        f"json depth {depth}": (_escaped(S + b"/x", depth), _escaped(T, depth) + _escaped(b"/x", depth))
        for depth in range(1, 5)
    },
    "json after newline escape": (rb'"a\nhttp:\/\/www.example.com\/x"', rb'"a\nhttp:\/\/clone-1.localhost:8080\/x"'),
    "json protocol-relative": (rb'"\/\/www.example.com\/x"', rb'"\/\/clone-1.localhost:8080\/x"'),
    "json protocol-relative after newline": (rb'"a\n\/\/example.com"', rb'"a\n\/\/clone-1.localhost:8080"'),
    "json keeps numbers and spaces": (
        rb'{ "a" : 1.10e2, "u":"http:\/\/www.example.com\/" , "a": 2}',
        rb'{ "a" : 1.10e2, "u":"http:\/\/clone-1.localhost:8080\/" , "a": 2}',
    ),
    "json \\u002f": (
        rb'"http:\u002f\u002fwww.example.com\u002Fx"',
        rb'"http:\u002f\u002fclone-1.localhost:8080\u002Fx"',
    ),
    "json \\u003a": (
        rb'"http\u003A\u002F\u002Fwww.example.com"',
        rb'"http\u003A\u002F\u002Fclone-1.localhost\u003A8080"',
    ),
    # URL-encoded
    "urlencoded upper": (
        b"?u=http%3A%2F%2Fwww.example.com%2Fa",
        b"?u=http%3A%2F%2Fclone-1.localhost%3A8080%2Fa",
    ),
    "urlencoded lower": (b"http%3a%2f%2fwww.example.com%2fa", b"http%3a%2f%2fclone-1.localhost%3a8080%2fa"),
    "urlencoded twice": (
        b"http%253A%252F%252Fwww.example.com%252Fa",
        b"http%253A%252F%252Fclone-1.localhost%253A8080%252Fa",
    ),
    "urlencoded protocol-relative": (b'"%2F%2Fexample.com%2f"', b'"%2F%2Fclone-1.localhost%3A8080%2f"'),
    # URL-encoded JSON, and what is spelled twice
    "urlencoded json": (
        b"%22http%3A%5C%2F%5C%2Fwww.example.com%5C%2Fp%22",
        b"%22http%3A%5C%2F%5C%2Fclone-1.localhost%3A8080%5C%2Fp%22",
    ),
    "urlencoded json lower": (
        b"%22http%3a%5c%2f%5c%2fwww.example.com%5c%2fp%22",
        b"%22http%3a%5c%2f%5c%2fclone-1.localhost%3a8080%5c%2fp%22",
    ),
    "urlencoded json twice": (
        b"%2522http%253A%255C%252F%255C%252Fwww.example.com%255C%252Fp%2522",
        b"%2522http%253A%255C%252F%255C%252Fclone-1.localhost%253A8080%255C%252Fp%2522",
    ),
    "urlencoded json in json": (
        b"%5C%22http%3A%5C%5C%5C%2F%5C%5C%5C%2Fwww.example.com%5C%5C%5C%2Fp%5C%22",
        b"%5C%22http%3A%5C%5C%5C%2F%5C%5C%5C%2Fclone-1.localhost%3A8080%5C%5C%5C%2Fp%5C%22",
    ),
    "urlencoded json protocol-relative": (
        b"%7B%22u%22%3A%22%5C%2F%5C%2Fwww.example.com%5C%2Fp%22%7D",
        b"%7B%22u%22%3A%22%5C%2F%5C%2Fclone-1.localhost%3A8080%5C%2Fp%22%7D",
    ),
    "urlencoded json in a shortcode in json": (
        rb'{"t":"[x settings=\"%7B%22url%22%3A%22http%3A%5C%2F%5C%2Fwww.example.com%5C%2F%22%7D\"]"}',
        rb'{"t":"[x settings=\"%7B%22url%22%3A%22http%3A%5C%2F%5C%2Fclone-1.localhost%3A8080%5C%2F%22%7D\"]"}',
    ),
    "json in the attributes of a block": (
        rb'<!-- wp:x {"j":"{\u0022u\u0022:\u0022http:\u005c/\u005c/www.example.com\u005c/\u0022}"} /-->',
        rb'<!-- wp:x {"j":"{\u0022u\u0022:\u0022http:\u005c/\u005c/clone-1.localhost:8080\u005c/\u0022}"} /-->',
    ),
    "host escaped in json": (
        rb'"http:\/\/\u0077\u0077\u0077\u002e\u0065\u0078ample\u002Ecom\/a"',
        rb'"http:\/\/clone-1.localhost:8080\/a"',
    ),
    "all of it escaped in json": (
        b'"' + b"".join(b"\\u%04x" % byte for byte in S) + b'"',
        rb'"http\u003a\u002f\u002fclone-1.localhost\u003a8080"',
    ),
    "host escaped in a URL": (b"http://www%2Eexample.%63om/a", T + b"/a"),
    "host escaped in HTML": (b"http://www&#46;example&period;com/a", T + b"/a"),
    # HTML entities
    "entities hex": (
        b"http&#x3A;&#x2F;&#x2F;www.example.com&#x2F;a",
        b"http&#x3A;&#x2F;&#x2F;clone-1.localhost&#x3A;8080&#x2F;a",
    ),
    "entities of entities": (
        b"http:&amp;#x2F;&amp;#x2F;www.example.com/a",
        b"http:&amp;#x2F;&amp;#x2F;clone-1.localhost:8080/a",
    ),
    "entities decimal": (b"http:&#47;&#047;example.com/", b"http:&#47;&#047;clone-1.localhost:8080/"),
    "entities around": _both(b"&quot;@/?a=1&#038;b=2&quot;"),
    "protocol-relative after entity": (b"&quot;//example.com&quot;", b"&quot;//clone-1.localhost:8080&quot;"),
    # serialized
    "array": _serialized(lambda u: {b"url": u + b"/x", 3: [u, 1, 1.5, None, True, b""]}),
    "string": _serialized(lambda u: u),
    "multibyte": _serialized(lambda u: {b"t": "Grüße 東京 🚀 ".encode() + u}),
    "twice serialized": _serialized(lambda u: serialize({b"u": u})),
    "three times serialized": _serialized(lambda u: {b"a": serialize([serialize({b"b": u}), u])}),
    "digits grow": _serialized(lambda u: [b"x" * 75 + u, serialize([b"y" * 970 + u])]),
    "stdClass": _serialized(lambda u: PhpObject(b"stdClass", ((b"url", u),))),
    "private and protected": _serialized(
        lambda u: PhpObject(OBJECT, ((b"\0Acme\\Widget\0url", u), (b"\0*\0home", u + b"/"), (b"n", 1)))
    ),
    "references": (
        b'a:3:{i:0;s:22:"' + S + b'";i:1;R:2;i:2;r:1;}',
        b'a:3:{i:0;s:29:"' + T + b'";i:1;R:2;i:2;r:1;}',
    ),
    "enum beside url": (
        b'a:2:{i:0;E:11:"Suit:Hearts";i:1;s:22:"' + S + b'";}',
        b'a:2:{i:0;E:11:"Suit:Hearts";i:1;s:29:"' + T + b'";}',
    ),
    "ArrayObject in C form": (_custom(S), _custom(T)),
    "C body of one value": (
        b'C:3:"Foo":%d:{%s}' % (len(serialize([S])), serialize([S])),
        b'C:3:"Foo":%d:{%s}' % (len(serialize([T])), serialize([T])),
    ),
    "escaped string beside url": (
        b'a:2:{i:0;S:4:"a\\62c\\22";i:1;s:22:"' + S + b'";}',
        b'a:2:{i:0;S:4:"a\\62c\\22";i:1;s:29:"' + T + b'";}',
    ),
    "tail of white space": (serialize([S]) + b" \r\n", serialize([T]) + b" \r\n"),
    "leading white space": (b"\n " + serialize([S]), b"\n " + serialize([T])),
    "key kept, value changed": (serialize({S: S}), serialize({S: T})),
    "payload with quotes and braces": _serialized(lambda u: {b"h": b'";}a:1:{s:3:"<a href="' + u + b'">'}),
    "json in serialized": _serialized(lambda u: {b"j": b'{"u":"' + _escaped(u, 1) + b'"}'}),
    "urlencoded in serialized": (
        serialize([b"u=http%3A%2F%2Fwww.example.com%2F"]),
        serialize([b"u=http%3A%2F%2Fclone-1.localhost%3A8080%2F"]),
    ),
    "path in serialized": (serialize([b"/var/www/html/wp-content"]), serialize([b"/srv/clones/1/site/wp-content"])),
    "text that only looks serialized": _both(b"s:5: @ and a:b:{ @"),
    # serialized in escaped text
    "serialized in json": _pair(lambda u: _json({"a": serialize({b"u": u + b"/"}).decode(), "b": u.decode()})),
    "serialized in json, plain slashes": _pair(
        lambda u: _json([serialize({"ü/".encode(): u}).decode()], slashes=False, ascii_only=False)
    ),
    "serialized in json, escaped unicode": _pair(lambda u: _json({"é": serialize(["é\n🚀".encode() + u]).decode()})),
    "serialized in json in json": _pair(lambda u: _json({"o": _json({"i": serialize([u, b'"']).decode()}).decode()})),
    "serialized in json in serialized": _serialized(lambda u: [_json({"i": serialize([u]).decode()})]),
    "serialized in json in a block": _pair(
        lambda u: b"<!-- wp:x " + _json({"s": serialize([u]).decode()}) + b" --> " + u
    ),
    "serialized in a query string": _pair(
        lambda u: b"a=1&d=" + quote(serialize([u]), safe="-_.~").encode() + b"&u=" + u
    ),
    "serialized in json, letters escaped": (
        rb'{"a":"a:1:{i:0;s:22:\"\u0068ttp:\/\/www.example.com\";}"}',
        rb'{"a":"a:1:{i:0;s:29:\"http:\/\/clone-1.localhost:8080\";}"}',
    ),
    "serialized in quotes of no json": (
        rb"x = 's:22:\"http:\/\/www.example.com\";'",
        rb"x = 's:29:\"http:\/\/clone-1.localhost:8080\";'",
    ),
    # serialized that begins somewhere in a value
    "session": _pair(lambda u: b"user|" + serialize({b"u": u}) + b"n|i:1;cart|" + serialize([u, [u]])),
    "digest before": _pair(lambda u: b"d41d8cd98f00b204e9800998ecf8427e|" + serialize({b"u": u})),
    "byte order mark before": _pair(lambda u: b"\xef\xbb\xbf" + serialize({b"u": u})),
    "text behind": _pair(lambda u: serialize([u]) + b" " + u),
    "two in a row": _pair(lambda u: serialize([u]) + serialize({b"k": u})),
    "csv": _pair(lambda u: b'1,"' + serialize({b"u": u, b"e": b""}).replace(b'"', b'""') + b'","' + u + b'"'),
    "cdata": _pair(lambda u: b"<wp:meta_value><![CDATA[" + serialize({b"u": u}) + b"]]></wp:meta_value>"),
    "attribute": _pair(
        lambda u: b'<i data-x="' + serialize([b"<&>" + u]).replace(b"&", b"&amp;").replace(b'"', b"&quot;") + b'">'
    ),
    "attribute, numeric": _pair(lambda u: b"<i data-x='" + serialize([u]).replace(b'"', b"&#034;") + b"'>"),
    "attributes of a block": _pair(
        lambda u: b'<!-- wp:x {"s":"' + serialize([u]).replace(b'"', b"\\u0022") + b'"} /-->'
    ),
    "slashed": _pair(lambda u: serialize({b"u": u}).replace(b'"', b'\\"')),
    "dump": _pair(lambda u: b"INSERT INTO x VALUES (1, '" + serialize([u]).replace(b'"', b'\\"') + b"');"),
    "urlencoded twice, serialized": _pair(lambda u: quote(quote(serialize([u]), safe="-_.~"), safe="-_.~").encode()),
    "serialized of urlencoded of serialized": _serialized(lambda u: [quote(serialize([u]), safe="-_.~").encode()]),
    "shortcode, urlencoded": _pair(lambda u: quote(_wrapped(u), safe="-_.~").encode()),
    # base64
    "vc_raw_html": (_wrapped(S), _wrapped(T)),
    "vc_raw_html folded into lines": (_wrapped(S, 76), _wrapped(T)),
    "vc_raw_html without padding": (_wrapped(S).replace(b"=[", b"["), _wrapped(T)),
    "vc_raw_html in serialized": (serialize([_wrapped(S)]), serialize([_wrapped(T)])),
    "vc_raw_html in json": (_json([_wrapped(S).decode()]), _json([_wrapped(T).decode()])),
    # paths
    "path": (b"/var/www/html/wp-content/x.php", b"/srv/clones/1/site/wp-content/x.php"),
    "path alone": (b"/var/www/html", b"/srv/clones/1/site"),
    "path in json": (rb'"\/var\/www\/html\/x"', rb'"\/srv\/clones\/1\/site\/x"'),
    "path list": (b"/tmp:/var/www/html:/usr", b"/tmp:/srv/clones/1/site:/usr"),
    "path after newline escape": (rb"a\n/var/www/html/x", rb"a\n/srv/clones/1/site/x"),
    **{
        f"path spelled {text}": (
            text.replace("^", "/var/www/html").encode(),
            text.replace("^", "/srv/clones/1/site").encode(),
        )
        for text in ("phar://^/x.phar", "compress.zlib://^/x.gz", "zip://^/x.zip#y")
    },
    **{
        f"path spelled {sign}": (
            (before + "/var/www/html/x" + after).replace("/", sign).encode(),
            (before + "/srv/clones/1/site/x" + after).replace("/", sign).encode(),
        )
        for before, sign, after in (
            ("%22", "%2F", "%22"),
            ("a=", "%2f", "&b=1"),
            ("", "%252F", ""),
            ("%7B%22p%22%3A%22", "%5C%2F", "%22%7D"),
            ('{"p":"', "\\u002f", '"}'),
            ('{"p":"', "\\u005c\\u002F", '"}'),
            ("'", "\\x2f", "'"),
        )
    },
    "path in serialized, urlencoded": (
        quote(serialize([b"/var/www/html/x"]).decode(), safe="-_.~").encode(),
        quote(serialize([b"/srv/clones/1/site/x"]).decode(), safe="-_.~").encode(),
    ),
    "file url": (b"file:///var/www/html/x", b"file:///srv/clones/1/site/x"),
}

_UNTOUCHED_TEXT = [
    b"http://www.example.com:9999/", b"http://www.example.com:80711/", b"http://www.example.com%3A9999/",
    rb"http:\/\/www.example.com\u003a9999", b"http://www.example.com&#58;9999",
    b"http://www.example.com.evil.test/", b"http://mywww.example.com/", b"http://myexample.com/",
    b"http://sub.example.com/", b"http://www.example.com-x.test/", b"http://www.example.community/",
    b"http://example.com_old/", b"http://www.example.com@evil.test/", b"http://www.example.com:80@evil.test/",
    b"user@example.com", b"mailto:user@www.example.com", b"user%40example.com",
    b"www.example.com", b"Example.com is bare", b"http:/www.example.com", b"/www.example.com/x",
    b"ftp://www.example.com/", b"wss://example.com/", b"http://user@example.com/", b"https://u:p@www.example.com/x",
    b"http://www.example.com:secret@evil.test/", b"http://www.example.com:80:x@evil.test/",
    b"http://www.example.com:8080.evil.test/", b"http://www.example.com:80.evil.test/",
    b"http%3A%2F%2Fwww.example.com%3Asecret%40evil.test%2F", b"http://www.example.com$x@evil.test/",
    "http://www.example.comé.test/".encode(), "http://www.example.com.é.test/".encode(),
    "http://www.example.com\u200b.evil.test/".encode(), "http://www.example.com\u3002evil.test/".encode(),
    rb"http:\/\/www.example.com\u00e9.test", rb"http:\/\/www.example.com\u002eevil.test",
    b"http://www.example.com%2eevil.test/", b"http://www.example.com%C3%A9.test/",
    b"http://www.example.com&eacute;.test/", b"http://www.example.com&#46;evil.test/",
    b"https://archive.test/web//example.com/", b"/var/www/html2/x", b"/var/www/html-old", b"/var/www/html.bak",
    b"http%3A%2F%2Fo.test%2Fvar%2Fwww%2Fhtml%2Fx", b"%2Fopt%2Fvar%2Fwww%2Fhtml%2Fx", b"%2Fvar%2Fwww%2Fhtml2",
    b"%2Fvar%2Fwww%2Fhtml%2Dold", b"%2FVAR%2FWWW%2FHTML", rb"\u002fopt\u002fvar\u002fwww\u002fhtml",
    b"../var/www/html/", b"http://o.test/var/www/html/", b"/opt/var/www/html/x", b"var/www/html", b"/VAR/WWW/HTML",
]  # fmt: skip

UNTOUCHED: dict[str, bytes] = {
    **{value.decode(): value for value in _UNTOUCHED_TEXT},
    "empty": b"",
    "length too short": b'a:1:{i:0;s:21:"' + S + b'";}',
    "length too long": b'a:1:{i:0;s:23:"' + S + b'";}',
    "inner length wrong": serialize([b's:99:"' + S + b'";']),
    "count wrong": b'a:2:{i:0;s:22:"' + S + b'";}',
    "truncated": serialize([S, S])[:-9],
    "unknown token": b'a:2:{i:0;X:3;i:1;s:22:"' + S + b'";}',
    "float as key": b'a:1:{d:0.5;s:22:"' + S + b'";}',
    "array key": serialize({S: 1}),
    "property name": serialize(PhpObject(b"A", ((S, 1),))),
    "enum": b'E:%d:"%s";' % (len(S), S),
    "C body of another form": b'C:3:"Foo":26:{xyz|' + S + b"}",
    "C body that is cut": b'C:3:"Foo":31:{a:1:{i:0;s:22:"' + S[:-5] + b"}",
    "escaped string": b'a:1:{i:0;S:22:"' + S + b'";}',
    "serialized in json, length too short": rb'{"a":"a:1:{i:0;s:21:\"http:\/\/www.example.com\";}"}',
    "serialized in json, cut": rb'{"a":"a:2:{i:0;s:22:\"http:\/\/www.example.com\";"}',
    "serialized in a session, count wrong": b'user|a:2:{i:0;s:22:"' + S + b'";}',
    "base64 without a shortcode": base64.b64encode(b"x " + S),
    "shortcode that is no base64": b"[vc_raw_html]*[/vc_raw_html]",
}

REPORTED: dict[str, bytes] = {
    "unusual_slashes": b"http:/www.example.com/a",
    "unusual_slashes, none": b"https:www.example.com",
    "unusual_slashes, json": rb"http:\/www.example.com\/a",
    "unusual_slashes, urlencoded": b"?u=http%3Awww.example.com",
    "unusual_slashes, without scheme": b'src="///www.example.com/a"',
    "unusual_slashes, backslashes alone": rb"src='\\www.example.com\a'",
    "broken_by_a_line_break": b"http://\nwww.example.com/a",
    "broken_by_a_line_break, in the name": b"see http://www.exam\r\nple.com/a\nand",
    "broken_by_a_line_break, tab": b"http://www.example.c\tom",
    "broken_by_a_line_break, behind www": b"http://www.\nexample.com/",
    "broken_by_a_line_break, json": rb'{"u":"http:\/\/www.exam\nple.com"}',
    "behind_an_optional_part_of_a_pattern": rb"^https?:\/\/(?:www\.)?example\.com\/(.*)$",
    "behind_an_optional_part_of_a_pattern, plain": rb"https?://(www\.)?example.com/",
    "other_scheme": b"ht\ttp://www.example.com/",
    "user_in_url": b"http://user@www.example.com./",
}
"""Left as they are and told: the reason, before a comma, and a value."""
