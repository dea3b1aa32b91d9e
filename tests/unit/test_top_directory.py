"""Directories that are said to hold trees of their own, on a real file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cloner.drivers.host.top_directory import is_top_directory, make_top_directory


def test_a_directory_becomes_a_top_directory_and_stays_one(tmp_path: Path) -> None:
    try:
        assert not is_top_directory(tmp_path)
    except OSError:
        assert not make_top_directory(tmp_path)
        pytest.skip("this file system knows no such thing")
    if not make_top_directory(tmp_path):
        pytest.skip("this file system knows flags, but not this one")
    assert is_top_directory(tmp_path)
    assert make_top_directory(tmp_path)
    (tmp_path / "tree").mkdir()
    assert not is_top_directory(tmp_path / "tree"), "trees below it hang together"


@pytest.mark.parametrize("place", ["/proc/self", "/nowhere"])
def test_where_it_can_not_be_said_nothing_happens(place: str) -> None:
    assert not make_top_directory(Path(place))
