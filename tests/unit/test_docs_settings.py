"""Settings are told in one place, docs/reference/settings.md: all of them, and none that does not exist."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import reference_settings  # noqa: E402

NAMES = frozenset(reference_settings.settings())
ELSEWHERE = {"SITEFERRY_VERSION", "SITEFERRY_PHP_USER", "SITEFERRY_PHP_CLI", "SITEFERRY_SCHEMATHESIS_EXAMPLES"}
"""Compose's own, two that are gone, and one of the tests."""
OF_A_POD = {"siteferry.pod.place.Place"}
"""Set by the driver, for nobody to choose."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def classes(base: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for each in base.__subclasses__():
        yield each
        yield from classes(each)


def test_every_class_of_settings_is_read_by_somebody_the_page_names() -> None:
    for top in ("services", "shared", "siteferry"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if "BaseSettings" in path.read_text():
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    told = {base for model in reference_settings.READERS.values() for base in model.__mro__}
    found = {each for each in classes(BaseSettings) if each.__module__.startswith(("services", "shared", "siteferry"))}
    assert {f"{each.__module__}.{each.__name__}" for each in found - told} == OF_A_POD


def test_every_setting_has_a_row_with_its_default() -> None:
    page = reference_settings.page()
    rows = re.findall(r"^\| `SITEFERRY_([A-Z0-9_]+)` \| [^|]+ \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    assert sorted(name.lower() for name in rows) == sorted(NAMES)
    assert "| `SITEFERRY_SYNC_SECONDS` | whole number, from 1 to 600 | `55` | Seconds a call waits" in page


def test_a_setting_that_two_services_read_is_the_same_in_both() -> None:
    for name in NAMES:
        fields = [
            reference_settings.fields(model)[name]
            for model in reference_settings.READERS.values()
            if name in reference_settings.fields(model)
        ]
        assert len({(str(field.annotation), str(field.default)) for field in fields}) == 1, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_setting_that_does_not_exist(page: Path) -> None:
    named = set(re.findall(r"\bSITEFERRY_[A-Z0-9_]*[A-Z0-9]\b", page.read_text())) - ELSEWHERE
    assert {name.removeprefix("SITEFERRY_").lower() for name in named} <= NAMES | {"cell"}
