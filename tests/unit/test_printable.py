"""What a site says reaches no terminal and no log with its control characters: every command, every field."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog

from shared import log, printable
from siteferry.cli import app, render, watch
from siteferry.cli.client import Api
from siteferry.cli.live import Line, Refused
from siteferry.embedded.logs import MergedLog

EVIL = (
    "Shop\x1b]0;owned\x07\x1b]52;c;cm0gLXJm\x07\x1b[2J\x1b[1;1H\x9b2J\x9d0;t\x9c\x00\x08\x7f\x85\u202etxt.exe\u2066\u2069"
    "\u200f\u061c\u2028\u2029\U000e0041\ud800\r\nPassword  forged\tx\x0by\x0cz"
)
NOT_PRINTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)
JOB = "clone-0k3v9x2m7c1p5t8w"
NOW = "2026-11-29T10:00:00Z"
STEP = {"name": "s", "title": EVIL, "state": "running", "unit": EVIL, "done": 1, "total": 2, "started_at": NOW}
ERROR = {"code": EVIL, "message": EVIL, "hint": EVIL}
RUNNING: dict[str, Any] = {
    "job_id": JOB,
    "type": "clone",
    "status": "failed",
    "phase": None,
    "progress": 3.0,
    "step": "s",
    "message": EVIL,
    "name": EVIL,
    "source_url": EVIL,
    "target_url": "",
    "action": None,
    "attempt": 2,
    "seq": 3,
    "created_at": NOW,
    "finished_at": NOW,
    "steps": [STEP],
    "result": None,
    "error": ERROR,
}
NOTES = [{"message": EVIL, "count": 9, "samples": [EVIL, EVIL]}]
CLONE = {
    "clone_id": JOB,
    "clone_url": EVIL,
    "admin_url": EVIL,
    "username": EVIL,
    "password": EVIL,
    "name": EVIL,
    "source_url": EVIL,
    "state": "active",
    "expires_at": NOW,
    "deleted_at": None,
    "files": 1,
    "bytes": 1,
    "rows": 1,
    "notes": NOTES,
}
DONE = {**RUNNING, "status": "completed", "result": CLONE}
ROW = {"action": "change", "add": 1, "change": 1, "remove": 1, "same": 1, "reason": EVIL, "production_only": 1}
PLAN = {
    "tables": [{"table": EVIL, **ROW}, {"table": EVIL, **ROW, "action": "keep"}],
    "folders": [{"folder": EVIL, **ROW}],
    "losses": {"order": 3},
    "loss_samples": [{"what": EVIL, "key": EVIL, "title": EVIL, "why": "production_only", "table": EVIL}],
    "drift": [EVIL],
    "base": False,
}
RESTORED = {
    **RUNNING,
    "type": "restore",
    "action": "restore",
    "status": "completed",
    "target_url": EVIL,
    "result": {"dry_run": True, "plan": PLAN, "notes": NOTES, "action": "restore", "target_url": EVIL},
}
BATCH = {
    "batch_id": "batch-0k3v9x2m7c1p5t8w",
    "status": "failed",
    "progress": 1.0,
    "counts": {"failed": 1},
    "total": 1,
    "created_at": NOW,
    "jobs": [{**RUNNING, "error": EVIL}],
}
MAIL = {"id": "m1", "time": NOW, "to": [EVIL], "subject": EVIL, "body": EVIL}
STORY = {"seq": 1, "time": NOW, "type": "progress", "data": {"job": {"progress": 1.0, "step": EVIL, "message": EVIL}}}
SEEN = {
    "source_url": EVIL,
    "home": EVIL,
    "wordpress": True,
    "version": EVIL,
    "login": "form",
    "signed_in": None,
    "administrator": None,
    "ready": False,
    "message": EVIL,
    "notes": NOTES,
    "error": ERROR,
}
SNAPSHOT = {
    "snapshot_id": "restore-0k3v9x2m7c1p5t8w",
    "state": "active",
    "created_at": NOW,
    "expires_at": NOW,
    "bytes": 1,
    "target_url": EVIL,
}
HOOK = {"id": "wh-1", "disabled": EVIL, "events": [EVIL], "url": EVIL}
ATTEMPT = {"at": NOW, "attempt": 1, "status_code": None, "error": EVIL}
DELIVERY = {"id": "d", "state": "failed", "type": EVIL, "job_id": EVIL, "attempts": [ATTEMPT]}
PROBLEM = {"code": "x", "detail": EVIL, "hint": EVIL}

CASES: list[tuple[list[str], Any]] = [
    (["jobs"], {"jobs": [RUNNING], "next_cursor": EVIL}),
    (["job", JOB], RUNNING),
    (["job", JOB], DONE),
    (["job", JOB], RESTORED),
    (["watch", JOB], RUNNING),
    (["watch", JOB], DONE),
    (["dead"], {"jobs": [RUNNING], "next_cursor": None}),
    (["clones"], {"clones": [CLONE], "next_cursor": None}),
    (["mail", JOB], {"mails": [MAIL]}),
    (["mail", JOB, "m1"], MAIL),
    (["replay", JOB], {"stream": "CLONES", "messages": [STORY]}),
    (["check", "shop.example"], SEEN),
    (["batch", "show", "batch-1"], BATCH),
    (["snapshots"], {"snapshots": [SNAPSHOT], "next_cursor": None}),
    (["webhooks", "list"], {"webhooks": [HOOK]}),
    (["webhooks", "deliveries", "wh-1"], {"deliveries": [DELIVERY]}),
    (["job", JOB], (404, PROBLEM)),
    (["cancel", JOB], (409, PROBLEM)),
]
JSON = [["jobs"], ["job", JOB], ["watch", JOB], ["dead"], ["clones"], ["mail", JOB], ["check", "shop.example"]]


@pytest.fixture(params=["terminal", "pipe"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    def refuse(_line: Line) -> None:
        raise Refused

    terminal = request.param == "terminal"
    options: dict[str, Any] = {"highlight": False, "force_terminal": terminal, "color_system": None, "width": 240}
    monkeypatch.setattr(render, "out", render.Terminal(soft_wrap=True, **options))
    monkeypatch.setattr(render, "err", render.Terminal(stderr=True, **options))
    monkeypatch.setattr(watch, "make_view", watch.LineView)  # what is drawn in place moves the cursor itself
    monkeypatch.setattr(Line, "connected", refuse)
    return str(request.param)


def answer_with(monkeypatch: pytest.MonkeyPatch, told: Any) -> None:
    status, body = told if isinstance(told, tuple) else (200, told)

    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=json.dumps(body), headers={"Content-Type": "application/json"})

    original = Api.__init__

    def built(self: Api, *arguments: Any) -> None:
        original(self, *arguments)
        self._client = httpx2.Client(base_url=self.url, transport=httpx2.MockTransport(handle))

    monkeypatch.setattr(Api, "__init__", built)


@pytest.mark.parametrize(("arguments", "told"), CASES, ids=[" ".join(words) for words, _ in CASES])
def test_no_command_prints_a_sites_controls(
    arguments: list[str], told: Any, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer_with(monkeypatch, told)
    app.run(["--state", "/nonexistent", *arguments])
    printed = "".join(capsys.readouterr())
    assert "Shop" in printed
    assert not NOT_PRINTED.findall(printed)
    if arguments[-1] != "m1":  # a mail's text keeps its lines
        assert not re.search(r"^Password  forged", printed, re.MULTILINE)
    if kind == "pipe" and printed.count("\t"):
        lines = [line for line in printed.splitlines() if "\t" in line]
        assert len({line.count("\t") for line in lines}) == 1


@pytest.mark.parametrize("arguments", JSON, ids=" ".join)
def test_json_is_the_same_value_in_escapes(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = next(told for words, told in CASES if words == arguments)
    monkeypatch.setattr(Line, "connected", lambda _line: (_ for _ in ()).throw(Refused()))
    answer_with(monkeypatch, told)
    app.run(["--state", "/nonexistent", *arguments, "--json"])
    printed = capsys.readouterr().out
    assert not NOT_PRINTED.findall(printed)
    assert EVIL.encode("utf-16", "surrogatepass") in {
        text.encode("utf-16", "surrogatepass") for text in strings(json.loads(printed))
    }


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in inner for text in strings(item)]


@pytest.mark.parametrize("ours", ["Größe", "日本語のサイト", "👩\u200d💻 نام\u200cها", "plain", ""])
def test_what_people_write_stays(ours: str) -> None:
    assert printable.one_line(ours) == ours == printable.lines(ours)
    assert printable.in_json(json.dumps(ours, ensure_ascii=False)) == json.dumps(ours, ensure_ascii=False)


def test_a_drawn_job_holds_no_controls_but_line_ends() -> None:
    assert not NOT_PRINTED.findall(render.job_block(RUNNING).plain)


@pytest.mark.parametrize("fmt", ["console", "json"])
def test_logs_hold_no_controls(fmt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    kept = structlog.get_config()
    try:
        log.configure("test", fmt=fmt)
        try:
            raise ValueError(EVIL)
        except ValueError:
            log.get("here").exception(EVIL, title=EVIL, titles=[EVIL], error=repr(EVIL))
    finally:
        structlog.configure(**kept)
        structlog.contextvars.clear_contextvars()
    assert "Shop" in written.getvalue()
    assert not NOT_PRINTED.findall(written.getvalue())
    assert "\nPassword  forged" not in written.getvalue().split("Traceback")[0]


def test_lines_of_children_hold_no_controls(tmp_path: Path) -> None:
    terminal = io.StringIO()
    merged = MergedLog(tmp_path / "log", terminal)
    merged.write("php-fpm", EVIL.replace("\ud800", ""))
    merged.close()
    for text in (terminal.getvalue(), (tmp_path / "log").read_text()):
        assert "Shop" in text
        assert not NOT_PRINTED.findall(text)
        assert text.count("\n") == 1
