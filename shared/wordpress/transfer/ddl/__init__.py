"""Table and view definitions: read into a model of our own, and written from it. What is not known is never run."""

from __future__ import annotations

from .bands import banded
from .dialect import Dialect, parametrised, quote, transactional
from .expressions import FUNCTIONS
from .model import TableModel
from .tokens import UnknownDefinition
from .uncounted import COUNT, uncounted

__all__ = [
    "COUNT",
    "FUNCTIONS",
    "Dialect",
    "TableModel",
    "UnknownDefinition",
    "banded",
    "parametrised",
    "quote",
    "transactional",
    "uncounted",
]
