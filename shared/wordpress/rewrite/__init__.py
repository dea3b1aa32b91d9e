"""Moves a WordPress database's values from one set of URLs and paths to another, byte by byte.

rewriter = Rewriter([UrlMapping(("http://www.example.com",), "http://clone-1.localhost:8080")])
rows = rewriter.rewrite_tsv(rows, [ColumnRule("ID", Mode.KEEP), ColumnRule("post_content")], "wp_posts")
rewriter.report.to_dict()
"""

from __future__ import annotations

from .leftovers import Leftover
from .mapping import PathMapping, UrlMapping
from .report import ColumnReport, Kind, Place, Reason, RewriteReport, Sample
from .rewriter import ColumnRule, Mode, Rewriter, warm_patterns
from .tsv import escape, unescape

__all__ = [
    "ColumnReport",
    "ColumnRule",
    "Kind",
    "Leftover",
    "Mode",
    "PathMapping",
    "Place",
    "Reason",
    "RewriteReport",
    "Rewriter",
    "Sample",
    "UrlMapping",
    "escape",
    "unescape",
    "warm_patterns",
]
