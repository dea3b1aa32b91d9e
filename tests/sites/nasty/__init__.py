"""Hard things to find on a source. Every function adds one kind to a site and returns what it made."""

from tests.sites.nasty.files import (
    big_file,
    clutter,
    hidden_files,
    links,
    many_files,
    odd_names,
    stylesheet_with_urls,
    unreadable,
)
from tests.sites.nasty.plugins import drop_ins, host_bound, noisy
from tests.sites.nasty.rare import rare_files, rare_tables
from tests.sites.nasty.tables import (
    address_keys,
    big_values,
    foreign_tables,
    full_columns,
    hard_tables,
    other_types,
    sibling_install,
    triggers,
    views,
    wide_charsets,
)
from tests.sites.nasty.values import hard_values

__all__ = [
    "address_keys",
    "big_file",
    "big_values",
    "clutter",
    "drop_ins",
    "foreign_tables",
    "full_columns",
    "hard_tables",
    "hard_values",
    "hidden_files",
    "host_bound",
    "links",
    "many_files",
    "noisy",
    "odd_names",
    "other_types",
    "rare_files",
    "rare_tables",
    "sibling_install",
    "stylesheet_with_urls",
    "triggers",
    "unreadable",
    "views",
    "wide_charsets",
]
