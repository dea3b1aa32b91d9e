"""Constants of the source's wp-config.php: which travel by themselves, which by choice, which never."""

from __future__ import annotations

from typing import Any

import pytest

from services.cloner.constants import carried_constants, carries, constants_behind
from services.cloner.domain import _urls, php_note


@pytest.mark.parametrize(
    ("name", "value", "alone", "chosen"),
    [
        ("WP_MEMORY_LIMIT", "256M", True, True),
        ("ACME_FEATURE", True, True, True),
        ("ACME_ROWS", 25, True, True),
        ("ACME_RATIO", 0.5, True, True),
        ("WP_ENV", "production", True, True),
        ("ACME_MODE", "", True, True),
        ("ACME_PATH", "/srv/acme", False, True),
        ("ACME_URL", "https://acme.test", False, True),
        ("ACME_ID", "a81f0c", False, True),
        ("ACME_LICENSE_KEY", "word", False, True),
        ("ACME_SECRET_ON", True, False, True),
        ("DB_PASSWORD", "word", False, False),
        ("AUTH_KEY", "word", False, False),
        ("WP_HOME", "word", False, False),
        ("SITEFERRY_CLONE", True, False, False),
        ("siteferry_clone", True, False, False),
        ("WPMU_PLUGIN_DIR", "mine", False, False),
        ("WP_INSTALLING", True, False, False),
        ("DISABLE_WP_CRON", False, False, False),
        ("LOGGED_IN_COOKIE", "word", False, False),
        ("WP_REDIS_HOST", "cache", False, False),
        ("A'); evil(); //", True, False, False),
        ("Acme\\Debug", True, False, False),
    ],
)
def test_what_a_clone_keeps(name: str, value: Any, alone: bool, chosen: bool) -> None:
    assert carries(name, value, ()) is alone
    assert carries(name, value, (name,)) is chosen


def test_what_stays_behind_can_be_named() -> None:
    facts = {
        "constants": {"WP_DEBUG": True, "WP_CACHE": True},
        "custom_constants": {"ACME_ON": True, "ACME_KEY": None, "ACME_DIR": "/srv", "DB_HOST": None, "ACME_NULL": None},
    }
    assert carried_constants(facts, ()) == {"WP_DEBUG": True, "ACME_ON": True}
    assert constants_behind(facts, ()) == ["ACME_DIR", "ACME_KEY", "ACME_NULL"]
    assert constants_behind(facts, ("ACME_DIR",)) == ["ACME_KEY", "ACME_NULL"]
    assert carried_constants({"constants": {}}, ()) == {}, "a connector of an earlier version"


@pytest.mark.parametrize(
    ("source", "clones", "told"),
    [
        ("8.4.1", "8.2.26", True),
        ("8.2.30", "8.2.1", False),
        ("7.4.33", "8.2.1", False),
        ("10.0.1", "9.9.9", True),
        ("", "8.2.1", False),
        ("8.4.1", "", False),
        ("hostile", "8.2.1", False),
    ],
)
def test_a_newer_php_is_told(source: str, clones: str, told: bool) -> None:
    note = php_note(source, clones)
    assert (note is not None) is told
    if note is not None:
        assert source in note.message
        assert clones in note.message


def mapped(wordpress: str = "", **urls: str) -> dict[str, str]:
    return {mapping.sources[0]: mapping.target for mapping in _urls(urls, "http://c.localhost", wordpress)}


def test_what_the_database_says_moves_too() -> None:
    home = "https://www.shop.test"
    assert mapped(home=home, siteurl=home, home_stored=home, siteurl_stored=home) == {home: "http://c.localhost"}
    old = "http://old.test/x/"
    found = mapped("wp", home=home, siteurl=f"{home}/wp", home_stored=old, siteurl_stored="http://old.test/x/wp")
    assert found == {
        home: "http://c.localhost",
        f"{home}/wp": "http://c.localhost/wp",
        "http://old.test/x": "http://c.localhost",
        "http://old.test/x/wp": "http://c.localhost/wp",
    }
    assert mapped(home=home, siteurl=home, home_stored="", siteurl_stored="nonsense") == {home: "http://c.localhost"}
    assert mapped(home=home, siteurl=home) == {home: "http://c.localhost"}, "a connector of an earlier version"
