"""What the documents refer to is there: files, headings, tests, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from siteferry.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/adr/*.md")])
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
CALL = re.compile(r"(?:^|[|`(&]|\$ )\s*siteferry((?: [a-z][a-z-]*)+)", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_exist(page: Path) -> None:
    for path in re.findall(r"`((?:tests|benchmarks|scripts|docs|demo|services|shared)/[\w./-]+)`", page.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_exist(page: Path) -> None:
    for words in CALL.findall(page.read_text()):
        first, second = [*words.split(), ""][:2]
        known = get_command(app).commands  # type: ignore[attr-defined]
        assert first in known, words
        if below := getattr(known[first], "commands", None):
            assert not second or second in below, words
