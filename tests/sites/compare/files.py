"""Every file, by its hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from tests.sites.compare.mapping import Mapping

BLOCK = 1 << 20


def fingerprints(root: Path | bytes) -> dict[bytes, str]:
    """Path below `root` -> the SHA-256 of a file, "-> target" of a link, "folder", or "special"."""
    top = os.fsencode(root)
    found: dict[bytes, str] = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            found[os.path.relpath(path, top)] = _fingerprint(path)
    return found


def _fingerprint(path: bytes) -> str:
    if os.path.islink(path):
        return "-> " + os.fsdecode(os.readlink(path))
    if os.path.isdir(path):
        return "folder"
    if not os.path.isfile(path):
        return "special"
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def compare_files(
    source: Path,
    clone: Path,
    mapping: Mapping | None = None,
    *,
    skip: Iterable[str] = (),
    extra: Iterable[str] = (),
    folders: bool = True,
) -> list[str]:
    """Sentences about everything that differs below two roots; empty when they are the same.

    skip    fnmatch patterns (on the path, `*` crosses slashes) compared on neither side, e.g. "wp-config.php"
    extra   patterns of what only the clone may have
    mapping a file may also be what the source's file becomes by it (generated stylesheets)
    folders whether empty folders count
    """
    want, have = fingerprints(source), fingerprints(clone)
    skipped, added = tuple(skip), tuple(extra)
    found = []
    for path in sorted(want.keys() | have.keys()):
        name = path.decode(errors="surrogateescape")
        if _any(name, skipped) or (want.get(path, have.get(path)) == "folder" and not folders):
            continue
        if path not in have:
            found.append(f"{path!r}: missing ({want[path][:20]})")
        elif path not in want:
            if not _any(name, added):
                found.append(f"{path!r}: not on the source ({have[path][:20]})")
        elif want[path] != have[path] and not _moved(source, clone, path, mapping):
            found.append(f"{path!r}: {want[path][:20]} on the source, {have[path][:20]} on the clone")
    return found


def _any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _moved(source: Path, clone: Path, path: bytes, mapping: Mapping | None) -> bool:
    if mapping is None:
        return False
    one, other = (os.path.join(os.fsencode(root), path) for root in (source, clone))
    if not (os.path.isfile(one) and os.path.isfile(other)) or os.path.islink(one) or os.path.getsize(one) > 32 << 20:
        return False
    with open(one, "rb") as a, open(other, "rb") as b:
        return mapping.apply(a.read()) == b.read()
