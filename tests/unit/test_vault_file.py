"""The file with the key of what is sealed: services that start together make one, and never read half of it."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from shared.secrets.vault import KeyRing

TOGETHER = 6


def _seal(path: Path, barrier: Barrier, number: int) -> None:
    barrier.wait(30)
    (path.parent / f"sealed-{number}").write_text(KeyRing.load(path).seal("known", purpose="test"))


def test_services_that_start_together_have_the_same_key(tmp_path: Path) -> None:
    forks = multiprocessing.get_context("fork")
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        barrier, path = forks.Barrier(TOGETHER), folder / "vault.key"
        together = [forks.Process(target=_seal, args=(path, barrier, n)) for n in range(TOGETHER)]
        for one in together:
            one.start()
        for one in together:
            one.join(30)
        assert [one.exitcode for one in together] == [0] * TOGETHER
        ring = KeyRing.load(path)
        sealed = [(folder / f"sealed-{n}").read_text() for n in range(TOGETHER)]
        assert {ring.open(text, purpose="test") for text in sealed} == {"known"}
        assert path.stat().st_mode & 0o777 == 0o600
        assert {one.name for one in folder.iterdir()} == {"vault.key", *(f"sealed-{n}" for n in range(TOGETHER))}


def test_a_file_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vault.key").write_text("")
    with pytest.raises(ValueError, match="at least one base64 key"):
        KeyRing.load(tmp_path / "vault.key")
