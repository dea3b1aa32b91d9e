"""What a benchmark says when this machine lacks what it measures against."""

from __future__ import annotations


class Missing(Exception):
    """A sentence with the command that helps."""
