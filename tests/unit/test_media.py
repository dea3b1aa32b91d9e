"""Which media stay, from where they come, and what a restore makes of those that never came."""

from __future__ import annotations

from typing import Any

import pytest

from services.cloner.domain import file_rules
from services.cloner.media import Origin, origin
from services.restorer.domain.diff import Act, file
from shared.contract.events import CloneOptions
from shared.contract.media import Media
from shared.wordpress.connector.skips import FILE_RULES, file_rule_params
from shared.wordpress.media import EXTENSIONS, RULE, fits, served_as, stays
from siteferry.embedded.cells.fetching import asked_for

REMOTE = CloneOptions(media=Media.REMOTE)
FACTS: dict[str, Any] = {
    "urls": {
        "home": "https://shop.example.com/blog",
        "siteurl": "https://shop.example.com/blog/wp",
        "uploads": "http://shop.example.com/blog/wp/wp-content/uploads",
    }
}


def test_media_come_from_below_the_sources_uploads() -> None:
    found, why = origin(FACTS, REMOTE, "wp/wp-content/uploads", offered="")
    assert why == ""
    assert found == Origin(
        prefix="/wp/wp-content/uploads/",
        source="http://shop.example.com/blog/wp/wp-content/uploads/",
        page="https://shop.example.com/blog/",
    )


@pytest.mark.parametrize(
    ("uploads", "folder", "offered", "says"),
    [
        ("https://cdn.example.net/uploads", "wp-content/uploads", "", "another server"),
        ("https://shop.example.com:8443/uploads", "wp-content/uploads", "", "another server"),
        ("https://shop.example.com.evil.net/uploads", "wp-content/uploads", "", "another server"),
        ("https://shop.example.com/up loads", "wp-content/uploads", "", "unusual"),
        ("https://shop.example.com/uploads?x=1", "wp-content/uploads", "", "unusual"),
        ("https://shop.example.com/uploads", 'wp"; return 200', "", "unusual"),
        ("https://shop.example.com/uploads", "größe", "", "unusual"),
        ("https://shop.example.com/uploads", "", "", "unusual"),
        ("https://shop.example.com/uploads", "../uploads", "", "unusual"),
        ("https://shop.example.com/uploads", "wp-content/uploads", "a Pod fetches nothing", "Pod"),
    ],
)
def test_where_that_can_not_be_they_are_copied_and_it_is_said_why(
    uploads: str, folder: str, offered: str, says: str
) -> None:
    facts = {"urls": {**FACTS["urls"], "uploads": uploads}}
    found, why = origin(facts, REMOTE, folder, offered=offered)
    assert found is None
    assert says in why
    assert origin(facts, CloneOptions(), folder, offered=offered) == (None, "")


def test_what_stays_is_a_rule_of_the_files_only_when_it_was_asked_for() -> None:
    assert file_rules(REMOTE) == list(FILE_RULES)
    assert file_rules(REMOTE, media=True) == [*FILE_RULES, RULE]
    globs = {one["glob"] for one in file_rule_params([RULE])}
    assert {"**/*.jpg", "**/*.pdf"} <= globs


@pytest.mark.parametrize("end", "php phtml phar html htm svg svgz css js htaccess json csv zip mp4".split())
def test_nothing_that_runs_or_is_read_stays(end: str) -> None:
    assert end not in EXTENSIONS
    assert not stays(f"2024/a.{end}")
    assert not stays(f"2024/a.jpg.{end}")


@pytest.mark.parametrize("name", ["2024/05/a.jpg", "A.JPG", "a b ñ.Png", "x.tar.pdf"])
def test_pictures_and_documents_do(name: str) -> None:
    assert stays(name)
    assert stays(name.encode())
    assert asked_for(b"/up/" + name.encode(), "/up/") == name.encode()


@pytest.mark.parametrize("name", ["", "jpg", ".jpg", "a/.jpg", "a.jpg/", "jpg/a"])
def test_a_name_without_an_end_is_none(name: str) -> None:
    assert not stays(name)
    assert asked_for(b"/up/" + name.encode(), "/up/") is None


def test_a_literal_percent_sign_is_a_part_of_a_name() -> None:
    assert asked_for(b"/up/50%25%20off.jpg", "/up/") == b"50% off.jpg"
    assert asked_for(b"/up/a%25252fb.jpg", "/up/") == b"a%252fb.jpg"


def test_name_and_type_must_fit() -> None:
    assert fits("jpg", "image/jpeg")
    assert fits("jpg", "IMAGE/WEBP; charset=x")
    assert fits("avif", "application/octet-stream")
    assert fits("docx", "application/octet-stream")
    for end, said in (("jpg", "text/html"), ("jpg", "image/svg+xml"), ("pdf", "text/html"), ("pdf", "image/png")):
        assert not fits(end, said), (end, said)
    for end, said in (("jpg", ""), ("jpg", "application/octet-stream"), ("php", "image/png"), ("svg", "image/svg+xml")):
        assert not fits(end, said), (end, said)
    assert {served_as(end).partition("/")[0] for end in EXTENSIONS} == {"image", "application"}


def test_a_file_the_clone_never_had_stays_as_production_has_it() -> None:
    for clone in (None, "b"):
        verdict = file("a", clone, None, base_known=True, never_came=True)
        assert (verdict.act, verdict.lost) == (Act.NOTHING, "production_only")
    assert file(None, "b", None, base_known=True, never_came=True).act is Act.WRITE
    assert file("a", "b", None, base_known=True).act is Act.WRITE
