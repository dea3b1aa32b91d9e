"""Where the files are that run inside of cells."""

from __future__ import annotations

from pathlib import Path

_WHEEL = Path(__file__).parent / "cell"
_CHECKOUT = Path(__file__).parents[2] / "cell"


def cell_source() -> Path:
    """Web server configuration, guard and agent: beside this module in a wheel, `cell/` in a checkout."""
    return _WHEEL if (_WHEEL / "nginx.conf").is_file() else _CHECKOUT
