"""The command line. stdout carries data only, progress and complaints go to stderr."""

from __future__ import annotations

from siteferry.cli.app import main

__all__ = ["main"]
