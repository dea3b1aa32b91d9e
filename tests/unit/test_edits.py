"""What counts as an edit of a clone, and how it is told."""

from __future__ import annotations

import pytest

from services.cloner.refresh import told
from services.cloner.steps.edits import rule_matches, runs_by_itself
from shared.contract.edits import Edits, TableEdits
from shared.wordpress.connector.skips import FILE_RULES, FileRule
from shared.wordpress.media import RULE as MEDIA_RULE

CACHES = next(rule for rule in FILE_RULES if rule.id == "caches")
LOGS = next(rule for rule in FILE_RULES if rule.id == "logs")


@pytest.mark.parametrize(
    ("rule", "path", "kind", "matches"),
    [
        (CACHES, b"cache", "dir", True),
        (CACHES, b"cache", "file", False),
        (CACHES, b"mine/cache", "dir", False),
        (LOGS, b"plugin/debug.log", "file", True),
        (LOGS, b"debug.log", "dir", False),
        (MEDIA_RULE, b"2026/11/A.JPG", "file", True),
        (MEDIA_RULE, b"2026/11/a.php", "file", False),
    ],
)
def test_what_never_travels_is_no_edit(rule: FileRule, path: bytes, kind: str, matches: bool) -> None:
    assert rule_matches(rule, path, kind) is matches


@pytest.mark.parametrize(
    ("option", "passes"),
    [
        (b"_transient_x", True),
        (b"_site_transient_x", True),
        (b"cron", True),
        (b"siteferry_x", True),
        (b"Xtransient_x", False),
        (b"blogname", False),
        (b"crontab", False),
    ],
)
def test_what_a_site_does_by_itself_is_no_edit(option: bytes, passes: bool) -> None:
    assert runs_by_itself("options", {"option_name": option}, frozenset()) is passes


def test_our_administrator_and_drafts_nobody_saved_are_no_edits() -> None:
    ours = frozenset({b"7"})
    assert runs_by_itself("users", {"ID": b"7"}, ours)
    assert not runs_by_itself("users", {"ID": b"8"}, ours)
    assert runs_by_itself("usermeta", {"user_id": b"7", "meta_key": b"nickname"}, ours)
    assert runs_by_itself("usermeta", {"user_id": b"8", "meta_key": b"session_tokens"}, ours)
    assert not runs_by_itself("usermeta", {"user_id": b"8", "meta_key": b"nickname"}, ours)
    assert runs_by_itself("posts", {"post_status": b"auto-draft", "post_type": b"post"}, ours)
    assert not runs_by_itself("posts", {"post_status": b"draft", "post_type": b"post"}, ours)


def test_edits_are_told_in_one_sentence() -> None:
    tables = {f"wp_{n}": TableEdits(changed=n + 1) for n in range(6)} | {"wp_new": TableEdits(altered=True)}
    said = told(Edits(tables=tables, rows=21, files=1, file_samples=["added wp-content/a.txt"]))
    assert "wp_0 (1 changed)" in said
    assert "2 more tables" in said
    assert "1 file (like added wp-content/a.txt)" in said
    assert told(Edits(tables={"wp_new": TableEdits(altered=True)})).endswith("wp_new (built anew or dropped).")
    assert "not known" in told(Edits(known=False))
