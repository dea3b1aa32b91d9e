"""The whole suite begins with the files that take longest."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tests.conftest as rules

TESTS = Path(rules.__file__).parent


def test_what_is_said_to_be_long_is_there() -> None:
    missing = [start for start in rules.LONGEST_FIRST if not list(TESTS.glob(f"{start}*"))]
    assert missing == []


def test_workers_take_the_longest_files_first_and_keep_the_order_within_a_file() -> None:
    names = ["unit/test_a.py::b", "unit/test_a.py::a", "e2e/test_z.py::a", "hostile/test_hostile_sources.py::a"]
    items: Any = [SimpleNamespace(nodeid=f"tests/{name}") for name in names]
    alone: Any = SimpleNamespace()
    rules.pytest_collection_modifyitems(alone, items)
    assert [item.nodeid.removeprefix("tests/") for item in items] == names
    worker: Any = SimpleNamespace(workerinput={})
    rules.pytest_collection_modifyitems(worker, items)
    assert [item.nodeid.removeprefix("tests/") for item in items] == [names[3], names[2], *names[:2]]
