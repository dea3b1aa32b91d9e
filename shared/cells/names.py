"""Names that both the maker of clones and the launcher of their cells know."""

from __future__ import annotations

DATABASES = "sf_"
"""What the names of clones' databases and of their users begin with."""


def database_name(clone_id: str) -> str:
    """Name of a clone's database and user."""
    return DATABASES + clone_id.partition("-")[2]
