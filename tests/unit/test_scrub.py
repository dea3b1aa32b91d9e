"""What is hidden in the texts of a job, and what stays readable."""

from __future__ import annotations

import pytest

from shared.engine.scrub import scrubbed, secrets_of


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("admin", "wp-admin, administrator, admins and admin_bar", "wp-admin, administrator, admins and admin_bar"),
        ("admin", 'the password "admin" is wrong', 'the password "[redacted]" is wrong'),
        ("admin", "admin", "[redacted]"),
        ("test", "latest tests; ?pwd=test&x", "latest tests; ?pwd=[redacted]&x"),
        ('p@ss w"rd', '"p@ss w\\"rd", p%40ss%20w%22rd, p%40ss+w%22rd', '"[redacted]", [redacted], [redacted]'),
        ("<b&>!", "shown as &lt;b&amp;&gt;!", "shown as [redacted]"),
        ("sf1_0123456789abcdef", "xsf1_0123456789abcdefx", "x[redacted]x"),
        ("$$$$", "cash $$$$$ here", "cash [redacted]$ here"),
    ],
)  # fmt: skip
def test_whole_secrets_are_hidden(secret: str, text: str, shown: str) -> None:
    assert scrubbed(text, [secret]) == shown


def test_names_are_no_secrets() -> None:
    credentials = {
        "username": "admin",
        "password": "hunter2",
        "target_username": "boss",
        "login_url": "https://x.test/in",
    }
    assert secrets_of({**credentials, "source_password": "abcd", "short": "abc", "number": 12345}) == {
        "hunter2",
        "abcd",
    }


def test_a_secret_inside_another_is_hidden_with_it() -> None:
    assert scrubbed("one two one", ["one", "one two"]) == "[redacted] [redacted]"
