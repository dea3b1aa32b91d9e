"""How the command line words things."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from siteferry.cli import outcome, render
from siteferry.cli.again import next_step
from siteferry.cli.client import CliError, Exit
from siteferry.cli.context import parse_ttl


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"unit": "bytes", "done": 52_428_800, "total": 168_420_311}, "52.4 MB of 168.4 MB"),
        ({"unit": "rows", "done": 1200, "total": 136_214}, "1,200 of 136,214 rows"),
        ({"unit": "bytes", "done": 999, "total": None}, "999 B"),
        ({"unit": "pages", "done": 0, "total": 20}, "0 of 20 pages"),
        ({"unit": None, "done": 0, "total": None}, ""),
        ({"unit": "rows", "done": 0, "total": None}, ""),
    ],
)
def test_amount(step: render.Json, words: str) -> None:
    assert render.amount(step) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (48, "48 s"),
        (185, "3 min 5 s"),
        (180, "3 min"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
        (86_400 + 59, "1 d"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert render.duration(seconds) == words


def test_until_says_when_and_how_long() -> None:
    at = datetime.now(UTC) + timedelta(hours=24, seconds=1)
    assert render.until(at.isoformat()) == f"{at:%Y-%m-%d %H:%M} UTC, in 1 d"
    assert render.until((at - timedelta(days=3)).isoformat()).endswith("UTC, now")
    assert render.until(None) == "never"


@pytest.mark.parametrize(("percent", "full"), [(-5, 0), (0, 0), (50, 14), (100, 28), (250, 28)])
def test_bar_never_leaves_its_width(percent: float, full: int) -> None:
    assert render.bar(percent).plain == "━" * full + "─" * (28 - full)


@pytest.mark.parametrize(("text", "minutes"), [("90", 90), ("90m", 90), ("2 h", 120), ("7d", 10_080), ("5min", 5)])
def test_ttl(text: str, minutes: int) -> None:
    assert parse_ttl(text) == minutes


@pytest.mark.parametrize("text", ["", "soon", "1w", "-5", "1.5h", "9999999"])
def test_ttl_that_is_none(text: str) -> None:
    with pytest.raises(CliError) as caught:
        parse_ttl(text)
    assert caught.value.code is Exit.USAGE


def test_markup_of_others_is_shown_as_it_is() -> None:
    job = {
        "job_id": "clone-1",
        "source_url": "https://a.test/[red]x[/red]",
        "status": "running",
        "phase": None,
        "progress": 12.0,
        "attempt": 2,
        "message": "Copying [bold]wp_posts[/bold]",
        "steps": [
            {"name": "files", "title": "Copy [i]files[/i]", "state": "running", "done": 1, "total": 2, "unit": "files"}
        ],
    }
    shown = render.job_block(job, note="reconnecting…").plain
    for part in ("[red]x[/red]", "[bold]wp_posts[/bold]", "Copy [i]files[/i]", "attempt 2", "reconnecting…", "12.0%"):
        assert part in shown


@pytest.mark.parametrize(("code", "retry"), [("wrong_password", False), ("source_unreachable", True)])
def test_retry_is_offered_where_it_can_help(code: str, retry: bool, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": code, "message": "It did not work.", "hint": "Do this."}
    job = {"job_id": "clone-0k3v9x2m7c1p5t8w", "source_url": "https://a.example", "status": "failed", "error": error}
    outcome.result(job)
    said = capsys.readouterr()
    assert said.out == ""
    assert "Failed: It did not work.\nHint: Do this.\n" in said.err
    assert ("siteferry retry clone-0k3v9x2m7c1p5t8w" in said.err) is retry


def test_notes_show_how_many_and_some_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    clone = {
        "clone_url": "http://c.localhost/",
        "admin_url": "http://c.localhost/wp-admin/",
        "username": "siteferry",
        "password": "x",
        "expires_at": None,
        "notes": [
            {"code": "files_skipped", "message": "Files that stay", "count": 7, "samples": list("abcdefg")},
            {"code": "rest_unavailable", "message": "REST is off", "count": None, "samples": []},
        ],
    }
    outcome.result({"job_id": "clone-0k3v9x2m7c1p5t8w", "status": "completed", "result": clone})
    lines = capsys.readouterr().out.splitlines()
    shown = [f"          {sample}" for sample in "abcde"]
    assert lines[-8:] == ["Note      Files that stay (7)", *shown, "          and 2 more", "Note      REST is off"]


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"error": {"code": "source_unreachable"}}, "Once it is put right: siteferry retry clone-a"),
        (
            {"error": {"code": "wrong_password"}},
            "Ask for it anew with: siteferry clone https://a.example -u USER --watch",
        ),
        (
            {
                "type": "restore",
                "source_url": "http://clone-0k3v9x2m7c1p5t8w.localhost:8080/",
                "error": {"code": "production_would_lose"},
            },
            "To go on all the same: siteferry restore clone-0k3v9x2m7c1p5t8w https://b.example -u USER --watch"
            " --accept-loss",
        ),
        (
            {"type": "restore", "action": "rollback", "error": {"code": "wrong_password"}},
            "Ask for it anew with: siteferry rollback SNAPSHOT -u USER --watch",
        ),
        (
            {"error": {"code": "bad_pairing_key"}},
            "Ask for it anew with: siteferry clone https://a.example --pairing-key-stdin --watch",
        ),
        (
            {
                "action": "refresh",
                "target_url": "http://clone-0k3v9x2m7c1p5t8w.localhost:8080/",
                "error": {"code": "clone_edited"},
            },
            "To go on all the same: siteferry refresh clone-0k3v9x2m7c1p5t8w -u USER --watch --overwrite",
        ),
        ({"error": {"code": "multisite_unsupported"}}, ""),
    ],
)
def test_after_a_failure_the_next_command_is_named(job: dict[str, object], told: str) -> None:
    known = {"job_id": "clone-a", "type": "clone", "source_url": "https://a.example", "target_url": "https://b.example"}
    assert next_step(known | job) == told


@pytest.mark.parametrize("text", ["4m", "31d"])
def test_no_clone_lives_so_shortly_or_long(text: str) -> None:
    with pytest.raises(CliError, match="5 minutes to 30 days"):
        parse_ttl(text)
