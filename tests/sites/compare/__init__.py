"""Proof that two sites are the same but for their address.

The URL mapping in here is a second, simple implementation on purpose: it shares nothing with the product's rewriter, so
that agreeing with it proves something.

    mapping = Mapping.between(source, clone_url, paths={str(source.docroot): "/…/clones/clone-…/site"})
    assert compare_tables(Tables.of(source), Tables(connect, "sf_…", "wp_"), mapping, Exclusions(…)) == []
    assert compare_files(source.docroot, clone_root, mapping) == []
    assert compare_pages(source, clone_url, source.paths(20)) == []
    assert leftovers(Tables(…), source.home) == []
"""

from tests.sites.compare.files import compare_files, fingerprints
from tests.sites.compare.leftovers import Leftover, file_leftovers, leftovers, spellings
from tests.sites.compare.mapping import Mapping
from tests.sites.compare.pages import compare_pages, normalised
from tests.sites.compare.tables import Exclusions, Tables, compare_tables

__all__ = [
    "Exclusions",
    "Leftover",
    "Mapping",
    "Tables",
    "compare_files",
    "compare_pages",
    "compare_tables",
    "file_leftovers",
    "fingerprints",
    "leftovers",
    "normalised",
    "spellings",
]
