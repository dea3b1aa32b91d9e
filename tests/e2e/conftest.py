"""The whole product, started once per worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.async_api import expect

from tests.e2e.product import Product, product

expect.set_options(timeout=30_000)
"""Milliseconds; a machine that clones twenty sites beside a page draws it late."""


@pytest.fixture(scope="session")
def siteferry() -> Iterator[Product]:
    """A running Siteferry that tests share; each looks only at its own jobs and clones."""
    with product() as running:
        yield running
