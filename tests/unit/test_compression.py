"""When a source compresses what it sends."""

from __future__ import annotations

import pytest

from services.cloner.compression import Compress, compresses


@pytest.mark.parametrize(
    ("setting", "home", "expected"),
    [
        ("auto", "https://shop.example.com", True),
        ("auto", "http://192.168.1.7/blog", True),
        ("auto", "http://shop.localhost:8090", False),
        ("auto", "http://localhost", False),
        ("always", "http://shop.localhost:8090", True),
        ("never", "https://shop.example.com", False),
    ],
)
def test_on_this_machine_it_would_only_cost(setting: Compress, home: str, expected: bool) -> None:
    assert compresses(setting, home) is expected
