"""The helpers that prove fidelity can tell same from different."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.sites.compare import Mapping, compare_files, file_leftovers, fingerprints, normalised, spellings
from tests.sites.nasty.values import php_string, values

OLD, NEW = "http://acme.localhost:8090", "http://clone-0123456789abcdef.localhost:8080"
MAPPING = Mapping(((OLD, NEW),), (("/srv/old/site", "/var/lib/new/clones/x/site"),))
# These do not read the same for another home: they stay, or take the target's scheme and spelling.
STAYS = {"lookalike_port", "lookalike_domain", "lookalike_prefix", "email"}
TAKES_TARGET = {"https", "upper_host", "wrong_length"}


@pytest.mark.parametrize("name", sorted(set(values(OLD)) - STAYS - TAKES_TARGET))
def test_a_moved_value_is_what_the_site_would_have_stored_there(name: str) -> None:
    assert MAPPING.apply(values(OLD)[name]) == values(NEW)[name]


@pytest.mark.parametrize("name", sorted(STAYS))
def test_lookalikes_and_mail_stay(name: str) -> None:
    assert MAPPING.apply(values(OLD)[name]) == values(OLD)[name]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"https://{OLD[7:]}/s", f"{NEW}/s"),
        (OLD.upper().replace("HTTP:", "http:"), NEW),
        (f"http://www.{OLD[7:]}/", f"{NEW}/"),
        (f"{OLD}.", f"{NEW}."),
        (f"{OLD}0/", f"{OLD}0/"),
        (f'"{OLD[5:]}/x"', f'"{NEW[5:]}/x"'),
        ("no URL at all", "no URL at all"),
        (f"{OLD},{OLD};{OLD}", f"{NEW},{NEW};{NEW}"),
        ("/srv/old/site/wp-content", "/var/lib/new/clones/x/site/wp-content"),
        (r'"\/srv\/old\/site"', r'"\/var\/lib\/new\/clones\/x\/site"'),
        ("/srv/old/site2/x /srv/old/site-b", "/srv/old/site2/x /srv/old/site-b"),
    ],
)
def test_spellings_of_an_address(old: str, new: str) -> None:
    assert MAPPING.apply(old.encode()).decode() == new


def test_a_base_with_a_path_moves_with_it_and_others_stay() -> None:
    mapping = Mapping(((f"{OLD}/blog", NEW),))
    assert mapping.apply(f"{OLD}/blog/a {OLD}/blogger {OLD}/x".encode()) == f"{NEW}/a {OLD}/blogger {OLD}/x".encode()
    escaped = f"{OLD}/blog/a".replace("/", "\\/").encode()
    assert mapping.apply(escaped) == f"{NEW}/a".replace("/", "\\/").encode()


def test_keys_of_serialized_arrays_stay() -> None:
    value = b"a:1:{" + php_string(OLD) + php_string(OLD) + b"}"
    assert MAPPING.apply(value) == b"a:1:{" + php_string(OLD) + php_string(NEW) + b"}"


@pytest.mark.parametrize(
    "text",
    [
        OLD,
        OLD.replace("/", "\\/"),
        OLD.upper(),
        "u=http%3A%2F%2Facme.localhost%3A8090",
        "http%253a%252f%252facme.localhost%253a8090",
        "http:\\u002f\\u002facme.localhost\\u003a8090",
        "//acme.localhost&#58;8090/",
        *(base64.b64encode(f"{'x' * n}<a href={OLD}/about/>".encode()).decode() for n in range(3)),
    ],
)
def test_a_leftover_is_found_in_every_escaping(text: str) -> None:
    assert any(pattern.search(text.encode()) for pattern in spellings(OLD))


@pytest.mark.parametrize(
    "text", ["me@acme.localhost:8090", f"{OLD}1/", "http://myacme.localhost:8090", "acme.localhost", NEW]
)
def test_what_is_no_leftover(text: str) -> None:
    assert not any(pattern.search(text.encode()) for pattern in spellings(OLD))


def test_files(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root, url in ((one, OLD), (other, NEW)):
        (root / "sub").mkdir(parents=True)
        (root / "sub" / "same.bin").write_bytes(bytes(range(256)))
        (root / "sub" / "post-1.css").write_text(f"a{{background:url({url}/x.png)}}")
        (root / "wp-config.php").write_text(url)
        (root / "link").symlink_to("sub")
    assert compare_files(one, other, MAPPING, skip=["wp-config.php"]) == []
    assert len(compare_files(one, other, skip=["wp-config.php"])) == 1
    assert fingerprints(one)[b"link"] == "-> sub"
    (other / "sub" / "same.bin").write_bytes(b"changed")
    (other / "new").write_text("")
    (one / b"caf\xe9".decode(errors="surrogateescape")).write_text("")
    told = compare_files(one, other, MAPPING)
    assert [line.split(":")[0] for line in told] == [r"b'caf\xe9'", "b'new'", "b'sub/same.bin'"]
    assert len(compare_files(one, other, MAPPING, extra=["new"])) == 2
    assert [left.place for left in file_leftovers(one, OLD, skip=("sub/",))] == ["wp-config.php"]


def test_a_page_loses_what_may_differ_and_nothing_else() -> None:
    page = (
        "<head><meta name='robots' content='{robots}' />\n<link href='{url}/x.css'></head>"
        '<a href="{url}/?_wpnonce={nonce}&amp;x=1">{text}</a>'
        '<script>{{"nonce":"{nonce}","u":"{json}"}}</script>{banner}'
    )

    def render(url: str, nonce: str, *, robots: str = "max", banner: str = "", text: str = "Hi") -> str:
        json = url.replace("/", "\\/")
        return normalised(page.format(url=url, nonce=nonce, robots=robots, banner=banner, text=text, json=json), url)

    source = render(OLD, "0123456789")
    banner = "<!-- siteferry:banner --><div>A clone</div><!-- /siteferry:banner -->"
    assert render(NEW, "abcdefabcd", robots="noindex", banner=banner).strip() == source.strip()
    assert render(NEW, "abcdefabcd", text="Ho") != source
    assert "0123456789" not in source
