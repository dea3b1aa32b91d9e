"""A live site with a staged restore, for tests of the exchange: what it is before, and what it is to be afterwards."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.wordpress.connector.target import FileName, FilePut, OptionsKept, StagedTable, SwapFile, SwapPlan, SwapTable
from shared.wordpress.connector.writer import SiteWriter
from tests.integration.connected import Connected

TABLES = ("posts", "postmeta", "comments", "options")
FILES = 60
Print = dict[str, Any]


@dataclass
class Restore:
    """Changed posts, meta and options, and files that are new, changed and removed."""

    target: Connected
    id: str
    files: int = FILES
    before: Print = field(default_factory=dict)
    after: Print = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.site = self.target.site
        self.writer = SiteWriter(self.target.client, self.id)
        self.writer.inspect()

    def prepare(self) -> SwapPlan:
        """Lay out the live site, stage the restore, note what is and what is to be."""
        site = self.site
        for name in ("r", "gone", "added"):
            shutil.rmtree(site.uploads / name, ignore_errors=True)
        for number in range(self.files):
            site.write(f"wp-content/uploads/r/{number:04}.txt", f"old {number}", mode=0o640)
            site.write(f"wp-content/uploads/gone/{number:04}.txt", f"gone {number}")
        self.before = self.print()
        tables = [table for name in TABLES for table in self.target.tables(site.prefix + name)]
        self.writer.begin([StagedTable(n, table["name"], tuple(table["key"])) for n, table in enumerate(tables)])
        for n in range(len(tables)):
            self.writer.copy(n)
        staged = self.writer.staged_name
        site.script(
            f"UPDATE {staged(0)} SET post_title=CONCAT(post_title, ' of the clone')",
            f"INSERT INTO {staged(0)} (post_title, post_content, post_status) VALUES ('C', 'of the clone', 'publish')",
            f"UPDATE {staged(3)} SET option_value='Clone' WHERE option_name='blogname'",
        )
        puts = [_put("uploads", f"r/{number:04}.txt", f"new {number}") for number in range(self.files)]
        puts += [_put("uploads", f"added/{number:04}.txt", f"added {number}") for number in range(self.files)]
        self.writer.put_files(puts)
        self.after = self._expected(puts)
        return SwapPlan(
            [SwapTable(n, table["name"]) for n, table in enumerate(tables)],
            [SwapFile(put.name) for put in puts]
            + [SwapFile(FileName("uploads", b"gone/%04d.txt" % n), "remove") for n in range(self.files)],
            OptionsKept(3, ("home", "siteurl", "cron"), (r"\_transient\_%", r"\_site\_transient\_%")),
        )

    def print(self) -> Print:
        """What visitors get: rows, and files with their times and modes."""
        site = self.site
        found: Print = {
            name: site.sql(f"SELECT * FROM {{p}}{name} ORDER BY 1", charset="binary") for name in TABLES[:3]
        }
        found["blogname"] = site.sql("SELECT option_value FROM {p}options WHERE option_name='blogname'")[0][0]
        for path in sorted(site.uploads.rglob("*")):
            if path.is_file():
                stat = path.stat()
                found[str(path.relative_to(site.uploads))] = (path.read_bytes(), stat.st_mode, int(stat.st_mtime))
        return found

    def _expected(self, puts: list[FilePut]) -> Print:
        after = {key: value for key, value in self.before.items() if not str(key).startswith("gone/")}
        for n, name in enumerate(TABLES[:3]):
            after[name] = self.site.sql(f"SELECT * FROM {self.writer.staged_name(n)} ORDER BY 1", charset="binary")
        after["blogname"] = "Clone"
        place = next(self.site.content.glob("siteferry-*")) / self.id / "new" / "uploads"
        for put in puts:
            path = place / os.fsdecode(put.name.path)
            after[os.fsdecode(put.name.path)] = (path.read_bytes(), path.stat().st_mode, put.mtime)
        return after

    def side(self) -> str:
        """ "old" or "new"; anything else is told apart by what differs."""
        found = self.print()
        if found == self.before:
            return "old"
        if found == self.after:
            return "new"
        olds, news = (
            sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
            for wanted in (self.before, self.after)
        )
        return f"neither: not old in {olds[:5]} ({len(olds)}), not new in {news[:5]} ({len(news)})"

    def journal_is_closed(self) -> bool:
        """No marker beside the plugin, no must-use plugin left."""
        marks = [self.target.plugin_dir / "journal", self.site.mu_plugins / "0-siteferry-journal.php"]
        return not [mark for mark in marks if mark.exists()]


class Background(threading.Thread):
    """Calls `work` again and again, `rate` times a second, until `stop`; keeps what it returned or raised."""

    def __init__(self, work: Any, rate: float) -> None:
        super().__init__(daemon=True)
        self._work, self._pause = work, 1 / rate
        self._ended = threading.Event()
        self.results: list[Any] = []
        self.errors: list[BaseException] = []
        self.enough = threading.Semaphore(0)

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self.results.append(self._work())
            except BaseException as error:
                self.errors.append(error)
            self.enough.release()
            self._ended.wait(self._pause)

    def some(self, count: int) -> None:
        """Wait for so many more rounds."""
        for _ in range(count):
            assert self.enough.acquire(timeout=30)

    def stop(self) -> None:
        self._ended.set()
        self.join(30)


def _put(base: str, path: str, text: str) -> FilePut:
    data = text.encode()
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return FilePut(FileName(base, path.encode()), len(data), 1_700_000_000, 0o644, digest, lambda: io.BytesIO(data))


def left_behind(restore: Restore) -> list[str]:
    """Tables and directories of restores on the site."""
    tables = [name for name in restore.site.tables() if name.startswith(("sfn_", "sfo_"))]
    return tables + [path.name for path in Path(restore.site.content).glob("siteferry-*")]
