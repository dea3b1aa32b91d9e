"""A site of 5 GB, 60,000 files and 1,500,000 rows against the usual one: what a clone keeps in memory, and its pace.

Both are cloned whole by one running product. `memory_to_small` is the most memory the cloner and its carriers had at
one moment, proportional to how many share a page, over the same for the small site. `time_per_byte_to_small` and
`time_per_row_to_small` compare the data path (files and rows, which come beside each other): three of the large site's
gigabytes are sparse films, which go faster than photographs. Takes a quarter of an hour and 20 GB of disk.
"""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.clone_transfer import _seconds, _until_gone
from benchmarks.site import SEED, build
from siteferry.embedded.cells.busy import family
from tests.e2e.product import Product, product
from tests.sites.core import give
from tests.sites.farm import SourceFarm
from tests.sites.site import Site

FILES, BYTES = 60_000, 5_000_000_000
TIMES = 11
"""The usual site's 136,000 rows."""
FILMS = 10
SHIFT = 10_000_000
"""Between the ids of one copy of the rows and those of the next."""
LOOK = 0.5
"""Seconds between two looks at memory."""


@dataclass(frozen=True)
class Measured:
    """One clone of one site."""

    files: int
    bytes: int
    rows: int
    data_path_s: float
    memory: int

    @property
    def per_byte(self) -> float:
        return self.data_path_s / self.bytes

    @property
    def per_row(self) -> float:
        return self.data_path_s / self.rows


def run(times: int = TIMES, files: int = FILES, size: int = BYTES) -> dict[str, Any]:
    """Figures of one run; memory in bytes, times in seconds."""
    with SourceFarm() as farm, product() as siteferry:
        small = build(farm, name="small").site
        measured(siteferry, small)  # the first compiles PHP and warms caches
        of_small = measured(siteferry, small)
        large = build(farm, name="large").site
        grow(large, times, files, size)
        of_large = measured(siteferry, large)
    return {
        "benchmark": "large",
        **{f"{name}_small": value for name, value in vars(of_small).items()},
        **vars(of_large),
        "memory_to_small": round(of_large.memory / of_small.memory, 2),
        "time_per_byte_to_small": round(of_large.per_byte / of_small.per_byte, 2),
        "time_per_row_to_small": round(of_large.per_row / of_small.per_row, 2),
    }


def grow(site: Site, times: int, files: int, size: int) -> None:
    """Multiply the rows by `times`, and fill up to so many files and bytes: photographs, then sparse films."""
    for copy in range(1, times):
        shift = copy * SHIFT
        _repeat(site, "posts", {"ID": f"ID+{shift}", "post_name": f"CONCAT(post_name,'-{copy}')"}, post="ID")
        _repeat(site, "postmeta", {"meta_id": "NULL", "post_id": f"post_id+{shift}"}, post="post_id")
        of_post = {"comment_ID": "NULL", "comment_post_ID": f"comment_post_ID+{shift}"}
        _repeat(site, "comments", of_post, post="comment_post_ID")
    chance = random.Random(SEED + 1)
    for n in range(files - len(_files(site)) - FILMS):
        path = site.uploads / "more" / f"{n // 500:03d}" / f"photo-{n:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + chance.randbytes(chance.randrange(4000, 67_000)))
    each = max(1, (size - sum(path.stat().st_size for path in _files(site))) // FILMS)
    for n in range(FILMS):
        with open(site.uploads / f"film-{n}.mp4", "wb") as file:
            file.truncate(each)
    give(site.uploads)


def _files(site: Site) -> list[Path]:
    return [path for path in site.docroot.rglob("*") if path.is_file() and not path.is_symlink()]


def _repeat(site: Site, table: str, changed: dict[str, str], *, post: str) -> None:
    """The first rows once more, with other values in some columns; the column `post` tells which those are."""
    columns = [row[0] for row in site.sql(f"SHOW COLUMNS FROM {{p}}{table}")]
    values = ", ".join(changed.get(column, f"`{column}`") for column in columns)
    site.sql(f"INSERT INTO {{p}}{table} SELECT {values} FROM {{p}}{table} WHERE {post} < {SHIFT}")


def measured(siteferry: Product, site: Site) -> Measured:
    """One clone, removed again."""
    with Memory(siteferry.pid("cloner")) as memory:
        job = siteferry.clone(site, timeout=3600)
    result, steps = job["result"], {step["name"]: step for step in job["steps"]}
    siteferry.http.delete(f"/clones/{result['clone_id']}")
    _until_gone(siteferry.directory(result["clone_id"]), timeout=300)
    took = _seconds(steps["files"]["started_at"], steps["database"]["finished_at"])
    return Measured(result["files"], result["bytes"], result["rows"], took, memory.most)


class Memory:
    """The most memory a process and those below it had at one moment, while it is looked at."""

    def __init__(self, first: int) -> None:
        self._first, self._over = first, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK):
            self.most = max(self.most, sum(map(proportional, family(self._first))))


def proportional(pid: int) -> int:
    """Bytes of a process' memory, its share of what it shares; 0 once it has ended."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/smaps_rollup").read_text().partition("\nPss:")[2].split()[0]) * 1024
    return 0


if __name__ == "__main__":
    import json

    print(json.dumps(run()))
