"""Rewriting speed on generated rows: MB/s of `rewrite_tsv`, beside the floor of one `bytes.replace` on the same data.

    python -m benchmarks.rewrite [megabytes]

The rows have the shape of a real site's dump: posts with a guid, comments and small options without any URL, metadata
with page-builder JSON and serialized arrays. About three rows in ten hold the site's URL, as in the measured site.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

from shared.wordpress.rewrite import ColumnRule, Mode, PathMapping, Rewriter, UrlMapping, escape

SOURCE = "http://shop.example.test"
TARGET = "http://clone-0123456789abcdef.localhost:8080"
CHUNK = 1 << 20
POSTS = [
    ColumnRule("ID", Mode.KEEP),
    ColumnRule("post_content"),
    ColumnRule("post_title"),
    ColumnRule("guid", Mode.KEEP),
]
META = [
    ColumnRule("meta_id", Mode.KEEP),
    ColumnRule("post_id", Mode.KEEP),
    ColumnRule("meta_key"),
    ColumnRule("meta_value"),
]
_WORDS = b"lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore".split()


def _text(chance: random.Random, words: int) -> bytes:
    return b" ".join(chance.choices(_WORDS, k=words))


def _post(number: int, chance: random.Random) -> bytes:
    content = _text(chance, 380)
    if number % 2 == 0:
        link = b'<img src="%s/wp-content/uploads/2024/05/%d.jpg" alt="x">\n' % (SOURCE.encode(), number)
        content = link + content[:1200] + link + content[1200:] + b'<a href="%s/?p=%d">' % (SOURCE.encode(), number)
    guid = b"%s/?p=%d" % (SOURCE.encode(), number)
    return b"\t".join((b"%d" % number, escape(content), _text(chance, 5), guid)) + b"\n"


def _meta(number: int, chance: random.Random) -> bytes:
    url = b"%s/wp-content/uploads/%d.png" % (SOURCE.encode(), number)
    if number % 26 == 0:
        widgets = [{"id": i, "settings": {"image": {"url": url.decode()}, "text": "<p>é</p>"}} for i in range(40)]
        value = json.dumps(widgets).replace("/", "\\/").encode()
    elif number % 8 == 0:
        value = b'a:2:{s:4:"file";s:%d:"%s";s:5:"sizes";a:1:{i:0;a:2:{s:1:"w";i:150;s:1:"h";i:150;}}}' % (len(url), url)
    else:
        value = b"field_%d" % chance.randrange(1 << 40)
    return b"\t".join((b"%d" % number, b"%d" % (number // 3), b"_key", escape(value))) + b"\n"


def generate(megabytes: int) -> list[tuple[str, list[ColumnRule], list[bytes]]]:
    """Tables as (name, columns, chunks of whole rows), `megabytes` in all."""
    chance = random.Random(7)
    tables = []
    for name, columns, row, share in (("wp_posts", POSTS, _post, 0.8), ("wp_postmeta", META, _meta, 0.2)):
        chunks, rows, size, number = [], [], 0, 1
        total = int(megabytes * 1e6 * share)
        while total > 0:
            line = row(number, chance)
            rows.append(line)
            size += len(line)
            total -= len(line)
            number += 1
            if size >= CHUNK or total <= 0:
                chunks.append(b"".join(rows))
                rows, size = [], 0
        tables.append((name, columns, chunks))
    return tables


def run(megabytes: int = 160, rounds: int = 3) -> dict[str, Any]:
    """Measures; speeds are the best of `rounds`, in MB (10^6 bytes) per second."""
    tables = generate(megabytes)
    size = sum(len(chunk) for _, _, chunks in tables for chunk in chunks)
    rewriting, processor, floor = [], [], []
    report: dict[str, Any] = {}
    for _ in range(rounds):
        rewriter = Rewriter([UrlMapping((SOURCE,), TARGET)], [PathMapping("/srv/www/shop/htdocs", "/clones/x/site")])
        began, worked = time.perf_counter(), time.process_time()
        for name, columns, chunks in tables:
            for chunk in chunks:
                rewriter.rewrite_tsv(chunk, columns, name)
        rewriting.append(time.perf_counter() - began)
        processor.append(time.process_time() - worked)
        began = time.perf_counter()
        for _, _, chunks in tables:
            for chunk in chunks:
                chunk.replace(SOURCE.encode(), TARGET.encode())
        floor.append(time.perf_counter() - began)
        report = rewriter.report.to_dict()["total"]
    scanner = Rewriter([UrlMapping((SOURCE,), TARGET)])
    rewritten = [(n, columns, [rewriter.rewrite_tsv(c, columns, n) for c in chunks]) for n, columns, chunks in tables]
    began = time.perf_counter()
    for name, columns, chunks in rewritten:
        for chunk in chunks:
            scanner.count_leftovers_tsv(chunk, columns, name)
    scan = time.perf_counter() - began
    return {
        "megabytes": round(size / 1e6, 1),
        "rows": report["rows"],
        "values_changed": report["changed"],
        "seconds": [round(value, 3) for value in rewriting],
        "cpu_seconds": [round(value, 3) for value in processor],
        "mb_per_s": round(size / 1e6 / min(rewriting), 1),
        "floor_seconds": [round(value, 3) for value in floor],
        "floor_mb_per_s": round(size / 1e6 / min(floor), 1),
        "leftover_scan_mb_per_s": round(size / 1e6 / scan, 1),
        "kinds": report["kinds"],
    }


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 160)))
