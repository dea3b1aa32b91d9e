"""A job's memory on both sides of the pipe: who changed which names since the other side last knew."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any


class Shadow:
    """What the other side knows of a job's memory, by name. Names in `kept` never cross."""

    def __init__(self, kept: Collection[str] = ()) -> None:
        self._kept = frozenset(kept)
        self._known: dict[str, str] = {}

    def changes(self, state: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """What to tell the other side: values that are new or different, and names that are gone. Known from then on.

        Raises TypeError when a value is not JSON-able.
        """
        now = {name: _frozen(value) for name, value in list(state.items()) if name not in self._kept}
        changed = {name: json.loads(text) for name, text in now.items() if self._known.get(name) != text}
        gone = [name for name in self._known if name not in now]
        self._known = now
        return changed, gone

    def apply(self, state: dict[str, Any], changed: dict[str, Any], gone: Collection[str]) -> None:
        """Take over what the other side says. Raises ValueError for a name that never crosses."""
        wrong = self._kept & {*changed, *gone}
        if wrong:
            raise ValueError(f"not the other side's to change: {', '.join(sorted(wrong))}")
        for name, value in changed.items():
            state[name] = value
            self._known[name] = _frozen(value)
        for name in gone:
            state.pop(name, None)
            self._known.pop(name, None)


def _frozen(value: Any) -> str:
    """A value as JSON, also while another thread adds to it."""
    for _ in range(100):
        try:
            return json.dumps(value, allow_nan=False)
        except RuntimeError:  # changed size during iteration
            continue
    raise ValueError("the job's memory never holds still")
