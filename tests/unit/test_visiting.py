"""How a clone's pages are judged, from pages alone."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest

from services.cloner.steps.visiting import Finding, breaks_off, failure, leads_away, notes, silent
from services.restorer.steps.watch import cached
from shared.cells.php_log import last_error
from shared.wordpress.page import Page

CRITICAL = '<div class="wp-die-message"><p>There has been a critical error on this website.</p></div>'


def page(text: str = "", status: int = 200, **headers: str) -> Page:
    found = httpx2.Headers({"content-type": "text/html; charset=UTF-8", **headers})
    return Page(httpx2.URL("http://clone.localhost:8080/x"), status, found, text)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (page("<html></html>"), ""),
        (page(status=404), ""),
        (page(status=503), "answers HTTP 503"),
        (page(CRITICAL, 500), "answers HTTP 500 and says: There has been a critical error on this website."),
        (page(CRITICAL), "says: There has been a critical error on this website."),
        (page('<div class="wp-die-message">Sorry, you are not allowed.</div>', 403), ""),
    ],
)
def test_whether_a_page_fails(seen: Page, said: str) -> None:
    assert failure(seen) == said


@pytest.mark.parametrize(
    ("seen", "ours"),
    [
        (page(status=502, **{"siteferry-part": "php", "server": "nginx"}), True),
        (page("This clone does not start", 503, **{"siteferry-part": "cell"}), True),
        (page(status=502, server="Caddy"), True),
        (page("Coming soon", 503, server="nginx"), False),
        (page("Bad gateway", 502, server="nginx"), False),
        (page(status=500, server="Caddy"), False),
        (page(server="Caddy"), False),
    ],
)
def test_an_answer_that_is_not_the_sites_own(seen: Page, ours: bool) -> None:
    assert silent(seen) == ours


@pytest.mark.parametrize(
    ("seen", "half"),
    [
        (page("<html><body>whole</body></html>"), False),
        (page("<html><body>half"), True),
        (page("<html><body>half<script>'</html>'"), True),
        (page("{}", **{"content-type": "application/json"}), False),
        (page("not found", 404), False),
    ],
)
def test_whether_a_page_breaks_off(seen: Page, half: bool) -> None:
    assert breaks_off(seen) is half


def test_where_a_page_leads() -> None:
    assert leads_away(page(status=302, location="https://shop.test/de/?a=1")) == "https://shop.test"
    assert leads_away(page()) == ""


def test_findings_of_one_kind_are_one_note() -> None:
    found = [Finding("pages_failing", "/a"), Finding("login_guarded", "2FA"), *[Finding("pages_failing", "/b")] * 30]
    failing, guarded = notes(found)
    assert (failing.code, failing.count, failing.samples[:2], len(failing.samples)) == (
        "pages_failing",
        31,
        ["/a", "/b"],
        20,
    )
    assert (guarded.count, guarded.samples) == (1, ["2FA"])


def test_the_last_error_of_php(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    assert last_error(log) == ""
    (log / "php.log").write_text(
        "[29-Nov] PHP Warning:  nothing in x.php\n[29-Nov] PHP Fatal error:  Uncaught Error: old in a.php:1\n"
        f"[29] PHP Parse error:  syntax error, \x1b[31munexpected in {tmp_path}/site/wp-content/p.php on line 3\n"
        "Stack trace:\n#0 {main}\n"
    )
    assert last_error(log) == "syntax error, [31munexpected in wp-content/p.php on line 3"
    (log / "php.log").write_bytes(b"x" * 1_000_000 + b"PHP Fatal error:  " + b"y" * 5000)
    assert last_error(log) == "y" * 400


def test_a_log_that_is_no_file_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("PHP Fatal error:  s3cret")
    os.symlink(secret, tmp_path / "php.log")
    assert last_error(tmp_path) == ""
    (tmp_path / "php.log").unlink()
    os.mkfifo(tmp_path / "php.log")
    assert last_error(tmp_path) == ""


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"cf-cache-status": "HIT"}, "cf-cache-status: HIT"),
        ({"x-cache": "Hit from cloudfront"}, "x-cache: Hit from cloudfront"),
        ({"x-cache": "MISS, HIT"}, "x-cache: MISS, HIT"),
        ({"age": "40"}, "age: 40"),
        ({"age": "0", "x-cache": "MISS"}, ""),
        ({"cf-cache-status": "DYNAMIC"}, ""),
        ({"age": "-1"}, ""),
        ({}, ""),
    ],
)
def test_whether_a_cache_answered(headers: dict[str, str], said: str) -> None:
    assert cached(page(**headers)) == said
